"""Stores, nesting, claims by hand and whole runs (S13–S16)."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tallystick import (
    ApprovalDenied,
    ApprovalRequired,
    EffectFailed,
    EffectInDoubt,
    Ledger,
    Policy,
    Status,
    current_effect,
)
from tallystick.errors import CalledFromItself
from tallystick.testing import Witness
from tests.conftest import Face, Place
from tests.scenarios._processes import Child, durable, on_memory

# -- S13 ----------------------------------------------------------------------------------------


@on_memory
def test_memory_forgets_nothing_however_much_comes_later(place: Place) -> None:
    """S13: twelve thousand effects evict neither a finished one nor one in flight."""
    ledger, entered, leave, runs = place.open(), threading.Event(), threading.Event(), list[str]()

    def slow() -> str:
        runs.append("slow")
        entered.set()
        assert leave.wait(30)
        return "slow"

    def quick(n: int) -> int:
        runs.append("quick")
        return n

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ledger.call, "slow", slow, workflow="w")
        assert entered.wait(5)
        for n in range(12_000):
            ledger.call("quick", quick, {"n": n}, workflow="w")
        second = pool.submit(ledger.call, "slow", slow, workflow="w")
        leave.set()
        assert first.result() == second.result() == "slow"
    assert [ledger.call("quick", quick, {"n": n}, workflow="w") for n in range(5)] == [
        0,
        1,
        2,
        3,
        4,
    ]
    assert (runs.count("slow"), runs.count("quick")) == (1, 12_000)


def test_one_ledger_serves_threads_and_several_event_loops_at_once(place: Place) -> None:
    """S13: sync and async tools, from loops and threads, all find the one execution."""
    ledger, runs = place.open(), list[str]()
    gate = threading.Barrier(6)

    def sync_tool(order: str) -> str:
        runs.append(order)
        time.sleep(0.1)
        return f"charged {order}"

    async def async_tool(order: str) -> str:
        runs.append(order)
        await asyncio.sleep(0.1)
        return f"charged {order}"

    def in_a_loop(n: int) -> list[Any]:
        async def main() -> list[Any]:
            one = ledger.acall("charge", async_tool, {"order": "A"}, workflow="w")
            other = ledger.acall("charge", sync_tool, {"order": "B"}, workflow="w")
            return [*await asyncio.gather(one, other)]

        gate.wait(10)
        return asyncio.run(main())

    def in_a_thread(n: int) -> list[Any]:
        gate.wait(10)
        args = [{"order": "A"}, {"order": "B"}]
        return [ledger.call("charge", sync_tool, a, workflow="w") for a in args]

    with ThreadPoolExecutor(6) as pool:
        answers = [pool.submit(f, n) for n in range(3) for f in (in_a_loop, in_a_thread)]
        assert [a.result() for a in answers] == [["charged A", "charged B"]] * 6
    assert sorted(runs) == ["A", "B"]


# -- S14 ----------------------------------------------------------------------------------------


def test_an_effect_inside_another_is_an_effect_of_its_own(place: Place, face: Face) -> None:
    """S14: nested calls are recorded and replayed like any other."""
    ledger, runs = place.open(), list[str]()

    def inner(n: int) -> int:
        runs.append("inner")
        return n

    def outer() -> int:
        runs.append("outer")
        return ledger.call("inner", inner, {"n": 1}, workflow="w") + 1

    for _ in range(2):
        assert face.do(ledger, "call", "outer", outer, workflow="w") == 2
    assert runs == ["outer", "inner"]
    assert {e.tool: e.status for e in ledger.effects()} == {
        "inner": Status.SUCCEEDED,
        "outer": Status.SUCCEEDED,
    }


def by_itself(ledger: Ledger, call: Any) -> None:
    """Called where the effect itself calls."""
    call()


def in_a_thread_with_its_context(ledger: Ledger, call: Any) -> None:
    """As frameworks run tools."""
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(context.run, call).result()


def through_another_effect(ledger: Ledger, call: Any) -> None:
    """With one more effect between."""
    ledger.call("between", call, workflow="w")


def through_a_suspected_twin(ledger: Ledger, call: Any) -> None:
    """Under another call id, which the policy takes for the same intent."""
    policy = Policy(on_suspect="replay")
    ledger.call("loop", lambda: None, workflow="w", call_id="other", policy=policy)


def with_a_claim_by_hand(ledger: Ledger, call: Any) -> None:
    """Claimed instead of called."""
    with ledger.claim("loop", workflow="w"):
        raise AssertionError("claimed what it holds itself")


@pytest.mark.parametrize(
    "way",
    [
        by_itself,
        in_a_thread_with_its_context,
        through_another_effect,
        through_a_suspected_twin,
        with_a_claim_by_hand,
    ],
)
def test_an_effect_that_calls_itself_is_told_at_once(place: Place, face: Face, way: Any) -> None:
    """S14: nobody waits for himself, however far away the inner call is made."""
    ledger, seen = place.open(), list[BaseException]()

    def again() -> None:
        ledger.call("loop", loop, workflow="w")

    def loop() -> str:
        began = time.monotonic()
        with pytest.raises((CalledFromItself, EffectInDoubt)) as caught:
            way(ledger, again)
        assert time.monotonic() - began < 2.0
        seen.append(caught.value)
        return "done"

    assert face.do(ledger, "call", "loop", loop, workflow="w") == "done"
    (error,) = seen
    cause = error if isinstance(error, CalledFromItself) else error.__cause__
    assert isinstance(cause, CalledFromItself)
    assert "another identity" in str(cause)


def test_a_tool_may_call_itself_with_other_arguments(place: Place, face: Face) -> None:
    """S14: recursion is no self-call."""
    ledger = place.open()

    def factorial(n: int) -> int:
        if n == 0:
            return 1
        inner: int = ledger.call("factorial", factorial, {"n": n - 1}, workflow="w")
        return n * inner

    assert face.do(ledger, "call", "factorial", factorial, {"n": 5}, workflow="w") == 120
    assert len(ledger.effects()) == 6


# -- S15 ----------------------------------------------------------------------------------------


def test_of_five_claims_by_hand_one_is_the_owner(place: Place) -> None:
    """S15: the others wait, and get the owner's result."""
    ledgers, owners = [place.open(), place.open()], list[str]()
    gate = threading.Barrier(5)

    def claim(n: int) -> Any:
        gate.wait(10)
        with ledgers[n % 2].claim("charge", {"order": "A"}, workflow="w") as claim:
            if not claim.fresh:
                return claim.result
            owners.append(claim.key)
            time.sleep(0.1)
            claim.succeed({"id": "ch_1"})
            return claim.result

    with ThreadPoolExecutor(5) as pool:
        assert list(pool.map(claim, range(5))) == [{"id": "ch_1"}] * 5
    assert owners == [ledgers[0].effects()[0].key]


