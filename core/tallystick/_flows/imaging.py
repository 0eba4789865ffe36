"""What was there before an effect, taken right before it and recorded with its plan."""

from __future__ import annotations

from tallystick._flows.call import Call
from tallystick._model import Row, Status
from tallystick._ports import Ports
from tallystick._undoing._plan import with_image


def wanted(call: Call) -> bool:
    """Whether the plan of this call begins with a look at the world."""
    undo = call.policy.undo
    return undo is not None and undo.before is not None


async def imaged(p: Ports, call: Call) -> Call:
    """The call, its plan with what is there now; whatever the look raises, nothing was begun."""
    undo = call.policy.undo
    if undo is None or undo.before is None or call.undo is None:
        return call
    seen = await p.ask(undo.before, dict(call.args))
    return call._replace(undo=with_image(call.undo, seen))


def news_of(call: Call, row: Row) -> str | None:
    """
    The plan to record when an attempt begins at what exists; ``None`` leaves the old one.

    Where an earlier attempt may have happened, what it saw before is what has to be put back.
    """
    begun = row.status in (Status.APPROVED, Status.FAILED)
    return call.undo if begun and wanted(call) else None
