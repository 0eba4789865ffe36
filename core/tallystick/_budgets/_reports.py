"""Budgets as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from tallystick._values import Value


class BudgetLine(Value):
    """
    One metric of a budget, for one set of ``per`` values, in the window that is now.

    ``spent + reserved + unreconciled`` never passes ``limit`` as long as what was reserved was
    enough; where a call cost more than its bound, the figures say so.
    """

    budget: str
    #: ``usd``, ``tokens``, ``requests`` or ``amount``
    metric: str
    per: Mapping[str, str]
    #: with what it was raised by
    limit: Decimal | int
    spent: Decimal | int
    #: for calls that are under way
    reserved: Decimal | int
    #: for calls of which nobody knows what they cost
    unreconciled: Decimal | int
    remaining: Decimal | int
    #: ``total``, ``hour``, ``day``, ``week``, ``month``, or ``3600 s`` for one that rolls
    window: str
    #: when the window ends, or what counts in it begins to be forgotten
    resets_at: datetime | None

    @property
    def charged(self) -> Decimal | int:
        """All that counts against the limit."""
        return self.spent + self.reserved + self.unreconciled

    @property
    def exceeded(self) -> bool:
        """Whether more is charged than the limit allows."""
        return self.charged > self.limit


class ReservationView(Value):
    """What was reserved for one call, and what became of it."""

    #: in hex; an effect's reservation has the effect's key
    key: str
    #: ``model``, ``tool`` or ``manual``
    kind: str
    what: str
    provider: str | None
    workflow: str | None
    session: str | None
    #: its number among the calls of its session, from 1
    iteration: int | None
    #: ``held``, ``settled``, ``released`` or ``unreconciled``
    state: str
    #: dollars that it could cost at most, and that it did cost
    bound: Decimal | None
    cost: Decimal | None
    tokens: int | None
    usage: Mapping[str, int] | None
    #: rates, source and version of the price, and the service tier where one was named
    price: Mapping[str, Any] | None
    note: str
    created_at: datetime
    settled_at: datetime | None


class CostLine(Value):
    """What one model, tool, workflow, session or day has cost."""

    what: str
    kind: str
    calls: int
    usd: Decimal
    tokens: int
    #: calls of models whose cost nobody knows
    unpriced: int
    #: dollars that are charged without being known: calls under way, and unreconciled ones
    open: Decimal


class Repriced(Value):
    """A call that costs something else by another price book."""

    key: str
    model: str
    was: Decimal | None
    now: Decimal
