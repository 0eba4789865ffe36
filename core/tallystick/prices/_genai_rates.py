"""One model's entry in genai-prices, read as rates per bucket."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from tallystick.prices._cost import Rate, Rates

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

#: bucket to the keys of its price, best first: what has none of its own is charged like its parent
_KEYS = {
    "input": ("input_mtok",),
    "cache_read": ("cache_read_mtok", "input_mtok"),
    "cache_write": ("cache_write_mtok", "input_mtok"),
    "cache_write_1h": ("cache_write_1h_mtok", "cache_write_mtok", "input_mtok"),
    "input_audio": ("input_audio_mtok", "input_mtok"),
    "output": ("output_mtok",),
    "reasoning": ("output_reasoning_mtok", "output_mtok"),
    "output_audio": ("output_audio_mtok", "output_mtok"),
    "web_searches": ("web_searches_kcount",),
    "requests": ("requests_kcount",),
}
_PER_THOUSAND = ("web_searches_kcount", "requests_kcount")
#: billed for what a provider's own tools do, which no usage reports, and a discount on audio that
#: Usage does not know: either leaves the rest of the price as it is
_BESIDE = {
    "cache_audio_read_mtok",
    "code_executions_kcount",
    "social_searches_kcount",
    "storage_searches_kcount",
}
_READ = {key for keys in _KEYS.values() for key in keys} | _BESIDE


def rates_of(price: ModelPrice) -> Rates | None:
    """
    The rates in *price*; None if it charges for something that Usage does not count.

    To price the tokens alone would make such a call look cheaper than it was. A side whose price is
    0 has no rate: that a model is free is for the user to say.
    """
    given = {key: value for key, value in vars(price).items() if value is not None}
    if given.keys() - _READ:
        return None
    rates: dict[str, Rate] = {}
    for bucket, keys in _KEYS.items():
        key = next((key for key in keys if key in given), None)
        if key is not None and not _free(given[keys[-1] if keys[-1] in given else key]):
            rates[bucket] = _rate(given[key], 1000 if key in _PER_THOUSAND else 1)
    return rates


def _free(value: Decimal | TieredPrices) -> bool:
    return (value if isinstance(value, Decimal) else value.base) == 0


def _rate(value: Decimal | TieredPrices, times: int) -> Rate:
    if isinstance(value, Decimal):
        return Rate(value * times)
    return Rate(value.base * times, tuple((tier.start, tier.price * times) for tier in value.tiers))


def prices_of(info: ModelInfo) -> list[ModelPrice]:
    """Every standard price that *info* has had."""
    if isinstance(info.prices, list):
        return [part.prices for part in info.prices]
    return [info.prices]


def tiers_from(info: ModelInfo) -> int:
    """The input beyond which the last tier of any of *info*'s prices begins; 0 without tiers."""
    return max(
        (
            tier.start
            for price in prices_of(info)
            for value in vars(price).values()
            for tier in getattr(value, "tiers", ())
        ),
        default=0,
    )


def changes(info: ModelInfo, start: datetime, end: datetime) -> list[datetime] | None:
    """
    *start*, and each moment up to *end* at which *info*'s price may change.

    Prices are constant in between, so that whoever has looked at these moments has seen them all.
    None if a price depends on something else than the date and the time of day.
    """
    from genai_prices.types import StartDateConstraint, TimeOfDateConstraint

    start, end = start.astimezone(UTC), end.astimezone(UTC)
    days = [start.date() + timedelta(days=n) for n in range((end.date() - start.date()).days + 1)]
    moments = {start}
    prices = info.prices if isinstance(info.prices, list) else []
    for part in [*prices, *(info.price_variants or ())]:
        match part.constraint:
            case None:
                continue
            case StartDateConstraint(start_date=first):
                clocks, dates = [time(tzinfo=UTC)], [first]
            case TimeOfDateConstraint(start_time=opens, end_time=closes):
                clocks, dates = [_utc(opens), _utc(closes)], days
            case _:  # pyright: ignore[reportUnnecessaryComparison]  # a newer genai-prices
                return None
        moments.update(datetime.combine(day, clock) for day in dates for clock in clocks)
    return sorted(moment for moment in moments if start <= moment <= end)


def _utc(clock: time) -> time:
    """*clock* in UTC, which it is in already where it does not say."""
    if clock.tzinfo is None:
        return clock.replace(tzinfo=UTC)
    return datetime.combine(datetime(1970, 1, 1, tzinfo=UTC), clock).astimezone(UTC).timetz()
