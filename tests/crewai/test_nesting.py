"""Runs inside of runs: bosses, crews in tools, replays; a stop reaches whoever called them."""

from __future__ import annotations

from typing import Any

import pytest
from crewai import Crew, Process
from crewai.tools import tool

from tallystick import ApprovalRequired, EffectInDoubt, Halted, Ledger, Policy, Status
from tallystick_crewai import ledgered_tool, wrap_tool
from tests.crewai._world import DELEGATE, PAY, Bank, Model, agent_of, crew_of, natively, task_of

ASKS = Policy(approval=True)


def company(boss: Model, worker: Model, tools: list[Any]) -> Any:
    """A boss who pays nobody, and a worker who can."""
    clerk = agent_of(worker, tools)
    chief = agent_of(boss, role="boss", allow_delegation=True)
    return Crew(agents=[chief, clerk], tasks=[task_of(chief)])


@natively
def test_a_worker_that_stops_takes_its_boss_along(native: bool, ledger: Ledger) -> None:
    bank = Bank()
    pay = wrap_tool(bank.pay, ledger, policy=ASKS)
    boss_model = Model.of(DELEGATE, "all paid", native=native)
    worker_model = Model.of(PAY, "done", native=native)
    crew = company(boss_model, worker_model, [pay])
    with ledger.workflow("order-42"), pytest.raises(ApprovalRequired) as caught:
        crew.kickoff()
    assert (boss_model.calls, bank.paid) == (1, [])
    ledger.approve(caught.value.key, by="ann")
    again = company(boss_model, worker_model, [pay])
    boss_model.rewind()
    worker_model.rewind()
    with ledger.workflow("order-42"):
        assert again.kickoff().raw == "all paid"
    assert bank.paid == [(5, "bob")]


def test_a_manager_is_stopped_with_its_worker(ledger: Ledger) -> None:
    bank = Bank(RuntimeError("lost the answer"))
    worker = agent_of(Model.of(PAY, "done"), [wrap_tool(bank.pay, ledger)])
    manager = Model.of(DELEGATE, "all paid")
    crew: Any = Crew(
        agents=[worker], tasks=[task_of(None)], process=Process.hierarchical, manager_llm=manager
    )
    with ledger.workflow("order-42"), pytest.raises(EffectInDoubt):
        crew.kickoff()
    assert (manager.calls, len(bank.paid)) == (1, 1)


def test_a_crew_inside_a_tool_stops_the_crew_around_it(ledger: Ledger) -> None:
    bank = Bank()
    pay = wrap_tool(bank.pay, ledger, policy=ASKS)

    @tool
    def subcontract() -> str:
        """Have others do it."""
        try:
            return str(crew_of(Model.of(PAY, "done"), [pay]).kickoff())
        except ApprovalRequired:
            return "swallowed"

    model = Model.of([("subcontract", {})], "all done")
    with ledger.workflow("order-42"), pytest.raises(ApprovalRequired):
        crew_of(model, [subcontract]).kickoff()
    assert model.calls == 1


@pytest.mark.parametrize("halted", [False, True], ids=["asked", "halted"])
def test_a_crew_inside_an_effect_leaves_it_undone(halted: bool, ledger: Ledger) -> None:
    """What was stopped inside of it did not start, nor did it, whatever its own rules say."""
    bank = Bank()
    pay = wrap_tool(bank.pay, ledger, policy=Policy(approval=not halted))
    rules = Policy(classify=lambda _: "failed")

    def subcontract(to: str) -> str:
        """Have others do it."""
        return str(crew_of(Model.of(PAY, "paid"), [pay]).kickoff())

    def outer() -> Any:
        model = Model.of([("subcontract", {"to": "x"})], "all done")
        return crew_of(model, [wrap_tool(subcontract, ledger, policy=rules)])

    with ledger.workflow("order-42"):
        if halted:
            ledger.halt(tool="pay", by="ann", reason="lunch")
        with pytest.raises(Halted if halted else ApprovalRequired):
            outer().kickoff()
        if halted:
            ledger.unhalt(tool="pay", by="ann")
        for item in ledger.pending():
            ledger.approve(item.effect.key, by="ann")
        assert outer().kickoff().raw == "all done"
    assert bank.paid == [(5, "bob")]
    assert {effect.status for effect in ledger.effects()} == {Status.SUCCEEDED}


@natively
def test_a_tool_inside_one_of_the_same_name_was_not_called_by_the_agent(
    native: bool, ledger: Ledger
) -> None:
    """What stops it is raised in the outer one, which has not happened then."""
    bank = Bank()
    inner = wrap_tool(bank.pay, ledger, policy=ASKS)

    @ledgered_tool(ledger, name="pay")
    def outer(amount: int) -> str:
        """Pay someone, with a fee."""
        return str(inner.run(amount=amount + 1))

    with ledger.workflow("order-42"):
        with pytest.raises(ApprovalRequired) as caught:
            crew_of(Model.of(PAY, "done", native=native), [outer]).kickoff()
        assert caught.value.arguments["amount"] == 6
        ledger.approve(caught.value.key, by="ann")
        model = Model.of(PAY, "done", native=native)
        assert crew_of(model, [outer]).kickoff().raw == "done"
    assert ("paid 6 to bob" in model.heard, bank.paid) == (True, [(6, "bob")])


@natively
def test_a_worker_stops_its_boss_in_a_replay_too(native: bool, ledger: Ledger) -> None:
    """It begins no crew, only a task."""
    bank = Bank()
    pay = wrap_tool(bank.pay, ledger, policy=ASKS)
    worker = Model.of("nothing to do", PAY, "paid", native=native)
    boss = Model.of(DELEGATE, "done", DELEGATE, "never", native=native)
    crew = company(boss, worker, [pay])
    with ledger.workflow("order-42"):
        crew.kickoff()
        asked = boss.calls
        with pytest.raises(ApprovalRequired) as caught:
            crew.replay(str(crew.tasks[0].id))
        assert boss.calls == asked + 1
        # the stop ended with the task: what comes after it runs
        model = Model.of("free")
        output: Any = agent_of(model).kickoff("say something")
        assert output.raw == "free"
        ledger.approve(caught.value.key, by="ann")
        company(Model.of(DELEGATE, "done"), Model.of(PAY, "paid"), [pay]).kickoff()
    assert bank.paid == [(5, "bob")]
