"""Which effects a containment is about, and where they happened."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from tallystick import _acts as acts
from tallystick import _changes as changes
from tallystick._flows.call import micros
from tallystick._flows.gathering import completed, is_forward, plans
from tallystick._model import Row, Status, at
from tallystick._policy import Seconds
from tallystick._ports import Ports
from tallystick._rules import dropped_at
from tallystick._undoing._acts import Planned, ReadPlans
from tallystick._undoing._containment import Frozen
from tallystick._undoing._tools import RUN
from tallystick.errors import InvalidCall, UnknownEffect

#: nothing of these happened, and nothing will by itself
OUT = (Status.FAILED, Status.DENIED, Status.EXPIRED, Status.CANCELLED)
#: a run that nobody goes on with
_ENDED = (Status.SUCCEEDED, Status.COMPENSATED, Status.CANCELLED, Status.DENIED)


class Selection(NamedTuple):
    """What is contained: all that is said has to hold."""

    workflow: str | None = None
    agent: str | None = None
    tool: str | None = None
    #: microseconds of the database's clock
    since: int | None = None

    def facts(self) -> dict[str, Any]:
        """As users see it."""
        since = None if self.since is None else at(self.since)
        return {**self._asdict(), "since": since}

    @property
    def whole(self) -> bool:
        """Whether nothing but a time is said, so that it is about everything."""
        return self.workflow is self.agent is self.tool is None


async def since_of(p: Ports, since: datetime | Seconds) -> int:
    """The moment that is meant, by the database's clock; InvalidCall where it is still to come."""
    now = await p.read(acts.Clock())
    if not isinstance(since, datetime):
        return now - micros(since)
    moment = (since - at(0)) // timedelta(microseconds=1)
    if moment > now:
        raise InvalidCall(f"since={since.isoformat()} is still to come")
    return moment


class Chosen(NamedTuple):
    """An effect that is concerned, and when it was complete or changed last."""

    planned: Planned
    moment: int

    @property
    def row(self) -> Row:
        """The effect."""
        return self.planned.row

    @property
    def open(self) -> bool:
        """Whether something may still come of it, or be done about it."""
        return self.row.status not in (*OUT, Status.COMPENSATED)


class Choice(NamedTuple):
    """All that is concerned, in the order in which it was recorded; and where more could be."""

    effects: list[Chosen]
    places: list[Frozen]


async def choose(p: Ports, tenant: str, selection: Selection) -> Choice:
    """The effects of a selection; UnknownEffect where it names what is not recorded."""
    within = await _within(p, tenant, selection)
    if within is None:
        found = await trail(p, tenant, tool=selection.tool, since=selection.since)
    else:
        found = [each for name in within for each in await plans(p, tenant, name)]
        found.sort(key=lambda each: each.seq)
    if selection.tool is not None and not found:
        await _known_tool(p, tenant, selection.tool)
    effects = list[Chosen]()
    for each in filter(is_forward, found):
        chosen = Chosen(each, await moment_of(p, each.row))
        if selection.tool in (None, each.row.tool) and _since(chosen, selection.since):
            effects.append(chosen)
    return Choice(effects, _places(selection, within or {}))


def _places(selection: Selection, within: Mapping[str, bool]) -> list[Frozen]:
    """Where nothing may start any more, whatever was done there."""
    if selection.whole:
        return [Frozen()]
    everywhere = selection.tool is not None and selection.workflow is None
    tools = [Frozen(tool=selection.tool)] if everywhere else []
    return tools + [Frozen(workflow=name) for name, goes_on in within.items() if goes_on]


def scopes_of(choice: Choice, effects: Sequence[Chosen]) -> list[Frozen]:
    """Where nothing may start any more, if these *effects* are contained."""
    if Frozen() in choice.places:
        return choice.places
    names = dict.fromkeys(each.row.workflow for each in effects if each.open)
    return list(dict.fromkeys([*choice.places, *(Frozen(workflow=name) for name in names)]))


async def trail(p: Ports, tenant: str, **asked: Any) -> list[Planned]:
    """Effects of the tenant with their plans, oldest first."""
    found: list[Planned] = []
    while True:
        after = found[-1].seq if found else 0
        page = await p.read(ReadPlans(tenant=tenant, after=after, **asked))
        found += page
        if not page:
            return found


async def _within(p: Ports, tenant: str, selection: Selection) -> dict[str, bool] | None:
    """
    The workflows that are concerned, and whether more may begin in each; ``None`` for any.

    A run is concerned with all the runs inside of it.
    """
    if selection.workflow is None and selection.agent is None:
        return None
    runs = [each.row for each in await trail(p, tenant, tool=RUN)]
    named = None
    if selection.workflow is not None:
        await _known_workflow(p, tenant, selection.workflow)
        named = {selection.workflow: True} | _inside(runs, {selection.workflow})
    if selection.agent is None:
        return named
    theirs = {run.workflow for run in runs if _labels(run).get("agent") == selection.agent}
    if not theirs:
        raise UnknownEffect(
            f"no run is recorded of an agent {selection.agent!r}: runs are an agent's by their "
            "label, `ledger.workflow(…, input=…, labels={'agent': …})`; `tallystick runs` lists "
            "them"
        )
    found = {run.workflow: _goes_on(run) for run in runs if run.workflow in theirs}
    found |= _inside(runs, theirs)
    return found if named is None else {n: o for n, o in found.items() if n in named}


def _inside(runs: list[Row], names: set[str]) -> dict[str, bool]:
    """The runs inside of these, however deep."""
    found: dict[str, bool] = {}
    while names:
        inner = [run for run in runs if run.call_id in names and run.workflow not in found]
        found |= {run.workflow: _goes_on(run) for run in inner}
        names = {run.workflow for run in inner}
    return found


def _goes_on(run: Row) -> bool:
    return run.status not in _ENDED


def _labels(run: Row) -> dict[str, str]:
    """The labels that hold in a run; none are known of one that lost its payload."""
    if dropped_at(run) is not None:
        return {}
    labels: dict[str, str] = json.loads(run.args).get("about", {}).get("labels", {})
    return labels


async def _known_workflow(p: Ports, tenant: str, workflow: str) -> None:
    if not await p.read(acts.Find(tenant=tenant, workflow=workflow, limit=1)):
        raise UnknownEffect(f"nothing is recorded of the workflow {workflow!r}")


async def _known_tool(p: Ports, tenant: str, tool: str) -> None:
    if not await p.read(acts.Find(tenant=tenant, tool=tool, limit=1)):
        raise UnknownEffect(
            f"no effect of {tool!r} is recorded; `tallystick halt --tool` stops a tool that was "
            "never called"
        )


async def moment_of(p: Ports, row: Row) -> int:
    """When it was complete, or changed last."""
    return await completed(p, row) if row.status in changes.UNDOING else row.changed_at


def _since(chosen: Chosen, since: int | None) -> bool:
    return since is None or chosen.moment >= since or chosen.row.status == Status.RUNNING
