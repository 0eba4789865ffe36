"""A webhook tells somebody: signed, once per moment, at least once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tallystick import Approval, ApprovalRequired, EffectInDoubt, Policy
from tallystick.hooks import Details, Webhook, webhook_hook
from tallystick.testing import turn_clock
from tests.conftest import Face, Place

from ._receiver import (
    FAST,
    OLD_SECRET,
    SECRET,
    Receiver,
    ask,
    free_port,
    housekeeping,
    moment,
    tell,
    unheard,
    until,
)

# -- what is sent -------------------------------------------------------------------------------


def test_an_independent_library_believes_the_signature(receiver: Receiver, hook: Webhook) -> None:
    """And no other secret makes it believe."""
    tell(hook, moment(reason="cut off"))
    (got,) = receiver.wait(1)
    assert got.verified()["type"] == "tallystick.in_doubt"
    with pytest.raises(Exception, match="No matching signature"):
        got.verified(OLD_SECRET)


def test_while_a_secret_is_replaced_both_are_believed(receiver: Receiver) -> None:
    """So receivers change theirs when they like."""
    hook = webhook_hook(receiver.url, secret=(SECRET, OLD_SECRET))
    tell(hook, moment())
    (got,) = receiver.wait(1)
    assert got.verified(SECRET) == got.verified(OLD_SECRET)
    assert got.headers["webhook-signature"].count("v1,") == 2
    hook.close()


def test_what_is_sent_says_what_happened_and_no_more(place: Place, receiver: Receiver) -> None:
    """No argument, no result."""
    hook = webhook_hook(receiver.url, secret=SECRET)
    ledger = place.open(hooks=[hook], tenant="acme")

    def charge(order: str) -> None:
        raise RuntimeError("cut off")

    with pytest.raises(EffectInDoubt) as caught:
        ledger.call("charge", charge, {"order": "A-secret"}, workflow="w")
    (got,) = receiver.wait(1)
    assert got.path == "/hooks/secret-path?x=1"
    assert got.headers["Content-Type"] == "application/json"
    sent = json.loads(got.body)
    assert set(sent) == {"type", "timestamp", "data"}
    assert abs(datetime.now(UTC) - datetime.fromisoformat(sent["timestamp"])) < timedelta(minutes=1)
    assert got.data.pop("facts")["reason"].startswith("RuntimeError")
    assert {**got.data, "facts": None} == {
        "kind": "in_doubt",
        "key": caught.value.key,
        "tenant": "acme",
        "workflow": "w",
        "tool": "charge",
        "status": "in_doubt",
        "attempt": 1,
        "facts": None,
    }
    assert b"A-secret" not in got.body


def test_facts_of_any_kind_are_sent_short(receiver: Receiver, hook: Webhook) -> None:
    """What JSON cannot hold is text."""
    facts: dict[str, Any] = {
        "when": datetime(2026, 1, 1, tzinfo=UTC),
        "rate": float("inf"),
        "share": 0.5,
        "calls": ("a", {"n": 1}),
        "long": "x" * 5000,
        "none": None,
        "sure": True,
    }
    tell(hook, moment(**facts))
    (got,) = receiver.wait(1)
    assert got.data["facts"] == {
        "when": "2026-01-01 00:00:00+00:00",
        "rate": "inf",
        "share": 0.5,
        "calls": ["a", {"n": 1}],
        "long": "x" * 1000,
        "none": None,
        "sure": True,
    }


def test_only_the_chosen_kinds_are_sent(receiver: Receiver) -> None:
    """By default what a person should look at."""
    hook = webhook_hook(receiver.url, secret=SECRET, kinds=["runaway"])
    assert tell(hook, moment(kind="in_doubt"))
    assert not tell(hook, moment(kind="runaway"))
    (got,) = receiver.wait(1)
    hook.close()
    assert got.data["kind"] == "runaway"
    assert len(receiver.got) == 1


# -- once per moment, at least once -------------------------------------------------------------


def test_a_request_for_approval_is_one_message(
    place: Place, face: Face, receiver: Receiver, hook: Webhook
) -> None:
    """However often the ledger keeps house; once delivered it counts as told."""
    ledger = place.open(hooks=[hook])
    key = ask(ledger, face, order="A")
    (got,) = receiver.wait(1)
    until(lambda: hook.delivered == 1)
    for _ in range(3):
        housekeeping(ledger)
    assert unheard(ledger) == 0
    assert got.data["key"] == key
    assert len(receiver.got) == 1


def test_two_rounds_of_one_approval_are_two_messages(
    place: Place, face: Face, receiver: Receiver, hook: Webhook
) -> None:
    """Asked again after it expired: the deadline is another one."""
    ledger = place.open(hooks=[hook])
    policy = Policy(approval=Approval(expires=60, after_expiry="ask"))
    for _ in range(2):
        with pytest.raises(ApprovalRequired):
            face.do(ledger, "call", "charge", lambda: None, workflow="w", policy=policy)
        turn_clock(ledger, 61)
    first, second = receiver.wait(2)
    assert first.id != second.id
    assert first.data["key"] == second.data["key"]


def test_a_repeated_moment_is_one_message(receiver: Receiver, hook: Webhook) -> None:
    """The same kind, key, attempt and facts; whether it waits or is delivered."""
    for _ in range(5):
        assert not tell(hook, moment(by="ann"))
        if hook.delivered:
            break
    receiver.wait(1)
    until(lambda: hook.delivered == 1)
    assert tell(hook, moment(by="ann"))
    assert not tell(hook, moment(by="bob"))
    first, second = receiver.wait(2)
    assert first.id != second.id
    hook.close()
    assert len(receiver.got) == 2


def test_after_a_crash_another_ledger_sends_the_same_message(
    place: Place, face: Face, receiver: Receiver
) -> None:
    """S25: nobody is forgotten; the receiver knows a repeat by its id."""
    nobody = webhook_hook(f"http://127.0.0.1:{free_port()}/", secret=SECRET, retry=FAST, drain=0)
    keep = place.open()
    ledger = place.open(hooks=[nobody])
    key = ask(ledger, face, order="A")
    place.crash(ledger)
    assert nobody.delivered == 0

    twice = [webhook_hook(receiver.url, secret=SECRET, retry=FAST) for _ in range(2)]
    for hook in twice:
        other = place.open(hooks=[hook])
        turn_clock(other, 6)
        housekeeping(other)
    first, second = receiver.wait(2)
    assert first.id == second.id
    assert first.data["key"] == key
    assert keep.tenant == "default"


def test_what_is_delivered_at_the_last_moment_is_not_told_again(
    place: Place, face: Face, receiver: Receiver, hook: Webhook
) -> None:
    """A short program asks and ends."""
    keep = place.open()
    ledger = place.open(hooks=[hook])
    ask(ledger, face, order="A")
    ledger.close()
    assert len(receiver.got) == 1
    assert unheard(keep) == 0


def test_others_who_listen_are_not_told_again(place: Place, face: Face) -> None:
    """While the webhook tries, the log does not fill up."""
    heard: list[Details] = []
    nobody = webhook_hook(f"http://127.0.0.1:{free_port()}/", secret=SECRET, retry=FAST, drain=0)
    ledger = place.open(hooks=[heard.append, nobody])
    ask(ledger, face, order="A")
    for _ in range(3):
        turn_clock(ledger, 6)
        housekeeping(ledger)
    assert [details.kind for details in heard].count("approval_required") == 1
    assert unheard(ledger) == 1
