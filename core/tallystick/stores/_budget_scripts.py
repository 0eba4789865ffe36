"""The acts on budgets, each a function of a transaction, like those of ``_scripts``: reserving."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tallystick._acts import Found, Start
from tallystick._budgets import _acts as acts
from tallystick._budgets._amounts import Metric
from tallystick._budgets._rules import Part, State, Weight, refused, written
from tallystick._model import Guarantee, Status
from tallystick._places import Neighbours
from tallystick.stores import _budget_limits as limits
from tallystick.stores import _budget_reckoning as reckoning
from tallystick.stores._budget_alerts import threshold
from tallystick.stores._budget_tx import SpendingTx, Touched
from tallystick.stores._till import till_of

Starter = Callable[[SpendingTx, Start, Touched], Found]
#: a session's call, and that it was none
_ONE, _NONE = acts.SessionState(1, 0, 0), acts.SessionState(-1, 0, 0)


def reserve(tx: SpendingTx, act: acts.Reserve, touched: Touched, start: Starter) -> acts.Reserved:
    till, now = till_of(tx), tx.now()
    till.lock(act.lines)
    if _stale(tx, act):
        return acts.Reserved(False, stale=True, now=now)
    if act.claim is not None and tx.look(act.claim.tenant, act.claim.key) is not None:
        met = tx.claim([act.claim])[0]
        return acts.Reserved(met.fresh, met, now=now)
    before = tx.reservation(act.row.id) if act.start is not None else None
    if before is not None and not _anew(tx, act, before):
        return _carry_on(tx, act, before, touched, start)
    wanted = [(d, till.figures(d, now), d.terms.window.ends(now)) for d in act.demands]
    refusal = None if act.force else refused(wanted)
    if refusal is not None:
        return _free(tx, act) or acts.Reserved(False, refusal=refusal, now=now)
    begun = _begin(tx, act, touched, start)
    if begun is not None and not begun.fresh:
        return acts.Reserved(False, begun, stale=begun.stale, now=now)
    return _hold(tx, act, before, begun)


def _stale(tx: SpendingTx, act: acts.Reserve) -> bool:
    """Whether the caller goes by budgets that were declared anew meanwhile."""
    till, now = till_of(tx), tx.now()
    if act.standing is not None and till.standing(act.row.tenant, act.demands) != act.standing:
        return True
    return any(till.version(demand, now) != demand.version for demand in act.demands)


def _begin(tx: SpendingTx, act: acts.Reserve, touched: Touched, start: Starter) -> Found | None:
    if act.claim is not None:
        return tx.claim([act.claim])[0]
    return start(tx, act.start, touched) if act.start is not None else None


def _anew(tx: SpendingTx, act: acts.Reserve, before: acts.Reservation) -> bool:
    """
    Whether another attempt is paid for by itself.

    An effect is charged once, however often it is sent; a look costs each time that one looks, and
    so does what was tried in vain and is settled all the same.
    """
    if before.state == State.RELEASED:
        return True
    effect = tx.look(before.tenant, before.id)
    if effect is None or act.start is None or effect.nonce == act.start.nonce:
        return False
    if before.state == State.SETTLED:
        return effect.status in (Status.FAILED, Status.APPROVED)
    return effect.guarantee == Guarantee.READ_ONLY


def _free(tx: SpendingTx, act: acts.Reserve) -> acts.Reserved | None:
    """What needs no room: our own reservation, or a look at the like of it that was done before."""
    claim = act.claim
    if claim is None or claim.suspect == "run":
        return _again(tx, act)
    for near in tx.neighbours(Neighbours(scope=claim.scope, twin=claim.twin, limit=1)):
        if near.seq > claim.after:
            met = Found(False, None, False, tx.now(), twin=near.key)
            return acts.Reserved(False, met, now=tx.now())
    return None


def _again(tx: SpendingTx, act: acts.Reserve) -> acts.Reserved | None:
    """Our own commit, whose answer was lost."""
    there = tx.reservation(act.row.id) if act.claim is None and act.start is None else None
    if there is None or there.nonce != act.row.nonce:
        return None
    return acts.Reserved(there.state == State.HELD, iteration=there.iteration or 0, now=tx.now())


def _hold(
    tx: SpendingTx, act: acts.Reserve, before: acts.Reservation | None, found: Found | None
) -> acts.Reserved:
    till, now = till_of(tx), tx.now()
    parts = [
        Part(d.line.hex(), d.metric.value, d.terms.window.start(now), d.amount) for d in act.demands
    ]
    dollars = [d.amount for d in act.demands if d.metric is Metric.USD]
    row = act.row
    row = row._replace(
        parts=written(parts),
        bound=max(dollars, default=None) if row.bound is None else row.bound,
        created_at=now,
        until=None if row.until is None else now + row.until,
        iteration=None if row.session is None else till.count(row.tenant, row.session, _ONE),
    )
    if before is not None:
        if before.state != State.RELEASED:
            reckoning.put_aside(tx, before)
        tx.set_reservation(before, row)
    elif not tx.put_reservation(row):
        if row.session is not None:
            till.count(row.tenant, row.session, _NONE)
        return _again(tx, act) or acts.Reserved(False, now=now)
    alerts: list[acts.Alert] = []
    for demand in act.demands:
        if till.charge(demand, now, Weight(reserved=demand.amount)):
            alerts += threshold(tx, row, demand, till.figures(demand, now))
    return acts.Reserved(True, found, iteration=row.iteration or 0, alerts=tuple(alerts), now=now)


def _carry_on(
    tx: SpendingTx, act: acts.Reserve, before: acts.Reservation, touched: Touched, start: Starter
) -> acts.Reserved:
    """Another attempt at an effect that is charged already."""
    assert act.start is not None
    found = start(tx, act.start, touched)
    if found.fresh:
        holding = before._replace(holder=act.row.holder, nonce=act.row.nonce)
        reckoning.move(tx, before, holding._replace(state=State.HELD.value))
    return acts.Reserved(found.fresh, found, stale=found.stale, now=tx.now())


SCRIPTS: dict[type, Callable[[SpendingTx, Any, Touched], Any]] = {
    acts.Reckon: reckoning.reckon,
    acts.PutTerms: limits.put_terms,
    acts.Raise: limits.raise_limit,
    acts.Reprice: reckoning.reprice,
    acts.PutAlert: lambda tx, act, _: tx.put_alert(act.alert),
    acts.Told: lambda tx, act, _: tx.told(act.id),
}

READS: dict[type, Callable[[SpendingTx, Any], Any]] = {
    acts.ReadBooks: limits.books,
    acts.Overdue: lambda tx, act: tx.overdue(),
    acts.ReadTerms: limits.budgets_of,
    acts.ReadLines: limits.lines,
    acts.ReadReservations: lambda tx, act: tx.reservations(act),
    acts.ReadCosts: lambda tx, act: tx.costs(act),
    acts.ReadAlerts: lambda tx, act: tx.alerts(act.tenant, act.limit, untold=act.untold),
    acts.ReadSession: lambda tx, act: tx.session(act.tenant, act.session),
}
