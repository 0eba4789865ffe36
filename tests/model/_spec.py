"""
The life of an effect, said a second time: a small sequential model, made from DESIGN section 4.

``step`` takes what the world is like, one effect (or ``None``) and an act, and gives the effect as
it is afterwards and the answer. It shares no code with the ledger's own rules. Answers are plain
tuples without times, nonces and hashes, so that those of a store can be compared (``_rigs``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from tallystick import _acts as acts
from tallystick._budgets import _acts as spending
from tallystick._places import KEPT, Adopt, Neighbours
from tallystick._ports import AnyAct
from tallystick._retention import Gone, Retain
from tallystick._undoing._acts import Turn
from tests.model._purse import ACTS as PURSE_ACTS
from tests.model._purse import Purses

Answer = Any
Stop = tuple[str | None, str | None, str | None, str]

#: what a claim is told while a rival's insert is in flight: ask again
AGAIN = ("again",)
HALTED = ("halted",)
NOTHING = ("nothing",)
#: the standing budgets are others than the caller knows
STALE = ("stale",)
#: the note of an attempt that repeats one of which nobody knows what became
UNSURE = "unsure"


class World(NamedTuple):
    """What is true outside of one effect: the time, who lives, which halts are in force."""

    now: int = 0
    living: frozenset[str] = frozenset()
    halts: frozenset[Stop] = frozenset()
    twin: bytes | None = None
    #: which version of the standing budgets is in force, by tenant
    standing: frozenset[tuple[str, int]] = frozenset()

    def knows(self, act: acts.Claim | acts.Start) -> bool:
        """Whether the caller knows the standing budgets that are in force."""
        return dict(self.standing).get(act.tenant, 0) == act.standing

    def forbids(self, tenant: str, tool: str, workflow: str, *, begun: bool, undoing: bool) -> bool:
        """
        Whether a halt keeps an attempt from starting.

        A drain lets go on what has begun, and what is contained may be undone.
        """
        place = (tenant, tool, workflow)
        lets = {"drain": begun, "contain": undoing}
        return any(
            all(word in (None, here) for word, here in zip(stop[:3], place, strict=True))
            and not lets.get(stop[3], False)
            for stop in self.halts
        )


class Eff(NamedTuple):
    """One effect as the model sees it."""

    tenant: str
    tool: str
    workflow: str
    guarantee: str
    shown: bytes
    quiet: int
    key_lifetime: int | None
    status: str
    epoch: int
    attempt: int
    holder: str | None
    nonce: bytes
    quorum: int
    until: int | None
    started: int | None
    changed: int
    result: str | None = None
    note: str | None = None
    error: str | None = None
    edited: str | None = None
    facts: str | None = None
    votes: tuple[tuple[str, bytes], ...] = ()
    events: tuple[str, ...] = ()
    inbox: frozenset[str] = frozenset()
    #: who did the last thing that left an event, and what they said
    said: tuple[str, ...] = ()
    #: what says which other effects are the like of it
    call_id: str | None = None
    scope: bytes = b""
    twin: bytes = b""
    #: where it was asked for, as JSON
    places: tuple[str, ...] = ()
    #: whether its payload went since it came to its end
    dropped: bool = False
    #: the result that went; its digest stays
    was: str | None = None

    def moved(self, world: World, event: str, *said: str, **columns: Any) -> Eff:
        """This effect after something that leaves an event."""
        if "status" in columns:
            columns |= {"changed": world.now, "dropped": False}
        return self._replace(events=(*self.events, event), said=(event, *said), **columns)

    def closed(self, *kinds: str) -> frozenset[str]:
        """The inbox without *kinds*."""
        return self.inbox - set(kinds)

    def due(self, world: World) -> bool:
        """Whether the time for a decision, or for using it, is over."""
        return self.until is not None and self.until <= world.now


def view(e: Eff) -> Answer:
    """What everybody must agree on about an effect."""
    return (
        e.status,
        e.epoch,
        e.attempt,
        e.holder,
        e.result,
        e.note,
        e.error,
        e.edited,
        e.quorum,
        e.facts,
        len(e.events),
    )


def found(world: World, e: Eff | None) -> Answer:
    """What somebody is told who only meets an effect."""
    if e is None:
        return NOTHING
    return ("found", view(e), e.holder in world.living if e.status == "running" else None)


def message(text: str | None) -> str | None:
    """The part of a stored error that is the same everywhere."""
    if text is None:
        return None
    error = json.loads(text)
    return str(error.get("message", error.get("by")))


def step(world: World, e: Eff | None, act: AnyAct) -> tuple[Eff | None, Answer]:
    """The effect after *act*, and the answer; another tenant's effect is not there."""
    if isinstance(act, acts.Claim | acts.Ask):
        return _insert(world, e, act)
    if e is None or e.tenant != getattr(act, "tenant", e.tenant):
        return e, _MISSING.get(type(act), NOTHING)
    after, answer = _STEPS[type(act)](world, e, act)
    return after, answer


