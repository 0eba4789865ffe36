"""
An agent with OpenAI's own client, and its recorded HTTP.

``python -m tests.autogen._recorded`` records it anew from the server on loopback.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_core.models import ChatCompletionClient
from autogen_core.tools import BaseTool, FunctionTool
from autogen_ext.models.openai import OpenAIChatCompletionClient

from tallystick import Ledger
from tallystick.prices import Overrides
from tallystick_autogen import BudgetedModelClient, wrap_tools
from tests.providers._answers import Answer, Call
from tests.providers._cassettes import cassette
from tests.providers._server import Provider

from ._world import agent

FOLDER = Path(__file__).parent / "cassettes"
PAYS = Answer(calls=(Call(name="pay", arguments='{"amount": 5}'),), input=100, output=20)
SAYS = Answer(text="It is paid.", input=200, output=5)
BUDGET = "team"
#: the one that AutoGen takes ``gpt-5-mini`` for; it warns where an answer is from another one
GPT = "gpt-5-mini-2025-08-07"
#: dollars per million tokens
PRICES = Overrides(
    {GPT: {"input": "1", "output": "10", "max_input": 100_000, "max_output": 1000}}, label="test"
)
#: what both answers cost
COST = "0.000550"


class Till:
    """Counts what was really paid."""

    def __init__(self) -> None:
        self.paid: list[int] = []

    def tool(self) -> FunctionTool:
        """As the agent would make it."""
        return FunctionTool(self.pay, "Pay.")

    async def pay(self, amount: int) -> str:
        """Pay."""
        self.paid.append(amount)
        return f"receipt {amount}"


def gpt(origin: str, retries: int = 0, **options: Any) -> OpenAIChatCompletionClient:
    """AutoGen's own client of OpenAI."""
    return OpenAIChatCompletionClient(
        model=GPT,
        base_url=f"{origin}/v1",
        api_key="none",
        max_retries=retries,
        max_tokens=200,
        **options,
    )


def budgeted(client: ChatCompletionClient, ledger: Ledger) -> BudgetedModelClient:
    """The same within a budget; a server on loopback does not tell whose models it has."""
    return BudgetedModelClient(client, ledger, BUDGET, prices=PRICES, provider="openai", model=GPT)


def payer(
    client: ChatCompletionClient, ledger: Ledger, till: Till, **options: Any
) -> AssistantAgent:
    """An agent that pays, on the ledger."""
    tools: Sequence[BaseTool[Any, Any]] = wrap_tools([till.tool()], ledger)
    return agent(budgeted(client, ledger), tools, **options)


def record() -> None:
    """Record an agent that pays and says so, whole and streamed."""
    for name, streamed in (("agent", False), ("agent-stream", True)):
        (FOLDER / f"{name}.yaml").unlink(missing_ok=True)
        with (
            Provider() as provider,
            cassette(name, "once", FOLDER),
            Ledger("memory://") as ledger,
            ledger.workflow("w"),
        ):
            provider.script(PAYS, SAYS)
            ledger.budget(BUDGET, usd=10)
            asyncio.run(_run(gpt(provider.origin), ledger, streamed=streamed))


async def _run(client: OpenAIChatCompletionClient, ledger: Ledger, *, streamed: bool) -> None:
    await payer(client, ledger, Till(), model_client_stream=streamed).run(task="pay 5")
    await client.close()


if __name__ == "__main__":
    record()
