"""
Whether a call in a graph is one that is recorded: rules over plain values, touching nothing.

A call has an id, and a place: for each level of nested graphs the checkpoint that asked for its
task. An id means the same call as long as the message that holds it; the same place, the same
execution. What neither says, the lineage does: an effect whose checkpoint is no ancestor was left
behind, by a crash, a retry or time travel, and the call that comes instead takes it over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from enum import Enum, auto
from typing import Any

from tallystick._places import Neighbour, Verdict
from tallystick._values import Value


class Relation(Enum):
    """How a recorded place lies to the one of the call."""

    HERE = auto()  # the same task
    BESIDE = auto()  # a task of the same step
    BEFORE = auto()  # an earlier step, whose outcome the call knows
    REPLACED = auto()  # asked for at an ancestor from which another branch went on to the call
    LOST = auto()  # nowhere in the lineage
    UNCLEAR = auto()  # a graph that was begun anew, for a retry or a second time


#: nothing that leads to the call knows of it
_LEFT = (Relation.LOST, Relation.REPLACED)


class Level(Value):
    """What is known of the lineage at one level of nested graphs."""

    ns: str
    id: str
    #: the checkpoint itself and its ancestors, the nearest first, and how each came to be; ``None``
    #: if nothing is kept here
    steps: Sequence[tuple[str, str]] | None
    #: whether ancestors may be missing that once were there
    cut: bool = False
    #: in which attempt of its node the graph of this level runs
    attempt: int | None = None


class Standing(Value):
    """The place of a call, and what has been found out about it."""

    call_id: str | None
    segments: Sequence[str]
    route: str
    run: str | None
    attempt: int | None
    levels: Sequence[Level]
    #: for the namespaces of earlier graphs, whether they came to their end
    finished: Mapping[str, bool | None] = field(default_factory=dict[str, "bool | None"])
    #: ids of calls that the state holds, and of those that are answered in it
    asked: frozenset[str] = frozenset()
    answered: frozenset[str] = frozenset()


def instances(spot_levels: Sequence[str], others: Sequence[Neighbour]) -> set[str]:
    """Namespaces of graphs that ran in the same task as one of ours, before or after it."""
    found: set[str] = set()
    for ns in spot_levels:
        for other in others:
            for place in other.places:
                found |= {k for k in place["map"] if k != ns and _task(k) == _task(ns)}
    return found


def judge(standing: Standing, others: Sequence[Neighbour]) -> Verdict:
    """What the call is, beside *others*: the same tool and arguments, the oldest first."""
    lost: list[Neighbour] = []
    unclear: list[Neighbour] = []
    for other in others:
        if not other.places:  # it was called outside of any graph
            if other.call_id == standing.call_id:
                return Verdict(same=other)
            continue
        met = [(place, relation(standing, place)) for place in other.places]
        same: list[Mapping[str, Any]] = [p for p, how in met if _same(standing, p, how)]
        same = same or _asked_ahead(standing, met)
        if same:
            known = any(_exactly(standing, place) for place in same)
            return Verdict(same=other, known=known)
        if all(how in _LEFT for _, how in met):
            lost.append(other)
        elif all(how in (*_LEFT, Relation.UNCLEAR) for _, how in met):
            unclear.append(other)
    mine = [other for other in lost if _called(other, standing.call_id)]
    on_route = [other for other in lost if _on(other, standing.route)]
    if mine or on_route:
        return Verdict(same=(mine or on_route)[0])
    doubtful = [other for other in unclear if _on(other, standing.route)]
    occurrence = sum(other.call_id == standing.call_id for other in others)
    why = ""
    if doubtful:
        why = (
            f"{doubtful[0].key.hex()[:12]} was done by an earlier run of the same subgraph in this "
            "step; nothing tells whether this is a retry of that, or a second call"
        )
    return Verdict(occurrence=occurrence, unclear=why)


def orphaned(standing: Standing, others: Sequence[Neighbour]) -> Neighbour | None:
    """The newest effect that was left behind, and that no later call took over."""
    newest_first: list[Neighbour] = list(reversed(others))
    for other in newest_first:
        met = [relation(standing, place) for place in other.places]
        if met and all(how in _LEFT for how in met):
            return other
    return None


def relation(standing: Standing, place: Mapping[str, Any]) -> Relation:
    """How *place* lies to where the call stands, level by level from the root."""
    theirs: Mapping[str, str] = place["map"]
    segments: list[str] = place["ns"].split("|")
    for level in standing.levels:
        then = theirs.get(level.ns)
        if then is None:
            return _other_instance(standing, level, place)
        if then != level.id:
            return _earlier(standing, level, then, place)
        depth = len(level.ns.split("|")) if level.ns else 0
        there, here = _at(segments, depth), _at(standing.segments, depth)
        if there != here:
            one = depth == len(standing.segments) - 1 and _node(there) == _node(here)
            return _of_one_message(standing, place) if one else Relation.BESIDE
    return _in_this_task(standing, place)


def _of_one_message(standing: Standing, place: Mapping[str, Any]) -> Relation:
    """Tasks of one node in one step: an id that one message holds twice is one call."""
    once = standing.call_id in standing.asked and place.get("call") == standing.call_id
    return Relation.HERE if once else Relation.BESIDE


def _in_this_task(standing: Standing, place: Mapping[str, Any]) -> Relation:
    """One task may make many calls; what was made up inside an attempt of it is gone with that."""
    call_id = place.get("call")
    if call_id == standing.call_id:
        return Relation.HERE
    attempt = (place.get("run"), place.get("attempt"))
    if attempt == (standing.run, standing.attempt) or call_id is None:
        return Relation.BESIDE
    return Relation.BESIDE if call_id in standing.asked else Relation.LOST


def _earlier(standing: Standing, level: Level, then: str, place: Mapping[str, Any]) -> Relation:
    if level.steps is None:  # nothing is kept at this level: only the run itself knows
        ours = place.get("run") is not None and place.get("run") == standing.run
        return Relation.BEFORE if ours else Relation.LOST
    ids = [id_ for id_, _ in level.steps]
    if then in ids[1:]:
        since = [source for _, source in level.steps[: ids.index(then)]]
        went_on = since[-1] == "loop"
        if "update" not in since or not standing.asked:
            return Relation.BEFORE if went_on else Relation.REPLACED
        # somebody changed the state: is what the call was answered still in it?
        kept = since[-1] != "fork" and place.get("call") in standing.answered
        return Relation.BEFORE if kept else Relation.REPLACED
    return Relation.UNCLEAR if level.cut and then < ids[-1] else Relation.LOST


def _other_instance(standing: Standing, level: Level, place: Mapping[str, Any]) -> Relation:
    """The graph of a level was begun anew in one task: a retry of that, or a second call of it."""
    before = next((ns for ns in place["map"] if _task(ns) == _task(level.ns)), None)
    if before is None:
        return Relation.LOST
    outer: dict[str, int] = place.get("outer") or {}
    attempt = outer.get(before)
    if attempt is not None and level.attempt is not None and place.get("run") == standing.run:
        return Relation.LOST if attempt < level.attempt else Relation.BESIDE
    return Relation.LOST if standing.finished.get(before) is False else Relation.UNCLEAR


def _same(standing: Standing, place: Mapping[str, Any], how: Relation) -> bool:
    if how is Relation.HERE:
        return True
    return how is Relation.REPLACED and (
        place.get("call") is not None and place.get("call") == standing.call_id
    )


def _asked_ahead(
    standing: Standing, met: Sequence[tuple[Mapping[str, Any], Relation]]
) -> list[Mapping[str, Any]]:
    """A node before this one asked a person about the very call, and nobody made it yet."""
    before = [place for place, how in met if how is Relation.BEFORE]
    if not all(place.get("asks") for place in before):
        return []  # it was made
    return [place for place in before if place.get("call") == standing.call_id]


def _exactly(standing: Standing, place: Mapping[str, Any]) -> bool:
    return relation(standing, place) is Relation.HERE


def _called(other: Neighbour, call_id: str | None) -> bool:
    return call_id is not None and any(place.get("call") == call_id for place in other.places)


def _on(other: Neighbour, route: str) -> bool:
    return any(place.get("route") == route for place in other.places)


def _task(ns: str) -> str:
    """A namespace without the count of a graph that is not the first in its task."""
    head, _, last = ns.rpartition("|")
    return head if last.isdigit() else ns


def _node(segment: str) -> str:
    return segment.partition(":")[0]


def _at(segments: Sequence[str], depth: int) -> str:
    return segments[depth] if depth < len(segments) else ""