_MISSING: dict[type, Answer] = {
    acts.Settle: "fenced",
    acts.Release: False,
    acts.Decide: ("refused", None),
    acts.Resolve: ("refused", None),
    acts.Cancel: ("refused", None),
    Turn: ("refused", None),
    acts.Observe: None,
    acts.History: (),
    Adopt: False,
}


def _insert(  # noqa: PLR0911 - one for each thing that a claim may meet
    world: World, e: Eff | None, act: acts.Claim | acts.Ask
) -> tuple[Eff | None, Answer]:
    c = act if isinstance(act, acts.Claim) else act.claim
    if e is not None:
        if e.tenant != c.tenant:
            return e, AGAIN
        mine = e.nonce == c.nonce and e.status == c.status and isinstance(act, acts.Claim)
        return e, ("granted", view(e)) if mine else found(world, e)
    if world.forbids(c.tenant, c.tool, c.workflow, begun=False, undoing=c.undoing):
        return None, HALTED
    runs = c.status == "running"
    if world.twin is not None and c.suspect != "run":
        return None, ("suspect", world.twin)
    if runs and not world.knows(c):
        return None, STALE
    e = Eff(
        tenant=c.tenant,
        tool=c.tool,
        workflow=c.workflow,
        guarantee=c.guarantee,
        shown=c.shown,
        quiet=c.quiet,
        key_lifetime=c.key_lifetime,
        status=c.status,
        epoch=1,
        attempt=1 if runs else 0,
        holder=c.holder if runs else None,
        nonce=c.nonce,
        quorum=c.quorum,
        until=None if c.expires is None else world.now + c.expires,
        started=world.now if runs else None,
        changed=world.now,
        facts=c.facts,
        call_id=c.call_id,
        scope=c.scope,
        twin=c.twin,
        places=tuple(map(json.dumps, json.loads(c.place or "[]"))),
    )
    if isinstance(act, acts.Claim):
        return e, ("granted", view(e))
    e = e.moved(world, "asked", act.actor, inbox=frozenset({act.kind}))
    return e, found(world, e)


def _start(world: World, e: Eff, act: acts.Start) -> tuple[Eff, Answer]:
    if e.nonce == act.nonce and e.status == "running":
        return e, ("granted", view(e))
    if not world.knows(act):
        return e, STALE
    if (e.status, e.epoch, e.shown) != (act.status, act.epoch, act.shown):
        return e, found(world, e)
    late = e.status in ("approved", "failed") and e.due(world)
    if late or (e.status == "running" and e.holder in world.living):
        return e, found(world, e)
    begun = e.attempt > 0
    if world.forbids(e.tenant, e.tool, e.workflow, begun=begun, undoing=act.undoing):
        return e, HALTED
    e = e.moved(
        world,
        "started",
        act.actor,
        status="running",
        holder=act.holder,
        nonce=act.nonce,
        epoch=e.epoch + 1,
        attempt=e.attempt + 1,
        started=world.now if e.started is None else e.started,
        error=None,
        note=UNSURE if e.status in ("running", "in_doubt") else None,
        inbox=e.closed("in_doubt", "conflict"),
    )
    return e, ("granted", view(e))


