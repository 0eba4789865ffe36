"""Trying again inside a call: how often, how long, and only where that is safe."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from tallystick import (
    EffectInDoubt,
    Guarantee,
    Ledger,
    NotApplied,
    Policy,
    ProbeAnswer,
    Retry,
    Status,
    current_effect,
)
from tallystick.testing import turn_clock
from tests.conftest import Face, Place

AT_ONCE = Retry(attempts=3, initial=0, jitter=0)


class Tool:
    """Answers, or raises, one thing after the other; and counts."""

    def __init__(self, place: Place, face: Face, *answers: Any) -> None:
        self.answers = list(answers)
        self.runs = 0
        self.seen: list[tuple[str, int, int]] = []
        self.ledger = place.open()
        self._face = face

    def __call__(self) -> Any:
        self.runs += 1
        current = current_effect()
        self.seen.append((current.idempotency_key, current.attempt, current.epoch))
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def call(self, **policy: Any) -> Any:
        """Call it through the ledger."""
        declared = Policy(**policy)
        return self._face.do(self.ledger, "call", "t", self, workflow="w", policy=declared)

    @property
    def status(self) -> Status:
        """What stands in the row."""
        return self.ledger.effects()[0].status


def busy(n: int = 0) -> NotApplied:
    """It certainly did not happen."""
    return NotApplied(f"busy {n}", retryable=True)


# -- how often ----------------------------------------------------------------------------------


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_attempts_are_all_attempts(place: Place, face: Face, attempts: int) -> None:
    """The first one counts, and the error of the last one is the caller's."""
    tool = Tool(place, face, *[busy(n) for n in range(10)])
    with pytest.raises(NotApplied, match=f"busy {attempts - 1}"):
        tool.call(retry=Retry(attempts=attempts, initial=0, jitter=0))
    assert tool.runs == attempts
    assert tool.status is Status.FAILED
    assert tool.ledger.effects()[0].attempt == attempts


def test_a_number_is_a_number_of_attempts() -> None:
    """The pauses are the usual ones."""
    assert Policy(retry=4).retry == Retry(attempts=4)
    assert Policy().retry is None


def test_pauses_grow_up_to_a_maximum() -> None:
    """By the factor, with up to so much jitter on top."""
    plain = Retry(initial=0.1, factor=3, maximum=2, jitter=0)
    assert [round(plain.pause(n), 3) for n in range(1, 6)] == [0.1, 0.3, 0.9, 2, 2]
    assert plain.pause(5000) == 2
    shaken = [Retry(initial=1, jitter=timedelta(seconds=0.5)).pause(1) for _ in range(200)]
    assert 1 <= min(shaken) < 1.1
    assert 1.4 < max(shaken) <= 1.5


def test_the_pause_is_kept(place: Place, face: Face) -> None:
    """Between two attempts, and neither before the first nor after the last."""
    tool = Tool(place, face, busy(), "done")
    began = time.monotonic()
    assert tool.call(retry=Retry(attempts=2, initial=0.2, jitter=0)) == "done"
    assert 0.2 <= time.monotonic() - began < 2.0


def test_what_is_final_is_not_tried_again(place: Place, face: Face) -> None:
    """However many attempts there are."""
    tool = Tool(place, face, NotApplied("no"))
    with pytest.raises(NotApplied, match="no"):
        tool.call(retry=AT_ONCE)
    assert (tool.runs, tool.status) == (1, Status.FAILED)


def test_a_doubt_is_not_tried_again(place: Place, face: Face) -> None:
    """A retry policy is no promise that repeating is safe."""
    tool = Tool(place, face, RuntimeError("cut off"))
    for _ in range(2):
        with pytest.raises(EffectInDoubt):
            tool.call(retry=AT_ONCE)
    assert (tool.runs, tool.status) == (1, Status.IN_DOUBT)


def test_a_reading_is_tried_again_whatever_it_raised(place: Place, face: Face) -> None:
    """It has no effect; and without a retry policy its error is the caller's at once."""
    reading: dict[str, Any] = {"guarantee": Guarantee.READ_ONLY}
    tool = Tool(place, face, RuntimeError("cut off"), RuntimeError("cut off"), "read")
    assert tool.call(**reading, retry=AT_ONCE) == "read"
    tool.answers = [RuntimeError("cut off")]
    with pytest.raises(RuntimeError, match="cut off"):
        tool.call(**reading)
    assert tool.runs == 4
    assert tool.ledger.pending() == []


