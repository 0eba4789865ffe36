"""Deeds that concern budgets, each atomic; see :mod:`tallystick._acts`."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from tallystick._acts import Act, Claim, Found, Settle, Settled, Start
from tallystick._budgets._rules import Demand, Figures, Refusal, Weight
from tallystick._budgets._terms import Known, Terms
from tallystick._keys import VERSION, hashed
from tallystick.prices import Cost


@functools.lru_cache(maxsize=1024)
def session_id(tenant: str, session: str) -> bytes:
    """Sixteen bytes that stand for a session in an index."""
    return hashed(VERSION, b"session", tenant.encode(), session.encode())[:16]


class Reservation(NamedTuple):
    """One reservation as it is stored, and the record of the call that it was made for."""

    #: grows in the order of writing; 0 until it is stored
    seq: int
    id: bytes
    tenant: str
    #: ``model``, ``tool`` or ``manual``
    kind: str
    #: the model, the tool, or the budget
    what: str
    provider: str | None
    workflow: str | None
    session: str | None
    scope: bytes | None
    #: its number among the calls of its session, from 1
    iteration: int | None
    state: str
    holder: str
    nonce: bytes
    #: when it is given up for lost
    until: int | None
    #: what it holds, as JSON: see :class:`Part`
    parts: str
    #: billionths of a dollar: what it was expected to cost at most, and what it did cost
    bound: int | None
    cost: int | None
    tokens: int | None
    #: JSON: the usage by buckets, and the rates that were applied
    usage: str | None
    price: str | None
    #: of what was asked, and of what came back
    digest: bytes | None
    answer: bytes | None
    note: str | None
    created_at: int
    settled_at: int | None


def price_text(cost: Cost | None, context: str | None) -> str | None:
    """
    What is stored of a price: rates, source, version, and the service tier that was asked for.

    The tier is kept where the price is unknown, too: it has to be asked for again.
    """
    said = {} if cost is None else cost.to_json()
    if context is not None:
        said["context"] = context
    return json.dumps(said) if said else None


class Alert(NamedTuple):
    """Something that somebody should hear of, once."""

    id: bytes
    tenant: str
    #: ``budget_threshold``, ``budget_overrun``, ``budget_warned``, ``runaway``
    kind: str
    subject: str
    detail: str
    at: int


class Reserved(NamedTuple):
    """
    What became of the wish to spend.

    ``fresh``: it is reserved. ``stale``: the budgets were declared anew meanwhile; learn them and
    ask again. ``refusal``: a line has no room. ``found``: what the effect's claim met.
    """

    fresh: bool
    found: Found | None = None
    refusal: Refusal | None = None
    stale: bool = False
    iteration: int = 0
    alerts: tuple[Alert, ...] = ()
    now: int = 0


class Reserve(Act[Reserved]):
    """Reserve in every line or in none; with ``claim`` or ``start``, only if that is granted."""

    row: Reservation
    demands: tuple[Demand, ...]
    claim: Claim | None = None
    start: Start | None = None
    #: known version of the standing budgets, where there is no claim to say it
    standing: int | None = None
    #: book it whatever the limits say: the money is gone already
    force: bool = False

    @property
    def key(self) -> bytes:
        """What it is about."""
        return self.row.id

    @property
    def lines(self) -> tuple[bytes, ...]:
        """The lines that it needs for itself."""
        return tuple([demand.line for demand in self.demands])


class Reckon(Act["Reservation | None"]):
    """Say what became of a reservation; the row afterwards. What was settled stays as it was."""

    key: bytes
    tenant: str
    state: str
    #: what was spent, by metric
    actual: Mapping[str, int] | None = None
    cost: int | None = None
    tokens: int | None = None
    usage: str | None = None
    price: str | None = None
    answer: bytes | None = None
    model: str | None = None
    note: str | None = None
    lines: tuple[bytes, ...] = ()


class SettleHeld(Act[Settled]):
    """Record the outcome of an effect that holds a reservation, and what becomes of that."""

    settle: Settle
    lines: tuple[bytes, ...] = ()

    @property
    def key(self) -> bytes:
        """What it is about."""
        return self.settle.key


class PutTerms(Act[Known]):
    """Declare a budget, or declare it anew; its lines keep what is charged to them."""

    tenant: str
    terms: Terms
    by: str


class Raise(Act["Figures | None"]):
    """Raise one line's limit, for its window or for good; once for each ``id``."""

    id: bytes
    tenant: str
    name: str
    metric: str
    label: str
    amount: int
    lasting: bool
    by: str
    reason: str


class Reprice(Act[bool]):
    """Put another cost in the place of a settled call's, if it is still ``was``."""

    key: bytes
    tenant: str
    was: int | None
    cost: int
    price: str | None


class PutAlert(Act[bool]):
    """Remember that somebody should hear of something; whether it is new."""

    alert: Alert


class Told(Act[None]):
    """Remember that the listeners heard of an alert."""

    id: bytes


class Overdue(Act[bool]):
    """Read whether any reservation is held beyond its time."""


class ReadTerms(Act["tuple[int, list[Known]]"]):
    """Read one tenant's budgets by name, or the standing ones, or all; and the version of those."""

    tenant: str
    names: tuple[str, ...] | None = None
    standing: bool = False


class LineState(NamedTuple):
    """One line as it is now."""

    known: Known
    metric: str
    label: str
    figures: Figures
    ends: int | None


class ReadLines(Act[list[LineState]]):
    """Read the lines of budgets, of all or of some."""

    tenant: str
    names: tuple[str, ...] | None = None


class ReadReservations(Act[list[Reservation]]):
    """Read reservations, newest first."""

    tenant: str
    id: bytes | None = None
    prefix: str | None = None
    scope: bytes | None = None
    state: str | None = None
    kind: str | None = None
    since: int | None = None
    #: only what was written after this one, the oldest first
    after: int | None = None
    limit: int = 1000


class ReadCosts(Act[list[tuple[Any, ...]]]):
    """Add up what was spent, by one column or by day."""

    tenant: str
    by: str
    since: int | None = None
    until: int | None = None


class ReadAlerts(Act[list[Alert]]):
    """Read alerts, oldest first; ``untold`` only what nobody heard of."""

    tenant: str
    untold: bool = False
    limit: int = 100


class ReadBooks(Act[dict[tuple[bytes, int], tuple[Weight, Weight]]]):
    """Read for each row of each line what is charged to it, and what its reservations weigh."""

    tenant: str


class SessionState(NamedTuple):
    """What a session has used so far."""

    calls: int
    tokens: int
    nanos: int


class ReadSession(Act[SessionState]):
    """Read what a session has used."""

    tenant: str
    session: str