def _settle(world: World, e: Eff, act: acts.Settle) -> tuple[Eff, Answer]:
    mine = (e.epoch, e.nonce) == (act.epoch, act.nonce)
    outcome: dict[str, Any] = {
        "status": act.status,
        "result": act.result,
        "note": act.note,
        "error": message(act.error),
    }
    if mine and e.status == "running":
        return e._replace(**outcome, changed=world.now, dropped=False), "applied"
    result = e.was if e.dropped else e.result
    if mine and (e.status, result) == (act.status, act.result):
        return e, "applied"
    if mine and e.status == "in_doubt" and act.status != "in_doubt":
        inbox = e.closed("in_doubt", "conflict")
        return e.moved(world, "settled_late", "worker", **outcome, inbox=inbox), "late"
    return e.moved(world, "observed", "worker"), "fenced"


def _doubt(world: World, e: Eff, act: acts.Doubt) -> tuple[Eff, Answer]:
    says_so = act.nonce == e.nonce or e.holder not in world.living
    if e.status == "running" and e.epoch == act.epoch and says_so:
        e = _in_doubt(world, e, message(act.error), act.actor)
    return e, view(e)


def _in_doubt(world: World, e: Eff, error: str | None, actor: str) -> Eff:
    if e.guarantee == "read_only":  # nothing can have happened
        return e.moved(world, "abandoned", actor, status="failed", note="retryable", error=error)
    inbox = e.inbox | {"in_doubt"}
    error = e.error if error is None else error
    return e.moved(world, "in_doubt", actor, status="in_doubt", error=error, inbox=inbox)


def swept(world: World, e: Eff, actor: str) -> Eff | None:
    """What a sweep makes of this effect; ``None`` where it has nothing to do with it."""
    if e.status != "running" or e.holder in world.living:
        return None
    return _in_doubt(world, e, None, actor)


def _release(world: World, e: Eff, act: acts.Release) -> tuple[Eff, Answer]:
    if e.status != "running" or e.nonce != act.nonce:
        return e, False
    if e.note == UNSURE:
        inbox = e.inbox | {"in_doubt"}
        return e.moved(world, "released", act.actor, status="in_doubt", inbox=inbox), True
    return e.moved(world, "released", act.actor, status="approved"), True


def _expired(world: World, e: Eff, actor: str) -> Eff:
    unused = e.status in ("pending", "approved") or (e.status, e.note) == ("failed", "retryable")
    if not unused or not e.due(world):
        return e
    inbox = e.closed("approval", "suspect")
    return e.moved(world, "expired", actor, status="expired", inbox=inbox)


def _lapse(world: World, e: Eff, act: acts.Lapse) -> tuple[Eff, Answer]:
    e = _expired(world, e, act.actor)
    return e, view(e)


def _ask_again(world: World, e: Eff, act: acts.AskAgain) -> tuple[Eff, Answer]:
    if (e.status, e.epoch) != (act.status, act.epoch):
        return e, NOTHING
    e = e.moved(
        world,
        "asked",
        act.actor,
        status="pending",
        epoch=e.epoch + 1,
        until=world.now + act.expires,
        quorum=act.quorum,
        facts=act.facts,
        edited=None,
        votes=(),
        inbox=e.inbox | {"approval"},
    )
    return e, view(e)


def _decide(world: World, e: Eff, act: acts.Decide) -> tuple[Eff, Answer]:
    e = _expired(world, e, "clock")
    deed = _approve if act.approve else _deny
    return deed(world, e, act)


def _deny(world: World, e: Eff, act: acts.Decide) -> tuple[Eff, Answer]:
    if e.status == "denied" and e.said == ("denied", act.by, act.reason):
        return e, ("ok", view(e), len(e.votes))
    if e.status != "pending" or act.shown not in (None, runs(e)):
        return e, ("refused", view(e))
    inbox = e.closed("approval", "suspect")
    said = (act.by, act.reason)
    e = e.moved(world, "denied", *said, status="denied", error=act.by, inbox=inbox)
    return e, ("ok", view(e), len(e.votes) + 1)


def runs(e: Eff) -> bytes:
    """The digest of the arguments that would run."""
    if e.edited is not None and e.edited.startswith('"'):
        return bytes.fromhex(json.loads(e.edited))
    return e.shown if e.edited is None else hashlib.sha256(e.edited.encode()).digest()


