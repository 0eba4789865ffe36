"""What a recorded call costs by today's knowledge."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tallystick.prices._book import PriceBook
from tallystick.prices._cost import Cost
from tallystick.prices._usage import Usage


def reprice(
    stored: Mapping[str, Any] | None,
    *,
    model: str,
    provider: str | None,
    at: datetime,
    book: PriceBook,
    context: str | None = None,
) -> Cost | None:
    """
    The cost that *book* gives to a usage recorded earlier.

    *stored* is what :meth:`Usage.to_json` gave, or None where the usage was never learned; *at* is
    when the call was made, for prices have a history. None where the usage or its price is
    unknown: then the recorded cost stands. Raises InvalidCall for a bucket that this version does
    not know.

    >>> from datetime import UTC, datetime
    >>> from tallystick.prices import Overrides
    >>> corrected = Overrides({"gpt-4o": {"input": "2.50", "output": "10"}}, label="corrected")
    >>> made = datetime(2026, 5, 1, tzinfo=UTC)
    >>> cost = reprice(
    ...     {"input": 1000}, model="gpt-4o", provider="openai", at=made, book=corrected
    ... )
    >>> cost.nanos, cost.version
    (2500000, 'corrected')
    """
    if stored is None:
        return None
    usage = Usage.from_json(stored)
    return book.price(model, usage, provider=provider, at=at, context=context)
