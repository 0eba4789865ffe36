"""Who knows what a model costs: books, asked in turn."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from tallystick.errors import InvalidCall
from tallystick.prices._cost import Cost
from tallystick.prices._usage import Usage


@runtime_checkable
class PriceBook(Protocol):
    """
    What a source of prices can be asked.

    ``model`` and ``provider`` are what the caller's client calls them; ``at`` is an aware
    datetime; ``context`` names the service tier, or is None where the request says nothing about
    it. Every method answers None for *I do not know*, and never a price of zero in its place.
    """

    def knows(self, model: str, provider: str | None) -> bool:
        """Whether this book has a price for *model*: then no later book is asked about it."""
        ...

    def price(
        self,
        model: str,
        usage: Usage,
        *,
        provider: str | None,
        at: datetime,
        context: str | None = None,
    ) -> Cost | None:
        """What *usage* of *model* costs at *at*; one call, for tiers count its input."""
        ...

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
        """
        The most that one call can cost that starts between *at* and *at* + *within*.

        For every usage with at most *input_tokens* and *output_tokens*, :meth:`price` is at most
        this: dearest tier, time of day, kind of token, and service tier where *context* leaves it
        open. ``cached=False`` promises that the request asks for no prompt caching,
        ``audio=False`` that no sound goes in or comes out.
        """
        ...

    def max_input(self, model: str, provider: str | None) -> int | None:
        """The most input tokens that *model* accepts."""
        ...

    def max_output(self, model: str, provider: str | None) -> int | None:
        """The most output tokens that *model* gives."""
        ...


class PriceChain:
    """
    Books asked in turn: the first one that knows a model decides everything about it.

    Its answer stands even where it is None: a price from one book and a bound from another would
    not belong together.
    """

    def __init__(self, *books: PriceBook) -> None:
        self.books = books

    def knows(self, model: str, provider: str | None) -> bool:
        """Whether any book does."""
        return self._book(model, provider) is not None

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
        book = self._book(model, provider)
        if book is None:
            return None
        return book.price(model, usage, provider=provider, at=at, context=context)

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
        book = self._book(model, provider)
        if book is None:
            return None
        return book.bound(
            model,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            provider=provider,
            at=at,
            within=within,
            cached=cached,
            context=context,
            audio=audio,
        )

    def max_input(self, model: str, provider: str | None) -> int | None:
        """See :meth:`PriceBook.max_input`."""
        book = self._book(model, provider)
        return None if book is None else book.max_input(model, provider)

    def max_output(self, model: str, provider: str | None) -> int | None:
        """See :meth:`PriceBook.max_output`."""
        book = self._book(model, provider)
        return None if book is None else book.max_output(model, provider)

    def _book(self, model: str, provider: str | None) -> PriceBook | None:
        return next((book for book in self.books if book.knows(model, provider)), None)


def price_book(*books: PriceBook) -> PriceBook:
    """
    One book from several, the user's own first.

    >>> from datetime import UTC, datetime
    >>> from tallystick.prices import Overrides, Usage
    >>> book = price_book(
    ...     Overrides({"openai/gpt-4o": {"input": "2.50", "output": "10"}}),
    ...     Overrides({"ollama/*": {"input": 0, "output": 0}}, label="at home"),
    ... )
    >>> noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    >>> book.price("gpt-4o", Usage(input=1000, output=100), provider="openai", at=noon).usd
    Decimal('0.003500000')
    >>> book.price("llama3", Usage(input=1000), provider="ollama", at=noon).nanos
    0
    >>> book.price("gpt-9", Usage(input=1000), provider="openai", at=noon) is None
    True
    """
    return books[0] if len(books) == 1 else PriceChain(*books)


def aware(at: datetime) -> datetime:
    """*at*, which must say where its midnight is; InvalidCall otherwise."""
    if at.tzinfo is None:
        raise InvalidCall(f"at={at!r} has no time zone: give an aware datetime, best in UTC")
    return at


def writes_unasked(model: str) -> bool:
    """
    Whether calls of *model* may be charged for cache writes that no request asked for.

    Claude caches only what a request marks, wherever it is hosted; others cache by themselves.
    """
    return "claude" not in model.casefold()
