"""The place of one call: which workflow and turn it belongs to, and which effect it stands for."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import field
from typing import Any, Literal, cast

from tallystick import Ledger
from tallystick._checkpoints import Step
from tallystick._keys import identify, scope_of
from tallystick._places import Neighbour, Neighbours, Verdict
from tallystick._ports import Ports
from tallystick._replay._play import play_of
from tallystick._values import Value
from tallystick.errors import InvalidPolicy, WrongLedger
from tallystick_langchain._graph._history import Foreign, History
from tallystick_langchain._graph._judge import Level, Standing, instances, judge, orphaned
from tallystick_langchain._graph._spot import Spot

Fork = Literal["replay", "run", "ask"]

_LOG = logging.getLogger("tallystick.langgraph")
_WARNED: set[str] = set()


def check_fork(value: Any) -> Fork:
    """*value* if it says what a fork means, else InvalidPolicy."""
    if value not in ("replay", "run", "ask"):
        raise InvalidPolicy(f"on_fork={value!r}: 'replay', 'run' or 'ask'")
    found: Fork = value
    return found


class GraphPlace(Value):
    """Where a call stands; see :class:`tallystick._places.Place`."""

    spot: Spot
    history: History | None
    call_id: str | None
    #: the name of the workflow; an explicit one, or the thread in which the turn began
    workflow: str
    turn: str | None
    #: the turn without what this fork adds to it, where a fork has to be asked about
    base: str | None = None
    #: a person is asked about a call that another node will make
    asks: bool = False
    _text: list[str] = field(default_factory=list[str])

    @property
    def text(self) -> str:
        """What is kept of the place."""
        if not self._text:
            spot = self.spot
            outer = {ns: n for ns in spot.levels if (n := self._attempt(ns)) is not None}
            said: dict[str, Any] = {
                "call": self.call_id,
                "turn": self.turn,
                "ns": spot.ns,
                "route": spot.route,
                "map": spot.levels,
                "run": spot.run,
                "attempt": spot.attempt,
                "outer": outer,
            }
            if self.asks:
                said["asks"] = True
            self._text.append(json.dumps(said, separators=(",", ":")))
        return self._text[0]

    @property
    def questions(self) -> bool:
        """Whether this is a fork on which what is recorded elsewhere has to be asked about."""
        return self.base is not None

    def _attempt(self, ns: str) -> int | None:
        if self.history is None or self.spot.thread is None or not ns:
            return None
        return self.history.attempt(self.spot.thread, ns)

    async def judge(self, p: Ports, call_id: str | None, others: Sequence[Neighbour]) -> Verdict:
        """What the call is, beside *others*."""
        if not others:
            return Verdict()
        return judge(await self._standing(p, others), others)

    async def doubts(self, p: Ports, call: Any) -> str:
        """What a fork, or arguments that drifted, give reason to ask."""
        scope = scope_of(call.tenant, call.workflow)
        if self.base is not None:
            twin = identify(
                tenant=call.tenant,
                workflow=call.workflow,
                turn=self.base,
                tool=call.tool,
                args=call.args,
                call_id=call.call_id,
                occurrence=0,
                policy=call.policy,
            ).twin
            elsewhere = await p.read(Neighbours(scope=scope, twin=twin))
            if elsewhere:
                first = elsewhere[-1].key.hex()[:12]
                return f"it was done before as {first}, on the branch that this one left"
        if call.policy.on_suspect == "run":
            return ""
        near = await p.read(Neighbours(scope=scope))
        drifted = [
            other
            for other in near
            if other.tool == call.tool
            and other.twin != call.identity.twin
            and any(place.get("turn") == self.turn for place in other.places)
        ]
        left = orphaned(await self._standing(p, drifted), drifted) if drifted else None
        if left is None:
            return ""
        return (
            f"{left.key.hex()[:12]} was done with other arguments in this turn, and what asked for "
            "it was lost: this may be the same intent"
        )

    async def _standing(self, p: Ports, others: Sequence[Neighbour]) -> Standing:
        spot, history = self.spot, self.history
        finished: dict[str, bool | None] = {}
        if history is not None and spot.thread is not None:
            for ns in instances(list(spot.levels), others):
                finished[ns] = await history.finished(p, spot.thread, ns)
        asked, answered = _ids(spot)
        return Standing(
            call_id=self.call_id,
            segments=spot.segments,
            route=spot.route,
            run=spot.run,
            attempt=spot.attempt,
            levels=[await self._level(p, ns, id_) for ns, id_ in spot.levels.items()],
            finished=finished,
            asked=asked,
            answered=answered,
        )

    async def _level(self, p: Ports, ns: str, id_: str) -> Level:
        spot, history = self.spot, self.history
        attempt = self._attempt(ns)
        if history is None or spot.thread is None or spot.at_exit:
            return Level(ns=ns, id=id_, steps=None, attempt=attempt)
        if not history.persists(spot.thread, ns):
            return Level(ns=ns, id=id_, steps=None, attempt=attempt)
        # a nested graph's first checkpoint may be kept before the root's, and know no turn
        bounded = self.turn is not None and not ns
        steps = await history.lineage(p, spot.thread, ns, id_, bounded=bounded)
        if not steps:
            return Level(ns=ns, id=id_, steps=None, attempt=attempt)
        known = [(step.id, source_of(step)) for step in steps]
        cut = bounded and known[-1][1] != "input"
        return Level(ns=ns, id=id_, steps=known, cut=cut, attempt=attempt)


def source_of(step: Step) -> str:
    """How a checkpoint came to be: input, loop, update or fork."""
    return str(json.loads(step.metadata).get("source"))


def _ids(spot: Spot) -> tuple[frozenset[str], frozenset[str]]:
    """The ids of the calls that the state holds, and of the answers since the last input."""
    asked: set[str] = set()
    answered: set[str] = set()
    for message in spot.messages():
        if getattr(message, "type", "") == "human":
            answered.clear()  # ids may come again in the next turn
        asked |= {call["id"] for call in getattr(message, "tool_calls", ()) if call.get("id")}
        answer = getattr(message, "tool_call_id", None)
        if isinstance(answer, str):
            answered.add(answer)
    return frozenset(asked), frozenset(answered)


async def placed(
    p: Ports,
    ledger: Ledger,
    spot: Spot,
    *,
    explicit: str | None,
    call_id: str | None,
    fork: Fork,
    awaiting: bool,
) -> GraphPlace | None:
    """
    The place of a call in a graph, once what asked for it is durable.

    ``None`` where only an explicit workflow can say which unit of work this is.
    """
    history = _history(ledger, spot, awaiting=awaiting)
    if history is None or spot.thread is None:
        if explicit is None:
            return None
        return GraphPlace(spot=spot, history=None, call_id=call_id, workflow=explicit, turn=None)
    if spot.at_exit:
        return await _at_exit(p, history, spot, explicit, call_id)
    await history.durable(p, spot.thread, spot.levels)
    if explicit is not None:
        return GraphPlace(spot=spot, history=history, call_id=call_id, workflow=explicit, turn=None)
    root = spot.levels.get("", "")
    began = await history.turn(p, spot.thread, root)
    workflow, turn = began if began is not None else (spot.thread, None)
    forked = await _forked(p, history, spot, root) if fork != "replay" else None
    base = turn if forked is not None and fork == "ask" else None
    if forked is not None:
        turn = f"{turn}/{forked}"
    return GraphPlace(
        spot=spot, history=history, call_id=call_id, workflow=workflow, turn=turn, base=base
    )


def _history(ledger: Ledger, spot: Spot, *, awaiting: bool) -> History | None:
    if spot.saver is None or isinstance(spot.saver, bool):
        return None
    if play_of(ledger) is not None:  # whatever the run keeps, it keeps for itself
        return Foreign(spot.saver, awaiting=awaiting)
    ours = getattr(spot.saver, "history", None)
    theirs = getattr(ours, "ledger", None)
    if not isinstance(theirs, Ledger):
        return Foreign(spot.saver, awaiting=awaiting)
    if theirs is not ledger:
        raise WrongLedger(
            f"thread {spot.thread!r} keeps its checkpoints in another ledger than the one that "
            "this tool was wrapped for; nothing was started. Make LedgerSaver(ledger) and "
            "wrap_tools(tools, ledger) with one and the same ledger, and invoke the thread again",
            thread=spot.thread or "",
        )
    return cast("History", ours)


async def _at_exit(
    p: Ports, history: History, spot: Spot, explicit: str | None, call_id: str | None
) -> GraphPlace:
    """Nothing of this run is kept before its end: the turn is what was kept before it."""
    assert spot.thread is not None
    if "exit" not in _WARNED:
        _WARNED.add("exit")
        _LOG.warning(
            'thread %r runs with durability="exit": a crash forgets the whole run but not its '
            'effects. They are found again by their arguments; use durability="sync" or the '
            "default for runs with effects",
            spot.thread,
        )
    turn: str | None = None
    if explicit is None:
        here = await history.parent(p, spot.thread, spot.levels.get("", ""))
        if here is not None:  # it goes on where an earlier run ended
            turn = f"exit:{here.parent or ''}"
        else:
            head = await history.head(p, spot.thread, "")
            turn = f"exit:{head.id if head is not None else ''}"
    workflow = explicit if explicit is not None else spot.thread
    return GraphPlace(spot=spot, history=history, call_id=call_id, workflow=workflow, turn=turn)


async def _forked(p: Ports, history: History, spot: Spot, root: str) -> str | None:
    """The newest checkpoint of the lineage that left a branch behind, if there is one."""
    assert spot.thread is not None
    for step in await history.lineage(p, spot.thread, "", root, bounded=True):
        if source_of(step) in ("fork", "update") and step.parent is not None:
            if await history.branched(p, spot.thread, step):
                return step.id
    return None
