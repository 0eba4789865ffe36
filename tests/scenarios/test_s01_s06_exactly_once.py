"""One key, one execution, one outcome: whoever calls, however often, whatever dies (S01–S06)."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from tallystick import EffectFailed, EffectInDoubt, Guarantee, Ledger, Policy, Status
from tallystick.errors import StillRunning
from tallystick.testing import Witness
from tests.conftest import Face, Place
from tests.scenarios._processes import Child, durable, on_postgres, on_sqlite

IDEMPOTENT = Policy(guarantee=Guarantee.IDEMPOTENT)


# -- S01 ----------------------------------------------------------------------------------------


async def test_five_hundred_identical_coroutines_execute_once(place: Place) -> None:
    """S01: all of them get the equal result, and none an error."""
    ledger, runs = place.open(), list[str]()

    async def charge(order: str) -> dict[str, str]:
        runs.append(order)
        await asyncio.sleep(0.2)
        return {"id": "ch_1"}

    calls = [ledger.acall("charge", charge, {"order": "A"}, workflow="w") for _ in range(500)]
    assert await asyncio.gather(*calls) == [{"id": "ch_1"}] * 500
    assert runs == ["A"]


def test_a_hundred_identical_calls_from_threads_execute_once(place: Place) -> None:
    """S01: threads on the blocking face of two ledgers are followers of one of them."""
    one, other, runs = place.open(), place.open(), list[str]()

    def charge(order: str) -> dict[str, str]:
        runs.append(order)
        time.sleep(0.2)
        return {"id": "ch_1"}

    def call(ledger: Ledger) -> Any:
        return ledger.call("charge", charge, {"order": "A"}, workflow="w")

    with ThreadPoolExecutor(100) as pool:
        assert list(pool.map(call, [one, other] * 50)) == [{"id": "ch_1"}] * 100
    assert runs == ["A"]


@durable
def test_four_processes_with_125_identical_calls_each_execute_once(
    place: Place, witness: Witness
) -> None:
    """S01: 500 calls from four processes are one execution and 500 equal results."""
    with ExitStack() as stack:
        children = [stack.enter_context(Child("many", place, witness, calls=125)) for _ in range(4)]
        for child in children:
            assert child.hear() == "ready"
        for child in children:
            child.go()
        answers = [answer for child in children for answer in child.hear()]
    assert answers == [{"id": "ch_A"}] * 500
    assert witness.times("charge") == 1


# -- S02 ----------------------------------------------------------------------------------------

CANCELLED = {
    "in doubt": (Policy(), Status.IN_DOUBT, EffectInDoubt),
    "run again": (IDEMPOTENT, Status.IN_DOUBT, None),
    "failed": (Policy(classify={asyncio.CancelledError: "failed"}), Status.FAILED, EffectFailed),
}


@pytest.mark.parametrize("what", CANCELLED)
async def test_a_cancelled_leader_leaves_at_once_and_the_next_gets_what_was_declared(
    place: Place, what: str
) -> None:
    """S02: no caller waits for a leader that was cancelled in the middle of its tool."""
    policy, status, error = CANCELLED[what]
    ledger, entered = place.open(), asyncio.Event()
    pauses = [60.0, 0.0]

    async def charge(order: str) -> str:
        entered.set()
        await asyncio.sleep(pauses.pop(0))
        return "charged"

    def call() -> Any:
        return ledger.acall("charge", charge, {"order": "A"}, workflow="w", policy=policy)

    leader = asyncio.create_task(call())
    await asyncio.wait_for(entered.wait(), 5)
    follower = asyncio.create_task(call())
    leader.cancel()
    began = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await leader
    answers = [*await asyncio.gather(follower, return_exceptions=True)]
    assert time.monotonic() - began < 1.0
    if error is None:
        assert answers == ["charged"]
        status = Status.SUCCEEDED
    else:
        assert [type(answer) for answer in answers] == [error]
    (effect,) = await ledger.aeffects()
    assert effect.status is status


async def test_cancelling_the_caller_of_a_sync_tool_does_not_lose_its_outcome(place: Place) -> None:
    """S02: a thread cannot be cancelled, so what it did is recorded when it is done."""
    ledger, entered, leave = place.open(), threading.Event(), threading.Event()

    def charge(order: str) -> str:
        entered.set()
        assert leave.wait(5)
        return "charged"

    def call() -> Any:
        return ledger.acall("charge", charge, {"order": "A"}, workflow="w")

    leader = asyncio.create_task(call())
    await asyncio.to_thread(entered.wait, 5)
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    follower = asyncio.create_task(call())
    leave.set()
    assert await asyncio.wait_for(follower, 5) == "charged"


# -- S03 ----------------------------------------------------------------------------------------


@durable
@pytest.mark.parametrize("guarantee", [Guarantee.AT_MOST_ONCE, Guarantee.IDEMPOTENT])
def test_retries_do_not_postpone_the_recovery_from_a_kill(
    place: Place, witness: Witness, guarantee: Guarantee
) -> None:
    """S03: kill -9 in the tool, then impatient retries: over within the lease and a second."""
    with Child("hold", place, witness, guarantee=guarantee) as child:
        assert child.hear() == "in the tool"
        ledger = place.open()
        child.kill()
    killed = time.monotonic()
    answer = until_recovered(ledger, Policy(guarantee=guarantee, wait=0.05))
    assert time.monotonic() - killed < (place.lease if place.kind == "postgres" else 0) + 1
    assert witness.times("charge") == 1
    if guarantee is Guarantee.IDEMPOTENT:
        assert answer == "again"
    else:
        assert isinstance(answer, EffectInDoubt)
        assert [item.kind for item in ledger.pending()] == ["in_doubt"]


def until_recovered(ledger: Ledger, policy: Policy) -> object:
    """What impatient callers on either face get in the end."""
    for face in itertools.islice(itertools.cycle([Face("blocking"), Face("awaiting")]), 200):
        try:
            return retry(face, ledger, policy)
        except StillRunning:
            continue
        except EffectInDoubt as doubt:
            return doubt
    raise AssertionError("nobody recovered it")


def retry(face: Face, ledger: Ledger, policy: Policy) -> Any:
    """The call that the children make, made again."""

    def charge(order: str) -> str:
        return "again"

    return face.do(ledger, "call", "charge", charge, {"order": "A"}, workflow="w", policy=policy)


@durable
def test_a_waiting_caller_hears_of_a_kill_by_itself(
    place: Place, face: Face, witness: Witness
) -> None:
    """S03: a caller that waits patiently is answered within the lease and a second too."""
    with Child("hold", place, witness, guarantee="idempotent") as child:
        assert child.hear() == "in the tool"
        ledger = place.open()
        killer = threading.Timer(0.2, child.kill)
        killer.start()
        began = time.monotonic() + 0.2
        assert retry(face, ledger, IDEMPOTENT) == "again"
        assert time.monotonic() - began < (place.lease if place.kind == "postgres" else 0) + 1
        killer.join()


# -- S04 ----------------------------------------------------------------------------------------


def test_a_slow_worker_that_lives_is_never_taken_over(place: Place, face: Face) -> None:
    """S04: three leases long, one execution; the rival gets its result."""
    one, other = place.open(lease=0.4), place.open(lease=0.4)
    runs: list[str] = []
    entered = threading.Event()

    def charge(order: str) -> str:
        runs.append(order)
        entered.set()
        time.sleep(1.3)
        return "charged"

    def call(ledger: Ledger) -> Any:
        options: Any = {"workflow": "w", "policy": IDEMPOTENT}
        return face.do(ledger, "call", "charge", charge, {"order": "A"}, **options)

    with ThreadPoolExecutor() as pool:
        leader = pool.submit(call, one)
        assert entered.wait(5)
        assert call(other) == leader.result() == "charged"
    assert runs == ["A"]
    assert other.effects()[0].epoch == 1


@on_postgres
def test_a_frozen_worker_is_taken_over_once_and_its_late_commit_is_refused(
    place: Place, witness: Witness
) -> None:
    """S04: fencing: the second holder's result holds, and the history shows both."""
    with Child("hold", place, witness, guarantee="idempotent") as child:
        assert child.hear() == "in the tool"
        child.freeze()
        ledger = place.open()
        assert retry(Face("blocking"), ledger, IDEMPOTENT) == "again"
        child.go()
        child.thaw()
        assert child.hear() == "again"
        assert child.end() == 0
    (effect,) = ledger.effects()
    assert (effect.status, effect.epoch, effect.result) == (Status.SUCCEEDED, 2, "again")
    *_, taken, late = ledger.history(effect.key)
    assert (taken.kind, taken.actor) == ("started", effect.holder)
    assert (late.kind, late.detail["epoch"]) == ("observed", 1)
    assert str(child.pid) in late.detail["result"]
    assert ledger.verify().sound


