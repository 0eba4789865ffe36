"""
Opening a run and leaving it: one holder at a time, and whoever comes after its death goes on.

A run is an effect of its own workflow: its arguments are the input, its result is the output.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

from tallystick import _acts as acts
from tallystick import _changes as changes
from tallystick._context import Around
from tallystick._flows import compensating, containing, stops
from tallystick._flows.attempt import given_back, success, verdict_on
from tallystick._flows.call import Call, describe, recorded_args, seen, summary
from tallystick._flows.compensating import Target
from tallystick._flows.effects import settle_by_hand, until_ours
from tallystick._flows.owning import own_call
from tallystick._flows.undoing import House
from tallystick._model import Row, Status
from tallystick._ports import Ports
from tallystick._rules import Step
from tallystick._undoing._tools import RUN, SAVEPOINT
from tallystick.errors import (
    ApprovalDenied,
    ApprovalRequired,
    BudgetError,
    EffectCompensated,
    EffectStopped,
    ResultNotStored,
    RunFinished,
    StillRunning,
    StoreError,
)

#: nothing failed: whoever opens the run goes on with it
_STOPS = (EffectStopped, BudgetError, StoreError)
#: who compensates when nobody in particular does
_BY = "run"


class Opening(NamedTuple):
    """How a run is opened."""

    id: str
    #: ``{"input": …}``, or nothing where it is left out
    given: dict[str, Any]
    #: what is recorded beside it: ``compensate``, ``parent``, ``name``, …
    about: dict[str, Any]
    rival: str
    wait: float
    #: the run around it
    parent: str | None = None
    #: whether a run that succeeded is entered for what it recorded
    replays: bool = False
    #: whether the run around it has its outcome
    closed: bool = False
    classify: Any = None

    @property
    def compensate(self) -> str:
        """What happens when an error leaves the block."""
        return str(self.about["compensate"])


class Opened(NamedTuple):
    """A run that was entered; one that is not held is somebody else's to leave."""

    call: Call
    row: Row
    args: dict[str, Any]
    held: bool = True

    @property
    def finished(self) -> bool:
        """Whether it had its outcome before it was entered."""
        return self.row.status == Status.SUCCEEDED


def run_call(house: House, opening: Opening) -> Call:
    """The effect that a run is."""
    return own_call(
        house,
        opening.id,
        RUN,
        {**opening.given, "about": opening.about},
        which="run",
        volatile=("about",),
        wait=0 if opening.rival in {"join", "refuse"} else opening.wait,
        classify=opening.classify,
    )._replace(call_id=opening.parent, around=Around(closed=opening.closed))


async def enter(p: Ports, house: House, opening: Opening) -> Opened:
    """
    Hold the run, or join it; RunFinished where it has its outcome.

    What was begun to be undone is undone first.
    """
    while True:
        call = run_call(house, opening)
        found = await p.read(acts.Look(key=call.identity.key, tenant=house.tenant))
        if found.row is not None:
            call = _same(call, found.row, opening)
            if found.row.status != Status.SUCCEEDED:
                await _go_back(p, house, opening, call, found.row)
        try:
            step, row, call = await until_ours(p, call)
        except EffectCompensated:
            continue  # somebody began to undo it a moment ago
        except StillRunning as rival:
            row = seen(await p.read(acts.Look(key=call.identity.key, tenant=house.tenant)))
            if opening.rival == "join":
                return Opened(call, row, recorded_args(call, row), held=False)
            raise _occupied(call, row, opening) from rival
        if step is Step.REPLAY and not opening.replays:
            raise finished(call, row)
        return Opened(call, row, recorded_args(call, row), held=step is Step.RUN)


async def told(p: Ports, house: House, opening: Opening) -> Opened | None:
    """In a replay the run is what is recorded of it, whatever became of it; nothing is written."""
    call = run_call(house, opening)
    row = (await p.read(acts.Look(key=call.identity.key, tenant=house.tenant))).row
    if row is None:
        return None
    call = _same(call, row, opening)
    return Opened(call, row, recorded_args(call, row), held=False)


def _same(call: Call, row: Row, opening: Opening) -> Call:
    """The call as the run was opened first; ArgumentsChanged where its input was another one."""
    if not opening.given:
        return call._replace(identity=call.identity._replace(digest=row.digest))
    if row.digest != call.identity.digest:
        raise stops.changed(call, row)
    return call


async def _go_back(p: Ports, house: House, opening: Opening, call: Call, row: Row) -> None:
    """Go on with an undoing that was begun or granted; RunFinished where that was all of it."""
    latest = await compensating.latest_round(p, house.tenant, opening.id)
    undone = row.status in changes.UNDOING
    if not compensating.is_open(latest):
        if row.status == Status.COMPENSATED:
            await containing.release(p, house.tenant, opening.id, by=_BY)
            raise finished(call, row)
        if not undone:
            return
    to = None if undone or latest is None else latest.args["to"]
    try:
        asks = opening.compensate == "ask"
        await compensating.compensate(p, house, _target(opening, to, "it was begun", asks=asks))
    except ApprovalDenied:
        return  # a person wants it to go on
    if to is None:
        await containing.release(p, house.tenant, opening.id, by=_BY)
        raise finished(call, seen(await p.read(acts.Look(key=row.key, tenant=row.tenant))))


