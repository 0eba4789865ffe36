"""
Containing what went wrong: freeze, list, undo the newest first, and say what stays.

A containment is an effect itself, so that it is claimed, taken over and waited for like any other;
its result is the report. Where it froze something nothing starts until a person says so.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from tallystick import _acts as acts
from tallystick._canonical import canonical
from tallystick._context import WORKFLOW
from tallystick._flows import desk
from tallystick._flows.attempt import given_back, success
from tallystick._flows.call import Call, recorded_args, seen
from tallystick._flows.choosing import Chosen, Selection, choose, scopes_of
from tallystick._flows.containing import freeze, frozen, told
from tallystick._flows.depending import Dependents
from tallystick._flows.effects import settle_by_hand, until_ours
from tallystick._flows.gathering import standing
from tallystick._flows.owning import own_call
from tallystick._flows.quieting import quiet, withdraw
from tallystick._flows.stops import replay
from tallystick._flows.surveying import affected, built_upon, newest_first, still_performed
from tallystick._flows.undoing import Came, House, Moved, Undoing
from tallystick._model import Row, Status
from tallystick._ports import Ports
from tallystick._rules import Step
from tallystick._undoing._containment import (
    Affected,
    Containment,
    Frozen,
    grouped,
    recorded,
    reread,
)
from tallystick._undoing._plan import Plan, plan_of
from tallystick._undoing._tools import CONTAIN
from tallystick.errors import CalledFromItself, Halted, InvalidCall, StillRunning

#: the workflow that containments are effects of
_HOME = "tallystick.contain"
#: how often something new may be found that has to be frozen
_ROUNDS = 100
#: a containment that nobody has begun to be sure of: whoever says the same takes part in it
_OPEN = (Status.RUNNING, Status.APPROVED)


class Order(NamedTuple):
    """What is to be contained, and who says so."""

    selection: Selection
    by: str
    reason: str
    #: whether what depends on it is contained, too
    takes_along: bool
    #: seconds to wait for others
    wait: float
    #: the effects that are being performed around the caller
    within: frozenset[bytes] = frozenset()


async def contain(p: Ports, house: House, order: Order) -> Containment:
    """Freeze what is concerned, undo it, and report; one at a time for the same selection."""
    await _check(p, house, order)
    return await _take_part(p, house, order, await _call(p, house, order))


async def resume(p: Ports, house: House, order: Order, key: str) -> Containment:
    """Go on with a containment that was begun, or repeat what it reported."""
    effect = await desk.get(p, house.tenant, key)
    if effect.tool != CONTAIN:
        raise InvalidCall(f"{key} is {effect.tool} in {effect.workflow}, and no containment")
    said = effect.args
    selection = Selection(said["workflow"], said["agent"], said["tool"], said["since"])
    order = order._replace(selection=selection, takes_along=said["dependents"])
    return await _take_part(p, house, order, _numbered(house, order, said["number"]))


async def _check(p: Ports, house: House, order: Order) -> None:
    """Refuse what is not recorded, and what would wait for its own caller."""
    choice = await choose(p, house.tenant, order.selection)
    for each in choice.effects:
        if each.row.key in order.within and each.row.status == Status.RUNNING:
            raise CalledFromItself(
                f"{each.row.tool} in {each.row.workflow} would be contained while it is performed "
                "around this call, and waited for for ever; contain from outside of it"
            )


async def _call(p: Ports, house: House, order: Order) -> Call:
    """The containment to take part in: one that was begun and not ended, else the next."""
    number = 1
    while True:
        call = _numbered(house, order, number)
        row = (await p.read(acts.Look(key=call.identity.key, tenant=house.tenant))).row
        if row is None or row.status in _OPEN:
            return call
        number += 1


def _numbered(house: House, order: Order, number: int) -> Call:
    what = {**order.selection._asdict(), "dependents": order.takes_along}
    name = hashlib.sha256(canonical(what)).hexdigest()
    args = {**what, "number": number, "by": order.by, "reason": order.reason}
    return own_call(
        house,
        _HOME,
        CONTAIN,
        args,
        which=[name, number],
        volatile=("by", "reason"),
        wait=order.wait,
    )


async def _take_part(p: Ports, house: House, order: Order, call: Call) -> Containment:
    step, row, call = await until_ours(p, call)
    if step is Step.REPLAY:
        return reread(row.key.hex(), replay(call, row))
    said = recorded_args(call, row)
    mine = order._replace(by=said["by"], reason=said["reason"])
    try:
        done = await Incident(p, house, mine, row.key.hex()).go()
    except BaseException as error:
        p.post(given_back(row, error))
        raise
    await settle_by_hand(p, call, success(call, row, recorded(done)))
    return done


class Incident:
    """One process containing one selection."""

    def __init__(self, p: Ports, house: House, order: Order, key: str) -> None:
        self._p = p
        self._house = house
        self._order = order
        self._key = key
        self._reason = told(key) + order.reason
        self._deadline = p.monotonic() + order.wait
        self._frozen: set[Frozen] = set()
        self._groups: dict[str, list[Affected]] = {}

    async def go(self) -> Containment:
        """Let nothing else start, wait for what has begun, undo the newest first, and report."""
        dependents = await self._freeze()
        while await self._quiet(dependents.chosen):
            dependents = await self._freeze()
        for each in newest_first(dependents.chosen):
            await self._take(each, dependents)
        return grouped(
            self._groups,
            **self._order.selection.facts(),
            key=self._key,
            with_dependents=self._order.takes_along,
            frozen=tuple(await frozen(self._p, self._house.tenant, self._key)),
        )

    # -- nothing else starts --------------------------------------------------------------------

    async def _freeze(self) -> Dependents:
        """Freeze what is concerned until nothing new is found that is not frozen."""
        p, (tenant, *_), order = self._p, self._house, self._order
        for _ in range(_ROUNDS):
            choice = await choose(p, tenant, order.selection)
            found = Dependents(p, tenant, choice.effects, takes_along=order.takes_along)
            await found.read_on()
            scopes = scopes_of(choice, found.chosen)
            new = [scope for scope in scopes if scope not in self._frozen]
            if not new:
                return found
            for scope in new:
                await freeze(p, tenant, scope, by=order.by, reason=self._reason)
            self._frozen.update(new)
        raise StillRunning(
            f"after {_ROUNDS} rounds something new begins all the time that has to be contained; "
            "halt the tools that it uses, and contain again",
            tool=CONTAIN,
            workflow=_HOME,
            key=self._key,
        )

    async def _quiet(self, chosen: list[Chosen]) -> bool:
        """Whether something had to be waited for or withdrawn, so that all has to be read again."""
        moved = False
        for each in chosen:
            row = await quiet(self._p, each.row, self._deadline)
            await withdraw(self._p, row, by=self._order.by, reason=self._reason)
            waits = row.status in (Status.PENDING, Status.APPROVED)
            moved = moved or waits or row.status != each.row.status
        return moved

    # -- the way back ---------------------------------------------------------------------------

    async def _take(self, each: Chosen, dependents: Dependents) -> None:
        """Undo one effect, unless something stays that depends on it."""
        plan = plan_of(each.planned.undo)
        came, stay = await self._standing(each.row, plan), list[Row]()
        while came is None:
            row = seen(await self._look(each.row))
            await dependents.read_on()
            stay = await dependents.of(row.key)
            if stay and row.status != Status.COMPENSATING:
                came = Came("refused", built_upon(stay))
                break
            came, stay = await self._undone(row, plan), []
        if came.group is not None:
            line = affected(each, plan, came, stay)
            self._groups.setdefault(came.group, []).append(line)

    async def _undone(self, row: Row, plan: Plan | None) -> Came | None:
        """What came of undoing it; ``None`` if it has to be looked at again."""
        came = await self._standing(row, plan)
        if came is not None:
            return came
        order = self._order
        way = Undoing(self._p, self._house, row, plan or Plan(), by=order.by, why=order.reason)
        ambient = WORKFLOW.set(row.workflow)
        try:
            return await way.go(self._deadline - self._p.monotonic())
        except Moved:
            return None
        except (Halted, StillRunning) as error:
            return Came("waiting", str(error))
        finally:
            WORKFLOW.reset(ambient)

    async def _standing(self, row: Row, plan: Plan | None) -> Came | None:
        if row.status == Status.RUNNING:
            return Came("waiting", still_performed(row))
        if row.status == Status.CANCELLED:
            events = await self._p.read(acts.History(key=row.key, tenant=row.tenant))
            ours = any(event.detail.get("reason") == self._reason for event in events)
            return Came("withdrawn" if ours else None)
        return standing(row, plan)

    async def _look(self, row: Row) -> acts.Found:
        return await self._p.read(acts.Look(key=row.key, tenant=row.tenant))
