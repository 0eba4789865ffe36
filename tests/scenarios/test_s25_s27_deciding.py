"""Telling people, hearing from them, and what they cannot do any more (S25–S27)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tallystick import Approval, ApprovalRequired, Ledger, Policy, Status
from tallystick.errors import DecisionRefused, EffectCancelled
from tallystick.hooks import Details
from tallystick.testing import Witness, turn_clock
from tests.conftest import Face, Place
from tests.scenarios._processes import Child, durable

APPROVED = Policy(approval=True)


def housekeeping(ledger: Ledger) -> None:
    """What a ledger does every few seconds, now and a little later."""
    turn_clock(ledger, 6.0)
    ledger._keeper.round()  # pyright: ignore[reportPrivateUsage]


# -- S25 ----------------------------------------------------------------------------------------


def test_a_request_whose_hook_failed_is_told_again_until_it_is_heard(
    place: Place, face: Face
) -> None:
    """S25: the listener hears of every request at least once, and then no more."""
    told: list[Details] = []
    troubles = [ConnectionError("chat is down"), ConnectionError("still down")]

    def tell(details: Details) -> None:
        if details.kind == "approval_required":
            if troubles:
                raise troubles.pop()
            told.append(details)

    ledger = place.open(hooks=[tell])
    with pytest.raises(ApprovalRequired) as caught:
        face.do(ledger, "call", "charge", lambda: None, workflow="w", policy=APPROVED)
    assert told == []
    for _ in range(3):
        housekeeping(ledger)
    assert [(d.key, d.tool, d.facts["digest"]) for d in told] == [
        (caught.value.key, "charge", caught.value.digest)
    ]


def test_one_hook_that_fails_keeps_no_other_from_hearing(place: Place, face: Face) -> None:
    """S25: a listener is a guest; the call is not broken by it."""
    told: list[str] = []

    def broken(details: Details) -> None:
        raise RuntimeError("a bad guest")

    def listen(details: Details) -> None:
        told.append(details.kind)

    ledger = place.open(hooks=[broken, listen])
    with pytest.raises(ApprovalRequired):
        face.do(ledger, "call", "charge", lambda: None, workflow="w", policy=APPROVED)
    assert told.count("approval_required") == 1


@durable
def test_a_request_whose_process_died_while_telling_is_told_by_another(
    place: Place, witness: Witness
) -> None:
    """S25: who asked was killed in the middle of the notification."""
    with Child("ask", place, witness, dies_when_told=True) as child:
        assert child.end() == -9
    told: list[str] = []

    def tell(details: Details) -> None:
        if details.kind == "approval_required":
            told.append(details.key)

    ledger = place.open(hooks=[tell])
    for _ in range(2):
        housekeeping(ledger)
    (effect,) = ledger.effects()
    assert told == [effect.key]
    assert witness.times("charge") == 0


# -- S26 ----------------------------------------------------------------------------------------


@durable
def test_the_tool_starts_soon_after_an_approval_in_another_process(
    place: Place, witness: Witness
) -> None:
    """S26: the waiting process is woken; how fast is measured by the bench."""
    with Child("await_approval", place, witness) as waiter:
        assert waiter.hear() == "waiting"
        ledger = place.open()
        while not ledger.pending():
            time.sleep(0.01)
        key = ledger.pending()[0].effect.key
        with Child("approve", place, witness, key=key) as approver:
            approved = approver.hear()
        started = waiter.hear()
        assert 0 < started - approved < 2.0
    assert witness.times("charge") == 1


def test_the_tool_starts_soon_after_an_approval_through_another_ledger(
    place: Place, face: Face
) -> None:
    """S26: the same within one process, on both faces."""
    ledger, desk, started = place.open(), place.open(), list[float]()
    waiting = Policy(approval=Approval(wait=20.0))

    def charge() -> str:
        started.append(time.monotonic())
        return "charged"

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(
            face.do, ledger, "call", "charge", charge, workflow="w", policy=waiting
        )
        while not desk.pending():
            time.sleep(0.01)
        time.sleep(0.1)
        approved = time.monotonic()
        face.do(desk, "approve", desk.pending()[0].effect.key, by="ann")
        assert answer.result() == "charged"
    assert started[0] - approved < 2.0


def test_a_denial_reaches_the_one_who_waits(place: Place, face: Face) -> None:
    """S26: so does a cancellation: nobody waits for what was withdrawn."""
    ledger, desk = place.open(), place.open()
    waiting = Policy(approval=Approval(wait=20.0))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(
            face.do, ledger, "call", "charge", lambda: None, workflow="w", policy=waiting
        )
        while not desk.pending():
            time.sleep(0.01)
        face.do(desk, "cancel", desk.pending()[0].effect.key, by="ann", reason="not needed")
        with pytest.raises(EffectCancelled):
            answer.result()
    assert ledger.effects()[0].status is Status.CANCELLED


# -- S27 ----------------------------------------------------------------------------------------

TOO_LATE: dict[str, Callable[[Ledger, Face, str], Any]] = {
    "approve": lambda ledger, face, key: face.do(ledger, "approve", key, by="ann"),
    "deny": lambda ledger, face, key: face.do(ledger, "deny", key, by="ann"),
    "cancel": lambda ledger, face, key: face.do(ledger, "cancel", key, by="ann"),
    "resolve as done": lambda ledger, face, key: face.do(
        ledger, "resolve", key, by="ann", succeeded="charged twice"
    ),
    "resolve as not done": lambda ledger, face, key: face.do(
        ledger, "resolve", key, by="ann", failed="it did not"
    ),
}


@pytest.mark.parametrize("deed", TOO_LATE)
@pytest.mark.parametrize("policy", [Policy(), APPROVED], ids=["unasked", "approved"])
def test_nobody_decides_about_an_effect_that_runs(
    place: Place, face: Face, policy: Policy, deed: str
) -> None:
    """S27: too late is an error that says what it is, and the result is kept."""
    ledger, desk = place.open(), place.open()
    entered, leave = threading.Event(), threading.Event()

    def charge() -> str:
        entered.set()
        assert leave.wait(20)
        return "charged"

    def call() -> Any:
        return face.do(ledger, "call", "charge", charge, workflow="w", policy=policy)

    if policy is APPROVED:
        with pytest.raises(ApprovalRequired) as caught:
            call()
        ledger.approve(str(caught.value.key), by="bob")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(call)
        try:
            assert entered.wait(10)
            (effect,) = desk.effects()
            with pytest.raises(DecisionRefused, match="running"):
                TOO_LATE[deed](desk, face, effect.key)
        finally:
            leave.set()
        assert answer.result() == call() == "charged"
    (effect,) = desk.effects()
    assert (effect.status, effect.result) == (Status.SUCCEEDED, "charged")
    with pytest.raises(DecisionRefused, match="succeeded"):
        TOO_LATE[deed](desk, face, effect.key)
