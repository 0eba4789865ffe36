"""What a workflow did, and how far it is undone: looking, and doing nothing about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tallystick import _acts as acts
from tallystick import _changes as changes
from tallystick._flows.undoing import Came
from tallystick._model import Guarantee, Row, Status
from tallystick._ports import Ports
from tallystick._undoing._acts import Planned, ReadPlans
from tallystick._undoing._plan import Plan, is_part, plan_of
from tallystick._undoing._report import Compensation, Undone
from tallystick._undoing._tools import PREFIX

#: nothing of these is there to be undone
_NEVER = (Status.FAILED, Status.DENIED, Status.EXPIRED, Status.CANCELLED)


class Went(NamedTuple):
    """What came of one effect."""

    came: Came
    row: Row
    plan: Plan | None


async def plans(p: Ports, tenant: str, workflow: str) -> list[Planned]:
    """All effects of a workflow with their plans, oldest first."""
    found: list[Planned] = []
    while True:
        after = found[-1].seq if found else 0
        page = await p.read(ReadPlans(tenant=tenant, workflow=workflow, after=after))
        found += page
        if not page:
            return found


def is_forward(planned: Planned) -> bool:
    """Whether it is an effect that the workflow itself wanted."""
    row = planned.row
    own = row.tool.startswith(PREFIX)
    return not (own or is_part(planned.undo) or row.guarantee == Guarantee.READ_ONLY)


async def completed(p: Ports, row: Row) -> int:
    """When an effect was complete, in the database's microseconds."""
    if row.status not in changes.UNDOING:
        return row.changed_at
    events = await p.read(acts.History(key=row.key, tenant=row.tenant))
    moments = [e.detail["completed"] for e in events if "completed" in e.detail]
    return int(moments[-1]) if moments else row.changed_at


def standing(row: Row, plan: Plan | None) -> Came | None:
    """What can be said of an effect without doing anything; ``None`` if it has to be undone."""
    if row.status in _NEVER or row.status in (Status.PENDING, Status.APPROVED):
        return Came(None)
    if row.status == Status.COMPENSATED:
        return Came("done")
    failed = row.status == Status.COMPENSATION_FAILED
    if failed and row.result_note == changes.KEPT:
        return Came("kept", "a person said that it stays")
    if failed and plan is not None and plan.one_shot:
        return Came("failed", "its compensation is tried only once; `tallystick resolve` closes it")
    if row.status == Status.SUCCEEDED and (plan is None or not plan.steps):
        return Came("kept", "it has no compensation")
    return None


def reported(workflow: str, to: str | None, came: Sequence[Went]) -> Compensation:
    """What came of all of them, by group."""
    groups: dict[str, list[Undone]] = {}
    for (group, reason), row, plan in came:
        if group is not None:
            residue = plan.residue if plan is not None else ""
            one = Undone(key=row.key.hex(), tool=row.tool, reason=reason, residue=residue)
            groups.setdefault(group, []).append(one)
    return Compensation(workflow=workflow, to=to, **{n: tuple(each) for n, each in groups.items()})


async def report(p: Ports, tenant: str, workflow: str, to: str | None) -> Compensation:
    """How far a workflow is undone, without doing anything about it."""
    came: list[Went] = []
    for planned in await plans(p, tenant, workflow):
        if is_forward(planned):
            plan = plan_of(planned.undo)
            state = standing(planned.row, plan) or Came("failed", "it is not undone")
            came.append(Went(state, planned.row, plan))
    return reported(workflow, to, came)
