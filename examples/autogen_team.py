"""
A team of agents: a payment that a person approves; killed on the way, and resumed.

    python examples/autogen_team.py            # stops: the payment needs a person
    tallystick approve KEY --by ann --ledger autogen_team.db
    python examples/autogen_team.py --kill     # kill -9: money is out, and nobody wrote that down
    python examples/autogen_team.py            # goes on, to the end: the bank has one payment
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import TextMentionTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken, FunctionCall
from autogen_core.models import (
    ChatCompletionClient,
    CreateResult,
    FunctionExecutionResultMessage,
    LLMMessage,
    ModelInfo,
    RequestUsage,
)

from tallystick import ApprovalRequired, Guarantee, Ledger, Policy, current_effect
from tallystick_autogen import BudgetedModelClient, team_session, wrap_tools

# ---- the tools, and what each declares about itself ---------------------------------------------


def pay(invoice: str, cents: int) -> str:
    """Pay an invoice; the bank does it once for each key."""
    bank = Path("bank")
    bank.mkdir(exist_ok=True)
    (bank / current_effect().idempotency_key).write_text(f"{invoice}: {cents / 100:.2f}")
    if "--kill" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
    return f"paid {cents / 100:.2f}"


async def send_email(to: str, text: str) -> str:
    """Send a mail; nobody can tell later whether it went out."""
    with Path("outbox.txt").open("a", encoding="utf-8") as outbox:  # noqa: ASYNC230
        outbox.write(f"to {to}: {text}\n")
    return f"sent to {to}"


POLICIES = {
    "pay": Policy(guarantee=Guarantee.IDEMPOTENT, approval=True),
    "send_email": Policy(),  # at most once: in doubt if it is cut off, and never sent again
}

# ---- the models ---------------------------------------------------------------------------------


class Model(ChatCompletionClient):
    """Stands in for a language model: makes one call, and then says its last word."""

    def __init__(self, name: str, arguments: str, last: str) -> None:
        self._call = name, arguments
        self._last = last

    async def create(
        self,
        messages: Sequence[LLMMessage],
        *,
        tools: Sequence[Any] = (),
        tool_choice: Any = "auto",
        json_output: Any = None,
        extra_create_args: Mapping[str, Any] = {},
        cancellation_token: CancellationToken | None = None,
    ) -> CreateResult:
        """The next turn."""
        print(f"(a model is asked about {self._call[0]})")
        done = any(isinstance(message, FunctionExecutionResultMessage) for message in messages)
        name, arguments = self._call
        call = FunctionCall(id=os.urandom(8).hex(), name=name, arguments=arguments)
        return CreateResult(
            finish_reason="stop" if done else "function_calls",
            content=self._last if done else [call],
            usage=RequestUsage(prompt_tokens=100, completion_tokens=20),
            cached=False,
        )

    async def create_stream(
        self, messages: Sequence[LLMMessage], **options: Any
    ) -> AsyncGenerator[str | CreateResult, None]:
        """In one piece."""
        yield await self.create(messages, **options)

    async def close(self) -> None:
        """Nothing is open."""

    def actual_usage(self) -> RequestUsage:
        """Nobody counts."""
        return RequestUsage(prompt_tokens=0, completion_tokens=0)

    def total_usage(self) -> RequestUsage:
        """Nobody counts."""
        return self.actual_usage()

    def count_tokens(self, messages: Sequence[LLMMessage], **options: Any) -> int:
        """Nobody counts."""
        return 0

    def remaining_tokens(self, messages: Sequence[LLMMessage], **options: Any) -> int:
        """There is room."""
        return 100_000

    @property
    def capabilities(self) -> Any:
        """What it can do."""
        return self.model_info

    @property
    def model_info(self) -> ModelInfo:
        """What it can do."""
        return ModelInfo(
            vision=False,
            function_calling=True,
            json_output=False,
            family="unknown",
            structured_output=False,
        )


PAYER = Model("pay", '{"invoice": "R-7", "cents": 12000}', "The invoice is paid.")
CLERK = Model("send_email", '{"to": "bob", "text": "R-7 is paid."}', "Bob knows. DONE")

# ---- the team -----------------------------------------------------------------------------------


def team_on(ledger: Ledger) -> RoundRobinGroupChat:
    """A payer and a clerk; every process makes its own."""
    tools = wrap_tools([pay, send_email], ledger, policies=POLICIES)
    agents = [
        AssistantAgent(
            name, BudgetedModelClient(model, ledger), tools=[tool], max_tool_iterations=3
        )
        for name, model, tool in zip(("payer", "clerk"), (PAYER, CLERK), tools, strict=True)
    ]
    return RoundRobinGroupChat([*agents], termination_condition=TextMentionTermination("DONE"))


async def work(ledger: Ledger) -> None:
    """Run the team, or go on where it was."""
    try:
        async with team_session(team_on(ledger), ledger, "invoice-7") as session:
            result = await session.run(task="Pay invoice R-7, and tell Bob.")
    except ApprovalRequired as stop:
        print(f"a person must decide: {stop.tool} {stop.arguments}")
        print(f"tallystick approve {stop.key[:12]} --by ann --ledger autogen_team.db")
    else:
        print(result.messages[-1].to_text())


def main(args: list[str] | None = None) -> int:
    """Work on the invoice."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--kill", action="store_true", help="be killed once money went out")
    parser.parse_args(args)
    logging.getLogger("autogen_core").setLevel(logging.CRITICAL)  # it tells each stop at length
    with Ledger("sqlite:///autogen_team.db") as ledger:
        asyncio.run(work(ledger))
    return 0


if __name__ == "__main__":
    sys.exit(main())
