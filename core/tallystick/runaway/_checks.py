"""What a rule may be told: refused where it is written, not where it would have mattered."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from tallystick.errors import InvalidPolicy

NANOS = 1_000_000_000
_ACTIONS = ("warn", "ask", "stop")
#: a rule that wants more calls than this would read more than it prevents
_MOST = 10_000
_DAY = 86_400.0
#: what fits into a database's 64 bits
_WEALTH = Decimal((1 << 63) - 1) / NANOS


def named(name: Any, action: Any, where: str) -> None:
    """Check the two fields that every rule has."""
    if not isinstance(name, str) or not name:
        raise InvalidPolicy(f"{where}(name={name!r}): give a non-empty name")
    if action is not None:
        check_action(action, where)


def check_action(action: Any, where: str) -> None:
    """*action* is one of the three."""
    if action not in _ACTIONS:
        choices = ", ".join(map(repr, _ACTIONS))
        raise InvalidPolicy(f"{where}(action={action!r}): one of {choices}")


def whole(value: Any, where: str, *, least: int, most: int = _MOST) -> None:
    """*value* is a whole number in this range."""
    if type(value) is not int or not least <= value <= most:
        raise InvalidPolicy(f"{where}: give a whole number from {least} to {most}, not {value!r}")


def positive(value: Any, where: str, *, most: float) -> None:
    """*value* is a number above 0 and not above *most*."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise InvalidPolicy(f"{where}: give a number above 0 and up to {most:g}, not {value!r}")


def in_seconds(value: Any, where: str) -> float:
    """*value*, seconds or a timedelta, as seconds: above 0, at most a day."""
    number = value.total_seconds() if isinstance(value, timedelta) else value
    positive(number, where, most=_DAY)
    return float(number)


def in_nanos(usd: Any, where: str) -> int:
    """*usd*, a Decimal, a whole number or a decimal string, as nano-dollars."""
    try:
        if isinstance(usd, bool) or not isinstance(usd, Decimal | int | str):
            raise TypeError
        amount = Decimal(usd)
        if not 0 < amount <= _WEALTH:
            raise ValueError
    except (TypeError, ValueError, InvalidOperation):
        raise InvalidPolicy(
            f"{where}: give dollars above 0 as a Decimal, a whole number or a string like '0.50', "
            f"not {usd!r}"
        ) from None
    return int(amount * NANOS)
