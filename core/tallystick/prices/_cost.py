"""From rates to money: exact in between, rounded up once at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context, Decimal, Inexact
from typing import Any

from tallystick._values import Value
from tallystick.errors import InvalidCall
from tallystick.prices._usage import BUCKETS, INPUT, OUTPUT, Usage

#: wide enough for any count times any rate; were it not, it would say so instead of rounding
_EXACT = Context(prec=100, traps=[Inexact])
#: a rate is USD per million, a cost is in billionths of a dollar
_NANOS = Decimal(1000)
_FREE = Decimal(0)

_WRITES = ("cache_write", "cache_write_1h")
_AUDIO = ("input_audio", "output_audio")


def _sides(*, writes: bool, audio: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    left_out = (() if writes else _WRITES) + (() if audio else _AUDIO)
    return (
        tuple(bucket for bucket in INPUT if bucket not in left_out),
        tuple(bucket for bucket in OUTPUT if bucket not in left_out),
    )


#: what each side of a call may be charged as, by whether it may write to a cache and have sound
_SIDES = {
    (writes, audio): _sides(writes=writes, audio=audio)
    for writes in (False, True)
    for audio in (False, True)
}


class Cost(Value):
    """
    What a usage costs, and why.

    ``nanos``
        Nano-dollars, rounded up.
    ``rates``
        The rates that were applied: bucket to USD per million, as a decimal string.
    ``source``, ``version``
        Where the rates come from (``"override"``, ``"genai-prices"``) and which state of it: the
        package's version, or the label or digest of the overrides.

    >>> cost = Cost(nanos=10_650_000, rates={"input": "3"}, source="override", version="may")
    >>> cost.usd
    Decimal('0.010650000')
    >>> Cost.from_json(cost.to_json()) == cost
    True
    """

    nanos: int
    rates: Mapping[str, str]
    source: str
    version: str

    @property
    def usd(self) -> Decimal:
        """The cost in US dollars, to the ninth decimal."""
        return Decimal(self.nanos).scaleb(-9)

    def to_json(self) -> dict[str, Any]:
        """What to store with the call, so that the cost can be explained and taken again."""
        return {
            "nanos": self.nanos,
            "rates": dict(self.rates),
            "source": self.source,
            "version": self.version,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Cost:
        """What :meth:`to_json` gave."""
        return cls(**stored)


@dataclass(frozen=True, slots=True)
class Rate:
    """
    USD per million of something.

    ``tiers`` are pairs of a number of input tokens and the rate for *all* of a call's tokens once
    its input exceeds that number, in ascending order.
    """

    base: Decimal
    tiers: tuple[tuple[int, Decimal], ...] = ()

    def at(self, input_tokens: int) -> Decimal:
        """The rate of a call with so much input."""
        applicable = self.base
        for start, price in self.tiers:
            if input_tokens > start:
                applicable = price
        return applicable

    def dearest(self, input_tokens: int) -> Decimal:
        """The dearest rate that a call with at most so much input can have."""
        if not self.tiers:
            return max(self.base, _FREE)
        return max(self.base, *(p for start, p in self.tiers if input_tokens > start), _FREE)


#: bucket to rate; a bucket without a rate cannot be priced
Rates = Mapping[str, Rate]


def cost_of(usage: Usage, rates: Rates | None, *, source: str, version: str) -> Cost | None:
    """What *usage* costs; None if a bucket that was used has no rate."""
    if rates is None:
        return None
    entered = usage.input_tokens
    lines: dict[str, tuple[int, Decimal]] = {}
    for bucket in BUCKETS:
        count: int = getattr(usage, bucket)
        if not count:
            continue
        rate = rates.get(bucket)
        if rate is not None:
            lines[bucket] = count, rate.at(entered)
        elif bucket != "requests":
            return None
    return _cost(lines, source, version)


def bound_of(
    rates: Rates | None,
    *,
    input_tokens: int,
    output_tokens: int,
    writes: bool,
    audio: bool,
    source: str,
    version: str,
) -> Cost | None:
    """
    The most that one call with at most so many tokens can cost; None without rates for both sides.

    Each token is charged at the dearest rate that a token of its side can have, at the dearest
    tier that so much input can reach. Whatever the mix turns out to be, it costs no more.
    """
    if rates is None:
        return None
    if input_tokens < 0 or output_tokens < 0:
        raise InvalidCall(
            f"a bound of {input_tokens} and {output_tokens} tokens: give numbers from 0"
        )
    entering, leaving = _SIDES[writes, audio]
    lines: dict[str, tuple[int, Decimal]] = {}
    for side, buckets, count in (
        ("input", entering, input_tokens),
        ("output", leaving, output_tokens),
        ("requests", ("requests",), 1),
    ):
        rate = max([rates[b].dearest(input_tokens) for b in buckets if b in rates], default=None)
        if rate is not None:
            lines[side] = count, rate
        elif count and side != "requests":
            return None
    return _cost(lines, source, version)


def dearest_of(costs: Iterable[Cost | None]) -> Cost | None:
    """The dearest of *costs*; None if one of them is unknown, or there are none."""
    known: list[Cost] = []
    for cost in costs:
        if cost is None:
            return None
        known.append(cost)
    return max(known, key=lambda cost: cost.nanos, default=None)


def _cost(lines: Mapping[str, tuple[int, Decimal]], source: str, version: str) -> Cost:
    total = _FREE
    for count, rate in lines.values():
        total = _EXACT.add(total, _EXACT.multiply(Decimal(count), rate))
    return Cost(
        nanos=int(_EXACT.multiply(total, _NANOS).to_integral_value(ROUND_CEILING)),
        rates={bucket: format(rate, "f") for bucket, (_, rate) in lines.items()},
        source=source,
        version=version,
    )
