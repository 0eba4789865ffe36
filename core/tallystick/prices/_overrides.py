"""Prices that the user states: they win over every other source."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple, cast

from tallystick.errors import InvalidCall
from tallystick.prices._book import aware, writes_unasked
from tallystick.prices._cost import Cost, Rate, Rates, bound_of, cost_of
from tallystick.prices._usage import BUCKETS, Usage

_SOURCE = "override"
_LIMITS = ("max_input", "max_output")
#: buckets that are charged like another one unless they are given a rate
_LIKE = {
    "cache_read": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "reasoning": "output",
}
#: USD per million: beyond either, somebody mistook the unit
_DEAREST, _FINEST = Decimal(10) ** 9, -18


class _Entry(NamedTuple):
    rates: Rates
    max_input: int | None
    max_output: int | None


class Overrides:
    """
    Prices by name of the model, in USD per million.

    *prices* maps ``"provider/model"``, ``"model"`` or a pattern with ``*`` and ``?`` to a table of
    rates: ``input`` and ``output``, and any of ``cache_read``, ``cache_write``,
    ``cache_write_1h``, ``reasoning``, ``input_audio``, ``output_audio``, ``requests`` and
    ``web_searches`` (per million of those too), besides ``max_input`` and ``max_output`` in
    tokens. What has no rate of its own: cache reads and writes cost what input does, hour-long
    writes what writes do, reasoning what output does. Audio and searches are then unpriced.

    Rates are strings, :class:`~decimal.Decimal` or whole numbers. A float is refused: it is not
    the number that was written. 0 is a price, and the only way to say that a model is free.

    Full names win over bare ones, names over patterns, and longer patterns over shorter ones; case
    does not matter. An override holds at all times and for every service tier.

    *label* goes into :attr:`Cost.version`; by default it is the digest of the prices.

    Raises InvalidCall that names the entry at fault.

    >>> from datetime import UTC, datetime
    >>> mine = Overrides({"gpt-4o*": {"input": "2.50", "output": "10", "cache_read": "1.25"}})
    >>> noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    >>> usage = Usage(input=1000, cache_read=1000, output=1)
    >>> mine.price("gpt-4o-2024-08-06", usage, provider="openai", at=noon).nanos
    3760000
    """

    def __init__(
        self, prices: Mapping[str, Mapping[str, Any]], *, label: str | None = None
    ) -> None:
        self._entries = {
            name.casefold(): _entry(name, table) for name, table in _items(prices, "Overrides")
        }
        if len(self._entries) < len(prices):
            raise InvalidCall("Overrides: two names differ only by case, which does not count")
        self._patterns = sorted(
            (name for name in self._entries if set("*?[") & set(name)), key=len, reverse=True
        )
        self.version = label or _digest(prices)

    @classmethod
    def from_toml(cls, path: str | Path) -> Overrides:
        """
        Read a file with one table per model, and perhaps a ``label`` above them.

        ::

            label = "contract of May"

            ["openai/gpt-4o*"]
            input = 2.50      # read as the decimal number that stands here
            output = "10"

        Raises InvalidCall for what is no TOML, OSError if the file cannot be read.
        """
        import tomllib

        try:
            tables = tomllib.loads(Path(path).read_text("utf-8"), parse_float=Decimal)
        except ValueError as error:
            raise InvalidCall(f"{path} is not TOML: {error}") from error
        label = tables.pop("label", None)
        if not isinstance(label, str | None):
            raise InvalidCall(f"{path}: label = {label!r} is not a text")
        try:
            return cls(tables, label=label)
        except InvalidCall as error:
            raise InvalidCall(f"{path}: {error}") from error

    def knows(self, model: str, provider: str | None) -> bool:
        """Whether an entry fits."""
        return self._find(model, provider) is not None

    def price(
        self,
        model: str,
        usage: Usage,
        *,
        provider: str | None,
        at: datetime,
        context: str | None = None,
    ) -> Cost | None:
        """See :meth:`PriceBook.price`."""
        aware(at)
        entry = self._find(model, provider)
        return entry and cost_of(usage, entry.rates, source=_SOURCE, version=self.version)

    def bound(
        self,
        model: str,
        *,
        input_tokens: int,
        output_tokens: int,
        provider: str | None,
        at: datetime,
        within: timedelta,
        cached: bool,
        context: str | None = None,
        audio: bool = True,
    ) -> Cost | None:
        """See :meth:`PriceBook.bound`."""
        aware(at)
        entry = self._find(model, provider)
        return entry and bound_of(
            entry.rates,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            writes=cached or writes_unasked(model),
            audio=audio,
            source=_SOURCE,
            version=self.version,
        )

    def max_input(self, model: str, provider: str | None) -> int | None:
        """The entry's ``max_input``."""
        entry = self._find(model, provider)
        return entry and entry.max_input

    def max_output(self, model: str, provider: str | None) -> int | None:
        """The entry's ``max_output``."""
        entry = self._find(model, provider)
        return entry and entry.max_output

    def _find(self, model: str, provider: str | None) -> _Entry | None:
        names = [model.casefold()]
        if provider is not None:
            names.insert(0, f"{provider}/{model}".casefold())
        for name in names:
            if name in self._entries:
                return self._entries[name]
        for pattern in self._patterns:
            if any(fnmatchcase(name, pattern) for name in names):
                return self._entries[pattern]
        return None