def _approve(world: World, e: Eff, act: acts.Decide) -> tuple[Eff, Answer]:
    digest = act.args_digest or runs(e)
    vote = (act.by, digest)
    before = e.status in ("approved", "running", "succeeded")
    if before and vote in e.votes:
        return e, ("ok", view(e), len(e.votes))
    others = any(other != digest for _, other in e.votes)
    if e.status != "pending" or act.shown not in (None, runs(e)) or others:
        return e, ("refused", view(e))
    if vote in e.votes:
        return e, ("ok", view(e), len(e.votes))
    e = e._replace(votes=(*e.votes, vote), edited=act.args or e.edited)
    if len(e.votes) < e.quorum:
        e = e.moved(world, "voted", act.by, act.reason)
    else:
        inbox = e.closed("approval", "suspect")
        e = e.moved(world, "approved", act.by, act.reason, status="approved", inbox=inbox)
    return e, ("ok", view(e), len(e.votes))


#: from where an effect gets one step back
BACK = {
    "compensating": ("succeeded", "in_doubt", "compensation_failed"),
    "compensated": ("compensating",),
    "compensation_failed": ("compensating", "succeeded"),
}


def _turn(world: World, e: Eff, act: Turn) -> tuple[Eff, Answer]:
    said = (act.to, act.by, act.reason)
    if e.status not in BACK[act.to] or (e.status, e.epoch) != (act.status, act.epoch):
        return e, ("ok" if e.said == said else "refused", view(e), *([0] * (e.said == said)))
    inbox = e.closed("compensation", "in_doubt", "conflict")
    if act.to == "compensation_failed":
        inbox |= {"compensation"}
    error = e.error if act.error is None else message(act.error)
    e = e.moved(world, *said, status=act.to, epoch=e.epoch + 1, error=error, inbox=inbox)
    return e, ("ok", view(e), 0)


def _undone_by_hand(world: World, e: Eff, act: acts.Resolve) -> tuple[Eff, Answer]:
    """A person undid what no compensation could, or says that it stays."""
    stays = act.to == "failed"
    if stays and e.note == "kept":
        return e, ("refused", view(e))
    columns: dict[str, Any] = {"note": "kept"} if stays else {"status": "compensated"}
    inbox = e.closed("compensation")
    e = e.moved(world, "resolved", act.by, act.reason, **columns, inbox=inbox)
    return e, ("ok", view(e), 0)


def _resolve(world: World, e: Eff, act: acts.Resolve) -> tuple[Eff, Answer]:
    if e.status == "compensation_failed":
        return _undone_by_hand(world, e, act)
    said = ("resolved", act.by, act.reason)
    if e.status != "in_doubt":
        again = e.said == said and e.status == act.to
        return e, ("ok", view(e), 0) if again else ("refused", view(e))
    early = act.to == "failed" and not act.early and world.now < e.changed + e.quiet
    if act.epoch not in (None, e.epoch) or early:
        return e, ("refused", view(e))
    error = message(act.error)
    e = e.moved(
        world,
        *said,
        status=act.to,
        epoch=e.epoch + 1,
        result=act.result,
        note=act.note,
        error=act.reason if act.to == "failed" and error is None else error,
        inbox=e.closed("in_doubt", "conflict"),
    )
    return e, ("ok", view(e), 0)


def _cancel(world: World, e: Eff, act: acts.Cancel) -> tuple[Eff, Answer]:
    said = ("cancelled", act.by, act.reason)
    if e.status == "cancelled" and e.said == said:
        return e, ("ok", view(e), 0)
    if e.status not in ("pending", "approved", "in_doubt"):
        return e, ("refused", view(e))
    inbox = e.closed("approval", "suspect", "in_doubt", "conflict")
    e = e.moved(world, *said, status="cancelled", epoch=e.epoch + 1, inbox=inbox)
    return e, ("ok", view(e), 0)


def _observe(world: World, e: Eff, act: acts.Observe) -> tuple[Eff, Answer]:
    inbox = e.inbox | {act.inbox} if act.inbox else e.inbox
    return e.moved(world, act.kind, act.actor, inbox=inbox), None


def retained(world: World, e: Eff, act: Retain) -> Eff | None:
    """What is left when the payload goes; ``None`` where it stays."""
    over = e.status in ("succeeded", "failed", "denied", "expired", "cancelled", "compensated")
    again = (
        (e.status, e.note) == ("failed", "retryable") and e.until is not None and not e.due(world)
    )
    if e.tenant != act.tenant or not over or again or e.inbox or e.dropped or not act.before:
        return None
    quoted = e.error if e.error is None or e.status == "denied" else ""
    edited = e.edited and json.dumps(runs(e).hex())
    gone: dict[str, Any] = {"edited": edited, "facts": None, "result": None, "error": quoted}
    gone["was"] = e.result
    return e.moved(world, "retained", act.by, **gone)._replace(dropped=True)


