"""What people type, as the ledger wants it: pairs, spans, moments, prices."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tallystick.errors import InvalidCall, LedgerError

if TYPE_CHECKING:
    from tallystick.prices import PriceBook

_SPAN = re.compile(r"(\d{1,7})\s*(s|min|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def pairs(values: Iterable[str], option: str) -> dict[str, str]:
    """``fact=value`` for each; the value may hold further equal signs."""
    found: dict[str, str] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise typer.BadParameter(
                f"{text!r}: write fact=value, like customer=c-42", param_hint=option
            )
        if name in found:
            raise typer.BadParameter(f"{name} is given twice", param_hint=option)
        found[name] = value
    return found


def span(text: str) -> timedelta | None:
    """``90s``, ``10min``, ``24h``, ``7d``, ``2w``; ``None`` for anything else."""
    found = _SPAN.fullmatch(text.strip().lower())
    return None if found is None else timedelta(seconds=int(found[1]) * _SECONDS[found[2]])


def window(text: str | None) -> str | timedelta | None:
    """A window of a budget: the name of a calendar's, or a span for one that rolls."""
    return None if text is None else span(text) or text


def since(text: str | None) -> datetime | None:
    """A moment: so long ago, or an ISO date or time, of UTC where it names no zone."""
    return None if text is None else _moment(text, "--since")


def until(text: str | None) -> datetime | None:
    """As :func:`since`; a day counts to its end."""
    if text is None:
        return None
    whole = timedelta(days=1 if _DAY.fullmatch(text.strip()) else 0)
    return _moment(text, "--until") + whole


def _moment(text: str, option: str) -> datetime:
    ago = span(text)
    try:
        if ago is not None:
            return datetime.now(UTC) - ago
        if _DAY.fullmatch(text.strip()):
            day = date.fromisoformat(text.strip())
            return datetime(day.year, day.month, day.day, tzinfo=UTC)
        said = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r}: write 7d, 24h, 2026-11-01 or 2026-11-01T09:00Z", param_hint=option
        ) from None
    return said if said.tzinfo is not None else said.replace(tzinfo=UTC)


def book(overrides: Path | None) -> PriceBook:
    """The prices of a file, and then those of genai-prices where that is installed."""
    from tallystick.prices import GenaiPrices, Overrides, price_book

    books: list[PriceBook] = []
    if overrides is not None:
        try:
            books.append(Overrides.from_toml(overrides))
        except (OSError, UnicodeError) as error:
            raise InvalidCall(f"the prices in {overrides} cannot be read: {error}") from error
    try:
        books.append(GenaiPrices())
    except LedgerError as error:
        if not books:
            raise InvalidCall(f"{error}; here: --prices FILE.toml") from error
    return price_book(*books)
