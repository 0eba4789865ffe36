"""What became of a reservation, and what that changes in each of its lines."""

from __future__ import annotations

from tallystick._budgets import _acts as acts
from tallystick._budgets._amounts import Metric
from tallystick._budgets._rules import (
    Part,
    State,
    Weight,
    actually,
    allowed,
    parts_of,
    weigh,
    written,
)
from tallystick._keys import VERSION, hashed
from tallystick._model import Status
from tallystick.stores._budget_alerts import overrun
from tallystick.stores._budget_tx import SpendingTx, Touched
from tallystick.stores._till import till_of

_NOTHING = Weight()
#: a reservation, and its parts
Held = tuple[acts.Reservation, list[Part]]


def reckon(tx: SpendingTx, act: acts.Reckon, touched: Touched) -> acts.Reservation | None:
    till_of(tx).lock(act.lines)
    row = tx.reservation(act.key)
    if row is None or row.tenant != act.tenant:
        return None
    if not allowed(row.state, act.state):
        return row
    held = parts_of(row.parts)
    parts = actually(held, act.actual)
    after = row._replace(
        state=act.state,
        parts=written(parts),
        what=act.model or row.what,
        cost=_cost(row, act.state) if act.cost is None else act.cost,
        tokens=row.tokens if act.tokens is None else act.tokens,
        usage=act.usage or row.usage,
        price=act.price or row.price,
        answer=act.answer or row.answer,
        note=act.note or row.note,
        settled_at=tx.now(),
    )
    _shift(tx, (row, held), (after, parts))
    return after


def _cost(row: acts.Reservation, state: str) -> int | None:
    """What it is known to cost where nobody says: of all but models, what was reserved for it."""
    settled = state == State.SETTLED and row.kind != "model"
    return row.bound if settled and row.cost is None else row.cost


def move(tx: SpendingTx, before: acts.Reservation, after: acts.Reservation) -> None:
    """Change a reservation, what it weighs in each of its lines, and what its session used."""
    _shift(tx, (before, parts_of(before.parts)), (after, parts_of(after.parts)))


def _shift(tx: SpendingTx, old: Held, new: Held) -> None:
    till = till_of(tx)
    before, after = old[0], new[0]
    till.lock(bytes.fromhex(part.line) for part in new[1])
    for was, part in zip(old[1], new[1], strict=True):
        more = weigh(after.state, part.amount, part.actual)
        difference = more - weigh(before.state, was.amount, was.actual)
        _charge(tx, after, part, difference)
    if after.session is not None:
        tokens = (after.tokens or 0) - (before.tokens or 0)
        nanos = (after.cost or 0) - (before.cost or 0)
        till.count(after.tenant, after.session, acts.SessionState(0, tokens, nanos))
    tx.set_reservation(before, after)


def _charge(tx: SpendingTx, row: acts.Reservation, part: Part, difference: Weight) -> None:
    if difference == _NOTHING:
        return
    line = bytes.fromhex(part.line)
    over = till_of(tx).shift(line, part.start, difference)
    if over > 0 and row.state == State.SETTLED:
        overrun(tx, row, part, over)


def put_aside(tx: SpendingTx, before: acts.Reservation) -> None:
    """What an earlier attempt holds becomes a record of its own, and stays charged."""
    aside = before._replace(id=hashed(VERSION, b"attempt", before.id, before.nonce))
    tx.put_reservation(aside)
    if aside.state == State.HELD:
        lost = aside._replace(state=State.UNRECONCILED.value, settled_at=tx.now())
        move(tx, aside, lost)


def follow(tx: SpendingTx, key: bytes, tenant: str, status: str, *, harmless: bool = False) -> None:
    """
    Let an effect's reservation follow what became of the effect.

    *harmless*: the attempt changed nothing in the world and its outcome is unknown all the same;
    what it spent is spent.
    """
    state = State.UNRECONCILED if harmless else _STATES.get(status)
    if state is None:
        return
    row = tx.reservation(key)
    if row is None or row.tenant != tenant or not allowed(row.state, state):
        return
    cost = _cost(row, state)
    move(tx, row, row._replace(state=state.value, cost=cost, settled_at=tx.now()))


_STATES: dict[str, State] = {
    Status.SUCCEEDED: State.SETTLED,
    Status.FAILED: State.RELEASED,
    Status.APPROVED: State.RELEASED,
    Status.IN_DOUBT: State.UNRECONCILED,
}


def sweep(tx: SpendingTx, worker: str, limit: int) -> int:
    """What a dead worker held, and what is past its time, stays charged and is shown as unknown."""
    found = 0
    for seen in tx.abandoned(worker, limit):
        till_of(tx).lock(bytes.fromhex(part.line) for part in parts_of(seen.parts))
        row = tx.reservation(seen.id)
        if row is None or row != seen:
            continue  # somebody said what became of it, or swept it, since it was looked for
        effect = tx.look(row.tenant, row.id) if row.kind == "tool" else None
        if effect is not None and effect.status == Status.RUNNING:
            continue
        if effect is not None and effect.status in _STATES:
            follow(tx, row.id, row.tenant, effect.status)
        else:
            note = f"its worker {row.holder[:8]} died, or never said what it cost"
            lost = row._replace(state=State.UNRECONCILED.value, note=note, settled_at=tx.now())
            move(tx, row, lost)
        found += 1
    return found


def reprice(tx: SpendingTx, act: acts.Reprice, touched: Touched) -> bool:
    row = tx.reservation(act.key)
    if row is None or row.tenant != act.tenant or row.cost != act.was:
        return False
    if row.state not in (State.SETTLED, State.UNRECONCILED):
        return False
    parts = actually(parts_of(row.parts), {Metric.USD.value: act.cost})
    settled = State.SETTLED.value
    after = row._replace(state=settled, parts=written(parts), cost=act.cost, price=act.price)
    move(tx, row, after)
    return True