def _look(world: World, e: Eff, act: acts.Look) -> tuple[Eff, Answer]:
    return e, found(world, e)


def _history(world: World, e: Eff, act: acts.History) -> tuple[Eff, Answer]:
    return e, e.events


def _adopt(world: World, e: Eff, act: Adopt) -> tuple[Eff, Answer]:
    if _read(e.places) != act.seen:
        return e, False
    return e.moved(world, "placed", act.actor, places=(*e.places, act.place)[-KEPT:]), True


def _read(places: tuple[str, ...]) -> list[Answer]:
    return [json.loads(place) for place in places]


_STEPS: dict[type, Callable[[World, Eff, Any], tuple[Eff, Answer]]] = {
    acts.Start: _start,
    acts.Settle: _settle,
    acts.Doubt: _doubt,
    acts.Release: _release,
    acts.Lapse: _lapse,
    acts.AskAgain: _ask_again,
    acts.Decide: _decide,
    acts.Resolve: _resolve,
    acts.Cancel: _cancel,
    Turn: _turn,
    acts.Observe: _observe,
    acts.Look: _look,
    acts.History: _history,
    Adopt: _adopt,
}


def next_step(world: World, e: Eff, guarantee: str, *, asks_again: bool) -> str:
    """What a caller who declares *guarantee* does about an effect that it met."""
    if e.status in ("pending", "approved"):
        wanted = "DECISION" if e.status == "pending" else "START"
        return "LAPSE" if e.due(world) else wanted
    if e.status == "running" and e.holder in world.living:
        return "WAIT"
    if e.status in ("running", "in_doubt"):
        return _unknown(world, e, guarantee)
    if (e.status, e.note) == ("failed", "retryable"):
        return "LAPSE" if e.due(world) else "START"
    if e.status == "expired":
        return "ASK_AGAIN" if asks_again else "EXPIRED"
    return {
        "succeeded": "REPLAY",
        "failed": "FAILED",
        "denied": "DENIED",
        "cancelled": "CANCELLED",
        **dict.fromkeys(BACK, "UNDONE"),
    }[e.status]


def _unknown(world: World, e: Eff, guarantee: str) -> str:
    if _repeatable(world, e, guarantee):
        return "START"
    if e.status == "running":
        return "DOUBT"
    return "PROBE" if e.guarantee == guarantee == "reconcile" else "IN_DOUBT"


def _repeatable(world: World, e: Eff, guarantee: str) -> bool:
    if e.guarantee != guarantee:
        return False
    if guarantee == "idempotent":
        since = world.now if e.started is None else e.started
        return world.now < since + (e.key_lifetime or 0)
    return guarantee in ("transactional", "read_only")