def _target(opening: Opening, to: str | None, reason: str, **more: Any) -> Target:
    return Target(opening.id, to, _BY, reason, opening.wait, **more)


def finished(call: Call, row: Row) -> RunFinished:
    """The run has its outcome, and its output unless that is gone."""
    output, gone = None, None
    advice = "take its output from this error or from ledger.run(…), or begin"
    if row.status == Status.SUCCEEDED:
        try:
            output = stops.replay(call, row)
        except ResultNotStored as missing:
            gone, advice = missing, "its output is not there any more; begin"
    error: RunFinished = call.error(
        RunFinished,
        f"the run {row.workflow} is {row.status.replace('_', ' ')} and is not opened again; "
        f"{advice} a run with another id",
        status=row.status,
        output=output,
    )
    error.__cause__ = gone
    return error


def _occupied(call: Call, row: Row, opening: Opening) -> StillRunning:
    waited = f" after {opening.wait:g} s" if opening.rival == "wait" else ""
    error: StillRunning = call.error(
        StillRunning,
        f"the run {row.workflow} is open in worker {(row.holder or '?')[:8]}{waited}; open it "
        "later, wait longer with wait=…, or be inside beside it with rival='join'",
    )
    return error


# -- leaving ----------------------------------------------------------------------------------


async def succeed(p: Ports, house: House, opened: Opened, output: Any) -> None:
    """The block came to its end: its output is the run's."""
    if not opened.held:
        return
    call, row = opened.call, opened.row
    try:
        await settle_by_hand(p, call, success(call, row, output))
    except EffectStopped:
        now = seen(await p.read(acts.Look(key=row.key, tenant=row.tenant)))
        if now.status in changes.UNDOING:
            await left_contained(p, house, opened)
            raise finished(call, now) from None
        raise


def is_stop(opened: Opened, error: BaseException) -> bool:
    """Whether *error* leaves the run as it is, for whoever opens it next."""
    stopped = isinstance(error, _STOPS) or not isinstance(error, Exception)
    return stopped or verdict_on(error, opened.call, opened.row) == "interrupted"


async def stop(p: Ports, opened: Opened, error: BaseException) -> None:
    """Give the run back; nothing is undone. A cancelled task does not suspend again."""
    if not opened.held:
        return
    with suppress(StoreError):  # then it counts as dead when its process does
        if isinstance(error, Exception):
            await p.do(given_back(opened.row, error))
        else:
            p.post(given_back(opened.row, error))


async def fail(p: Ports, house: House, opened: Opened, opening: Opening, error: Exception) -> None:
    """An error left the block: undo the run, ask whether to, or let it be tried again."""
    if not opened.held:
        return
    call, why = opened.call, summary(error, opened.call)
    try:
        if opening.compensate == "on_error":
            said = describe(error, call)
            target = _target(opening, None, why, error=said, leaving=True)
            await compensating.compensate(p, house, target)
            await left_contained(p, house, opened)
            return
        if opening.compensate == "ask":
            await _ask(p, house, opening, why)
        failed = success(call, opened.row, None)._replace(
            status=Status.FAILED.value, note="retryable", result=None, result_digest=None
        )
        await p.settle(failed._replace(error=describe(error, call)))
    except BaseException as stopped:
        p.post(given_back(opened.row, stopped))
        raise


async def _ask(p: Ports, house: House, opening: Opening, why: str) -> None:
    """Put the question into the inbox; it is answered when the run is opened again."""
    call = await compensating.next_round(p, house, _target(opening, None, why, asks=True))
    try:
        await until_ours(p, call)
    except ApprovalRequired:
        return


async def left_contained(p: Ports, house: House, opened: Opened) -> None:
    """Let a workflow go that was undone while its run was still open here."""
    row = opened.row
    now = seen(await p.read(acts.Look(key=row.key, tenant=row.tenant)))
    if now.status == Status.COMPENSATED:
        await containing.release(p, house.tenant, row.workflow, by=_BY)


# -- inside -----------------------------------------------------------------------------------


async def savepoint(p: Ports, house: House, workflow: str, name: str) -> str:
    """Remember this place; told again it is where it was."""
    call = own_call(house, workflow, SAVEPOINT, {"name": name}, which=name, wait=60.0)
    step, row, call = await until_ours(p, call)
    if step is Step.RUN:
        await settle_by_hand(p, call, success(call, row, None))
    return name
