"""
Compensating a workflow: one process does it, and whoever comes after its death goes on.

A round is an effect itself, so that it is claimed, taken over and waited for like any other. While
it lasts, and as long as something is left to be undone, nothing else starts in the workflow.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from tallystick import _acts as acts
from tallystick._context import WORKFLOW
from tallystick._flows.attempt import given_back, success
from tallystick._flows.call import Call, recorded_args, seen
from tallystick._flows.containing import FROZEN, contain, release
from tallystick._flows.effects import until_ours
from tallystick._flows.gathering import (
    Went,
    completed,
    is_forward,
    plans,
    report,
    reported,
    standing,
)
from tallystick._flows.owning import own_call
from tallystick._flows.quieting import quiet, withdraw
from tallystick._flows.undoing import House, Moved, Undoing
from tallystick._model import Effect, Row, Status
from tallystick._policy import Approval
from tallystick._ports import Ports
from tallystick._rules import Step
from tallystick._undoing._acts import Planned, Turn
from tallystick._undoing._plan import Plan, plan_of
from tallystick._undoing._report import OPEN, Compensation
from tallystick._undoing._tools import COMPENSATE, RUN, SAVEPOINT
from tallystick.errors import (
    CompensationIncomplete,
    InvalidCall,
    StillRunning,
    UnknownEffect,
)

#: seconds that a question whether to compensate waits for its answer
_ASKS = 7 * 86_400.0
#: a round that has not come to its end
_BEGUN = (Status.PENDING, Status.APPROVED, Status.RUNNING, Status.FAILED)


class Target(NamedTuple):
    """What is to be undone, and who says so."""

    workflow: str
    #: the savepoint to go back to; ``None`` for the beginning
    to: str | None
    by: str
    reason: str
    #: seconds to wait for others
    wait: float
    #: what left the run's block, as JSON
    error: str | None = None
    #: whether it is the run's own holder, on the way out of its block
    leaving: bool = False
    #: whether a person is asked first
    asks: bool = False


async def compensate(p: Ports, house: House, target: Target) -> Compensation:
    """
    Undo what the workflow did, newest first; what is left to do is CompensationIncomplete.

    A round that somebody else began is waited for, or taken over from the dead, first.
    """
    await _known(p, house, target)
    while True:
        call = await next_round(p, house, target)
        step, row, call = await until_ours(p, call)
        covered = recorded_args(call, row)["to"] in (None, target.to)
        if step is Step.REPLAY:
            return await report(p, house.tenant, target.workflow, target.to)
        try:
            done = await _perform(p, house, call, row, target)
        except CompensationIncomplete:
            if covered:
                raise
            continue
        if covered:
            return done


async def latest_round(p: Ports, tenant: str, workflow: str) -> Effect | None:
    """The round that was begun last, or asked for."""
    found = await p.read(acts.Find(tenant=tenant, workflow=workflow, tool=COMPENSATE, limit=1))
    return found[0] if found else None


def is_open(latest: Effect | None) -> bool:
    """Whether a round has not come to its end."""
    return latest is not None and latest.status in _BEGUN


async def _known(p: Ports, house: House, target: Target) -> None:
    """Refuse a workflow, or a savepoint, of which nothing is recorded."""
    tenant, workflow = house.tenant, target.workflow
    if not await p.read(acts.Find(tenant=tenant, workflow=workflow, limit=1)):
        raise UnknownEffect(f"nothing is recorded of the workflow {target.workflow!r}")
    if target.to is not None:
        found = await p.read(acts.Find(tenant=tenant, workflow=workflow, tool=SAVEPOINT))
        names = [effect.args["name"] for effect in found]
        if target.to not in names:
            known = ", ".join(names) or "none"
            raise InvalidCall(f"{target.workflow} has no savepoint {target.to!r}; it has {known}")


async def next_round(p: Ports, house: House, target: Target) -> Call:
    """The round to take part in: the one that is open if it goes as far, else the next."""
    latest = await latest_round(p, house.tenant, target.workflow)
    number = 1
    if latest is not None:
        goes_as_far = latest.args["to"] in (None, target.to)
        joins = is_open(latest) and (goes_as_far or latest.status is Status.RUNNING)
        number = latest.args["round"] + (not joins)
    args = {"round": number, "to": target.to, "by": target.by, "reason": target.reason}
    approval = Approval(expires=_ASKS, after_expiry="ask") if target.asks else False
    return own_call(
        house,
        target.workflow,
        COMPENSATE,
        args,
        which=number,
        volatile=("to", "by", "reason"),
        wait=target.wait,
        approval=approval,
    )


async def _perform(p: Ports, house: House, call: Call, row: Row, target: Target) -> Compensation:
    """The round, which is ours."""
    said = recorded_args(call, row)
    mine = target._replace(to=said["to"], by=said["by"], reason=said["reason"])
    ambient = WORKFLOW.set(target.workflow)
    try:
        done = await Round(p, house, mine).go()
    except BaseException as error:
        p.post(given_back(row, error))
        raise
    finally:
        WORKFLOW.reset(ambient)
    if done.complete:
        came = {name: list(done.keys(name)) for name in ("done", "kept")}
        await p.settle(success(call, row, came))
        return done
    left = incomplete(call, done)
    text = json.dumps({"type": type(left).__name__, "message": str(left), "traceback": ""})
    act = success(call, row, None)._replace(status=Status.FAILED.value, note="retryable")
    await p.settle(act._replace(result=None, result_digest=None, error=text))
    raise left


def incomplete(call: Call, done: Compensation) -> CompensationIncomplete:
    """What is left, as an error that names each effect."""
    left = [
        f"{one.tool} {one.key[:12]} is {name.replace('_', ' ')} ({one.reason})"
        for name in OPEN
        for one in getattr(done, name)
    ]
    error: CompensationIncomplete = call.error(
        CompensationIncomplete,
        f"{done.workflow} is not undone yet: {'; '.join(left)}. See `tallystick inbox`, then "
        f"`tallystick compensate {done.workflow}`",
        compensation=done,
        **{name: done.keys(name) for name in OPEN},
    )
    return error


class Round:
    """One process undoing one workflow."""

    def __init__(self, p: Ports, house: House, target: Target) -> None:
        self._p = p
        self._house = house
        self._target = target
        self._deadline = p.monotonic() + target.wait
        self._came: list[Went] = []

    async def go(self) -> Compensation:
        """Let nothing else start, undo the newest first, and let the workflow go again."""
        target = self._target
        await contain(self._p, self._house.tenant, target.workflow, by=target.by)
        run = await self._turn_run(Status.COMPENSATING)
        for _, planned in sorted(await self._to_undo(), key=lambda each: each[0], reverse=True):
            self._came.append(await self._undo(planned))
        done = reported(target.workflow, target.to, self._came)
        await self._turn_run(Status.COMPENSATED if done.complete else Status.COMPENSATION_FAILED)
        if done.complete and not run:
            await release(self._p, self._house.tenant, target.workflow, by=target.by)
        return done

    async def _undo(self, planned: Planned) -> Went:
        row, plan = planned.row, plan_of(planned.undo)
        came = standing(row, plan)
        while came is None:
            target = self._target
            way = Undoing(
                self._p, self._house, row, plan or Plan(), by=target.by, why=target.reason
            )
            try:
                came = await way.go(self._deadline - self._p.monotonic())
            except Moved:
                row = seen(await self._look(row))
                came = standing(row, plan)
        return Went(came, row, plan)

    async def _look(self, row: Row) -> acts.Found:
        return await self._p.read(acts.Look(key=row.key, tenant=row.tenant))

    # -- what there is to undo ----------------------------------------------------------------

    async def _to_undo(self) -> list[tuple[int, Planned]]:
        """The workflow's own effects with the moments at which they were complete."""
        found: list[tuple[int, Planned]] = []
        since = 0
        for planned in await plans(self._p, self._house.tenant, self._target.workflow):
            row = planned.row
            if row.tool == SAVEPOINT and row.status == Status.SUCCEEDED:
                args = json.loads(row.args)
                since = row.changed_at if args["name"] == self._target.to else since
            if is_forward(planned):
                row = await self._still(row)
                found.append((await completed(self._p, row), planned._replace(row=row)))
        later = [(moment, each) for moment, each in found if moment > since]
        for _, each in later:
            reason = f"{FROZEN}: {self._target.reason}"
            await withdraw(self._p, each.row, by=self._target.by, reason=reason)
        return later

    async def _still(self, row: Row) -> Row:
        """The effect when nobody performs it any more."""
        row = await quiet(self._p, row, self._deadline)
        if row.status == Status.RUNNING:
            raise StillRunning(
                f"{row.tool} in {row.workflow} is still being performed by worker "
                f"{(row.holder or '?')[:8]}; compensate when it has come to its end",
                key=row.key.hex(),
                tool=row.tool,
                workflow=row.workflow,
            )
        return row

    # -- the run around it --------------------------------------------------------------------

    async def _turn_run(self, to: Status) -> bool:
        """
        Take the run itself along, where all of it is undone.

        Whether a living process is inside of it, which must not begin anything any more.
        """
        if self._target.to is not None:
            return False
        key = own_call(self._house, self._target.workflow, RUN, {}, which="run").identity.key
        found = await self._p.read(acts.Look(key=key, tenant=self._house.tenant))
        row = found.row
        if row is None or row.status == to:
            return row is not None and await self._inside(row)
        inside = found.alive and not self._target.leaving
        await self._p.do(
            Turn(
                key=row.key,
                tenant=row.tenant,
                status=row.status,
                epoch=row.epoch,
                to=to.value,
                by=self._target.by,
                reason=self._target.reason,
                detail={"inside": inside},
                error=self._target.error,
            )
        )
        return inside or await self._inside(row)

    async def _inside(self, row: Row) -> bool:
        """Whether somebody was in the run when its undoing began."""
        events = await self._p.read(acts.History(key=row.key, tenant=row.tenant))
        return any(e.detail.get("inside") for e in events)
