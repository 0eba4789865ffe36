"""What `show` and `approve` say about undoing an effect, or a run."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tallystick import ApprovalRequired, NotApplied, Policy
from tallystick.cli._plain import moment
from tallystick.cli._undo import pairs
from tallystick.errors import CompensationIncomplete
from tallystick.runs import Undo
from tallystick.testing import turn_clock


def pay(cents: int) -> str:
    return f"paid {cents}"


def paid(office: Any, undo: Any, **options: Any) -> str:
    policy = Policy(compensate=undo, **options)
    office.ledger.call("pay", pay, {"cents": 5}, workflow="w", policy=policy)
    return str(office.ledger.effects(tool="pay")[0].key)


def test_show_tells_how_an_effect_can_be_undone_and_until_when(office: Any) -> None:
    undo = Undo(
        steps=("refund", "apologise"),
        window=3600,
        one_shot=True,
        residue="a line in the statement",
        when_in_doubt="compensate",
        before=lambda _: 7,
    )
    key = paid(office, undo)
    until = office.ledger.get(key).changed_at + timedelta(hours=1)
    said = office.run("show", key).out
    for words in (
        "compensable: refund, apologise", f"until {moment(until)}", "is not tried again",
        "a line in the statement", "it is compensated", "kept",
    ):  # fmt: skip
        assert words in said, words
    undoing = office.run("show", key, "--json").json["undo"]
    assert undoing["steps"] == ["refund", "apologise"]
    assert (undoing["possible"], undoing["has_before"], undoing["one_shot"]) == (True, True, True)
    assert datetime.fromisoformat(undoing["possible_until"]) == until
    turn_clock(office.ledger, 3601)
    assert ("undo possible", f"was until {moment(until)}") in pairs(office.ledger.undo_of(key))


def test_show_tells_why_an_effect_cannot_be_undone(office: Any) -> None:
    said = office.run("show", office.done().key).out
    assert "irreversible" in said
    assert "no: it has no compensation" in said


def test_show_tells_what_an_effect_helps_to_undo(office: Any) -> None:
    office.ledger.compensation("refund")(lambda: None)
    key = paid(office, "refund")
    office.ledger.compensate("w")
    refund = office.ledger.effects(tool="refund")[0]
    said = office.run("show", refund.key).out
    assert f"undoes         {key}" in said
    assert "no: it is undone" in office.run("show", key).out


def fails(office: Any) -> None:
    """One step is undone, and of the other nobody knows how."""
    with office.ledger.workflow("w", input=1, compensate="on_error"):
        paid(office, "refund")
        policy = Policy(compensate="nobody:knows")
        office.ledger.call("book", pay, {"cents": 1}, policy=policy)
        raise NotApplied("no room")


def test_show_tells_how_far_a_run_is_undone(office: Any) -> None:
    """Only of one that somebody began to undo."""
    office.ledger.compensation("refund")(lambda: None)
    with office.ledger.workflow("before", input=1) as run:
        fine = run.key
    assert office.run("show", fine, "--json").json["compensation"] is None
    assert "undo" not in office.run("show", fine).out
    with pytest.raises(CompensationIncomplete):
        fails(office)
    key, done = office.ledger.run("w").key, office.ledger.effects(tool="pay")[0].key
    said = office.run("show", key).out
    assert "w is not undone: 1 left" in said
    assert "missing" not in office.run("show", done).out
    told = office.run("show", key, "--json").json["compensation"]
    assert [one["key"] for one in told["done"]] == [done]
    assert [one["tool"] for one in told["failed"]] == ["book"]


def test_whoever_approves_sees_whether_it_could_be_undone(office: Any) -> None:
    office.asked()
    assert "irreversible" in office.run("approve", office.asked(), "--yes").out
    with pytest.raises(ApprovalRequired) as asked:
        paid(office, "refund", approval=True)
    said = office.run("approve", asked.value.key, "--yes").out
    assert "compensable: refund" in said
