"""What somebody should hear of: a threshold that was passed, a call that cost too much."""

from __future__ import annotations

import json
from typing import Any

from tallystick._budgets._acts import Alert, Reservation
from tallystick._budgets._amounts import Metric, shown
from tallystick._budgets._rules import Demand, Figures, Part
from tallystick._keys import VERSION, hashed
from tallystick.stores._budget_tx import SpendingTx
from tallystick.stores._till import till_of


def threshold(tx: SpendingTx, row: Reservation, demand: Demand, figures: Figures) -> list[Alert]:
    """Tell of the highest threshold that was passed; once for each window."""
    terms, over = demand.terms, figures.weight.total > figures.limit
    part = max(
        (p for p in terms.soft if figures.weight.total * 1000 >= p * figures.limit), default=0
    )
    start = str(terms.window.start(tx.now())).encode()
    which = b"over" if over else str(part).encode()
    alert = Alert(
        id=hashed(VERSION, b"threshold", demand.line, start, which, str(figures.limit).encode()),
        tenant=row.tenant,
        kind="budget_warned" if over else "budget_threshold",
        subject=terms.name,
        detail=_detail(demand.metric, demand.label, figures, row, threshold=part / 1000),
        at=tx.now(),
    )
    return [alert] if tx.put_alert(alert) else []


def overrun(tx: SpendingTx, row: Reservation, part: Part, over: int) -> None:
    """A call cost more than was reserved for it, and that was more than there was left."""
    line, metric = bytes.fromhex(part.line), Metric(part.metric)
    about = tx.about(line)
    if about is None:
        return
    (_, _, terms), _, label = about
    figures = till_of(tx).figures_of(line, terms, terms.limit(metric), tx.now())
    actual = str(shown(metric, part.actual or 0))
    detail = _detail(metric, label, figures, row, over=str(shown(metric, over)), actual=actual)
    which = hashed(VERSION, b"overrun", row.id, line)
    tx.put_alert(Alert(which, row.tenant, "budget_overrun", terms.name, detail, tx.now()))


def _detail(metric: Metric, label: str, figures: Figures, row: Reservation, **more: Any) -> str:
    facts = {
        "metric": metric.value,
        "per": json.loads(label),
        "limit": str(shown(metric, figures.limit)),
        "charged": str(shown(metric, figures.weight.total)),
        "by": row.what,
        "workflow": row.workflow,
        "session": row.session,
        "reservation": row.id.hex(),
    }
    return json.dumps(facts | more, sort_keys=True)
