"""What is reserved for a shorter request is used for that, or given back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tallystick import Ledger
from tallystick.metering import Meter, ModelRequest
from tallystick_langchain._budget._plan import MARK, Plan, plan_of, planned
from tests.adapters.budget_models import LINE, line

ASKED = ModelRequest(model="m", provider="p", input_bound=100, output_bound=900, least_output=1)


@pytest.fixture
def plan(ledger: Ledger) -> Plan:
    """A plan that keeps a reservation for 200 tokens of output."""
    ledger.budget(LINE, tokens=300)
    plan = Plan("somebody", 1)
    plan.keep(Meter(ledger, LINE).begin(ASKED), ASKED)
    assert line(ledger) == (0, 300, 0)
    return plan


def test_the_shorter_request_gets_it_once(plan: Plan, ledger: Ledger) -> None:
    metered = plan.fitting(replace(ASKED, output_bound=200))
    assert metered
    assert metered.output_bound == 200
    assert plan.fitting(replace(ASKED, output_bound=200)) is None
    assert line(ledger) == (0, 300, 0)


@pytest.mark.parametrize(
    "changed",
    [
        {"output_bound": 201},
        {"output_bound": None},
        {"output_bound": 200, "input_bound": 101},
        {"output_bound": 200, "input_bound": None},
        {"output_bound": 200, "model": "dearer"},
        {"output_bound": 200, "provider": None},
        {"output_bound": 200, "attempts": 2},
        {"output_bound": 200, "cached": True},
        {"output_bound": 200, "audio": True},
        {"output_bound": 200, "context": "priority"},
    ],
)
def test_another_request_does_not_get_it(
    plan: Plan, ledger: Ledger, changed: dict[str, object]
) -> None:
    assert plan.fitting(replace(ASKED, **changed)) is None  # type: ignore[arg-type]
    assert line(ledger) == (0, 0, 0)


def test_what_is_not_used_is_given_back(plan: Plan, ledger: Ledger) -> None:
    with planned(plan):
        assert plan_of("somebody", {MARK: True}) is plan
        assert plan_of("somebody", {}) is None
        assert plan_of("somebody else", {MARK: True}) is None
    assert plan_of("somebody", {MARK: True}) is None
    assert line(ledger) == (0, 0, 0)


def test_what_is_kept_anew_takes_the_place_of_what_was(plan: Plan, ledger: Ledger) -> None:
    ledger.budget(LINE, tokens=700)
    plan.keep(Meter(ledger, LINE).begin(ASKED), ASKED)
    assert line(ledger) == (0, 400, 0)
