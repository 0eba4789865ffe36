"""What a containment would do, or has done, about each effect, in the words of its report."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick import _acts as acts
from tallystick._flows.choosing import Chosen, Selection, choose
from tallystick._flows.depending import Dependents
from tallystick._flows.gathering import standing
from tallystick._flows.undoing import Came, House, forgotten
from tallystick._model import Row, Status, at
from tallystick._ports import Ports
from tallystick._undoing._containment import Affected, Containment, grouped
from tallystick._undoing._names import Unfindable
from tallystick._undoing._plan import Plan, closes_at, plan_of

#: of those that depend on an effect, as many are named in a sentence
_NAMED = 3


def newest_first(chosen: Sequence[Chosen]) -> list[Chosen]:
    """In the order in which they are undone: by the moment of completion, across workflows."""
    return sorted(chosen, key=lambda each: (each.moment, each.planned.seq), reverse=True)


async def survey(p: Ports, house: House, selection: Selection, *, takes_along: bool) -> Containment:
    """What could be undone, until when, and what could not, and why; nothing is written."""
    choice = await choose(p, house.tenant, selection)
    dependents = Dependents(p, house.tenant, choice.effects, takes_along=takes_along)
    await dependents.read_on()
    now = await p.read(acts.Clock())
    groups: dict[str, list[Affected]] = {}
    undoable: set[bytes] = set()
    for each in newest_first(dependents.chosen):
        plan = plan_of(each.planned.undo)
        later = await dependents.of(each.row.key)
        stay = [row for row in later if row.key not in undoable]
        came = _foreseen(each.row, plan, stay, now) or _lacking(house, plan) or Came("undoable")
        if came.group == "undoable":
            undoable.add(each.row.key)
        if came.group is not None:
            stay = stay if came.group == "refused" else []
            groups.setdefault(came.group, []).append(affected(each, plan, came, stay))
    return grouped(groups, **selection.facts(), with_dependents=takes_along)


def _foreseen(row: Row, plan: Plan | None, stay: Sequence[Row], now: int) -> Came | None:
    """What would come of one effect; ``None`` where its compensation would be tried."""
    if row.status in (Status.PENDING, Status.APPROVED):
        return Came("waiting", "it has not begun, and would be withdrawn")
    if row.status == Status.RUNNING:
        return Came("waiting", still_performed(row))
    came = standing(row, plan) or _late(row, plan, now)
    if came is None and stay and row.status != Status.COMPENSATING:
        came = Came("refused", built_upon(stay))
    return came


def _lacking(house: House, plan: Plan | None) -> Came | None:
    """Whether a compensation cannot be found in this process."""
    try:
        for name in () if plan is None else plan.steps:
            house.names.find(name)
    except Unfindable as error:
        return Came("missing", str(error))
    return None


def _late(row: Row, plan: Plan | None, now: int) -> Came | None:
    """What is known to be in the way of undoing an effect that happened, or may have."""
    if row.status == Status.IN_DOUBT and not (plan and plan.when_in_doubt == "compensate"):
        return Came("in_doubt", "nobody knows whether it happened")
    until = _until(row, plan)
    if until is not None and now > until:
        return Came("failed", "the time in which it could be undone is over")
    gone = forgotten(row)
    return Came("failed", gone) if gone else None


def still_performed(row: Row) -> str:
    """Why nothing can be said of an effect yet."""
    return f"it is still being performed by worker {(row.holder or '?')[:8]}"


def built_upon(later: Sequence[Row]) -> str:
    """Why an effect is not undone."""
    named = ", ".join(
        f"{row.tool} {row.key.hex()[:12]} in {row.workflow}" for row in later[:_NAMED]
    )
    more = f" and {len(later) - _NAMED} more" if len(later) > _NAMED else ""
    one = len(later) == 1
    return f"{named}{more} {'depends' if one else 'depend'} on it and {'stays' if one else 'stay'}"


def _until(row: Row, plan: Plan | None) -> int | None:
    """The moment after which an effect that happened cannot be undone any more."""
    return None if plan is None else closes_at(row, plan)


def affected(each: Chosen, plan: Plan | None, came: Came, stay: Sequence[Row]) -> Affected:
    """One line of the report."""
    row = each.row
    said = plan if plan is not None else Plan(reversibility="irreversible")
    until = _until(row, plan)
    return Affected(
        key=row.key.hex(),
        tool=row.tool,
        workflow=row.workflow,
        at=at(each.moment),
        reason=came.reason,
        reversibility=said.reversibility if said.steps else "irreversible",
        steps=said.steps,
        until=None if until is None else at(until),
        one_shot=said.one_shot,
        residue=said.residue,
        dependents=tuple(row.key.hex() for row in stay),
    )
