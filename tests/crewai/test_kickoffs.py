"""Every way in which CrewAI runs a crew: replays, inputs, background tasks, async tools, plans."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from crewai.agent.planning_config import PlanningConfig

from tallystick import EffectInDoubt, Ledger, Policy
from tallystick.errors import InvalidCall
from tallystick_crewai import wrap_tool
from tests.crewai._world import (
    HOWS,
    PAY,
    Bank,
    Model,
    crew_of,
    however,
    natively,
    pays_once,
)

ONCE = [(5, "bob")]


@natively
@pytest.mark.parametrize("anew", [False, True], ids=["same crew", "new crew"])
def test_a_replayed_task(native: bool, anew: bool, ledger: Ledger) -> None:
    """Also by a crew that was made anew, as another process does: its tasks have other ids."""
    bank = Bank()
    model = Model.of(PAY, "one", PAY, "two", PAY, "again", native=native)

    def made() -> Any:
        return crew_of(model, [wrap_tool(bank.pay, ledger)], tasks=2)

    with ledger.workflow("order-42"):
        crew = made()
        crew.kickoff()
        model_calls = model.calls
        (made() if anew else crew).replay(str(crew.tasks[1].id))
    assert model.calls > model_calls
    assert bank.paid == ONCE


@pytest.mark.parametrize("how", ["kickoff_for_each", "kickoff_for_each_async", "akickoff_for_each"])
def test_each_input_pays_what_it_says(how: str, ledger: Ledger) -> None:
    bank = Bank()

    def crew() -> Any:
        made = crew_of(Model.of(pays_once), [wrap_tool(bank.pay, ledger)])
        made.tasks[0].description = "Pay {who}."
        return made

    inputs = [{"who": "bob"}, {"who": "eve"}]
    for _ in range(2):  # the second time as after a crash
        with ledger.workflow("order-42"):
            run = getattr(crew(), how)(inputs=inputs)
            outputs = asyncio.run(run) if asyncio.iscoroutine(run) else run
        assert len(outputs) == 2
    assert bank.paid == ONCE


@pytest.mark.parametrize("how", ["kickoff_for_each", "kickoff_for_each_async", "akickoff_for_each"])
def test_inputs_that_are_named_tell_runs_apart(how: str, ledger: Ledger) -> None:
    bank = Bank()

    def crew() -> Any:
        pay = wrap_tool(bank.pay, ledger, inputs=("who",))
        made = crew_of(Model.of(pays_once), [pay])
        made.tasks[0].description = "Pay {who}, it is {now}."
        return made

    for now in ("one", "two"):  # the second time as after a crash
        inputs = [{"who": who, "now": now} for who in ("bob", "eve")]
        with ledger.workflow("order-42"):
            run = getattr(crew(), how)(inputs=inputs)
            outputs = asyncio.run(run) if asyncio.iscoroutine(run) else run
        assert len(outputs) == 2
    assert len(bank.paid) == 2


@pytest.mark.parametrize(
    "policy",
    [
        Policy(volatile=("memo",)),
        Policy(identity=("amount",), volatile=("memo",)),
        Policy(identity=lambda args: args["amount"], volatile=("memo",)),
    ],
    ids=["volatile", "named", "computed"],
)
def test_inputs_are_beside_what_a_policy_goes_by(policy: Policy, ledger: Ledger) -> None:
    paid: list[int] = []

    def pay(amount: int, memo: str) -> str:
        """Pay someone."""
        paid.append(amount)
        return memo

    made = wrap_tool(pay, ledger, policy=policy, inputs=("who",))
    with ledger.workflow("order-42"):
        for number, who in enumerate(["bob", "eve", "bob", "eve"]):
            asks = [("pay", {"amount": 5, "memo": str(number)})]
            crew_of(Model.of(asks, "done"), [made]).kickoff(inputs={"who": who})
    assert paid == [5, 5]


def test_an_input_that_is_missing_stops_the_run(ledger: Ledger) -> None:
    bank = Bank()
    crew = crew_of(Model.of(PAY, "done"), [wrap_tool(bank.pay, ledger, inputs=["who"])])
    with ledger.workflow("order-42"), pytest.raises(InvalidCall, match="without who"):
        crew.kickoff()
    with pytest.raises(InvalidCall, match="tuple of names"):
        wrap_tool(bank.pay, ledger, inputs="who")
    assert bank.paid == []


@natively
@pytest.mark.parametrize("how", ["kickoff", "kickoff_async", "akickoff"])
def test_a_background_task(native: bool, how: str, ledger: Ledger) -> None:
    bank = Bank()
    model = Model.of(PAY, "done", PAY, "done", native=native)
    crew = crew_of(model, [wrap_tool(bank.pay, ledger)], task={"async_execution": True})
    with ledger.workflow("order-42"):
        for _ in range(2):
            HOWS[how](crew)
    assert bank.paid == ONCE


@natively
@however
def test_an_async_tool(native: bool, how: str, ledger: Ledger) -> None:
    bank = Bank()
    asks = [("apay", {"amount": 5})]
    model = Model.of(asks, RuntimeError("500"), asks, "done", native=native)
    with ledger.workflow("order-42"):
        output = HOWS[how](crew_of(model, [wrap_tool(bank.apay, ledger)]))
    assert (output.raw, bank.paid) == ("done", ONCE)


def planned(model: Model, bank: Bank, ledger: Ledger) -> Any:
    """A crew whose agent makes a plan of two steps, each of which pays."""
    config = PlanningConfig(reasoning_effort="low", max_attempts=1)
    return crew_of(model, [wrap_tool(bank.pay, ledger)], agent={"planning_config": config})


STEPS = [
    {
        "step_number": n,
        "description": "pay bob",
        "tool_to_use": "pay",
        "depends_on": [n - 1][: n - 1],
    }
    for n in (1, 2)
]
PLAN = json.dumps({"plan": "pay", "ready": True, "steps": STEPS})


def test_a_plan_that_pays_in_each_step_pays_once(ledger: Ledger) -> None:
    bank = Bank()
    model = Model.of(PLAN, PAY, "paid", PAY, "paid", "done")
    with ledger.workflow("order-42"):
        assert planned(model, bank, ledger).kickoff().raw == "done"
    assert (model.heard.count("paid 5 to bob as number 1") > 1, bank.paid) == (True, ONCE)


def test_a_step_that_is_in_doubt_ends_the_plan(ledger: Ledger) -> None:
    bank = Bank(RuntimeError("lost the answer"))
    model = Model.of(PLAN, PAY, "paid", PAY, "paid", "done")
    with ledger.workflow("order-42"), pytest.raises(EffectInDoubt):
        planned(model, bank, ledger).kickoff()
    assert (model.calls, bank.paid) == (2, ONCE)
