"""A webhook ends with its ledgers, survives a fork, and is refused where it makes no sense."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from tallystick import EffectInDoubt, Retry
from tallystick.errors import InvalidCall
from tallystick.hooks import Details, Webhook, webhook_hook
from tests.conftest import Place

from ._receiver import (
    SECRET,
    Receiver,
    moment,
    tell,
    until,
)

# -- its end ------------------------------------------------------------------------------------


def test_closing_the_ledger_delivers_what_waits(place: Place, receiver: Receiver) -> None:
    """And leaves no thread behind."""
    receiver.delay = 0.02
    hook = webhook_hook(receiver.url, secret=SECRET)
    ledger = place.open(hooks=[hook])
    for n in range(10):
        with pytest.raises(EffectInDoubt):
            ledger.call("c", lambda: 1 / 0, call_id=str(n), workflow="w")
    ledger.close()
    assert (hook.waiting, hook.delivered) == (0, 10)
    assert not [t for t in threading.enumerate() if t.name == "tallystick-webhook"]


def test_closing_is_bounded(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """A receiver that does not answer is left, and what it did not get is named."""
    receiver.gate.clear()
    hook = webhook_hook(receiver.url, secret=SECRET, drain=0.2)
    tell(hook, moment("a"))
    tell(hook, moment("b"))
    receiver.wait(1)
    began = time.monotonic()
    hook.close()
    assert time.monotonic() - began < 3
    until(lambda: hook.failed == 2, 2)
    assert hook.waiting == 0
    assert "in_doubt of b was not delivered: closed after 0.2 seconds" in caplog.text
    assert not [t for t in threading.enumerate() if t.name == "tallystick-webhook"]


def test_closing_does_not_wait_for_the_next_attempt(receiver: Receiver) -> None:
    """It is made at once."""
    receiver.plan = [503]
    hook = webhook_hook(receiver.url, secret=SECRET, retry=Retry(initial=60, maximum=60))
    tell(hook, moment())
    receiver.wait(1)
    time.sleep(0.05)
    began = time.monotonic()
    hook.close()
    assert time.monotonic() - began < 3
    assert hook.delivered == 1


def test_closing_does_not_wait_for_an_attempt_that_would_come_too_late(
    receiver: Receiver,
) -> None:
    """A receiver that is down costs a program that ends no time."""
    receiver.plan = [503, 503, 503]
    hook = webhook_hook(receiver.url, secret=SECRET, retry=Retry(initial=60, maximum=60), drain=8)
    tell(hook, moment())
    receiver.wait(1)
    time.sleep(0.05)
    began = time.monotonic()
    hook.close()
    assert time.monotonic() - began < 4
    assert (len(receiver.got), hook.failed) == (2, 1)


def test_two_ledgers_share_a_webhook(place: Place, receiver: Receiver, hook: Webhook) -> None:
    """It ends with the last of them."""
    closed: list[str] = []

    class Shared:
        def __call__(self, details: Details) -> None:
            hook(details)

        def close(self) -> None:
            closed.append("once")
            hook.close()

    shared = Shared()
    first, second = place.open(hooks=[shared]), place.open(hooks=[shared])
    first.close()
    assert closed == []
    with pytest.raises(EffectInDoubt):
        second.call("c", lambda: 1 / 0, workflow="w")
    second.close()
    second.close()
    assert closed == ["once"]
    assert len(receiver.got) == 1


def test_a_hook_that_fails_to_close_breaks_nothing(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """It is a guest here too."""

    class Stubborn:
        def __call__(self, details: Details) -> None:
            pass

        def close(self) -> None:
            raise RuntimeError("no")

    place.open(hooks=[Stubborn()]).close()
    assert "a hook failed as it was closed" in caplog.text


def test_a_closed_webhook_begins_again_when_it_is_told_something(
    receiver: Receiver, hook: Webhook
) -> None:
    """Another ledger may be given it."""
    hook.close()
    hook.close()
    tell(hook, moment("a"))
    hook.close()
    tell(hook, moment("b"))
    hook.close()
    assert [got.data["key"] for got in receiver.got] == ["a", "b"]


def test_the_thread_ends_by_itself_when_nothing_comes(receiver: Receiver, hook: Webhook) -> None:
    """Also where nobody closes it."""
    tell(hook, moment())
    receiver.wait(1)
    until(lambda: not [t for t in threading.enumerate() if t.name == "tallystick-webhook"], 5)
    tell(hook, moment("b"))
    receiver.wait(2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_sends_its_own_and_not_its_parents(
    receiver: Receiver, hook: Webhook
) -> None:
    """Nor waits for a thread that it does not have."""
    receiver.gate.clear()
    tell(hook, moment("parent"))
    receiver.wait(1)
    child = os.fork()
    if not child:
        tell(hook, moment("child"))
        hook.close()
        os._exit(0 if hook.delivered else 1)
    receiver.gate.set()
    _, status = os.waitpid(child, 0)
    assert status == 0
    hook.close()
    assert sorted(got.data["key"] for got in receiver.got) == ["child", "parent"]


# -- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: webhook_hook("http://example.org/", secret=SECRET), "give https"),
        (lambda: webhook_hook("ftp://example.org/", secret=SECRET), "https://host/path"),
        (lambda: webhook_hook("https://", secret=SECRET), "https://host/path"),
        (lambda: webhook_hook("https://h:99999/", secret=SECRET), "Port out of range"),
        (lambda: webhook_hook(cast("Any", None), secret=SECRET), "https://host/path"),
        (lambda: webhook_hook("https://me:pw@h/", secret=SECRET), "name or a password"),
        (lambda: webhook_hook("https://h/", secret="c2VjcmV0" * 4), "give 'whsec_'"),
        (lambda: webhook_hook("https://h/", secret="whsec_c2hvcnQ="), "24 to 64"),
        (lambda: webhook_hook("https://h/", secret="whsec_" + "!" * 40), "24 to 64"),
        (lambda: webhook_hook("https://h/", secret=cast("Any", ())), "one secret"),
        (lambda: webhook_hook("https://h/", secret=cast("Any", [SECRET] * 3)), "a pair"),
        (lambda: webhook_hook("https://h/", secret=cast("Any", b"key")), "one secret"),
        (lambda: webhook_hook("https://h/", secret=SECRET, kinds="in_doubt"), "list of kinds"),
        (lambda: webhook_hook("https://h/", secret=SECRET, capacity=0), "capacity=0"),
        (lambda: webhook_hook("https://h/", secret=SECRET, timeout=0), "above 0"),
        (lambda: webhook_hook("https://h/", secret=SECRET, drain=-1), "drain"),
        (lambda: webhook_hook("https://h/", secret=SECRET, retry=0), "attempts"),
    ],
)
def test_nonsense_is_refused_and_no_secret_is_shown(make: Callable[[], object], says: str) -> None:
    with pytest.raises(InvalidCall, match=says) as caught:
        make()
    assert "c2VjcmV0" not in str(caught.value)


def test_plain_http_goes_to_this_machine_or_where_it_is_said_to_be_fine() -> None:
    """The signature keeps it from being changed, not from being read."""
    for url in ("http://localhost/", "http://127.1.2.3/", "http://[::1]:8080/"):
        assert "webhook to" in repr(webhook_hook(url, secret=SECRET))
    assert "example.org" in repr(
        webhook_hook("http://example.org/path", secret=SECRET, insecure=True)
    )


def test_a_webhook_shows_neither_its_secret_nor_its_path() -> None:
    """Paths of chat services are secrets too."""
    hook = webhook_hook("https://example.org/T000/B000", secret=SECRET)
    assert repr(hook) == ("<webhook to example.org: 0 waiting, 0 delivered, 0 failed, 0 dropped>")
