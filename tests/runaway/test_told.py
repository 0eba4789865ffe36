"""S37 from one end to the other: sessions in a ledger, what is found in them, and who is told."""

from __future__ import annotations

import hashlib
import time
from typing import Any, cast

import pytest

from tallystick import Retry
from tallystick.errors import RunawayStopped
from tallystick.hooks import webhook_hook
from tallystick.metering import Meter, ModelRequest
from tallystick.prices import Usage
from tallystick.runaway import Growth, Repeats, Runaway
from tallystick.testing import turn_clock
from tests.conftest import Face, Place
from tests.flows._receiver import SECRET, free_port, housekeeping, receiving, until


def digest(text: str) -> bytes:
    """Of a payload."""
    return hashlib.sha256(text.encode()).digest()


def call(meter: Meter, face: Face, session: str, asked: str, *, tokens: int = 100) -> None:
    """One model call, and its answer."""
    request = ModelRequest(
        model="gpt-4o", input_bound=tokens, output_bound=10, digest=digest(asked)
    )
    held = face.do(cast("Any", meter), "begin", request, session=session)
    used = Usage(input=tokens, output=1)
    face.do(held, "settle", used, answer=digest(f"about {asked}"))


def test_each_session_is_told_of_once_whatever_runs_beside_it(place: Place, face: Face) -> None:
    """One repeats itself, one grows, one works; and a second process looks as well."""
    with receiving() as receiver:
        hook = webhook_hook(receiver.url, secret=SECRET)
        runaway = Runaway(rules=(Repeats(), Growth()))
        ledger = place.open(hooks=[hook])
        meters = [Meter(ledger, runaway=runaway), Meter(place.open(), runaway=runaway)]
        for n in range(7):
            call(meters[n % 2], face, "stuck", "the same")
            call(meters[n % 2], face, "growing", f"question {n}", tokens=100 * 2**n)
            call(meters[n % 2], face, "working", f"question {n}")
        turn_clock(ledger, 6)  # what the other process found, it told nobody
        housekeeping(ledger)
        ledger.close()
        told = [got.verified()["data"]["facts"] for got in receiver.got]
    assert sorted((facts["session"], facts["rule"]) for facts in told) == [
        ("growing", "growth"),
        ("stuck", "repeats"),
    ]


def test_four_calls_are_three_ratios_and_exactly_the_ratio_is_not_above_it(
    place: Place, face: Face
) -> None:
    """The example of AgentWatch's documentation goes on; one token more each stops."""
    runaway = Runaway(rules=(Growth(),), action="stop")
    meter = Meter(place.open(), runaway=runaway)
    for n, tokens in enumerate([1000, 1400, 1960, 2744]):
        call(meter, face, "exactly", str(n), tokens=tokens)
        call(meter, face, "above", str(n), tokens=tokens + 2**n)
    call(meter, face, "exactly", "next")
    with pytest.raises(RunawayStopped, match="shorten the history"):
        call(meter, face, "above", "next")


def test_a_webhook_that_is_down_slows_no_call_and_loses_no_alert(place: Place, face: Face) -> None:
    """It is told when it is back, once."""
    port = free_port()
    patient = Retry(attempts=10_000, initial=0.02, maximum=0.02, jitter=0.01)
    hook = webhook_hook(f"http://127.0.0.1:{port}/", secret=SECRET, retry=patient)
    ledger = place.open(hooks=[hook])
    meter = Meter(ledger, runaway=Runaway())
    began = time.monotonic()
    for _ in range(8):
        call(meter, face, "stuck", "the same")
    assert time.monotonic() - began < 5
    assert (hook.waiting, hook.delivered) == (1, 0)
    with receiving(port) as receiver:
        (got,) = receiver.wait(1)
        until(lambda: hook.delivered == 1)
        housekeeping(ledger)
        call(meter, face, "stuck", "the same")
        ledger.close()
        assert len(receiver.got) == 1
    assert got.data["facts"]["message"].startswith("gpt-4o was asked the same 3 times in a row")
