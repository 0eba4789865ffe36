"""What people and operators do with budgets: declare, look, raise, reconcile, add up."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tallystick._budgets import _acts as spending
from tallystick._budgets._amounts import Metric, shown, units
from tallystick._budgets._facts import Facts
from tallystick._budgets._register import by_hand
from tallystick._budgets._reports import BudgetLine, CostLine, Repriced, ReservationView
from tallystick._budgets._rules import UNPRICED, State, parts_of
from tallystick._budgets._terms import Known, Terms
from tallystick._flows import budgets
from tallystick._keys import VERSION, check_name, hashed
from tallystick._model import at
from tallystick._ports import Ports
from tallystick.errors import BudgetError, InvalidCall, UnknownBudget
from tallystick.prices import PriceBook, reprice

BY = ("model", "tool", "provider", "workflow", "session", "day", "what")
_HEX = re.compile(r"[0-9a-f]{1,64}\Z")
_PAGE = 500


async def declare(p: Ports, tenant: str, terms: Terms, by: str) -> Known:
    """Declare a budget; its lines keep what is charged to them and by how much they were raised."""
    known = await p.do(spending.PutTerms(tenant=tenant, terms=terms, by=by))
    p.budgets.remember([known])
    if terms.standing:
        await budgets.learn(p, tenant)
    return known


async def known(p: Ports, tenant: str, name: str) -> Known:
    """A budget that was declared before, by whomever."""
    check_name(name, "the budget's name")
    _, found = await p.read(spending.ReadTerms(tenant=tenant, names=(name,)))
    if not found:
        raise UnknownBudget(
            f"nobody declared the budget {name}; give it a limit: usd=…, tokens=…, requests=…"
        )
    p.budgets.remember(found)
    return found[0]


async def declared(p: Ports, tenant: str) -> list[Known]:
    """All budgets, by name."""
    _, found = await p.read(spending.ReadTerms(tenant=tenant))
    return found


async def lines(p: Ports, tenant: str, name: str | None = None) -> list[BudgetLine]:
    """All lines of one budget, or of all."""
    names = None if name is None else (name,)
    found = await p.read(spending.ReadLines(tenant=tenant, names=names))
    return [_line(state) for state in found]


def _line(state: spending.LineState) -> BudgetLine:
    metric, weight = Metric(state.metric), state.figures.weight
    return BudgetLine(
        budget=state.known.terms.name,
        metric=state.metric,
        per=json.loads(state.label),
        limit=shown(metric, state.figures.limit),
        spent=shown(metric, weight.spent),
        reserved=shown(metric, weight.reserved),
        unreconciled=shown(metric, weight.unreconciled),
        remaining=shown(metric, state.figures.remaining),
        window=str(state.known.terms.window),
        resets_at=None if state.ends is None else at(state.ends),
    )


async def raise_limit(
    p: Ports,
    tenant: str,
    name: str,
    given: Mapping[str, Any],
    *,
    per: Mapping[str, str],
    by: str,
    reason: str,
    lasting: bool,
    once: bytes,
) -> list[BudgetLine]:
    """Raise limits of one line; the budget's lines afterwards."""
    check_name(by, "by")
    terms = (await known(p, tenant, name)).terms
    amounts = {Metric(m): units(Metric(m), v, m) for m, v in given.items() if v is not None}
    if not amounts or not set(amounts) <= {m for m, _ in terms.limits}:
        limited = ", ".join(f"{m.value}=…" for m, _ in terms.limits)
        raise InvalidCall(f"the budget {name} limits {limited}; say which to raise, by how much")
    if set(per) != set(terms.per):
        split = ", ".join(terms.per) or "nothing"
        raise InvalidCall(f"the budget {name} is split by {split}; per={dict(per)!r}")
    for metric, amount in amounts.items():
        await p.do(
            spending.Raise(
                id=hashed(VERSION, b"raise", once, metric.value.encode()),
                tenant=tenant,
                name=name,
                metric=metric.value,
                label=json.dumps(dict(per), sort_keys=True),
                amount=amount,
                lasting=lasting,
                by=by,
                reason=reason,
            )
        )
    return await lines(p, tenant, name)


