"""Calls inside a replay: answered from the record, and from nothing else."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, NamedTuple

from tallystick import _rules as rules
from tallystick._changes import UNDOING
from tallystick._context import WORKFLOW, Assumed
from tallystick._flows import budgets, placing, stops
from tallystick._flows.attempt import success
from tallystick._flows.call import Call, claim_of, seen, shown_text
from tallystick._keys import scope_of
from tallystick._model import Row, Status
from tallystick._places import Neighbour
from tallystick._ports import Ports
from tallystick._replay._failures import failure
from tallystick._replay._play import Given, Overtaken, Play, Stand
from tallystick._replay._records import PAGE, Asked, ReadRecords, Record, Records
from tallystick._rules import Step
from tallystick.errors import InvalidCall, LedgerError, StillRunning, StoreBusy

#: how often others may be faster before something is wrong
_ROUNDS = 1000


async def serve(p: Ports, play: Play, call: Call) -> Any:
    """What *call* came to when it was recorded: the result, or what it raised; or Divergence."""
    _, row, same = await claimed(p, play, call)
    return stops.replay(same, row)


async def claimed(p: Ports, play: Play, call: Call) -> tuple[Step, Row, Call]:
    """As :func:`serve`, for a claim by hand: it is never fresh."""
    records = await _records_of(p, play, call)
    for _ in range(_ROUNDS):
        way = await _way(p, play, call)
        try:
            given = _given(play, way, records, call.policy.on_suspect == "replay")
        except Overtaken:
            continue
        row = given.record.row
        same = call._replace(identity=call.identity._replace(key=row.key))
        if given.digest != call.identity.digest:
            raise stops.changed(same, row)
        if row.status != Status.SUCCEEDED and row.status not in UNDOING:
            raise _stopped(same, row)
        return Step.REPLAY, row, same
    raise StoreBusy(f"others are at the calls beside {call.tool} in {call.workflow}; try later")


async def asked(p: Ports, play: Play, call: Call) -> Row | None:
    """What is recorded of a call that is asked about ahead; ``None`` where that is nothing."""
    records = await _records_of(p, play, call)
    for _ in range(_ROUNDS):
        way = await _way(p, play, call)
        if way.same is not None:
            return play.peek(way.same).record.row
        try:
            given = play.glance(way.asked, records, way.stand)
        except Overtaken:
            continue
        return None if given is None else given.record.row
    raise StoreBusy(f"others are at the calls beside {call.tool} in {call.workflow}; try later")


async def load(p: Ports, play: Play, tenant: str, workflow: str) -> Records:
    """The records of a workflow, read once."""
    known = play.records(workflow)
    if known is not None:
        return known
    scope, found = scope_of(tenant, workflow), list[Record]()
    while True:
        page = await p.read(ReadRecords(scope=scope, after=found[-1].seq if found else 0))
        found += page
        if len(page) < PAGE:
            return play.keep(workflow, found)


async def _records_of(p: Ports, play: Play, call: Call) -> Records:
    """The records of a call's workflow; of the replayed one where nobody said another."""
    records = await load(p, play, call.tenant, call.workflow)
    if not records and isinstance(WORKFLOW.get(), Assumed):
        return await load(p, play, call.tenant, play.workflow)
    return records


# -- which record -----------------------------------------------------------------------------


class _Way(NamedTuple):
    """What a call is beside those of its replay: a repetition of one, or one of its own."""

    asked: Asked
    stand: Stand | None = None
    same: Neighbour | None = None
    known: bool = False


async def _way(p: Ports, play: Play, call: Call) -> _Way:
    """Where a framework may run a step again, its adapter judges, as it does outside of replays."""
    place = call.place
    if place is None or not call.placed:
        return _Way(_asked(call))
    near = play.beside(call.identity.twin)
    stand = Stand(call.identity.twin, len(near), place.text)
    verdict = await place.judge(p, call.call_id, near)
    if verdict.same is not None:
        return _Way(_asked(call), stand, verdict.same, verdict.known)
    return _Way(_asked(placing.own(call, place, verdict.occurrence, 0)), stand)


def _given(play: Play, way: _Way, records: Records, replays: bool) -> Given:
    if way.same is not None and way.stand is not None:
        return play.repeats(way.same, way.stand, known=way.known)
    return play.answer(way.asked, records, way.stand, replays=replays)


def _asked(call: Call) -> Asked:
    identity = call.identity
    shown = partial(shown_text, call)
    return Asked(call.tool, call.workflow, call.call_id, identity.key, identity.digest, shown)


# -- what it came to --------------------------------------------------------------------------


def _stopped(call: Call, row: Row) -> LedgerError:
    """What a recorded call raised that has no result."""
    if row.status == Status.FAILED:
        return failure(row)
    if row.status == Status.IN_DOUBT:
        said = json.loads(row.error or "{}")
        kind = str(said.get("type", "")).rpartition(".")[2]
        return stops.in_doubt(call, row, f"{kind}: {said['message']}" if kind else "")
    if row.status == Status.RUNNING:
        error: LedgerError = call.error(
            StillRunning,
            f"{call.tool} in {row.workflow} is being performed by worker {(row.holder or '?')[:8]}"
            ", so that there is nothing to replay yet; replay the workflow when it is over",
        )
        return error
    return _UNDECIDED[row.status](call, row)


_UNDECIDED = {
    Status.PENDING.value: stops.approval_required,
    Status.APPROVED.value: stops.approval_required,
    Status.DENIED.value: stops.denied,
    Status.EXPIRED.value: stops.expired,
    Status.CANCELLED.value: stops.cancelled,
}


# -- the replay's own record ------------------------------------------------------------------


async def begin(p: Ports, play: Play, call: Call) -> Row:
    """
    Record that a replay begins; *call* is its own effect.

    InvalidCall where nothing is recorded of the workflow, Halted where nothing may start.
    """
    if not await load(p, play, call.tenant, play.workflow):
        raise InvalidCall(
            f"nothing is recorded of the workflow {play.workflow!r}, so that there is nothing to "
            "replay; `tallystick effects` lists what there is"
        )
    return await unpaid(p, call)


async def unpaid(p: Ports, call: Call) -> Row:
    """Begin an effect of the ledger's own, which no budget pays for; Halted if it may not start."""
    for _ in range(_ROUNDS):
        found = await p.claim(claim_of(call, p.holder, standing=p.budgets.standing.version))
        step = rules.next_step(found, call.identity.digest, call.policy)
        if step is Step.RUN:
            return seen(found)
        if step is not Step.STALE:
            raise await stops.halted(p, call)
        await budgets.learn(p, call.tenant)
    raise StoreBusy(f"budgets are declared all the time, so that {call.tool} cannot be recorded")


async def keep(p: Ports, call: Call, value: Any) -> None:
    """Record *value* as what an effect of the ledger's own came to."""
    row = await unpaid(p, call)
    await p.settle(success(call, row, value))
