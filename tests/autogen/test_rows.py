"""What AutoGen runs again, row by row: the same call is one effect."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from autogen_agentchat.base import Handoff
from autogen_agentchat.conditions import (
    ExternalTermination,
    HandoffTermination,
    MaxMessageTermination,
)
from autogen_agentchat.messages import HandoffMessage
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import AssistantMessage, FunctionExecutionResultMessage, LLMMessage

from tallystick import Ledger
from tallystick_autogen import wrap_tools

from ._world import Scripted, Turn, agent, results, soon

PAY: Turn = [("pay", {"amount": 5})]


class Bank:
    """Pays, in whatever process."""

    def __init__(self) -> None:
        self.paid: list[int] = []
        self.then: Any = None

    async def pay(self, amount: int) -> str:
        """Pay."""
        self.paid.append(amount)
        if self.then is not None:
            await self.then()
        return f"receipt {amount}"


@pytest.fixture
def bank() -> Bank:
    return Bank()


def team(model: Scripted, ledger: Ledger, bank: Bank, **options: Any) -> RoundRobinGroupChat:
    one = agent(model, wrap_tools([bank.pay], ledger), **options)
    return RoundRobinGroupChat([one], termination_condition=MaxMessageTermination(30), max_turns=1)


@pytest.mark.parametrize("task", [None, "pay"])
async def test_a_run_again_after_the_model_broke_pays_once(
    ledger: Ledger, bank: Bank, task: str | None
) -> None:
    model = Scripted([PAY, OSError("500"), PAY, "done"])
    one = agent(model, wrap_tools([bank.pay], ledger))
    with ledger.workflow("w"):
        with pytest.raises(OSError, match="500"):
            await soon(one.run(task="pay"))
        result = await soon(one.run(task=task))
    assert (bank.paid, results(result)) == ([5], ["receipt 5"])


async def test_a_state_that_was_saved_after_an_error_pays_once(ledger: Ledger, bank: Bank) -> None:
    first = team(Scripted([PAY, OSError("500")]), ledger, bank)
    with ledger.workflow("w"):
        with pytest.raises(RuntimeError, match="500"):
            await soon(first.run(task="pay"))
        second = team(Scripted([PAY, "done"]), ledger, bank)
        await second.load_state(await first.save_state())
        result = await soon(second.run())
    assert (bank.paid, results(result)) == ([5], ["receipt 5"])


async def test_a_process_that_died_before_its_state_was_saved_pays_once(
    url: str, bank: Bank
) -> None:
    old: Mapping[str, Any] = {}
    for _ in range(2):
        with Ledger(url) as ledger, ledger.workflow("w"):
            made = team(Scripted([PAY, "done"]), ledger, bank)
            old = old or await made.save_state()
            await made.load_state(old)
            await soon(made.run(task="pay"))
    assert bank.paid == [5]


async def test_a_state_that_was_saved_inside_of_a_tool_pays_once(
    ledger: Ledger, bank: Bank
) -> None:
    """The call of which the tool's answer is missing is asked for once more."""
    states: list[Mapping[str, Any]] = []
    first = team(Scripted([PAY, "done"]), ledger, bank)

    async def save() -> None:
        states.append(await first.save_state())

    bank.then = save

    def repeat(messages: Any) -> Turn:
        asked: list[LLMMessage] = [*messages]
        dangling = [m for m in asked if isinstance(m, AssistantMessage)]
        answered = [m for m in asked if isinstance(m, FunctionExecutionResultMessage)]
        assert dangling
        return "done" if answered else PAY

    with ledger.workflow("w"):
        await soon(first.run(task="pay"))
        second = team(Scripted(repeat), ledger, bank)
        await second.load_state(states[0])
        result = await soon(second.run())
    assert (bank.paid, results(result)) == ([5], ["receipt 5"])


async def test_a_call_beside_a_handoff_that_comes_again_pays_once(
    ledger: Ledger, bank: Bank
) -> None:
    both: Turn = [("pay", {"amount": 5}), ("transfer_to_user", {})]

    def made(model: Scripted) -> RoundRobinGroupChat:
        one = agent(model, wrap_tools([bank.pay], ledger), handoffs=[Handoff(target="user")])
        ends = HandoffTermination("user") | MaxMessageTermination(30)
        return RoundRobinGroupChat([one], termination_condition=ends, max_turns=2)

    first = made(Scripted([both]))
    with ledger.workflow("w"):
        await soon(first.run(task="pay"))
        second = made(Scripted([PAY, "done"]))
        await second.load_state(await first.save_state())
        answer = HandoffMessage(source="user", target="payer", content="go on")
        result = await soon(second.run(task=answer))
    assert (bank.paid, results(result)) == ([5], ["receipt 5"])


async def test_an_external_stop_inside_of_a_tool_pays_once(ledger: Ledger, bank: Bank) -> None:
    stop = ExternalTermination()

    async def ending() -> None:
        await asyncio.sleep(0)
        stop.set()

    bank.then = ending
    one = agent(Scripted([PAY, PAY, "done"]), wrap_tools([bank.pay], ledger))
    who = RoundRobinGroupChat([one], termination_condition=stop)
    with ledger.workflow("w"):
        result = await soon(who.run(task="pay"))
    assert (bank.paid, result.stop_reason) == ([5], "External termination requested")


@pytest.mark.parametrize("rounds", [1, 5])
async def test_an_agent_without_reflection_says_what_the_tool_said(
    ledger: Ledger, bank: Bank, rounds: int
) -> None:
    one = agent(Scripted([PAY, "done"]), wrap_tools([bank.pay], ledger), rounds=rounds)
    with ledger.workflow("w"):
        result = await soon(one.run(task="pay"))
    assert result.messages[-1].to_text() == ("receipt 5" if rounds == 1 else "done")
    assert [(effect.tool, effect.result) for effect in ledger.effects()] == [("pay", "receipt 5")]


async def test_an_agent_that_reflects_asks_no_model_after_a_stop_if_that_is_wrapped(
    ledger: Ledger, bank: Bank
) -> None:
    """Reflection reads no schema; the client is the one place that sees it."""
    from tallystick import ApprovalRequired, Policy
    from tallystick_autogen import BudgetedModelClient, raising_stops

    inner = Scripted([PAY, "paid, I guess"])
    tools = wrap_tools([bank.pay], ledger, default=Policy(approval=True))
    one = agent(BudgetedModelClient(inner, ledger), tools, rounds=1, reflect_on_tool_use=True)
    with ledger.workflow("w"), pytest.raises(ApprovalRequired), raising_stops():
        await soon(one.run(task="pay"))
    assert (len(inner.asked), bank.paid) == (1, [])
