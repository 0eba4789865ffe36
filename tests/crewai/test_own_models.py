"""Models of a user's own, which tell nobody that they are called: each call is reserved for."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from crewai.agent.planning_config import PlanningConfig
from crewai.hooks import HookAborted
from pydantic import BaseModel

from tallystick import BudgetExceeded, Ledger
from tallystick_crewai import budgeted, wrap_tool
from tests.crewai._metered import BOUND, LINE, USED, Metered, line
from tests.crewai._world import PAY, Bank, crew_of

STEP: dict[str, Any] = {
    "step_number": 1,
    "description": "pay bob",
    "tool_to_use": "pay",
    "depends_on": [],
}
PLAN = json.dumps({"plan": "pay", "ready": True, "steps": [STEP]})

speaking = pytest.mark.parametrize("speaks", [True, False], ids=["events", "silence"])


class Child(Metered):
    """Asks as its parent does, as often as it is told to."""

    times: int = 1

    def call(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        for _ in range(self.times - 1):
            super().call(messages, *args, **kwargs)
        return super().call(messages, *args, **kwargs)


def planner(model: Metered, bank: Bank, ledger: Ledger, effort: Any = "high") -> Any:
    """A crew whose agent plans, acts, observes and sums up."""
    config = PlanningConfig(reasoning_effort=effort, max_attempts=1)
    return crew_of(model, [wrap_tool(bank.pay, ledger)], agent={"planning_config": config})


@speaking
@pytest.mark.parametrize("native", [True, False], ids=["native", "react"])
def test_all_that_a_planning_agent_asks_is_booked(
    speaks: bool, native: bool, ledger: Ledger
) -> None:
    ledger.budget(LINE, tokens=1_000_000)
    model, bank = Metered.told(PLAN, PAY, "paid", "done", speaks=speaks, native=native), Bank()
    with ledger.workflow("order-42"), budgeted(ledger, LINE):
        planner(model, bank, ledger).kickoff()
    assert model.paid > 2
    assert line(ledger) == (model.paid * USED, 0, 0)


@speaking
@pytest.mark.parametrize("limit", [0, 1, 2, 3])
def test_no_step_of_a_plan_passes_a_budget(speaks: bool, limit: int, ledger: Ledger) -> None:
    """The plan, a step's two calls, and what is observed of it."""
    ledger.budget(LINE, requests=limit)
    model, bank = Metered.told(PLAN, PAY, "paid", "done", speaks=speaks), Bank()
    with (
        ledger.workflow("order-42"),
        budgeted(ledger, LINE),
        pytest.raises(BudgetExceeded) as caught,
    ):
        planner(model, bank, ledger).kickoff()
    assert isinstance(caught.value, HookAborted)
    assert model.paid == limit


@speaking
def test_a_call_without_an_agent_is_reserved_for(speaks: bool, ledger: Ledger) -> None:
    ledger.budget(LINE, requests=1)
    model = Metered.told("done", speaks=speaks)
    with budgeted(ledger, LINE):
        assert asyncio.run(model.acall("Hello!")) == "done"
        with pytest.raises(BudgetExceeded):
            model.call("Hello!")
    assert (model.paid, line(ledger)) == (1, (1, 0, 0))
    assert model.call("Hello!") == "done"


@speaking
def test_a_class_that_asks_its_parent_is_booked_for_each_time(speaks: bool, ledger: Ledger) -> None:
    ledger.budget(LINE, requests=3)
    with budgeted(ledger, LINE):
        for times in (1, 2):
            assert Child.told("done", speaks=speaks, times=times).call([]) == "done"
    assert line(ledger) == (3, 0, 0)


def test_what_is_sent_counts_and_not_what_was_announced(ledger: Ledger) -> None:
    """CrewAI announces messages; a schema comes with the call."""

    class Long(BaseModel):
        __doc__ = "x" * BOUND
        text: str

    ledger.budget(LINE, tokens=BOUND)
    model = Metered.told("done", speaks=False)
    with budgeted(ledger, LINE):
        model.call("Hello!")
        for options in ({"response_model": Long}, {"tools": [{"name": "x" * BOUND}]}):
            with pytest.raises(BudgetExceeded):
                model.call("Hello!", **options)
    assert (model.paid, line(ledger)) == (1, (USED, 0, 0))


def test_a_call_that_was_refused_is_free_and_one_that_was_lost_is_not(ledger: Ledger) -> None:
    ledger.budget(LINE, tokens=1_000_000)
    errors = (ConnectionRefusedError("no one there"), ConnectionResetError("lost"))
    for error, free in zip(errors, (True, False), strict=True):
        with budgeted(ledger, LINE), pytest.raises(type(error)):
            Metered.told(error, speaks=False).call("Hello!")
        spent, reserved, unreconciled = line(ledger)
        assert (spent, reserved, unreconciled == 0) == (0, 0, free)
