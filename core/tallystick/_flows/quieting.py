"""Before anything is undone: what is still being performed, and what waits to begin."""

from __future__ import annotations

from tallystick import _acts as acts
from tallystick._flows.call import seen
from tallystick._model import Row, Status
from tallystick._ports import Ports


async def quiet(p: Ports, row: Row, deadline: float) -> Row:
    """
    The effect when nobody performs it any more; what the dead left is in doubt.

    It is running still where its holder outlasts the deadline.
    """
    while row.status == Status.RUNNING:
        found = await p.read(acts.Look(key=row.key, tenant=row.tenant))
        row = seen(found)
        if row.status == Status.RUNNING and found.alive:
            left = deadline - p.monotonic()
            changed = await p.wait(row, left) if left > 0 else None
            if changed is None:
                return row
            row = seen(changed)
        elif row.status == Status.RUNNING:
            row = seen(found._replace(row=await p.do(_left(p, row))))
    return row


def _left(p: Ports, row: Row) -> acts.Doubt:
    return acts.Doubt(
        key=row.key,
        tenant=row.tenant,
        epoch=row.epoch,
        nonce=None,
        actor=p.holder,
        error=None,
        reason=f"its worker {(row.holder or '?')[:8]} died during attempt {row.attempt}",
    )


async def withdraw(p: Ports, row: Row, *, by: str, reason: str) -> None:
    """What waits to begin where something is undone will not."""
    if row.status in (Status.PENDING, Status.APPROVED):
        await p.do(acts.Cancel(key=row.key, tenant=row.tenant, by=by, reason=reason))
