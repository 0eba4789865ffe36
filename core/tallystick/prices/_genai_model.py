"""One model as genai-prices knows it, and the rates of its service tiers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tallystick.prices._cost import Rates
from tallystick.prices._genai_rates import rates_of

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, PriceVariant

#: names of having no special price
PLAIN = ("default", "standard")

#: what the provider chooses by itself when a request leaves it open; all else must be asked for
_CHOSEN = "service_tier"
#: contexts come from requests: as many as there are tiers and hours, and not one per typo
_REMEMBERED = 64


class Model:
    """
    A model, remembering its rates.

    ``own`` is false where the provider resells another one's model: the maker's tiers do not
    apply there.
    """

    __slots__ = ("_constraints", "_remembered", "_variants", "info")

    def __init__(self, info: ModelInfo, *, own: bool) -> None:
        self.info = info
        self._variants: list[PriceVariant] = (info.price_variants or []) if own else []
        prices: list[Any] = info.prices if isinstance(info.prices, list) else []
        self._constraints = [part.constraint for part in (*self._variants, *prices)]
        self._remembered: dict[tuple[str | None, tuple[bool, ...]], list[Rates | None]] = {}

    def rates(self, moments: list[datetime], context: str | None) -> Iterator[Rates | None]:
        """
        The rates of each service tier that *context* allows, at each of *moments*.

        None in place of those that cannot be told.
        """
        for moment in moments:
            active = tuple(c is None or c.active(moment) for c in self._constraints)
            key = (context, active)
            if key not in self._remembered:
                if len(self._remembered) >= _REMEMBERED:
                    self._remembered = {}
                self._remembered[key] = self._tiers(moment, context, active)
            yield from self._remembered.get(key) or self._tiers(moment, context, active)

    def _tiers(
        self, moment: datetime, context: str | None, active: tuple[bool, ...]
    ) -> list[Rates | None]:
        # the constraints of the variants come first, and the zip ends with them
        variants = [v for v, now in zip(self._variants, active, strict=False) if now]
        return [
            None if chosen is None else rates_of(self.info.get_prices(moment, chosen))
            for chosen in _choices(variants, context)
        ]


def _choices(variants: list[PriceVariant], context: str | None) -> list[dict[str, str] | None]:
    """
    The price contexts to ask for; None in place of one that genai-prices does not have.

    It would quietly answer with the standard price.
    """
    if context is None or context == "auto":
        tiers = {variant.when[_CHOSEN] for variant in variants if _CHOSEN in variant.when}
        return [{}, *({_CHOSEN: tier} for tier in sorted(tiers))]
    wanted = dict(_pair(variants, part) for part in context.split(","))
    met: dict[str, str] = {}
    for variant in variants:
        if variant.when.items() <= wanted.items():
            met |= variant.when
    unmet = wanted.items() - met.items()
    return [met] if all(value in PLAIN for _, value in unmet) else [None]


def _pair(variants: list[PriceVariant], part: str) -> tuple[str, str]:
    """``key=value``, or a value with the key that some variant has for it."""
    key, equals, value = part.strip().rpartition("=")
    if equals:
        return key, value
    keys = {key for variant in variants for key, known in variant.when.items() if known == value}
    return (min(keys) if keys else _CHOSEN), value
