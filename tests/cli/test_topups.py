"""Requests to raise a budget, in the inbox and decided from the command line."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from tallystick import BudgetExceeded, Status


def asked(office: Any, **terms: Any) -> str:
    """A request to raise a budget that has 0.10 of 1.00 left; its key."""
    purse = office.ledger.budget("purse", usd=1, on_exceed="ask", **terms)
    purse.reserve(usd="0.9").settle()
    with pytest.raises(BudgetExceeded) as no:
        purse.reserve(usd="0.25")
    assert no.value.request is not None
    assert f"tallystick approve {no.value.request[:12]}" in str(no.value)
    return no.value.request


def test_the_inbox_says_what_is_asked_in_a_sentence(office: Any) -> None:
    key = asked(office)
    (item,) = office.run("inbox", "--json").json
    assert (item["kind"], item["effect"]["key"]) == ("budget", key)
    out = office.run("inbox").out
    assert (
        "raise purse by 1.00 USD: a reservation in purse needs up to 0.25 USD, "
        "and 0.90 of 1.00 USD are charged"
    ) in out
    assert f"Next: tallystick approve {key[:12]} (--raise AMOUNT" in out
    assert "raise purse by 1.00 USD" in office.run("show", key).out
    assert "raise purse by 1.00 USD" in office.run("effects").out


def test_approving_it_raises_the_limit(office: Any) -> None:
    key = asked(office)
    said = office.run("approve", key[:9], "--by", "ann", "--reason", "go on", answer="y\n")
    for part in (
        "0.90 of 1.00 USD", "0.10 USD left of 1.00, 0.90 spent", "purse by 1.00 USD (for good)",
        "Approve as ann?", "raised by 1.00 USD (for good); now 1.10 USD left of 2.00",
    ):  # fmt: skip
        assert part in said.out + said.err
    assert office.ledger.get(key).status is Status.SUCCEEDED
    assert office.ledger.budget("purse").limit == 2
    office.ledger.budget("purse").reserve(usd="0.25").settle()
    assert office.run("inbox", "--json").json == []


@pytest.mark.parametrize(
    "options", [["--raise", "0.50"], ["--args", '{"raise": "0.50"}']], ids=["raise", "args"]
)
def test_another_amount_is_granted(office: Any, options: list[str]) -> None:
    key = asked(office, window="day")
    said = office.run("approve", key, "--yes", *options)
    assert "asks to raise  by 1.00 USD (for this window)" in said.out
    assert "will raise     purse by 0.50 USD (for this window)" in said.out
    assert office.ledger.budget("purse").limit == Decimal("1.50")
    assert office.ledger.get(key).args["raise"] == "1.00"


def test_it_may_be_granted_for_good(office: Any) -> None:
    key = asked(office, window="day")
    said = office.run("approve", key, "--yes", "--raise", "2", "--lasting", "--json").json
    assert said["edited_args"] == {**office.ledger.get(key).args, "raise": "2", "lasting": True}
    assert office.ledger.history(key)[-1].detail == {"by": "2.00", "lasting": True, "limit": "3.00"}


@pytest.mark.parametrize("amount", ["much", "-1", "0"])
def test_what_is_no_amount_is_refused_before_anybody_is_asked(office: Any, amount: str) -> None:
    key = asked(office)
    said = office.run("approve", key, "--raise", amount, answer="y\n", code=2)
    assert "Approve as" not in said.out + said.err
    assert "raise=" in said.err
    assert office.ledger.get(key).status is Status.PENDING
    assert office.ledger.budget("purse").limit == 1


def test_only_a_budget_can_be_raised(office: Any) -> None:
    key = office.asked()
    said = office.run("approve", key, "--raise", "5", "--yes", code=2)
    assert "--args" in said.err
    assert office.ledger.get(key).status is Status.PENDING


def test_a_denied_request_stays_denied(office: Any) -> None:
    key = asked(office)
    office.run("deny", key, "--by", "ann", "--reason", "enough")
    with pytest.raises(BudgetExceeded, match="denied by ann") as no:
        office.ledger.budget("purse").reserve(usd="0.25")
    assert no.value.request == key
    assert office.run("inbox", "--json").json == []


def test_a_line_of_a_split_budget_is_named(office: Any) -> None:
    office.ledger.budget("calls", requests=1, per="session", tool="pay", on_exceed="ask")
    office.done("w", cents=1)
    with pytest.raises(BudgetExceeded):
        office.done("w", cents=2)
    assert "raise calls (session w) by 1 requests" in office.run("inbox").out
    (item,) = office.run("inbox", "--json").json
    office.run("approve", item["effect"]["key"], "--yes")
    office.done("w", cents=2)
    assert office.ledger.budgets()[0].limit == 2


def test_doctor_does_not_worry_about_a_request(office: Any) -> None:
    asked(office)
    checks = office.run("doctor", "--json").json["checks"]
    (inbox,) = [check for check in checks if check["name"] == "inbox"]
    assert inbox["state"] == "ok"
    assert "1 to raise a budget" in inbox["says"]
    assert json.loads(office.run("inbox", "--json").out)
