"""How an effect can be undone, and how far a workflow is, for whoever asks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tallystick._acts import Clock, Find
from tallystick._flows import desk, gathering
from tallystick._flows.undoing import forgotten
from tallystick._model import Guarantee, Row, Status, at
from tallystick._ports import Ports
from tallystick._undoing._acts import ReadPlans
from tallystick._undoing._plan import Plan, closes_at, plan_of, undoes
from tallystick._undoing._report import Compensation, UndoPlan
from tallystick._undoing._tools import PREFIX
from tallystick.errors import UnknownEffect

_HELPS = "it is part of undoing another effect"
_NOTHING = "it changes nothing"
_OURS = "it is the ledger's own; its workflow is what is undone"


async def undo_of(p: Ports, tenant: str, key: str) -> UndoPlan:
    """What is recorded of undoing one effect, and whether that is possible now."""
    effect = await desk.get(p, tenant, key)
    asked = ReadPlans(tenant=tenant, key=bytes.fromhex(effect.key))
    found = await p.read(asked)
    if not found:
        raise UnknownEffect(f"there is no effect {key} here any more")
    row, text = found[0].row, found[0].undo
    plan, of = plan_of(text), undoes(text)
    until = None if plan is None else closes_at(row, plan)
    why = _not_of_that_kind(row, of)
    if not why:
        late = until is not None and await p.read(Clock()) > until
        why = "its time is over" if late else _in_the_way(row, plan)
    return UndoPlan(
        key=effect.key,
        tool=row.tool,
        status=Status(row.status),
        possible=not why,
        reason=why,
        possible_until=None if until is None else at(until),
        undoes=of,
        **({} if plan is None else _said(plan)),
    )


def _said(plan: Plan) -> dict[str, Any]:
    names = ("reversibility", "steps", "one_shot", "residue", "when_in_doubt")
    window = None if plan.window is None else timedelta(seconds=plan.window)
    return {name: getattr(plan, name) for name in names} | {
        "window": window,
        "has_before": plan.before is not None,
    }


def _not_of_that_kind(row: Row, of: str | None) -> str:
    if of is not None:
        return _HELPS
    if row.tool.startswith(PREFIX):
        return _OURS
    return _NOTHING if row.guarantee == Guarantee.READ_ONLY else ""


def _in_the_way(row: Row, plan: Plan | None) -> str:
    """Why there is nothing to undo, or no way to; nothing where compensating would try."""
    if plan is None or not plan.steps:
        return "it has no compensation"
    standing = gathering.standing(row, plan)
    if standing is None or row.status in (Status.PENDING, Status.APPROVED):
        return forgotten(row)
    if standing.group == "done":
        return "it is undone"
    return standing.reason or f"it did not happen: it is {row.status}"


async def undone(p: Ports, tenant: str, workflow: str) -> Compensation:
    """How far a workflow is undone; UnknownEffect where nothing is recorded of it."""
    if not await p.read(Find(tenant=tenant, workflow=workflow, limit=1)):
        raise UnknownEffect(f"nothing is recorded of the workflow {workflow!r}")
    return await gathering.report(p, tenant, workflow, None)
