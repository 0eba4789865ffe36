"""What stops a run ends it, as itself, and no model is told to try again."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest
from autogen_agentchat.base import TaskResult
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken
from autogen_core.tools import FunctionTool, StaticWorkbench

from tallystick import Ledger, Policy, Status
from tallystick.errors import (
    ApprovalRequired,
    BudgetExceeded,
    EffectInDoubt,
    EffectStopped,
    Halted,
    LedgerClosed,
    LedgerError,
    NotApplied,
    NoWorkflow,
    StillRunning,
)
from tallystick_autogen import raising_stops, wrap_tool, wrap_tools

from ._world import Scripted, Turn, agent, results, soon

PAY: tuple[str, dict[str, Any]] = ("pay", {"amount": 5})
APPROVAL = Policy(approval=True)


class Odd(BaseException):
    """What no framework expects."""


class Till:
    """Pays, and then does what it is told to."""

    def __init__(self, then: Callable[[], Any] = lambda: "paid") -> None:
        self.paid = 0
        self.then = then

    async def pay(self, amount: int) -> str:
        """Pay."""
        self.paid += 1
        return str(self.then())


def throw(error: BaseException) -> Callable[[], Any]:
    """A function that raises it."""

    def throwing() -> Any:
        raise error

    return throwing


def team(model: Scripted, tools: list[Any], rounds: int = 5) -> RoundRobinGroupChat:
    """Two agents; the second one has nothing but words."""
    return RoundRobinGroupChat(
        [agent(model, tools, rounds=rounds), agent(Scripted(["and me"]), tools, name="other")],
        termination_condition=MaxMessageTermination(6),
    )


def run(kind: str, model: Scripted, tools: list[Any], rounds: int = 5) -> Any:
    """An agent or a team at work."""
    who: Any = agent(model, tools, rounds=rounds) if kind == "agent" else team(model, tools, rounds)
    return soon(who.run(task="pay"))


async def stops(
    ledger: Ledger, kind: str, till: Till, policy: Policy, rounds: int, error: type[LedgerError]
) -> Any:
    """The stop that reaches whoever started the run; no model is asked after it."""
    tools = wrap_tools([till.pay], ledger, default=policy)
    model = Scripted([[PAY], "paid, I guess"])
    with ledger.workflow("w"), pytest.raises(error) as raised, raising_stops():
        await run(kind, model, tools, rounds)
    assert len(model.asked) == 1
    return raised.value


KINDS = [("agent", 1), ("agent", 5), ("team", 1), ("team", 5)]


@pytest.mark.parametrize(("kind", "rounds"), KINDS)
async def test_a_call_that_needs_approval_stops_the_run_and_goes_on_when_it_is_there(
    ledger: Ledger, kind: str, rounds: int
) -> None:
    till = Till()
    asked = await stops(ledger, kind, till, APPROVAL, rounds, ApprovalRequired)
    assert till.paid == 0
    ledger.approve(asked.key, by="ann")
    tools = wrap_tools([till.pay], ledger, default=APPROVAL)
    with ledger.workflow("w"), raising_stops():
        await run(kind, Scripted([[PAY], "done"]), tools, rounds)
    assert till.paid == 1


@pytest.mark.parametrize(("kind", "rounds"), KINDS)
async def test_an_effect_in_doubt_stops_the_run(ledger: Ledger, kind: str, rounds: int) -> None:
    """B1: AutoGen tells the model that the tool failed, after it paid."""
    till = Till(throw(RuntimeError("lost")))
    error = await stops(ledger, kind, till, Policy(), rounds, EffectInDoubt)
    assert till.paid == 1
    assert ledger.get(error.key).status is Status.IN_DOUBT


@pytest.mark.parametrize("error", [Odd("x"), asyncio.CancelledError("x"), SystemExit(3)])
@pytest.mark.parametrize(("kind", "rounds"), KINDS)
async def test_nothing_hangs_on_what_is_no_exception(
    ledger: Ledger, kind: str, rounds: int, error: BaseException
) -> None:
    """B1: AutoGen waits for ever."""
    till = Till(throw(error))
    await stops(ledger, kind, till, Policy(), rounds, EffectInDoubt)
    assert till.paid == 1


@pytest.mark.parametrize(("kind", "rounds"), KINDS)
async def test_a_halt_stops_the_run(ledger: Ledger, kind: str, rounds: int) -> None:
    ledger.halt(tool="pay", by="ann", reason="fraud")
    till = Till()
    error = await stops(ledger, kind, till, Policy(), rounds, Halted)
    assert (error.by, error.reason, till.paid) == ("ann", "fraud", 0)


@pytest.mark.parametrize(("kind", "rounds"), KINDS)
async def test_a_tool_that_nobody_pays_for_stops_the_run(
    ledger: Ledger, kind: str, rounds: int
) -> None:
    ledger.budget("b", usd="0.5")
    till = Till()
    policy = Policy(budgets=("b",), cost="1")
    await stops(ledger, kind, till, policy, rounds, BudgetExceeded)
    assert till.paid == 0


@pytest.mark.parametrize(("kind", "rounds"), KINDS)
async def test_a_run_outside_of_a_workflow_is_stopped(
    ledger: Ledger, kind: str, rounds: int
) -> None:
    till = Till()
    model = Scripted([[PAY], "?"])
    with pytest.raises(NoWorkflow), raising_stops():
        await run(kind, model, wrap_tools([till.pay], ledger), rounds)
    assert (till.paid, len(model.asked)) == (0, 1)


@pytest.mark.parametrize(("kind", "rounds"), KINDS)
async def test_a_ledger_that_is_closed_under_a_run_stops_it(kind: str, rounds: int) -> None:
    ledger, till = Ledger("memory://"), Till()
    tools = wrap_tools([till.pay], ledger)

    def closing(_: object) -> Turn:
        ledger.close()
        return [PAY]

    model = Scripted(closing)
    with pytest.raises(LedgerClosed), raising_stops(), ledger.workflow("w"):
        await run(kind, model, tools, rounds)
    assert (till.paid, len(model.asked)) == (0, 1)


async def test_an_effect_that_another_process_performs_stops_the_run(url: str) -> None:
    till = Till()
    with Ledger(url) as other, Ledger(url) as ledger:
        tools = wrap_tools([till.pay], ledger, default=Policy(wait=0.1))
        held = other.claim("pay", {"amount": 5}, workflow="w")
        assert contextvars.copy_context().run(held.__enter__).fresh
        with pytest.raises(StillRunning), raising_stops(), ledger.workflow("w"):
            await run("agent", Scripted([[PAY], "?"]), tools)
        held.succeed("paid")
    assert till.paid == 0


# -- what is for the model --------------------------------------------------------------------


async def test_a_denial_is_told_to_the_model_in_the_words_of_the_person(ledger: Ledger) -> None:
    till = Till()
    asked = await stops(ledger, "agent", till, APPROVAL, 5, ApprovalRequired)
    ledger.deny(asked.key, by="ann", reason="too much")
    tools = wrap_tools([till.pay], ledger, default=APPROVAL)
    with ledger.workflow("w"), raising_stops():
        result = await run("agent", Scripted([[PAY], "sorry"]), tools)
    denied = "This call was denied by ann: too much. It was not made; do not repeat it."
    assert results(result) == [denied]
    assert (result.messages[-1].content, till.paid) == ("sorry", 0)


async def test_a_tool_that_says_no_says_it_in_the_same_words_again(ledger: Ledger) -> None:
    till = Till(throw(NotApplied("no funds")))
    tools = wrap_tools([till.pay], ledger)
    with ledger.workflow("w"), raising_stops():
        result = await run("agent", Scripted([[PAY], [PAY], "sorry"]), tools)
    assert results(result) == ["no funds"] * 2
    assert till.paid == 1


# -- cancellation -----------------------------------------------------------------------------


class Slow:
    """A tool that takes until it is told to end."""

    def __init__(self, kind: str = "async") -> None:
        self.kind = kind
        self.done: list[int] = []
        self.end = threading.Event()

    def tool(self) -> FunctionTool:
        return FunctionTool(self.pay if self.kind == "sync" else self.apay, "Pay.", name="pay")

    def pay(self, amount: int) -> str:
        assert self.end.wait(10)
        self.done.append(amount)
        return "paid"

    async def apay(self, amount: int) -> str:
        await until(self.end.is_set)
        self.done.append(amount)
        return "paid"


async def until(ready: Callable[[], Any]) -> None:
    """It is so within seconds."""
    async with asyncio.timeout(10):
        while not ready():  # noqa: ASYNC110 - the effects of other threads ring no bell
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("function", ["sync", "async"])
@pytest.mark.parametrize(("kind", "rounds"), KINDS)
async def test_a_cancelled_run_ends_at_once_and_the_outcome_is_recorded(
    ledger: Ledger, kind: str, rounds: int, function: str
) -> None:
    """B1: AutoGen hangs for ever (microsoft/autogen #7956), and the effect is lost."""
    slow = Slow(function)
    tools = wrap_tools([slow.tool()], ledger)
    token, model = CancellationToken(), Scripted([[PAY], "?"])
    who: Any = agent(model, tools, rounds=rounds) if kind == "agent" else team(model, tools, rounds)
    with ledger.workflow("w"):
        running = asyncio.create_task(who.run(task="x", cancellation_token=token))
        await until(lambda: ledger.effects(status="running"))
        token.cancel()
        with contextlib.suppress(asyncio.CancelledError, StillRunning):
            await soon(running)
        assert slow.done == []
        slow.end.set()
        await until(lambda: ledger.effects(status="succeeded"))
        again = await soon(agent(Scripted([[PAY], "ok"]), tools).run(task="x"))
    assert (slow.done, len(model.asked)) == ([5], 1)
    assert results(again) == ["paid"]


async def test_a_cancelled_run_says_so_to_whoever_started_it(ledger: Ledger) -> None:
    slow = Slow()
    tools = wrap_tools([slow.tool()], ledger)
    token = CancellationToken()

    async def running() -> TaskResult:
        with ledger.workflow("w"), raising_stops():
            return await agent(Scripted([[PAY], "?"]), tools, rounds=1).run(
                task="x", cancellation_token=token
            )

    task = asyncio.create_task(running())
    await until(lambda: ledger.effects(status="running"))
    token.cancel()
    with pytest.raises(StillRunning, match="run again to get it"):
        await soon(task)
    slow.end.set()
    await until(lambda: slow.done)


async def test_a_run_that_was_cancelled_before_starts_nothing(ledger: Ledger) -> None:
    """B1: AutoGen hangs in the tools of a model that does not look at its token."""
    till, token = Till(), CancellationToken()

    def cancelling(_: object) -> Turn:
        token.cancel()
        return [PAY]

    model = Scripted(cancelling)
    running = agent(model, wrap_tools([till.pay], ledger, workflow="w"))
    with pytest.raises(EffectStopped, match="before pay was started"), raising_stops():
        await soon(running.run(task="x", cancellation_token=token))
    assert (till.paid, ledger.effects()) == (0, [])


@pytest.mark.parametrize("late", [False, True])
async def test_a_workbench_of_ones_own_that_was_cancelled_before_a_call_gets_an_answer(
    ledger: Ledger, late: bool
) -> None:
    """AutoGen makes a task of the call and cancels that before its first step."""
    till, token = Till(), CancellationToken()

    def cancelling(_: object) -> Turn:
        if not late:
            token.cancel()
        return [PAY]

    class Late(StaticWorkbench):
        """Its call is made, and has not begun, when the run is cancelled."""

        async def call_tool(self, *args: Any, **options: Any) -> Any:
            asyncio.get_running_loop().call_soon(token.cancel)
            return await super().call_tool(*args, **options)

    bench = (Late if late else StaticWorkbench)(wrap_tools([till.pay], ledger, workflow="w"))
    one = agent(Scripted(cancelling), workbench=bench)
    with pytest.raises(EffectStopped, match="before pay was started"), raising_stops():
        await soon(one.run(task="x", cancellation_token=token))
    assert (till.paid, ledger.effects()) == (0, [])


async def test_a_task_of_a_call_that_somebody_else_cancels_is_cancelled(ledger: Ledger) -> None:
    till, token = Till(), CancellationToken()
    tool = wrap_tool(till.pay, ledger, workflow="w")
    call = asyncio.create_task(tool.run_json({"amount": 5}, token))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    tool.run_json({"amount": 5}, token).close()
    assert (till.paid, ledger.effects()) == (0, [])
    assert await tool.run_json({"amount": 5}, token) == "paid"


async def test_a_workbench_of_ones_own_that_is_cancelled_gets_an_answer(ledger: Ledger) -> None:
    """Its token is linked to the call itself."""
    slow = Slow()
    bench = StaticWorkbench(wrap_tools([slow.tool()], ledger, workflow="w"))
    token = CancellationToken()
    call = asyncio.create_task(bench.call_tool("pay", {"amount": 5}, token))
    await until(lambda: ledger.effects(status="running"))
    token.cancel()
    told = await soon(call)
    assert told.is_error
    assert "run again to get it" in told.to_text()
    slow.end.set()
    await until(lambda: ledger.effects(status="succeeded"))


async def test_a_timeout_around_a_call_is_the_callers_own(ledger: Ledger) -> None:
    slow = Slow()
    tool = wrap_tool(slow.tool(), ledger, workflow="w")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(tool.run_json({"amount": 5}, CancellationToken()), 0.05)
    slow.end.set()
    await until(lambda: ledger.effects(status="succeeded"))


# -- where nobody collects what stopped -------------------------------------------------------


@pytest.mark.parametrize("kind", ["agent", "team"])
async def test_without_a_collector_the_next_question_raises_the_stop(
    ledger: Ledger, kind: str
) -> None:
    till, model = Till(), Scripted([[PAY], "paid, I guess"])
    tools = wrap_tools([till.pay], ledger, default=APPROVAL)
    expected = ApprovalRequired if kind == "agent" else RuntimeError
    with ledger.workflow("w"), pytest.raises(expected, match="approv"):
        await run(kind, model, tools)
    assert len(model.asked) == 1


async def test_a_stop_that_was_told_as_a_result_is_raised_by_the_next_run_while_it_holds(
    ledger: Ledger,
) -> None:
    till = Till()
    tools = wrap_tools([till.pay], ledger, default=APPROVAL)
    with ledger.workflow("w"):
        told = await run("agent", Scripted([[PAY]]), tools, 1)
        assert "approv" in told.messages[-1].content
        with pytest.raises(ApprovalRequired) as raised:
            await run("agent", Scripted(["never asked"]), tools)
        await run("agent", Scripted([[PAY]]), tools, 1)
        ledger.approve(raised.value.key, by="ann")
        result = await run("agent", Scripted([[PAY], "done"]), tools)
    assert (result.messages[-1].content, till.paid) == ("done", 1)


async def test_two_calls_of_one_turn_of_which_one_is_stopped_do_not_hang(ledger: Ledger) -> None:
    """The schema is read for the second one, too, and must not raise there."""
    till = Till()
    policies = {"pay": APPROVAL}

    async def look(x: int) -> str:
        """Look."""
        return "seen"

    tools = wrap_tools([till.pay, look], ledger, policies=policies)
    model = Scripted([[PAY, ("look", {"x": 1}), PAY], "?"])
    with ledger.workflow("w"), pytest.raises(ApprovalRequired), raising_stops():
        await run("agent", model, tools)
    assert [e.tool for e in ledger.effects(status="succeeded")] == ["look"]
