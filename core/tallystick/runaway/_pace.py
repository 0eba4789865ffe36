"""Detectors of pace: money and calls per time, and requests that grow."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

from tallystick._values import Value
from tallystick.runaway._checks import NANOS, in_nanos, in_seconds, named, positive, whole
from tallystick.runaway._values import Action, Call, Finding

_MICROS = 1_000_000
#: calls that are read at least, to know what was spent
_TAIL = 64
#: one dear call, or two, are what the budget itself is for
_PAID = 3


class BurnRate(Value):
    """
    Too much money, or too many calls, in too little time.

    share
        Of the cap, spent within ``seconds``: more is a finding. The cap is given with
        :meth:`Runaway.under`; where there is none, shares are not judged.
    usd
        Dollars within ``seconds``, whatever the cap.
    calls_per_second
        On average over the last ``burst`` seconds, models and tools together.

    Each may be ``None``: not judged; exactly the limit is no finding. Fewer than three paid calls
    are no rate. Time ends with the newest call; no clock is read. Where the window holds more
    calls than ``depth``, the pace of those that were read is taken for all of it.

    >>> fast = [
    ...     Call(at=n * 500_000, kind="model", what="m", request=bytes([n]), nanos=30_000_000)
    ...     for n in range(4)
    ... ]
    >>> print(BurnRate(usd="0.10", seconds=60).look(fast).message)
    $0.12 were spent within 1.5 seconds, where 60 seconds may cost $0.1; look at what the session \