async def hold(
    p: Ports,
    tenant: str,
    name: str,
    given: Mapping[str, Any],
    *,
    key: bytes,
    ttl: int,
    per: Mapping[str, str],
) -> spending.Reservation:
    """Reserve by hand; BudgetExceeded where there is no room."""
    amounts = {Metric(m): units(Metric(m), v, m) for m, v in given.items() if v is not None}
    row = budgets.blank(
        id_=key, tenant=tenant, kind="manual", what=name, holder=p.holder, nonce=key[:16], until=ttl
    )
    facts = Facts(what=f"a reservation in {name}", said=dict(per))
    terms = (await known(p, tenant, name)).terms
    if not set(amounts) <= {m for m, _ in terms.limits}:
        limited = ", ".join(f"{m.value}=…" for m, _ in terms.limits)
        raise InvalidCall(f"the budget {name} limits {limited}; it cannot hold {dict(given)!r}")
    reserved, _ = await budgets.reserve(
        p, tenant, (name,), facts, by_hand(amounts), row, standing=False
    )
    if reserved.refusal is not None:
        raise await budgets.exceeded(p, tenant, reserved.refusal, facts.what)
    if not reserved.fresh:
        raise BudgetError(f"the reservation {key.hex()[:12]} was made before and is over")
    return row


async def reckon(
    p: Ports, tenant: str, key: bytes, state: State, given: Mapping[str, Any], reason: str = ""
) -> ReservationView:
    """Say what became of a reservation, by hand."""
    actual = {Metric(m).value: units(Metric(m), v, m) for m, v in given.items() if v is not None}
    after = await p.do(
        spending.Reckon(
            key=key,
            tenant=tenant,
            state=state.value,
            actual=actual or None,
            cost=actual.get(Metric.USD.value),
            tokens=actual.get(Metric.TOKENS.value),
            note=reason or None,
        )
    )
    if after is None:
        raise BudgetError(f"there is no reservation {key.hex()[:12]} here")
    return view(after)


async def reconcile(
    p: Ports, tenant: str, key: str, given: Mapping[str, Any], *, by: str, reason: str
) -> ReservationView:
    """Say what an unreconciled reservation did cost; it is settled then."""
    check_name(by, "by")
    row = await find(p, tenant, key)
    limited = {part.metric for part in parts_of(row.parts)}
    missing = limited - {m for m, v in given.items() if v is not None} - {"requests"}
    if missing:
        raise InvalidCall(
            f"{row.what} holds {', '.join(sorted(missing))} too; say how much of it was spent"
        )
    if row.state not in (State.HELD, State.UNRECONCILED):
        raise BudgetError(f"{row.id.hex()[:12]} is {row.state}; there is nothing to reconcile")
    note = f"{reason} (by {by})" if reason else f"reconciled by {by}"
    return await reckon(p, tenant, row.id, State.SETTLED, given, note)


async def find(p: Ports, tenant: str, key: str) -> spending.Reservation:
    """The reservation whose key is, or starts with, *key*; InvalidCall where there is none."""
    if not _HEX.match(key):
        raise InvalidCall(f"{key!r} is not a key; keys are hex, at least their first characters")
    found = await p.read(spending.ReadReservations(tenant=tenant, prefix=key, limit=2))
    if not found:
        raise InvalidCall(
            f"there is no reservation {key} here; `tallystick budgets unreconciled` lists them"
        )
    if len(found) > 1:
        raise InvalidCall(f"{key} fits several reservations; give more of the key")
    return found[0]