async def test_of_five_awaited_claims_one_is_the_owner(place: Place) -> None:
    """S15: tasks are like threads."""
    ledger, owners = place.open(), list[str]()

    async def claim() -> Any:
        async with ledger.claim("charge", {"order": "A"}, workflow="w") as claim:
            if claim.fresh:
                owners.append(claim.key)
                await asyncio.sleep(0.1)
                await claim.asucceed({"id": "ch_1"})
            return claim.result

    assert await asyncio.gather(*[claim() for _ in range(5)]) == [{"id": "ch_1"}] * 5
    assert len(owners) == 1


def test_a_claim_on_what_failed_or_was_denied_raises(place: Place) -> None:
    """S15: nothing is handed out as an empty result."""
    ledger = place.open()
    with ledger.claim("charge", workflow="failed") as claim:
        claim.fail(ValueError("declined"))
    with pytest.raises(EffectFailed, match="declined"), ledger.claim("charge", workflow="failed"):
        raise AssertionError("claimed")

    asked: dict[str, Any] = {"workflow": "denied", "policy": Policy(approval=True)}
    with pytest.raises(ApprovalRequired) as caught, ledger.claim("charge", **asked):
        raise AssertionError("claimed")
    ledger.deny(str(caught.value.key), by="ann")
    with pytest.raises(ApprovalDenied), ledger.claim("charge", **asked):
        raise AssertionError("claimed")


# -- S16 ----------------------------------------------------------------------------------------


@durable
def test_a_run_that_is_started_again_goes_on_where_it_died(place: Place, witness: Witness) -> None:
    """S16: a new process replays what is done and executes only the rest."""
    with Child("steps", place, witness, die_before=3) as child:
        assert child.end() == -9
    assert dict(witness.counts()) == {"step 1": 1, "step 2": 1}
    ledger = place.reopen()
    (cut_off,) = ledger.effects(status=Status.RUNNING) or ledger.effects(status=Status.IN_DOUBT)
    assert cut_off.args == {"n": 3}
    with Child("steps", place, witness, die_before=0) as child:
        answer = child.hear()
        ledger.resolve(cut_off.key, by="ann", failed="the log of the bank has no trace of it")
        assert answer == "EffectInDoubt"
    with Child("steps", place, witness, die_before=0) as child:
        assert child.hear() == ["done 1", "done 2", "done 3"]
    assert dict(witness.counts()) == {"step 1": 1, "step 2": 1, "step 3": 1}


def test_the_effect_knows_where_it_is(place: Place, face: Face) -> None:
    """S14: what a tool asks about itself is its own effect, also inside another."""
    ledger, seen = place.open(), list[tuple[str, str]]()

    def inner() -> None:
        seen.append((current_effect().tool, current_effect().key))

    def outer() -> None:
        ledger.call("inner", inner, workflow="w")
        seen.append((current_effect().tool, current_effect().idempotency_key))

    face.do(ledger, "call", "outer", outer, workflow="w")
    assert dict(seen) == {effect.tool: effect.key for effect in ledger.effects()}
    with pytest.raises(LookupError, match="no effect is being performed"):
        current_effect()
