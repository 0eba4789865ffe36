"""What a tool returns, and what it raises, is recorded for what it is (S07–S09)."""

from __future__ import annotations

import dataclasses
import enum
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pydantic
import pytest

from tallystick import (
    ApprovalDenied,
    EffectFailed,
    EffectInDoubt,
    Ledger,
    NotApplied,
    Policy,
    Retry,
    Status,
)
from tallystick.errors import LedgerError, ResultNotStored
from tests.conftest import Face, Place

# -- S07 ----------------------------------------------------------------------------------------


class RpcError(Exception):
    """As gRPC has it: the status is a method."""

    def code(self) -> str:
        return "UNAVAILABLE"


class Unspeakable(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise ValueError("no text")


RAISED: dict[str, Callable[[], BaseException]] = {
    "a status that is a method": lambda: RpcError("upstream 503"),
    "a NUL and half a surrogate": lambda: ValueError("bad byte \0 and \ud800 in the reply"),
    "no text at all": Unspeakable,
    "Ctrl-C": KeyboardInterrupt,
    "an exit": lambda: SystemExit(3),
    "a megabyte of text": lambda: RuntimeError("x" * 1_000_000),
}


@pytest.mark.parametrize("what", RAISED)
def test_whatever_a_tool_raises_its_effect_is_not_stuck(
    place: Place, face: Face, what: str
) -> None:
    """S07: a strange exception leaves a doubt that people see, and the next call an answer."""
    ledger = place.open()

    def charge(order: str) -> None:
        error = RAISED[what]()
        raise error

    def call() -> None:
        face.do(ledger, "call", "charge", charge, {"order": "A"}, workflow="w")

    error = RAISED[what]()
    with pytest.raises(EffectInDoubt if isinstance(error, Exception) else type(error)):
        call()
    with pytest.raises(EffectInDoubt, match="may or may not have happened"):
        call()
    (effect,) = ledger.effects()
    assert effect.status is Status.IN_DOUBT
    assert effect.error is not None
    assert effect.error["type"].endswith(type(error).__qualname__)
    assert [item.kind for item in ledger.pending()] == ["in_doubt"]
    assert ledger.verify().sound


def test_an_effect_denied_inside_another_leaves_neither_of_them_running(
    place: Place, face: Face
) -> None:
    """S07: the ledger's own errors, raised past an outer tool, settle the outer effect."""
    ledger = place.open()
    denied: list[str] = []

    def refund(order: str) -> None:
        raise AssertionError("nobody approved")

    def close(order: str) -> None:
        policy = Policy(approval=True)
        try:
            ledger.call("refund", refund, {"order": order}, workflow="w", policy=policy)
        except LedgerError:
            (item,) = ledger.pending()
            ledger.deny(item.effect.key, by="ann", reason="no")
            denied.append(item.effect.key)
        ledger.call("refund", refund, {"order": order}, workflow="w", policy=policy)

    with pytest.raises(EffectInDoubt) as caught:
        face.do(ledger, "call", "close", close, {"order": "A"}, workflow="w")
    assert isinstance(caught.value.__cause__, ApprovalDenied)
    statuses = {effect.tool: effect.status for effect in ledger.effects()}
    assert statuses == {"close": Status.IN_DOUBT, "refund": Status.DENIED}


# -- S08 ----------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass(frozen=True)
class Receipt:
    """A result of a class of one's own."""

    id: str
    amount: Decimal
    lines: tuple[int, ...] = ()


class Invoice(pydantic.BaseModel):
    """A result as a pydantic model."""

    id: UUID
    due: date
    items: dict[int, str]


RESULTS: dict[str, object] = {
    "None": None,
    "a tuple": (1, (2, "x")),
    "int keys": {1: "int", "1": "text"},
    "a moment": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    "a moment of nowhere": datetime(2026, 1, 2),  # noqa: DTZ001 - it stays naive
    "a duration": timedelta(days=-1, microseconds=1),
    "a decimal": Decimal("1.10"),
    "a uuid": UUID(int=7),
    "bytes": b"\0\xff",
    "an enum": Colour.RED,
    "a dataclass": Receipt("r", Decimal("0.30"), (1, 2)),
    "a model": Invoice(id=UUID(int=1), due=date(2026, 1, 1), items={1: "x"}),
    "a NUL": "a\0b",
    "half a surrogate pair": "\ud800",
    "a large number": 2**70,
    "a tag of our own": {"$": "int", "v": "ff"},
    "true and one": [True, 1, 1.0],
}


@pytest.mark.parametrize("what", RESULTS)
def test_a_replayed_result_is_equal_and_of_the_same_type(
    place: Place, face: Face, what: str
) -> None:
    """S08: what the second caller gets cannot be told from what the first one got."""
    value, runs = RESULTS[what], list[int]()
    ledger, other = place.open(), place.open()

    def charge() -> object:
        runs.append(1)
        return value

    fresh = face.do(ledger, "call", "charge", charge, workflow="w")
    replayed = face.do(other, "call", "charge", charge, workflow="w")
    assert fresh == replayed == value
    assert repr(replayed) == repr(value)
    assert type(replayed) is type(value)
    assert runs == [1]


def test_not_a_number_comes_back_as_such(place: Place, face: Face) -> None:
    """S08: results may hold what arguments may not."""
    ledger = place.open()
    for _ in range(2):
        answer = face.do(ledger, "call", "measure", lambda: {"x": float("nan")}, workflow="w")
        assert repr(answer) == "{'x': nan}"


def test_ten_megabytes_come_back(place: Place, face: Face) -> None:
    """S08: a large result is kept whole."""
    ledger, text = place.open(), "0123456789" * 1_000_000
    for _ in range(2):
        assert face.do(ledger, "call", "read", lambda: text, workflow="w") == text


@pytest.mark.parametrize("value", [threading.Lock(), object(), {"deep": [lambda: 1]}])
def test_a_result_that_cannot_be_kept_is_a_success_that_is_never_run_again(
    place: Place, face: Face, value: object
) -> None:
    """S08: the first caller gets it, the next a typed error, and the tool ran once."""
    ledger, runs = place.open(), list[int]()

    def connect() -> object:
        runs.append(1)
        return value

    assert face.do(ledger, "call", "connect", connect, workflow="w") is value
    for _ in range(2):
        with pytest.raises(ResultNotStored, match="not run again"):
            face.do(ledger, "call", "connect", connect, workflow="w")
    assert runs == [1]
    (effect,) = ledger.effects()
    assert (effect.status, effect.result_stored) == (Status.SUCCEEDED, False)


def test_changing_a_result_does_not_change_the_ledger(place: Place, face: Face) -> None:
    """S08: neither the first caller's object nor a replayed one is the recorded one."""
    ledger = place.open()
    for _ in range(3):
        answer = face.do(ledger, "call", "balance", lambda: {"balance": [100]}, workflow="w")
        assert answer == {"balance": [100]}
        answer["balance"].clear()
        ledger.effects()[0].result["balance"].clear()


# -- S09 ----------------------------------------------------------------------------------------

QUICK = Retry(attempts=3, initial=0.001, jitter=0)


def test_a_transient_failure_is_tried_again_as_the_policy_says(place: Place, face: Face) -> None:
    """S09: what certainly did not happen is tried again within the call."""
    ledger, runs = place.open(), list[int]()

    def charge() -> str:
        runs.append(1)
        if len(runs) < 3:
            raise NotApplied("busy", retryable=True)
        return "charged"

    policy = Policy(retry=QUICK)
    for _ in range(2):
        assert face.do(ledger, "call", "charge", charge, workflow="w", policy=policy) == "charged"
    assert len(runs) == 3
    (effect,) = ledger.effects()
    assert (effect.status, effect.attempt) == (Status.SUCCEEDED, 3)


def test_a_transient_failure_is_not_for_ever(place: Place, face: Face) -> None:
    """S09: without a retry policy the caller gets the error, and a later call tries again."""
    ledger = place.open()
    answers: list[Any] = [ConnectionRefusedError("down"), "charged"]

    def charge() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    with pytest.raises(ConnectionRefusedError, match="down"):
        face.do(ledger, "call", "charge", charge, workflow="w")
    assert face.do(ledger, "call", "charge", charge, workflow="w") == "charged"


def test_a_permanent_failure_is_replayed_with_its_type(place: Place, face: Face) -> None:
    """S09: the live caller gets the exception itself, later ones what is recorded of it."""
    ledger, runs = place.open(), list[int]()

    def charge() -> None:
        runs.append(1)
        raise RpcError("card declined")

    def call(ledger: Ledger) -> None:
        policy = Policy(classify={RpcError: "failed"}, retry=QUICK)
        face.do(ledger, "call", "charge", charge, workflow="w", policy=policy)

    with pytest.raises(RpcError, match="card declined"):
        call(ledger)
    with pytest.raises(EffectFailed, match="card declined") as caught:
        call(place.open())
    assert caught.value.error_type == f"{RpcError.__module__}.RpcError"
    assert caught.value.error_message == "card declined"
    assert "raise RpcError" in caught.value.error_traceback
    assert runs == [1]