class Model:
    """All effects, workers and halts of a place, without a database."""

    def __init__(self, workers: int) -> None:
        self.now = 0
        self.effects: dict[bytes, Eff] = {}
        #: by scope, and whether they contain, which is a halt of its own
        self.halts: dict[tuple[str | None, str | None, str | None, bool], str] = {}
        self._lives = [1] * workers
        self._twins: dict[bytes, list[bytes]] = {}
        self.purses = Purses()

    def holder(self, slot: int) -> str:
        """The name of the worker that now sits in a slot."""
        return f"w{slot}#{self._lives[slot]}"

    def crash(self, slot: int) -> None:
        """The worker in a slot dies, and another one takes its place."""
        self._lives[slot] += 1

    def turn(self, micros: int) -> None:
        """Time passes."""
        self.now += micros

    def living(self) -> frozenset[str]:
        """The workers that live."""
        return frozenset(self.holder(slot) for slot in range(len(self._lives)))

    def world(self, twin: bytes | None = None) -> World:
        """What is true outside of one effect."""
        living = self.living()
        halts = frozenset((*scope[:3], mode) for scope, mode in self.halts.items())
        return World(self.now, living, halts, twin, frozenset(self.purses.standing.items()))

    def apply(self, act: AnyAct) -> Answer:  # noqa: PLR0911 - one for each kind of act
        """Do *act*."""
        if isinstance(act, acts.Sweep):
            return self._sweep(act)
        if isinstance(act, acts.Notified):
            return NOTHING
        if isinstance(act, Retain):
            return self._retain(act)
        if isinstance(act, (*PURSE_ACTS, spending.Reserve, spending.SettleHeld)):
            return self._money(act)
        if isinstance(act, acts.PutHalt):
            halt, contains = act.halt, act.halt.mode == "contain"
            self.halts[halt.tenant, halt.tool, halt.workflow, contains] = halt.mode
            return NOTHING
        if isinstance(act, acts.LiftHalt):
            scope = (act.tenant, act.tool, act.workflow, act.contain)
            return int(self.halts.pop(scope, None) is not None)
        answer = self._apply(act)
        if isinstance(act, acts.Start) and answer[0] == "granted":
            e = self.effects[act.key]
            if e.note == UNSURE:  # no budget pays for this attempt
                self.purses.follow(act.key, act.tenant, "in_doubt")
        return answer

    def _retain(self, act: Retain) -> Answer:
        count = 0
        for key in act.keys:
            e = self.effects.get(key)
            after = None if e is None else retained(self.world(), e, act)
            if after is not None:
                self.effects[key] = after
                count += 1
        return Gone(count, self.purses.forget(act) if act.before else 0)

    def _money(self, act: Any) -> Answer:
        if isinstance(act, spending.SettleHeld):
            return self._settled(act)
        if not isinstance(act, spending.Reserve):
            return self.purses.apply(act)
        begins = act.claim if act.claim is not None else act.start
        effect = None if begins is None else self.effects.get(begins.key)
        twins = [] if act.claim is None else self._unseen(act.claim)
        twin = twins[-1] if twins else None
        return self.purses.reserve(self.now, act, effect, self._apply, twin)

    def _settled(self, act: spending.SettleHeld) -> Answer:
        key, before = act.settle.key, self.effects.get(act.settle.key)
        answer = self._apply(act.settle)
        if answer == "applied" and before is not None and before != self.effects[key]:
            self.purses.follow(key, act.settle.tenant, act.settle.status)
        return answer

    def _apply(self, act: AnyAct) -> Answer:
        key: bytes = act.claim.key if isinstance(act, acts.Ask) else getattr(act, "key", b"")
        claim = act.claim if isinstance(act, acts.Ask) else act
        twins = self._unseen(claim) if isinstance(claim, acts.Claim) else []
        before = self.effects.get(key)
        after, answer = step(self.world(twins[-1] if twins else None), before, act)
        if after is not None:
            self.effects[key] = after
        if before is None and after is not None and isinstance(claim, acts.Claim):
            self._twins.setdefault(claim.twin, []).append(key)
        if not (isinstance(act, acts.Settle) and answer == "applied"):
            self._follow(key, before, after)
        return answer

    def _follow(self, key: bytes, before: Eff | None, after: Eff | None) -> None:
        """What became of the money, where something became of the effect that left an event."""
        if before is None or after is None or before.events == after.events:
            return
        if before.changed != after.changed or before.status != after.status:
            harmless = after.events[-1] == "abandoned"
            self.purses.follow(key, after.tenant, after.status, harmless=harmless)

    def neighbours(self, act: Neighbours) -> list[Answer]:
        """The effects beside which a call may stand, without their numbers."""
        return [
            (key, e.call_id, e.tool, e.twin, e.status, e.until is not None, _read(e.places))
            for key, e in self.effects.items()
            if e.scope == act.scope and act.twin in (None, e.twin)
        ][-act.limit :]

    def _unseen(self, claim: acts.Claim) -> list[bytes]:
        """The like of it that its caller has not seen: effects are numbered as they come."""
        numbers = {key: n for n, key in enumerate(self.effects, 1)}
        return [key for key in self._twins.get(claim.twin, []) if numbers[key] > claim.after]

    def _sweep(self, act: acts.Sweep) -> int:
        found = 0
        for key, e in self.effects.items():
            after = swept(self.world(), e, act.actor) if found < act.limit else None
            if after is not None:
                self.effects[key] = after
                self._follow(key, e, after)
                found += 1
        return found + self.purses.sweep(self.now, self.living(), self.effects)
