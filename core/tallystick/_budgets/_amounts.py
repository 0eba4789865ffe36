"""What is limited, and whole numbers for it: nothing here is ever a binary fraction."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from tallystick.errors import InvalidCall

#: money and other amounts are kept in billionths
NANO = 1_000_000_000
_MOST = 1 << 62

Amount = Decimal | int | float | str


class Metric(StrEnum):
    """What a limit counts."""

    USD = "usd"
    TOKENS = "tokens"
    REQUESTS = "requests"
    #: a value among the arguments of tools, in whatever unit they have
    AMOUNT = "amount"

    @property
    def fractional(self) -> bool:
        """Whether one unit has parts."""
        return self in (Metric.USD, Metric.AMOUNT)


def units(metric: Metric, value: Any, where: str, *, up: bool = True) -> int:
    """
    *value* as it is kept: billionths of money and amounts, whole tokens and requests.

    What is smaller than that is rounded up (a demand) or down (a limit). Floats count as the
    decimal that Python shows for them. InvalidCall naming *where* for anything that is no amount
    from 0.
    """
    try:
        number = Decimal(str(value)) if isinstance(value, float) else Decimal(value)
        if isinstance(value, bool) or not number.is_finite() or number < 0:
            raise InvalidOperation
        scaled = number * NANO if metric.fractional else number
        whole = int(scaled.to_integral_value(ROUND_CEILING if up else ROUND_FLOOR))
    except (InvalidOperation, TypeError, ValueError, OverflowError) as error:
        raise InvalidCall(f"{where}={value!r}: give an amount from 0, like '2.50'") from error
    if whole > _MOST or (not metric.fractional and whole != number):
        raise InvalidCall(f"{where}={value!r} is out of range, or no whole number")
    return whole


def shown(metric: Metric, whole: int) -> Decimal | int:
    """What is kept, as people read it."""
    if not metric.fractional:
        return whole
    exact = Decimal(whole).scaleb(-9)
    # two places like money, more where there is more to say
    return exact.quantize(Decimal("0.01")) if whole % 10_000_000 == 0 else exact.normalize()