async def reservations(
    p: Ports, tenant: str, *, state: str | None, session: str | None, limit: int
) -> list[ReservationView]:
    """Reservations, newest first."""
    if state is not None and state not in set(State):
        raise InvalidCall(f"state={state!r}: one of {', '.join(State)}")
    scope = None if session is None else spending.session_id(tenant, session)
    act = spending.ReadReservations(tenant=tenant, state=state, scope=scope, limit=limit)
    return [view(row) for row in await p.read(act)]


async def reservation(p: Ports, tenant: str, key: str) -> ReservationView:
    """One reservation, by its key or the beginning of it."""
    return view(await find(p, tenant, key))


def view(row: spending.Reservation) -> ReservationView:
    """A reservation as people read it."""
    return ReservationView(
        key=row.id.hex(),
        kind=row.kind,
        what=row.what,
        provider=row.provider,
        workflow=row.workflow,
        session=row.session,
        iteration=row.iteration,
        state=row.state,
        bound=_usd(row.bound),
        cost=_usd(row.cost),
        tokens=row.tokens,
        usage=json.loads(row.usage) if row.usage else None,
        price=json.loads(row.price) if row.price else None,
        note=row.note or "",
        created_at=at(row.created_at),
        settled_at=None if row.settled_at is None else at(row.settled_at),
    )


def _usd(nanos: int | None) -> Decimal | None:
    return None if nanos is None else Decimal(shown(Metric.USD, nanos))


async def costs(
    p: Ports, tenant: str, *, by: str, since: datetime | None, until: datetime | None
) -> list[CostLine]:
    """What was spent, by one thing, the dearest first."""
    if by not in BY:
        raise InvalidCall(f"by={by!r}: one of {', '.join(BY)}")
    act = spending.ReadCosts(tenant=tenant, by=by, since=micros(since), until=micros(until))
    found = await p.read(act)
    return [
        CostLine(
            what=_day(what) if by == "day" else what or "",
            kind=kind,
            calls=calls,
            usd=Decimal(shown(Metric.USD, nanos)),
            tokens=tokens,
            unpriced=unpriced,
            open=Decimal(shown(Metric.USD, charged)),
        )
        for what, kind, calls, nanos, tokens, unpriced, charged in found
    ]


def _day(number: Any) -> str:
    return at(int(number) * 86_400 * 1_000_000).date().isoformat()


def micros(moment: datetime | None) -> int | None:
    """A moment as the database keeps it; InvalidCall for one without a time zone."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise InvalidCall(f"{moment!r} has no time zone; give one")
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)


async def repriced(
    p: Ports, tenant: str, book: PriceBook, *, since: datetime | None, write: bool
) -> list[Repriced]:
    """Settled model calls whose cost by *book* is another one; written down if *write*."""
    found: list[Repriced] = []
    after = 0
    while True:
        act = spending.ReadReservations(
            tenant=tenant, kind="model", since=micros(since), after=after, limit=_PAGE
        )
        page = await p.read(act)
        for row in page:
            after = row.seq
            news = await _reprice(p, row, book, write=write)
            if news is not None:
                found.append(news)
        if len(page) < _PAGE:
            return found


async def _reprice(
    p: Ports, row: spending.Reservation, book: PriceBook, *, write: bool
) -> Repriced | None:
    known = row.state == State.SETTLED or (row.state == State.UNRECONCILED and row.note == UNPRICED)
    if not known or row.usage is None:
        return None
    context: str | None = json.loads(row.price or "{}").get("context")
    cost = reprice(
        json.loads(row.usage),
        model=row.what,
        provider=row.provider,
        at=at(row.created_at),
        book=book,
        context=context,
    )
    if cost is None or cost.nanos == row.cost:
        return None
    if write:
        act = spending.Reprice(
            key=row.id,
            tenant=row.tenant,
            was=row.cost,
            cost=cost.nanos,
            price=spending.price_text(cost, context),
        )
        if not await p.do(act):
            return None
    now = Decimal(shown(Metric.USD, cost.nanos))
    return Repriced(key=row.id.hex(), model=row.what, was=_usd(row.cost), now=now)
