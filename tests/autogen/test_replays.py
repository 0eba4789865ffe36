"""The same agent is told again from its record: equal words, and no tool runs."""

from __future__ import annotations

from typing import Any

import pytest
from autogen_core.tools import FunctionTool, StaticWorkbench

from tallystick import Guarantee, Ledger, NotApplied, Policy
from tallystick.errors import Divergence
from tallystick_autogen import (
    BudgetedModelClient,
    LedgeredWorkbench,
    raising_stops,
    team_session,
    wrap_tools,
)

from ._world import Scripted, Turn, agent, results, soon

READING = Policy(guarantee=Guarantee.READ_ONLY)
SCRIPT: list[Turn] = [
    [("pay", {"amount": 5}), ("pay", {"amount": 6}), ("look", {})],
    [("pay", {"amount": 5}), ("look", {}), ("refuse", {"amount": 1})],
    "done",
]


class Till:
    """Counts what was really done."""

    def __init__(self) -> None:
        self.paid: list[int] = []
        self.looked = 0

    def pay(self, amount: int) -> dict[str, Any]:
        """Pay."""
        self.paid.append(amount)
        return {"paid": amount, "number": len(self.paid)}

    def look(self) -> int:
        """Look."""
        self.looked += 1
        return self.looked

    def refuse(self, amount: int) -> str:
        """Refuse."""
        self.paid.append(amount)
        raise NotApplied(f"no {amount}")

    def tools(self, ledger: Ledger) -> list[Any]:
        """All of them, of the ledger."""
        plain = [FunctionTool(fn, fn.__doc__ or "") for fn in (self.pay, self.look, self.refuse)]
        return wrap_tools(plain, ledger, policies={"look": READING})


@pytest.fixture
def till() -> Till:
    return Till()


async def test_an_agent_replays_word_for_word(ledger: Ledger, till: Till) -> None:
    """Parallel, repeated, read-only and failed calls."""

    async def run() -> list[str]:
        payer = agent(Scripted(SCRIPT), till.tools(ledger))
        return results(await soon(payer.run(task="pay")))

    async with ledger.workflow("order-42"):
        first = await run()
    done = list(till.paid)
    assert (sorted(done), till.looked) == ([1, 5, 6], 2)
    async with ledger.replay("order-42") as replay:
        assert await run() == first
    assert (till.paid, till.looked, replay.served) == (done, 2, 6)


async def test_a_workbench_replays(ledger: Ledger, till: Till) -> None:
    async def run() -> list[str]:
        bench = LedgeredWorkbench(StaticWorkbench([FunctionTool(till.pay, "Pay")]), ledger)
        payer = agent(Scripted([[("pay", {"amount": 5})], "done"]), workbench=bench)
        return results(await soon(payer.run(task="pay")))

    async with ledger.workflow("order-42"):
        first = await run()
    async with ledger.replay("order-42"):
        assert await run() == first
    assert till.paid == [5]


async def test_other_arguments_stop_the_agent(ledger: Ledger, till: Till) -> None:
    """The Divergence is no words for the model, and nobody asks the model after it."""

    async def run(amount: int) -> Scripted:
        model = Scripted([[("pay", {"amount": amount})], "done"])
        with raising_stops():
            await soon(agent(model, till.tools(ledger)).run(task="pay"))
        return model

    async with ledger.workflow("order-42"):
        await run(5)
    with pytest.raises(Divergence, match='"amount": 50'):
        async with ledger.replay("order-42"):
            await run(50)
    assert till.paid == [5]


def contents(result: Any) -> list[str]:
    """What was said in a run, but for what is made anew each time."""
    return [str(message.content) for message in result.messages]


async def test_a_session_replays_with_neither_tools_nor_model(ledger: Ledger, till: Till) -> None:
    """Two runs of an agent, opened twice; nothing is reserved."""
    model = Scripted([*SCRIPT, [("pay", {"amount": 9})], "more is done"])
    ledger.budget("team", requests=1_000)

    async def run(*tasks: str) -> list[list[str]]:
        said: list[list[str]] = []
        for task in tasks:
            asks = BudgetedModelClient(model, ledger, "team", model="toy")
            payer = agent(asks, till.tools(ledger))
            async with team_session(payer, ledger, "order-42") as session:
                said.append(contents(await soon(session.run(task=task))))
                assert said[-1] == contents(await soon(session.run(task=task)))
        return said

    first = await run("pay", "pay more")
    asked, done, held = len(model.asked), [*till.paid, till.looked], len(ledger.reservations())
    async with ledger.replay("order-42") as replay:
        assert await run("pay", "pay more") == first
    assert (len(model.asked), [*till.paid, till.looked]) == (asked, done)
    assert len(ledger.reservations()) == held
    assert replay.divergences == ()


async def test_a_session_that_asks_something_else_is_stopped(ledger: Ledger, till: Till) -> None:
    """The model is not asked what it was not asked before."""
    model = Scripted(["done"])

    async def run(task: str) -> None:
        payer = agent(BudgetedModelClient(model, ledger), till.tools(ledger))
        async with team_session(payer, ledger, "order-42") as session:
            await soon(session.run(task=task))

    await run("pay")
    with pytest.raises(Divergence, match=r"autogen\.answer"):
        async with ledger.replay("order-42"):
            await run("something else")
    assert len(model.asked) == 1