@on_sqlite
def test_a_frozen_worker_is_never_taken_for_dead_on_sqlite(place: Place, witness: Witness) -> None:
    """S04: its lock file is held while it is stopped, so nobody runs its effect again."""
    with Child("hold", place, witness, guarantee="idempotent", lease=0.2) as child:
        assert child.hear() == "in the tool"
        child.freeze()
        ledger = place.open(lease=0.2)
        with pytest.raises(StillRunning):
            retry(Face("blocking"), ledger, IDEMPOTENT.but(wait=1.0))
        child.go()
        child.thaw()
        answer = retry(Face("awaiting"), ledger, IDEMPOTENT)
        assert answer == child.hear() == f"by {child.pid}"
    assert witness.times("charge") == 1


# -- S05 ----------------------------------------------------------------------------------------


@durable
@pytest.mark.parametrize("skew", [600, -600])
def test_a_wrong_clock_takes_nothing_over(place: Place, witness: Witness, skew: int) -> None:
    """S05: holder and caller are twenty minutes apart; liveness is not judged by either."""
    options = {"guarantee": "idempotent", "lease": 0.5}
    with ExitStack() as stack:
        holder = stack.enter_context(Child("hold", place, witness, skew=skew, **options))
        assert holder.hear() == "in the tool"
        caller = Child("hold", place, witness, skew=-skew, wait=0.8, **options)
        stack.enter_context(caller)
        ledger = place.open(lease=0.5)
        with pytest.raises(StillRunning):
            retry(Face("blocking"), ledger, IDEMPOTENT.but(wait=0.8))
        assert caller.hear() == "StillRunning"
        holder.go()
        assert holder.hear() == f"by {holder.pid}"
    assert witness.times("charge") == 1
    (effect,) = ledger.effects()
    assert (effect.status, effect.epoch) == (Status.SUCCEEDED, 1)


# -- S06 ----------------------------------------------------------------------------------------


@on_postgres
def test_connections_cut_during_the_tool_lose_nothing(place: Place, face: Face) -> None:
    """S06: the commit is tried again on a new connection, and the result is kept."""
    ledger, runs = place.open(lease=15.0), list[str]()

    def charge(order: str) -> str:
        runs.append(order)
        with psycopg.connect(place.url, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        return "charged"

    for _ in range(2):
        assert face.do(ledger, "call", "charge", charge, {"order": "A"}, workflow="w") == "charged"
    assert runs == ["A"]
    (effect,) = face.do(ledger, "effects")
    assert (effect.status, effect.epoch, effect.attempt) == (Status.SUCCEEDED, 1, 1)
    assert face.do(ledger, "history", effect.key) == []
