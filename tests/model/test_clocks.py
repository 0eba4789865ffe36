"""Clients whose clocks are a day off, or jump: what lives stays alive, and PostgreSQL decides."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from tallystick import Approval, Guarantee, Ledger, NotApplied, Policy, ProbeAnswer, Retry, Status
from tallystick.errors import LedgerError
from tallystick.testing import turn_clock
from tests.conftest import Place

DAY = 86_400.0
HOUR = 3_600.0
Skew = Callable[[], float]

#: what is wrong with the clocks of two clients
CLOCKS: dict[str, tuple[Skew, Skew]] = {
    "ahead_and_behind": (lambda: DAY, lambda: -DAY),
    "behind_and_ahead": (lambda: -DAY, lambda: DAY),
    "jumping": (lambda: random.uniform(-DAY, DAY), lambda: random.choice((-DAY, 0.0, DAY))),
}


#: what the clients of the story are told
RIGHT: list[Any] = [
    *("charged plain", "charged plain"),
    *("ApprovalRequired", "ApprovalRequired", Status.APPROVED, "charged asked"),
    *("ApprovalRequired", None, "ApprovalExpired", "DecisionRefused"),
    *("EffectInDoubt", "EffectInDoubt", "DecisionRefused"),
    *("EffectInDoubt", "charged safe"),
    *("EffectInDoubt", "EffectInDoubt"),
    *("charged again", "charged again"),
    *(None, "Halted", 1, "charged halted"),
]


_caller: Callable[[int], Any] = getattr(sys, "_getframe")  # noqa: B009 - who reads the clock


def _unknown(_: Any) -> ProbeAnswer:
    return ProbeAnswer.unknown()


def _no_trace(_: Any) -> ProbeAnswer:
    return ProbeAnswer.not_happened()


def _pause(seconds: float) -> object:
    time.sleep(seconds)
    return None


class Clock:
    """The wall clock of this process, wrong by as much as each thread says."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._here = threading.local()
        self.readers: Counter[str] = Counter()
        plain, plain_ns = time.time, time.time_ns
        patch.setattr(time, "time", lambda: plain() + self._wrong())
        patch.setattr(time, "time_ns", lambda: plain_ns() + int(self._wrong() * 1e9))

    def _wrong(self) -> float:
        reader = str(_caller(2).f_globals.get("__name__", ""))
        if reader.startswith("tallystick"):
            self.readers[reader] += 1
        skew: Skew | None = getattr(self._here, "skew", None)
        return skew() if skew is not None else 0.0

    def wrong(self, skew: Skew | None) -> None:
        """From now on, on this thread."""
        self._here.skew = skew


class Client:
    """A ledger on a machine with a wrong clock."""

    def __init__(self, ledger: Ledger, clock: Clock, skew: Skew) -> None:
        self._ledger = ledger
        self._clock = clock
        self._skew = skew

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        def called(*args: Any, **options: Any) -> Any:
            """What the verb returns, or the name of the error that it raises."""
            self._clock.wrong(self._skew)
            try:
                return getattr(self._ledger, verb)(*args, **options)
            except LedgerError as error:
                return type(error).__name__
            finally:
                self._clock.wrong(None)

        return called

    def charge(self, order: str, policy: Policy | None = None, fails: int = 0) -> Any:
        """A call whose tool fails so many times first, and nobody knows how."""
        left = [fails]

        def tool(order: str) -> str:
            if left[0]:
                left[0] -= 1
                raise NotApplied(retryable=True) if policy and policy.retry else RuntimeError
            return f"charged {order}"

        return self.call("charge", tool, {"order": order}, workflow=order, policy=policy)

    def key(self, order: str) -> str:
        """The key of an order's effect."""
        (effect,) = self.effects(workflow=order)
        return str(effect.key)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """Clocks that can be wrong."""
    clock = Clock(monkeypatch)
    yield clock
    clock.wrong(None)


def _asking(expires: float) -> Policy:
    return Policy(approval=Approval(expires=expires))


