"""The prices that genai-prices collects, asked so that its guesses become refusals."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from tallystick.errors import InvalidCall, LedgerError
from tallystick.prices._book import aware, writes_unasked
from tallystick.prices._cost import Cost, bound_of, cost_of, dearest_of
from tallystick.prices._genai_model import PLAIN, Model
from tallystick.prices._genai_rates import changes, prices_of, rates_of, tiers_from
from tallystick.prices._usage import Usage

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot

_SOURCE = "genai-prices"
_LONGEST = timedelta(days=31)
_REMEMBERED = 1024


class _Remembered(NamedTuple):
    snapshot: DataSnapshot
    models: dict[tuple[str, str | None], Model | None]


class GenaiPrices:
    """
    The prices in the ``genai-prices`` package, offline; the ``prices`` extra installs it.

    Dates, aliases, Azure's and Bedrock's names are resolved as genai-prices does, and
    ``"openai/gpt-4o"`` is OpenAI's gpt-4o. A name it cannot place has no price: an Azure
    deployment under a name of its own needs an override. So does a model that it lists as free,
    one that is billed by something that :class:`Usage` does not count (images, minutes, pages),
    and one whose service tier it does not know.

    *context* is a service tier as requests and answers name it (``"priority"``, ``"flex"``,
    ``"batch"``), or ``"key=value"`` in genai-prices' own words. None is the standard price of a
    usage, and the dearest tier of a bound; ``"auto"`` is the dearest tier of both.

    What a provider's own tools cost beyond tokens is counted as far as it reports it: Anthropic's
    web searches are, OpenAI's are not part of its usage.

    Raises LedgerError when the ``prices`` extra is not installed.

    >>> from datetime import UTC, datetime
    >>> book = GenaiPrices()
    >>> noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    >>> cost = book.price("gpt-4o-2024-08-06", Usage(input=1000), provider="openai", at=noon)
    >>> cost.usd, dict(cost.rates), cost.source
    (Decimal('0.002500000'), {'input': '2.5'}, 'genai-prices')
    >>> book.price("gpt-4o", Usage(input=1), provider="openai", at=noon, context="typo") is None
    True
    """

    def __init__(self) -> None:
        try:
            import genai_prices
            from genai_prices import data_snapshot
        except ImportError as error:
            raise LedgerError(
                "prices of models need genai-prices, which is not installed: "
                'pip install "tallystick[prices]", or state them with Overrides'
            ) from error
        self._package = genai_prices.__version__
        self._data = data_snapshot
        self._remembered: _Remembered | None = None

    @property
    def version(self) -> str:
        """The package's version, with the time of its data where they were updated since."""
        snapshot = self._data.get_snapshot()
        if not snapshot.from_auto_update:
            return self._package
        return f"{self._package}+{snapshot.timestamp:%Y-%m-%dT%H:%M:%S}"

    def knows(self, model: str, provider: str | None) -> bool:
        """Whether genai-prices can place *model*, and charges tokens for it."""
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
        known = self._find(model, provider)
        if known is None:
            return None
        asked = PLAIN[0] if context is None else context
        version = self.version
        return dearest_of(
            cost_of(usage, rates, source=_SOURCE, version=version)
            for rates in known.rates([aware(at)], asked)
        )

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
        """See :meth:`PriceBook.bound`; *within* is at most 31 days."""
        if not timedelta(0) <= within <= _LONGEST:
            raise InvalidCall(f"within={within!r}: give a timedelta from 0 to 31 days")
        known = self._find(model, provider)
        if known is None:
            return None
        moments = changes(known.info, aware(at), at + within)
        if moments is None:
            return None
        version = self.version
        return dearest_of(
            bound_of(
                rates,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                writes=cached or writes_unasked(known.info.id),
                audio=audio,
                source=_SOURCE,
                version=version,
            )
            for rates in known.rates(moments, context)
        )

    def max_input(self, model: str, provider: str | None) -> int | None:
        """The context window; None where the prices contradict it, having a tier beyond it."""
        known = self._find(model, provider)
        window = None if known is None else known.info.context_window
        if known is None or window is None:
            return None
        return window if tiers_from(known.info) < window else None

    def max_output(self, model: str, provider: str | None) -> int | None:
        """None: genai-prices does not record it."""
        return None

    def _find(self, model: str, provider: str | None) -> Model | None:
        snapshot = self._data.get_snapshot()
        known = self._remembered
        if known is None or known.snapshot is not snapshot or len(known.models) >= _REMEMBERED:
            self._remembered = known = _Remembered(snapshot, {})
        key = (model, provider)
        if key not in known.models:
            known.models[key] = self._ask(snapshot, model, provider)
        return known.models[key]

    def _ask(self, snapshot: DataSnapshot, model: str, provider: str | None) -> Model | None:
        for name, owner in self._names(snapshot, model, provider):
            try:
                found, info = snapshot.find_provider_model(name, None, owner, None)
            except LookupError:
                continue
            if any(rates_of(price) for price in prices_of(info)):
                return Model(info, own=any(info is own for own in found.models))
        return None

    def _names(
        self, snapshot: DataSnapshot, model: str, provider: str | None
    ) -> Iterator[tuple[str, str | None]]:
        """*model* as it stands, and without a provider's name before it."""
        yield model, provider
        prefix, _, rest = model.partition("/")
        if not rest:
            return
        if prefix == "models":  # as Google's own clients write it
            yield rest, provider
            return
        owner = self._data.find_provider_by_id(snapshot.providers, prefix)
        asked = provider and self._data.find_provider_by_id(snapshot.providers, provider)
        if owner is not None and (provider is None or owner is asked):
            yield rest, owner.id
