"""Detectors of sameness: the same again, the same in turns, nothing new."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tallystick._values import Value
from tallystick.runaway._checks import named, whole
from tallystick.runaway._values import Action, Call, Finding

#: model calls and tool calls take turns, and are compared among their own kind
_KINDS = 2


class Repeats(Value):
    """
    The same request got the same answer, *times* in a row.

    Model calls and tool calls are rows of their own, since they take turns. A replayed answer
    counts like any other. A call without an answer breaks the row, unless it is still under way:
    what failed differently each time is no repetition, and :class:`BurnRate` sees the hurry.

    >>> same = Call(at=0, kind="tool", what="search", request=b"q", answer=b"a")
    >>> Repeats(times=3).look([same, same]) is None
    True
    >>> Repeats(times=3).look([same, same, same]).evidence["times"]
    3
    """

    times: int = 3
    name: str = "repeats"
    action: Action | None = None

    def __post_init__(self) -> None:
        named(self.name, self.action, "Repeats")
        whole(self.times, "Repeats(times=…)", least=2)

    @property
    def forgives(self) -> bool:
        """Tools that poll are hidden from it."""
        return True

    @property
    def depth(self) -> int:
        """How many recent calls it needs."""
        return self.times * _KINDS

    def look(self, calls: Sequence[Call]) -> Finding | None:
        """The last call and those before it, where they are all the same."""
        for row in _by_kind(calls):
            last = row[-self.times :]
            if len(last) == self.times and all(map(_same_as(last[-1]), last)):
                return Finding(
                    rule=self.name, message=_again(last), evidence=_evidence(last, "times")
                )
        return None


class Cycles(Value):
    """
    The same two to *period* different calls, with the same answers, *times* in turn.

    Compared as in :class:`Repeats`, whose finding a cycle of one is.
    """

    period: int = 4
    times: int = 3
    name: str = "cycles"
    action: Action | None = None

    def __post_init__(self) -> None:
        named(self.name, self.action, "Cycles")
        whole(self.period, "Cycles(period=…)", least=2, most=16)
        whole(self.times, "Cycles(times=…)", least=2, most=100)

    @property
    def forgives(self) -> bool:
        """Tools that poll are hidden from it."""
        return True

    @property
    def depth(self) -> int:
        """How many recent calls it needs."""
        return self.period * self.times * _KINDS

    def look(self, calls: Sequence[Call]) -> Finding | None:
        """The shortest cycle that the last calls are."""
        for row in _by_kind(calls):
            last = row[-self.period * self.times :]
            tokens = [_token(call) for call in last]
            for period in range(2, self.period + 1):
                if self._turns(tokens, period):
                    return self._found(last[-period * self.times :], period)
        return None

    def _turns(self, tokens: list[Any], period: int) -> bool:
        tail = tokens[-period * self.times :]
        return (
            len(tail) == period * self.times
            and tail[period:] == tail[:-period]
            and len(set(tail[:period])) > 1
        )

    def _found(self, last: list[Call], period: int) -> Finding:
        turn = " → ".join(call.what for call in last[:period])
        return Finding(
            rule=self.name,
            message=f"{turn} went round {self.times} times with the same arguments and the same "
            "answers; break the cycle: use those answers, do something else, or stop",
            evidence={
                "period": period,
                "turn": [call.what for call in last[:period]],
                **_evidence(last, "calls"),
            },
        )


class NoProgress(Value):
    """
    *steps* answers, and none among them that was new.

    An answer is new when it is not among the last twice as many of its kind. Tools that answer
    every success alike ("ok") belong into ``Runaway(ignore=…)`` where they are called that often.
    Calls without an answer say nothing in either direction.
    """

    steps: int = 16
    name: str = "no_progress"
    action: Action | None = None

    def __post_init__(self) -> None:
        named(self.name, self.action, "NoProgress")
        whole(self.steps, "NoProgress(steps=…)", least=2, most=1000)

    @property
    def forgives(self) -> bool:
        """Tools that poll are hidden from it."""
        return True

    @property
    def depth(self) -> int:
        """How many recent calls it needs."""
        return 2 * self.steps * _KINDS

    def look(self, calls: Sequence[Call]) -> Finding | None:
        """The calls since the last new answer, where there are enough."""
        for row in _by_kind(calls):
            last = [call for call in row if call.answer is not None][-2 * self.steps :]
            seen: set[bytes | None] = set()
            news = 0
            for place, call in enumerate(last):
                if call.answer not in seen:
                    seen.add(call.answer)
                    news = place
            old = last[news + 1 :]
            if len(old) >= self.steps:
                return self._found(old)
        return None

    def _found(self, old: list[Call]) -> Finding:
        what = ", ".join(sorted({call.what for call in old}))
        whose = "the model" if old[0].kind == "model" else "tools"
        return Finding(
            rule=self.name,
            message=f"{len(old)} calls of {whose} ({what}) brought no answer that was not known "
            "before; say what is missing, try another way, or stop",
            evidence=_evidence(old, "steps"),
        )


def _by_kind(calls: Sequence[Call]) -> tuple[list[Call], list[Call]]:
    """Model calls and tool calls, each without those at the end that are still under way."""
    rows = (
        [call for call in calls if call.kind == "model"],
        [call for call in calls if call.kind == "tool"],
    )
    for row in rows:
        while row and row[-1].answer is None:
            row.pop()
    return rows


def _same_as(one: Call) -> Callable[[Call], bool]:
    def same(call: Call) -> bool:
        return call.request == one.request and call.answer == one.answer and call.what == one.what

    return same


def _token(call: Call) -> tuple[str, bytes, object]:
    """Equal for equal calls; a call without an answer equals no other."""
    answer = object() if call.answer is None else call.answer
    return call.what, call.request, answer


def _again(last: list[Call]) -> str:
    one, times = last[-1], len(last)
    if one.kind == "model":
        return (
            f"{one.what} was asked the same {times} times in a row and gave the same answer; "
            "use that answer, ask something else, or stop"
        )
    return (
        f"{one.what} was called {times} times in a row with the same arguments and gave the same "
        "answer; use that answer, change the arguments, or stop"
    )


def _evidence(last: list[Call], count: str) -> dict[str, Any]:
    newest = last[-1]
    return {
        "kind": newest.kind,
        "what": newest.what,
        count: len(last),
        "replayed": sum(call.replayed for call in last),
        "since": last[0].at,
        "until": newest.at,
        "request": newest.request.hex(),
        "answer": (newest.answer or b"").hex(),
    }
