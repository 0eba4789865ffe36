"""What happened can be told afterwards: by whom, when, in which order, and nothing else (S44)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from tallystick import (
    Approval,
    ApprovalRequired,
    EffectInDoubt,
    Event,
    Ledger,
    NotApplied,
    Policy,
    Retry,
    Status,
)
from tallystick.testing import turn_clock
from tests.conftest import TABLES, Face, Place
from tests.scenarios._processes import durable

SECRET = "4111-1111-1111-1111"


def everything(place: Place, tables: str = TABLES, columns: str = "*") -> str:
    """All that the database holds, as text."""
    found: list[Any] = []
    for table in tables.split(", "):
        query = f"SELECT {columns} FROM tallystick_{table} ORDER BY 1"
        if place.kind == "sqlite":
            with closing(sqlite3.connect(place.url.removeprefix("sqlite:///"))) as file:
                found += file.execute(query).fetchall()
        else:
            with psycopg.connect(place.url) as db:
                found += db.execute(query.encode()).fetchall()
    return repr(found)


def chained(events: list[Event]) -> bool:
    """Whether each event names the one before it."""
    links = ["00" * 32, *(event.hash for event in events)]
    return [e.previous for e in events] == links[:-1] and [e.n for e in events] == list(
        range(1, len(events) + 1)
    )


def test_every_turn_of_an_effects_life_is_an_event(place: Place, face: Face) -> None:
    """S44: asked, approved, tried, tried again, doubted, resolved: by whom and when."""
    ledger = place.open()
    answers: list[Exception | str] = [NotApplied("busy", retryable=True), RuntimeError("cut off")]

    def charge() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def call() -> Any:
        policy = Policy(approval=True, retry=Retry(attempts=2, initial=0, jitter=0))
        return face.do(ledger, "call", "charge", charge, workflow="w", policy=policy)

    with pytest.raises(ApprovalRequired) as caught:
        call()
    key = str(caught.value.key)
    turn_clock(ledger, 60)
    face.do(ledger, "approve", key, by="ann", reason="fine")
    with pytest.raises(EffectInDoubt):
        call()
    face.do(ledger, "resolve", key, by="bob", succeeded="ch_1", reason="the bank shows it")
    assert call() == "ch_1"

    events: list[Event] = face.do(ledger, "history", key)
    worker = events[0].actor
    assert [(e.kind, e.actor, e.epoch) for e in events] == [
        ("asked", worker, 1),
        ("approved", "ann", 1),
        ("started", worker, 2),
        ("started", worker, 3),
        ("in_doubt", worker, 3),
        ("resolved", "bob", 4),
    ]
    assert [e.detail.get("attempt") for e in events[2:5]] == [1, 2, 2]
    assert events[3].detail["error"]["message"] == "busy"
    assert events[5].detail["reason"] == "the bank shows it"
    assert events[5].detail["was"]["message"] == "cut off"
    assert timedelta(seconds=60) <= events[1].at - events[0].at < timedelta(seconds=120)
    assert [e.at for e in events] == sorted(e.at for e in events)
    assert chained(events)
    assert ledger.verify().sound


def test_the_straight_path_leaves_a_row_and_no_event(place: Place, face: Face) -> None:
    """S44: the row itself is the record of what went as it should."""
    ledger = place.open()
    face.do(ledger, "call", "charge", lambda: "charged", workflow="w")
    (effect,) = ledger.effects()
    assert (effect.status, effect.attempt, effect.epoch) == (Status.SUCCEEDED, 1, 1)
    assert effect.started_at is not None
    assert effect.created_at <= effect.started_at <= effect.changed_at
    assert face.do(ledger, "history", effect.key) == []


@durable
def test_a_replay_changes_nothing_at_all(place: Place, face: Face) -> None:
    """S44: the effect is the same before and after, down to the version of its row."""
    ledger, other = place.open(), place.open()
    face.do(ledger, "call", "charge", lambda: "charged", workflow="w")
    columns = "ctid, xmin, *" if place.kind == "postgres" else "*"
    before = everything(place, "effect, event, inbox", columns)
    for each in (ledger, other):
        for _ in range(3):
            assert face.do(each, "call", "charge", lambda: "again", workflow="w") == "charged"
    assert everything(place, "effect, event, inbox", columns) == before


@durable
def test_a_redacted_argument_is_nowhere_in_the_database(place: Place, face: Face) -> None:
    """S44: not in the row, not in an event, not in an error that quotes it."""
    policy = Policy(redact=("card",), approval=Approval(quorum=2))
    ledger, ran = place.open(), list[str]()

    def charge(card: str, cents: int) -> str:
        ran.append(card)
        raise RuntimeError(f"the bank does not know {card}")

    def call() -> Any:
        args = {"card": SECRET, "cents": 10}
        return face.do(ledger, "call", "charge", charge, args, workflow="w", policy=policy)

    with pytest.raises(ApprovalRequired) as caught:
        call()
    assert caught.value.arguments == {"card": "[redacted]", "cents": 10}
    for by in ("ann", "bob"):
        face.do(ledger, "approve", caught.value.key, by=by)
    with pytest.raises(EffectInDoubt):
        call()
    assert ran == [SECRET]
    assert SECRET not in everything(place)
    (effect,) = ledger.effects()
    assert effect.args == {"card": "[redacted]", "cents": 10}
    assert effect.error is not None
    assert effect.error["message"] == "the bank does not know [redacted]"


def test_another_secret_is_another_call(place: Place, face: Face) -> None:
    """S44: what is not stored still counts: only its hash is kept."""
    ledger, ran = place.open(), list[str]()
    policy = Policy(redact=("card",))

    def pay(card: str) -> None:
        ran.append(card)

    for card in (SECRET, "4222", SECRET):
        face.do(ledger, "call", "pay", pay, {"card": card}, workflow="w", policy=policy)
    assert ran == [SECRET, "4222"]


def test_halts_are_recorded_with_who_and_why(place: Place, face: Face) -> None:
    """S44: so is that they were lifted; the halts in force say so themselves."""
    ledger: Ledger = place.open()
    face.do(ledger, "halt", by="ann", reason="wrong prices", tool="charge")
    (halt,) = face.do(ledger, "halts")
    assert (halt.by, halt.reason, halt.tool, halt.mode) == ("ann", "wrong prices", "charge", "halt")
    assert face.do(ledger, "unhalt", by="bob", tool="charge", reason="fixed") == 1
    assert face.do(ledger, "halts") == []
    if place.kind != "memory":
        told = everything(place)
        assert all(word in told for word in ("ann", "wrong prices", "bob", "fixed", "lifted"))
