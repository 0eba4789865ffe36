"""What budgets are declared with, by how much they are raised, and how they stand."""

from __future__ import annotations

from typing import Any, cast

from tallystick._budgets import _acts as acts
from tallystick._budgets._amounts import Metric, shown
from tallystick._budgets._rules import Demand, Figures, Weight, parts_of, weigh
from tallystick._budgets._terms import Known, line_id
from tallystick._budgets._topups import topup_of
from tallystick._codec import decode
from tallystick._model import Row
from tallystick.errors import UnknownBudget
from tallystick.stores._budget_tx import SpendingTx, Touched
from tallystick.stores._till import Till, till_of


def put_terms(tx: SpendingTx, act: acts.PutTerms, touched: Touched) -> Known:
    known = tx.terms_of(act.tenant, act.terms.name)
    if known is not None and known.terms == act.terms:
        return known
    # also where it no longer concerns everybody: they have to hear of that
    bump = act.terms.standing or (known is not None and known.terms.standing)
    tx.put_terms(act.tenant, act.terms, act.by, bump=bump)
    now = tx.terms_of(act.tenant, act.terms.name)
    assert now is not None
    return now


def raise_limit(tx: SpendingTx, act: acts.Raise, touched: Touched) -> Figures | None:
    known = tx.terms_of(act.tenant, act.name)
    if known is None or act.metric not in {m.value for m, _ in known.terms.limits}:
        return None
    till, terms, now = till_of(tx), known.terms, tx.now()
    metric = Metric(act.metric)
    line = line_id(act.tenant, act.name, act.metric, act.label)
    demand = Demand(line, known.id, known.version, terms, metric, act.label, 0)
    till.lock([line])
    till.version(demand, now)
    start = None if act.lasting else terms.window.start(now)
    if tx.put_raise(act.id, line, act.amount, start, act.by, act.reason):
        till.forget(line)
        if start is not None:
            limit = till.figures(demand, now).limit + act.amount
            till.raise_(line, start, act.amount, limit)
    return till.figures(demand, now)


def granted(tx: SpendingTx, row: Row, by: str, reason: str) -> dict[str, Any]:
    """A top-up request was approved: raise the limit as it says, once; what is recorded of it."""
    topup = topup_of(cast("dict[str, Any]", decode(row.edited or row.args)))
    act = acts.Raise(
        id=row.key,
        tenant=row.tenant,
        name=topup.budget,
        metric=topup.metric,
        label=topup.label,
        amount=topup.amount,
        lasting=topup.lasting,
        by=by,
        reason=reason,
    )
    figures = raise_limit(tx, act, [])
    if figures is None:
        raise UnknownBudget(f"there is no budget {topup.budget} with a limit of {topup.metric}")
    metric = Metric(topup.metric)
    return {
        "by": str(shown(metric, topup.amount)),
        "limit": str(shown(metric, figures.limit)),
        "lasting": topup.lasting,
    }


def lines(tx: SpendingTx, act: acts.ReadLines) -> list[acts.LineState]:
    till, now = Till(tx), tx.now()
    found: list[acts.LineState] = []
    for known in tx.terms(act.tenant, act.names, standing=False):
        terms = known.terms
        there = {(m, label): id_ for id_, m, label in tx.lines_of(known.id)}
        if not terms.per:
            for metric, _ in terms.limits:
                id_ = line_id(act.tenant, terms.name, metric.value, "{}")
                there.setdefault((metric.value, "{}"), id_)
        limits = {m.value: n for m, n in terms.limits}
        for (metric_, label), id_ in sorted(there.items()):
            if metric_ in limits:
                figures = till.figures_of(id_, terms, limits[metric_], now)
                ends = terms.window.ends(now)
                found.append(acts.LineState(known, metric_, label, figures, ends))
    return found


def budgets_of(tx: SpendingTx, act: acts.ReadTerms) -> tuple[int, list[Known]]:
    version = tx.standing(act.tenant)
    return version, tx.terms(act.tenant, act.names, standing=act.standing)


def books(tx: SpendingTx, act: acts.ReadBooks) -> dict[tuple[bytes, int], tuple[Weight, Weight]]:
    charged = tx.books(act.tenant)
    weighed: dict[tuple[bytes, int], Weight] = {}
    after = 0
    while page := tx.reservations(acts.ReadReservations(tenant=act.tenant, after=after)):
        after = page[-1].seq
        for row in page:
            for part in parts_of(row.parts):
                place = (bytes.fromhex(part.line), part.start)
                before = weighed.get(place, Weight())
                weighed[place] = before + weigh(row.state, part.amount, part.actual)
    places = charged.keys() | weighed.keys()
    return {p: (charged.get(p, Weight()), weighed.get(p, Weight())) for p in places}