# -- how long -----------------------------------------------------------------------------------


def test_a_series_that_is_over_is_not_begun_again_by_a_later_call(place: Place, face: Face) -> None:
    """``within`` counts from the first claim ever made: a later call has one attempt left."""
    tool = Tool(place, face, *[busy(n) for n in range(10)])
    bounded = Retry(attempts=3, initial=0, jitter=0, within=60)
    with pytest.raises(NotApplied, match="busy 2"):
        tool.call(retry=bounded)
    turn_clock(tool.ledger, 50)
    with pytest.raises(NotApplied, match="busy 5"):
        tool.call(retry=bounded)
    turn_clock(tool.ledger, 20)
    for n in (6, 7):
        with pytest.raises(NotApplied, match=f"busy {n}"):
            tool.call(retry=bounded)


def test_a_pause_that_would_end_too_late_is_not_begun(place: Place, face: Face) -> None:
    """The caller is not kept waiting for an attempt that will not be made."""
    tool = Tool(place, face, busy(), busy())
    began = time.monotonic()
    with pytest.raises(NotApplied):
        tool.call(retry=Retry(attempts=3, initial=30, maximum=30, within=20))
    assert time.monotonic() - began < 5
    assert tool.runs == 1


# -- idempotent tools ---------------------------------------------------------------------------

IDEMPOTENT: dict[str, Any] = {"guarantee": Guarantee.IDEMPOTENT}


def test_an_idempotent_tool_is_repeated_under_the_same_key(place: Place, face: Face) -> None:
    """Whatever it raised; each attempt knows its number and has a fencing token of its own."""
    tool = Tool(place, face, RuntimeError("cut off"), TimeoutError(), "done")
    assert tool.call(**IDEMPOTENT, retry=AT_ONCE) == "done"
    (key,) = {key for key, _, _ in tool.seen}
    assert key == tool.ledger.effects()[0].key
    assert [attempt for _, attempt, _ in tool.seen] == [1, 2, 3]
    assert [epoch for _, _, epoch in tool.seen] == [1, 2, 3]


def test_an_idempotent_tool_without_a_retry_is_repeated_by_the_next_call(
    place: Place, face: Face
) -> None:
    """The live caller hears that nobody knows; calling again is safe while the key lives."""
    tool = Tool(place, face, RuntimeError("cut off"), "done")
    with pytest.raises(EffectInDoubt) as caught:
        tool.call(**IDEMPOTENT)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert tool.call(**IDEMPOTENT) == "done"
    assert tool.ledger.pending() == []


def test_a_key_that_is_forgotten_downstream_is_not_used_again(place: Place, face: Face) -> None:
    """Its lifetime counts from the first claim, and no attempt extends it."""
    tool = Tool(place, face, *[RuntimeError("cut off")] * 5)
    policy = IDEMPOTENT | {"key_lifetime": timedelta(hours=1)}
    for _ in range(2):
        with pytest.raises(EffectInDoubt):
            tool.call(**policy)
        turn_clock(tool.ledger, 30 * 60)
    for _ in range(2):
        with pytest.raises(EffectInDoubt):
            tool.call(**policy, retry=AT_ONCE)
    assert tool.runs == 2


def test_a_repeat_that_did_not_happen_does_not_settle_the_doubt(place: Place, face: Face) -> None:
    """ "It was refused" goes for the repeated attempt only; the first one may have happened."""
    tool = Tool(place, face, RuntimeError("cut off"), NotApplied("refused"), "done")
    for _ in range(2):
        with pytest.raises(EffectInDoubt):
            tool.call(**IDEMPOTENT)
        assert tool.status is Status.IN_DOUBT
    assert tool.call(**IDEMPOTENT) == "done"


# -- tools with a probe -------------------------------------------------------------------------


def reconciled(*answers: ProbeAnswer | Exception, quiet: float = 60.0) -> dict[str, Any]:
    """The policy of a tool whose owner answers so, one time after the other."""
    left = list(answers)

    def probe(effect: Any) -> ProbeAnswer:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return {"guarantee": Guarantee.RECONCILE, "probe": probe, "quiet": quiet}