is doing, use a cheaper model, or stop
    """

    share: float | None = 0.5
    usd: Decimal | int | str | None = None
    seconds: float | timedelta = 120.0
    calls_per_second: float | None = 4.0
    burst: float | timedelta = 10.0
    cap: int | None = None
    name: str = "burn_rate"
    action: Action | None = None

    def __post_init__(self) -> None:
        named(self.name, self.action, "BurnRate")
        if self.share is not None:
            positive(self.share, "BurnRate(share=…)", most=1)
        if self.usd is not None:
            in_nanos(self.usd, "BurnRate(usd=…)")
        if self.calls_per_second is not None:
            positive(self.calls_per_second, "BurnRate(calls_per_second=…)", most=1000)
        if self.cap is not None:
            whole(self.cap, "BurnRate(cap=…), in nano-dollars", least=0, most=(1 << 63) - 1)
        object.__setattr__(self, "seconds", in_seconds(self.seconds, "BurnRate(seconds=…)"))
        object.__setattr__(self, "burst", in_seconds(self.burst, "BurnRate(burst=…)"))
        whole(self.depth, "BurnRate: calls_per_second × burst", least=1)

    @property
    def forgives(self) -> bool:
        """Tools that poll cost and hurry like others."""
        return False

    @property
    def depth(self) -> int:
        """How many recent calls it needs."""
        return max(_TAIL, self._calls + 1)

    @property
    def _calls(self) -> int:
        """How many calls a burst may have."""
        return math.floor((self.calls_per_second or 0) * _span(self.burst) / _MICROS)

    @property
    def limit(self) -> int | None:
        """Nano-dollars that ``seconds`` may cost: the smaller of both limits."""
        limits: list[int] = []
        if self.usd is not None:
            limits.append(in_nanos(self.usd, "BurnRate(usd=…)"))
        if self.share is not None and self.cap is not None:
            limits.append(math.floor(Fraction(str(self.share)) * self.cap))
        return min(limits, default=None)

    def look(self, calls: Sequence[Call]) -> Finding | None:
        """Too many calls in the last burst, else too much money in the last seconds."""
        last = calls[-self.depth :]
        if not last:
            return None
        return self._hurry(last) or self._spree(last, cut=len(last) == self.depth)

    def _hurry(self, last: Sequence[Call]) -> Finding | None:
        if self.calls_per_second is None:
            return None
        start = last[-1].at - _span(self.burst)
        count = sum([call.at > start for call in last])
        if count <= self._calls:
            return None
        return Finding(
            rule=self.name,
            message=f"{count} calls within {_seconds(_span(self.burst))} are more than "
            f"{self.calls_per_second:g} per second; wait longer between retries, or stop",
            evidence={"calls": count, "seconds": _span(self.burst) / _MICROS},
        )

    def _spree(self, last: Sequence[Call], *, cut: bool) -> Finding | None:
        limit = self.limit
        if limit is None:
            return None
        window = _span(self.seconds)
        start = last[-1].at - window
        costs = [call.nanos for call in last if call.at > start and call.nanos]
        spent, passed = sum(costs), min(last[-1].at - last[0].at, window)
        judged = max(passed, _span(self.burst)) if cut else window
        if len(costs) < _PAID or spent * window <= limit * min(judged, window):
            return None
        return Finding(
            rule=self.name,
            message=f"{_usd(spent)} were spent within {_seconds(passed)}, where "
            f"{_seconds(window)} may cost {_usd(limit)}; look at what the session is doing, use a "
            "cheaper model, or stop",
            evidence={
                "nanos": spent,
                "calls": len(costs),
                "seconds": passed / _MICROS,
                "limit_nanos": limit,
                "limit_seconds": window / _MICROS,
            },
        )


class Growth(Value):
    """
    Requests that grow and grow: *times* growth ratios above *ratio* among *window* model calls.

    A ratio is that of the input tokens of a model call to those of the one before; exactly *ratio*
    is not above it. This is AgentWatch's rule. It is not in the default set: an agent that reads
    four big documents grows like that, and a loop that appends the same again and again does not.

    >>> def grown(*tokens: int) -> list[Call]:
    ...     return [
    ...         Call(at=n, kind="model", what="m", request=b"", input_tokens=count)
    ...         for n, count in enumerate(tokens)
    ...     ]
    >>> Growth().look(grown(1000, 1400, 1960, 2744)) is None
    True
    >>> Growth().look(grown(1000, 1401, 1963, 2750)).evidence["tokens"]
    [1000, 1401, 1963, 2750]
    """

    ratio: float = 1.4
    window: int = 5
    times: int = 3
    name: str = "growth"
    action: Action | None = None

    def __post_init__(self) -> None:
        named(self.name, self.action, "Growth")
        positive(self.ratio, "Growth(ratio=…)", most=1000)
        whole(self.window, "Growth(window=…)", least=2, most=1000)
        whole(self.times, "Growth(times=…), fewer than window=…", least=1, most=self.window - 1)

    @property
    def forgives(self) -> bool:
        """Tools that poll cost and hurry like others."""
        return False

    @property
    def depth(self) -> int:
        """How many recent calls it needs."""
        return 2 * self.window

    def look(self, calls: Sequence[Call]) -> Finding | None:
        """The window, where it holds enough growth."""
        points = [call for call in calls if call.kind == "model" and call.input_tokens]
        points = points[-self.window :]
        # 1.4 is no binary fraction: exactly 1.4 must not depend on how it was rounded
        over, under = Fraction(str(self.ratio)).as_integer_ratio()
        tokens = [call.input_tokens for call in points]
        grown = sum(new * under > old * over for old, new in itertools.pairwise(tokens))
        if grown < self.times:
            return None
        return Finding(
            rule=self.name,
            message=f"the input of {points[-1].what} grew from {tokens[0]:,} to {tokens[-1]:,} "
            f"tokens in {len(points)} calls, {grown} times by more than {self.ratio:g}; shorten "
            "the history, or stop",
            evidence={
                "what": points[-1].what,
                "tokens": tokens,
                "since": points[0].at,
                "until": points[-1].at,
            },
        )


def _span(value: float | timedelta) -> int:
    """A duration that was validated before, in microseconds."""
    number = value.total_seconds() if isinstance(value, timedelta) else value
    return round(number * _MICROS)


def _seconds(micros: int) -> str:
    return f"{micros / _MICROS:.4g} seconds"


def _usd(nanos: int) -> str:
    return f"${(Decimal(nanos) / NANOS).normalize():f}"
