"""Inside a workflow CrewAI goes by its name, and our hooks reach every agent."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextvars import copy_context
from typing import Any

import pytest
from crewai.execution import get_execution_uuid, set_execution_uuid
from crewai.hooks import HookAborted, LLMCallHookContext
from crewai.hooks.dispatch import InterceptionPoint, get_global_hook_list, scoped_hooks

from tallystick import ApprovalRequired, Ledger, Policy
from tallystick_crewai import budgeted, wrap_tool, wrap_tools
from tallystick_crewai._hooks import BEFORE_MODEL, pre_model_call
from tests.crewai._world import HOWS, PAY, Bank, Model, crew_of, however, natively


@however
def test_a_workflow_is_crewais_execution(how: str, ledger: Ledger) -> None:
    seen: list[str | None] = []

    def look(why: str) -> str:
        """Look."""
        seen.append(get_execution_uuid())
        return "seen"

    crew = crew_of(Model.of([("look", {"why": "x"})], "done"), [wrap_tool(look, ledger)])
    before = get_execution_uuid()
    with ledger.workflow("order-42"):
        with ledger.workflow("order-43"):
            assert get_execution_uuid() == "order-43"
        HOWS[how](crew)
        assert get_execution_uuid() == "order-42"
    assert (seen, get_execution_uuid()) == (["order-42"], before)


async def test_so_it_is_when_the_workflow_is_awaited(ledger: Ledger) -> None:
    async def run(name: str) -> list[str | None]:
        async with ledger.workflow(name):
            before = get_execution_uuid()
            await asyncio.sleep(0)
            return [before, get_execution_uuid()]

    assert [*await asyncio.gather(run("a"), run("b"))] == [["a", "a"], ["b", "b"]]


def test_what_a_host_called_it_comes_back(ledger: Ledger) -> None:
    async def main() -> str | None:  # in a context of its own
        set_execution_uuid("the host's")
        with ledger.workflow("order-42"):
            assert get_execution_uuid() == "order-42"
        return get_execution_uuid()

    assert asyncio.run(main()) == "the host's"


def test_a_workflow_that_was_named_to_the_tools_counts_first(ledger: Ledger) -> None:
    bank = Bank()
    crew = crew_of(Model.of(PAY, "done"), wrap_tools([bank.pay], ledger, workflow="order-42"))
    crew.kickoff()
    with ledger.workflow("order-43"):
        crew.kickoff()
    assert len(bank.paid) == 1
    assert [effect.workflow for effect in ledger.effects()] == ["order-42"]


def test_two_workflows_are_two_intents(ledger: Ledger) -> None:
    bank = Bank()
    for name in ("order-42", "order-43"):
        with ledger.workflow(name):
            crew_of(Model.of(PAY, "done"), [wrap_tool(bank.pay, ledger)]).kickoff()
    assert len(bank.paid) == 2


@natively
def test_an_agent_that_is_older_than_the_hooks_obeys_them(native: bool, ledger: Ledger) -> None:
    """It has a copy of the hooks of when it first ran."""
    heard: list[Any] = []
    hooks = get_global_hook_list(InterceptionPoint.PRE_MODEL_CALL)
    hooks.remove(pre_model_call)
    crew = crew_of(Model.of("one", "two", "three", native=native), [])
    crew.kickoff()
    BEFORE_MODEL.append(heard.append)
    try:
        with ledger.workflow("order-42"):
            crew.kickoff()
        assert len(heard) == 1
        crew_of(Model.of("one"), []).kickoff()  # one that has the hook twice hears it once
        with ledger.workflow("order-42"):
            crew_of(Model.of("one"), []).kickoff()
        assert len(heard) == 3
    finally:
        BEFORE_MODEL.remove(heard.append)


def test_the_hooks_of_others_stay(ledger: Ledger) -> None:
    def mine(context: LLMCallHookContext) -> None:
        raise HookAborted("mine")

    crew = crew_of(Model.of("one"), [])
    others = scoped_hooks({InterceptionPoint.PRE_MODEL_CALL: [mine]})
    with others, ledger.workflow("order-42"), pytest.raises(HookAborted, match="mine"):
        crew.kickoff()


@pytest.mark.parametrize("what", ["a workflow", "a budget"])
def test_what_is_entered_and_never_left_is_forgotten_in_silence(what: str, ledger: Ledger) -> None:
    """Neither kept for ever, nor ended by the collector, for whom it is too late."""
    ledger.budget("line", usd=1)

    class Mine:
        def __call__(self, context: Any) -> None: ...

    def enter() -> weakref.ref[Mine]:
        mine = Mine()
        with scoped_hooks({InterceptionPoint.PRE_MODEL_CALL: [mine]}):
            scope = ledger.workflow("w") if what == "a workflow" else budgeted(ledger, "line")
            scope.__enter__()
        return weakref.ref(mine)

    mine = copy_context().run(enter)
    gc.collect()
    assert mine() is None


def test_runs_side_by_side_stop_for_themselves(ledger: Ledger) -> None:
    bank = Bank()
    asks = wrap_tool(bank.pay, ledger, policy=Policy(approval=True))
    free = wrap_tool(bank.apay, ledger)
    model = Model.of([("apay", {"amount": 5})], [("apay", {"amount": 6})], "done")

    async def main() -> list[Any]:
        runs = [crew_of(Model.of(PAY), [asks]), crew_of(model, [free])]
        with ledger.workflow("order-42"):
            kickoffs = [run.akickoff() for run in runs]
            return await asyncio.gather(*kickoffs, return_exceptions=True)

    stopped, done = asyncio.run(main())
    assert isinstance(stopped, ApprovalRequired)
    assert (done.raw, len(bank.paid)) == ("done", 2)