def test_a_probe_that_found_it_answers_for_the_tool(place: Place, face: Face) -> None:
    """The result is what the probe says that the call would have returned."""
    tool = Tool(place, face, RuntimeError("cut off"))
    policy = reconciled(ProbeAnswer.happened({"id": "ch_1"}))
    for _ in range(2):
        assert tool.call(**policy) == {"id": "ch_1"}
    assert tool.runs == 1
    assert [e.kind for e in tool.ledger.history(tool.seen[0][0])] == ["in_doubt", "resolved"]


def test_a_probe_that_found_nothing_counts_after_the_quiet_period(place: Place, face: Face) -> None:
    """It is waited for and asked again; then the tool may run once more."""
    tool = Tool(place, face, RuntimeError("cut off"), "done")
    policy = reconciled(ProbeAnswer.not_happened(), ProbeAnswer.not_happened(), quiet=0.3)
    began = time.monotonic()
    assert tool.call(**policy, retry=AT_ONCE) == "done"
    assert time.monotonic() - began > 0.25
    assert tool.runs == 2


def test_what_a_probe_found_not_to_have_happened_is_the_callers_error(
    place: Place, face: Face
) -> None:
    """Without a retry policy the live caller gets what the tool raised; the next call runs it."""
    tool = Tool(place, face, RuntimeError("cut off"), "done")
    policy = reconciled(ProbeAnswer.not_happened(), quiet=0)
    with pytest.raises(RuntimeError, match="cut off"):
        tool.call(**policy)
    assert tool.status is Status.FAILED
    assert tool.call(**policy) == "done"


def test_an_attempt_that_arrives_in_the_quiet_period_is_found(place: Place, face: Face) -> None:
    """That is what the period is for."""
    tool = Tool(place, face, RuntimeError("cut off"))
    policy = reconciled(ProbeAnswer.not_happened(), ProbeAnswer.happened("late"), quiet=0.2)
    assert tool.call(**policy) == "late"
    assert tool.runs == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (ProbeAnswer.unknown("the book is closed"), "the book is closed"),
        (ProbeAnswer.not_happened(), "a no counts in"),
        (ConnectionError("no line"), "no line"),
        ("yes", "instead of a ProbeAnswer"),
    ],
)
def test_a_probe_that_cannot_tell_leaves_the_doubt(
    place: Place, face: Face, answer: Any, reason: str
) -> None:
    """And says why; the tool does not run again."""
    tool = Tool(place, face, RuntimeError("cut off"))
    with pytest.raises(EffectInDoubt, match=reason):
        tool.call(**reconciled(answer), wait=1)
    assert (tool.runs, tool.status) == (1, Status.IN_DOUBT)
    assert [item.kind for item in tool.ledger.pending()] == ["in_doubt"]


def test_a_conflict_goes_to_people(place: Place, face: Face) -> None:
    """Two traces of one intent: the inbox has it, beside the doubt."""
    tool = Tool(place, face, RuntimeError("cut off"))
    with pytest.raises(EffectInDoubt, match="two charges"):
        tool.call(**reconciled(ProbeAnswer.conflict("two charges")))
    assert {item.kind for item in tool.ledger.pending()} == {"in_doubt", "conflict"}
    tool.ledger.resolve(tool.seen[0][0], by="ann", succeeded="the first one")
    assert tool.ledger.pending() == []


# -- time limits --------------------------------------------------------------------------------


class Slow:
    """A tool that takes until it is told; then it returns, or raises, its answer."""

    def __init__(self, ledger: Ledger, face: Face, answer: Any = "late") -> None:
        self.ledger = ledger
        self.leave = threading.Event()
        self.runs = 0
        self._answer = answer
        self._face = face

    def __call__(self) -> Any:
        self.runs += 1
        assert self.leave.wait(20)
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer

    def call(self, **policy: Any) -> Any:
        """Call it through the ledger, with little patience."""
        policy.setdefault("timeout", 0.1)
        declared = Policy(**policy)
        return self._face.do(self.ledger, "call", "t", self, workflow="w", policy=declared)

    def until(self, status: Status) -> None:
        """Wait until this stands in the row."""
        deadline = time.monotonic() + 10
        while self.ledger.effects()[0].status is not status:
            assert time.monotonic() < deadline
            time.sleep(0.005)