def _entry(name: str, table: Mapping[str, Any]) -> _Entry:
    rates: dict[str, Rate] = {}
    limits: dict[str, int] = {}
    for key, value in _items(table, f"Overrides[{name!r}]"):
        where = f"Overrides[{name!r}][{key!r}]"
        if key in _LIMITS:
            limits[key] = _limit(value, where)
        elif key in BUCKETS:
            rates[key] = Rate(_rate(value, where))
        else:
            raise InvalidCall(f"{where}: one of {', '.join((*BUCKETS, *_LIMITS))}")
    missing = " and ".join(key for key in ("input", "output") if key not in rates)
    if missing:
        raise InvalidCall(f"Overrides[{name!r}]: give {missing} too, 0 if it costs nothing")
    for bucket, like in _LIKE.items():
        rates.setdefault(bucket, rates[like])
    return _Entry(rates, limits.get("max_input"), limits.get("max_output"))


def _rate(value: Any, where: str) -> Decimal:
    if isinstance(value, bool | float) or not isinstance(value, str | int | Decimal):
        raise InvalidCall(
            f"{where}: {value!r} is no exact number; give USD per million as a string such as "
            "'2.50', a Decimal or a whole number"
        )
    try:
        rate = Decimal(value)
    except InvalidOperation:
        raise InvalidCall(f"{where}: {value!r} is no number") from None
    finest = rate.as_tuple().exponent
    if not (rate.is_finite() and 0 <= rate <= _DEAREST and cast("int", finest) >= _FINEST):
        raise InvalidCall(
            f"{where}: {value!r} is out of range; give USD per million, from 0 to {_DEAREST:.0f} "
            f"with at most {-_FINEST} decimals"
        )
    return rate


def _limit(value: Any, where: str) -> int:
    if type(value) is not int or value < 1:
        raise InvalidCall(f"{where}: {value!r}; give a whole number of tokens from 1")
    return value


def _items(mapping: Any, where: str) -> list[tuple[str, Any]]:
    if not isinstance(mapping, Mapping):
        raise InvalidCall(f"{where}: give a mapping, not {mapping!r}")
    pairs = _pairs(mapping)
    for key, _ in pairs:
        if not isinstance(key, str) or not key:
            raise InvalidCall(f"{where}: {key!r} is no name; give a non-empty string")
    return pairs


def _pairs(mapping: Any) -> list[tuple[Any, Any]]:
    return list(mapping.items())


def _digest(prices: Mapping[str, Any]) -> str:
    text = json.dumps(prices, sort_keys=True, default=str)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()[:16]