def _story(one: Client, two: Client) -> list[Any]:
    """Everything that has to do with time, told by two clients in turn."""
    asks, soon = _asking(HOUR), _asking(0.05)
    probed = Policy(guarantee=Guarantee.RECONCILE, probe=_unknown, quiet=HOUR)
    safe = Policy(guarantee=Guarantee.IDEMPOTENT, key_lifetime=HOUR)
    brief = Policy(guarantee=Guarantee.IDEMPOTENT, key_lifetime=0.0)
    again = Policy(retry=Retry(attempts=3, initial=0.001, jitter=0.0, within=HOUR))
    told: list[Any] = [one.charge("plain"), two.charge("plain")]
    told += [one.charge("asked", asks), two.charge("asked", asks)]
    told += [two.approve(two.key("asked"), by="ann").status, one.charge("asked", asks)]
    told += [two.charge("late", soon), _pause(0.1), one.charge("late", soon)]
    told += [two.approve(two.key("late"), by="ann")]
    told += [one.charge("doubtful", probed, fails=1), two.charge("doubtful", probed)]
    told += [two.resolve(two.key("doubtful"), by="ann", failed="no trace")]
    told += [one.charge("safe", safe, fails=1), two.charge("safe", safe)]
    told += [one.charge("forgotten", brief, fails=1), two.charge("forgotten", brief)]
    told += [two.charge("again", again, fails=2), one.charge("again", again)]
    told += [one.halt(by="op", reason="stop"), two.charge("halted"), two.unhalt(by="op")]
    told += [two.charge("halted")]
    for order in ("asked", "late", "doubtful", "safe", "forgotten", "again"):
        told += [[event.kind for event in two.history(two.key(order))]]
    return [*told, sorted(item.kind for item in one.pending()), two.recover()]


@pytest.mark.postgres
def test_on_postgres_a_wrong_clock_changes_nothing(empty_postgres: str, clock: Clock) -> None:
    """The same story, whatever the two clients' clocks say; nobody even looks at them."""
    told: dict[str, list[Any]] = {}
    right: tuple[Skew, Skew] = (lambda: 0.0, lambda: 0.0)
    for name, skews in {"right": right, **CLOCKS}.items():
        ledgers = [Ledger(empty_postgres, tenant=name, lease=60.0) for _ in skews]
        one, two = (Client(each, clock, skew) for each, skew in zip(ledgers, skews, strict=True))
        told[name] = _story(one, two)
        (effect,) = two.effects(workflow="plain")
        with psycopg.connect(empty_postgres) as db:
            row = db.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None
        assert abs(row[0] - effect.created_at) < timedelta(seconds=60)
        for ledger in ledgers:
            assert ledger.verify().sound
            ledger.close()
    assert told["right"][: len(RIGHT)] == RIGHT
    for name in CLOCKS:
        assert told[name] == told["right"]
    assert not clock.readers


@pytest.mark.parametrize("name", CLOCKS)
def test_nobody_alive_is_taken_for_dead(place: Place, clock: Clock, name: str) -> None:
    """Whatever the clocks say, who holds an effect keeps it, under every guarantee."""
    place.lease = 60.0
    one, two = (Client(place.open(), clock, skew) for skew in CLOCKS[name])
    at_once: dict[str, Any] = {"wait": 0.0}
    policies = [
        Policy(**at_once),
        Policy(guarantee=Guarantee.IDEMPOTENT, key_lifetime=HOUR, **at_once),
        Policy(guarantee=Guarantee.RECONCILE, probe=_no_trace, **at_once),
    ]
    for n, policy in enumerate(policies):
        order = f"order {n}"
        claim = one.claim("charge", {"order": order}, workflow=order, policy=policy)
        with claim:
            assert claim.fresh
            for other in (two, one):
                assert other.recover() == 0
                assert other.charge(order, policy) in ("StillRunning", "CalledFromItself")
                assert other.pending() == []
            claim.succeed("done")
        assert two.charge(order, policy) == one.charge(order, policy) == "done"
        assert two.history(two.key(order)) == []
    assert bool(clock.readers) == (place.kind != "postgres")


@pytest.mark.postgres
def test_a_database_clock_that_steps_back_takes_nobody_for_dead(empty_postgres: str) -> None:
    """A minute earlier, all heartbeats are in the future; who gave them lives."""
    with Ledger(empty_postgres) as one, Ledger(empty_postgres) as two:
        with one.claim("charge", {"order": "A"}, workflow="A") as claim:
            assert claim.fresh
            turn_clock(two, -60.0)
            assert two.recover() == 0
            two_client = two.effects(workflow="A")
            assert [effect.status.value for effect in two_client] == ["running"]
            turn_clock(one, -60.0)
            assert one.recover() == two.recover() == 0
            claim.succeed("done")
        assert two.call("charge", str, {"object": "A"}, workflow="B") == "A"
        assert two.get(claim.key).result == "done"
        assert two.verify().sound