@pytest.mark.parametrize(
    ("answer", "status"), [("late", Status.SUCCEEDED), (NotApplied("no"), Status.FAILED)]
)
def test_a_sync_tool_that_ends_late_resolves_its_own_doubt(
    place: Place, face: Face, answer: Any, status: Status
) -> None:
    """The caller is let go; the thread goes on, and what it brings is the outcome."""
    tool = Slow(place.open(), face, answer)
    with pytest.raises(EffectInDoubt, match=r"longer than 0\.1 s") as caught:
        tool.call()
    assert isinstance(caught.value.__cause__, TimeoutError)
    assert [item.kind for item in tool.ledger.pending()] == ["in_doubt"]
    tool.leave.set()
    tool.until(status)
    assert tool.ledger.pending() == []
    kinds = [e.kind for e in tool.ledger.history(tool.ledger.effects()[0].key)]
    assert kinds == ["in_doubt", "settled_late"]
    if status is Status.SUCCEEDED:
        assert tool.call() == "late"
    assert tool.runs == 1
    assert tool.ledger.verify().sound


def test_what_a_person_said_is_not_changed_by_a_late_end(place: Place, face: Face) -> None:
    """The late outcome is observed, and kept in the history."""
    tool = Slow(place.open(), face)
    with pytest.raises(EffectInDoubt):
        tool.call()
    (effect,) = tool.ledger.effects()
    tool.ledger.resolve(effect.key, by="ann", succeeded="as ann said")
    tool.leave.set()
    deadline = time.monotonic() + 10
    while (last := tool.ledger.history(effect.key)[-1]).kind != "observed":
        assert time.monotonic() < deadline
    assert last.detail["status"] == "succeeded"
    assert tool.call() == "as ann said"


async def test_an_async_tool_is_cancelled_when_its_time_is_over(place: Place) -> None:
    """And may clean up after itself; nobody knows what it did."""
    ledger, cleaned = place.open(), list[str]()

    async def charge() -> None:
        try:
            await asyncio.sleep(20)
        finally:
            cleaned.append("up")

    policy = Policy(timeout=0.05)
    with pytest.raises(EffectInDoubt) as caught:
        await ledger.acall("charge", charge, workflow="w", policy=policy)
    assert isinstance(caught.value.__cause__, TimeoutError)
    assert cleaned == ["up"]
    assert (await ledger.aeffects())[0].status is Status.IN_DOUBT


def test_a_tool_within_its_time_is_not_disturbed(place: Place, face: Face) -> None:
    """A limit costs a thread, and changes nothing else."""
    tool = Tool(place, face, "done")
    assert tool.call(timeout=20) == "done"
    assert tool.seen[0][1] == 1


def test_a_timeout_that_the_tool_raises_is_the_tools(place: Place, face: Face) -> None:
    """It is no other than any exception: the outcome is unknown."""
    tool = Tool(place, face, TimeoutError("its own"))
    with pytest.raises(EffectInDoubt, match="its own"):
        tool.call(timeout=20)


def test_an_idempotent_tool_that_is_too_slow_is_repeated(place: Place, face: Face) -> None:
    """Under the same key; the first one's end comes too late and is only observed."""
    tool = Slow(place.open(), face, "slow")
    policy = Policy(**IDEMPOTENT, timeout=0.1, retry=AT_ONCE)
    answers: list[Any] = [tool, lambda: "quick"]

    def charge() -> Any:
        return answers.pop(0)()

    assert face.do(tool.ledger, "call", "t", charge, workflow="w", policy=policy) == "quick"
    tool.leave.set()
    (effect,) = tool.ledger.effects()
    assert (effect.attempt, effect.result) == (2, "quick")


def test_a_reading_that_is_too_slow_is_the_callers_to_repeat(place: Place, face: Face) -> None:
    """It raises once, and runs as often as the policy says, not for ever."""
    tool = Slow(place.open(), face)
    reading: dict[str, Any] = {"guarantee": Guarantee.READ_ONLY}
    with pytest.raises(TimeoutError, match=r"longer than 0\.1 s"):
        tool.call(**reading)
    assert tool.runs == 1
    with pytest.raises(TimeoutError):
        tool.call(**reading, retry=Retry(attempts=2, initial=0, jitter=0))
    assert tool.runs == 3
    tool.leave.set()
    assert tool.ledger.pending() == []
