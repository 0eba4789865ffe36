"""A store and the model beside it, for short plays in which every line is compared."""

from __future__ import annotations

import json
from typing import Any

from tallystick import _acts as acts
from tallystick import _rules as rules
from tallystick._budgets import _acts as spending
from tallystick._canonical import digest
from tallystick._codec import encode
from tallystick._keys import scope_of
from tallystick._model import Guarantee, Halt, Row, at
from tallystick._places import Adopt
from tallystick._policy import Approval, Policy, ProbeAnswer
from tallystick._ports import AnyAct
from tallystick._retention import Retain
from tests.model import _spec
from tests.model._purse import ACTS as PURSE_ACTS
from tests.model._rigs import Rig, key_of, said

HOUR = 1_000_000_000
BOOM = '{"message":"boom","traceback":"","type":"E"}'
BANG = '{"message":"bang","traceback":"","type":"E"}'
ARGS = encode({"to": "ann"}, where="args")
SHOWN = digest({"to": "ann"})
EDIT = encode({"to": "bob"}, where="args")
#: with so many effects all of them are compared after each act
FEW = 4
GUARANTEES = [g.value for g in Guarantee]


class Twin(_spec.Model):
    """The model, with the workers of a rig."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(len(rig.stores))
        self._rig = rig

    def living(self) -> frozenset[str]:
        return frozenset(store.worker() for store in self._rig.stores)


class Scene:
    """One tenant's effects in a store; what is done is done in the model too."""

    def __init__(self, rig: Rig, model: _spec.Model, tenant: str) -> None:
        self.rig = rig
        self.model = model
        self.tenant = tenant
        self.keys: set[bytes] = set()
        self._nonces = 0

    # -- names --------------------------------------------------------------------------------

    def key(self, name: str) -> bytes:
        """The key of an effect of this scene."""
        return key_of(f"{self.tenant}/{name}")

    def place(self, name: str) -> dict[str, Any]:
        """Where an effect is."""
        return {"key": self.key(name), "tenant": self.tenant}

    def nonce(self) -> bytes:
        """One that nobody has used."""
        self._nonces += 1
        return key_of(f"{self.tenant} nonce {self._nonces}")[:16]

    def effect(self, name: str) -> _spec.Eff:
        """An effect as the model has it."""
        return self.model.effects[self.key(name)]

    def raw(self, name: str) -> acts.Found:
        """An effect as the store has it."""
        return self.rig.stores[0].read(acts.Look(**self.place(name)))

    def row(self, name: str) -> Row:
        """Its row."""
        row = self.raw(name).row
        assert row is not None, name
        return row

    # -- acts ---------------------------------------------------------------------------------

    def a_claim(self, name: str, slot: int = 0, **other: Any) -> acts.Claim:
        """A claim; anything may be other than usual."""
        workflow = other.get("workflow", "w")
        fields: dict[str, Any] = {
            **self.place(name),
            "workflow": workflow,
            "tool": "charge",
            "call_id": None,
            "guarantee": "at_most_once",
            "status": "running",
            "holder": self.rig.holder(slot),
            "nonce": self.nonce(),
            "digest": SHOWN,
            "shown": SHOWN,
            "args": ARGS,
            "scope": scope_of(self.tenant, workflow),
            "twin": key_of(f"twin {self.tenant} {name}")[:16],
            "suspect": "run",
            "quiet": 0,
            "key_lifetime": None,
        }
        return acts.Claim(**fields | other)

    def an_ask(self, name: str, slot: int = 0, kind: str = "approval", **other: Any) -> acts.Ask:
        """A request for approval."""
        usual: dict[str, Any] = {"status": "pending", "holder": None, "quorum": 1}
        claim = self.a_claim(name, slot, **{**usual, "expires": HOUR, **other})
        return acts.Ask(claim=claim, actor=self.rig.holder(slot), kind=kind)

    def a_start(self, name: str, slot: int = 0, **other: Any) -> acts.Start:
        """The beginning of an attempt at what is there now."""
        e = self.effect(name)
        holder = self.rig.holder(slot)
        fields: dict[str, Any] = {
            **self.place(name),
            "status": e.status,
            "epoch": e.epoch,
            "shown": e.shown,
            "nonce": self.nonce(),
            "holder": holder,
            "actor": holder,
            "reason": "again",
        }
        return acts.Start(**fields | other)

    def a_settle(self, name: str, status: str = "succeeded", **other: Any) -> acts.Settle:
        """What became of the attempt that is there now."""
        e = self.effect(name)
        good = status == "succeeded"
        fields: dict[str, Any] = {
            **self.place(name),
            "epoch": e.epoch,
            "nonce": e.nonce,
            "status": status,
            "result": '"done"' if good else None,
            "result_digest": key_of('"done"') if good else None,
            "error": None if good else BOOM,
        }
        return acts.Settle(**fields | other)

    def a_doubt(self, name: str, **other: Any) -> acts.Doubt:
        """Its holder does not know, or (``nonce=None``) is taken for dead."""
        e = self.effect(name)
        said: dict[str, Any] = {"actor": "somebody", "error": None, "reason": "nobody knows"}
        mine: dict[str, Any] = {"epoch": e.epoch, "nonce": e.nonce}
        return acts.Doubt(**{**self.place(name), **mine, **said, **other})

    def a_decision(self, name: str, by: str = "ann", **other: Any) -> acts.Decide:
        """An approval, as a rule."""
        usual: dict[str, Any] = {"by": by, "approve": True, "reason": "fine", "shown": None}
        nothing: dict[str, Any] = {"args": None, "args_digest": None}
        return acts.Decide(**{**self.place(name), **usual, **nothing, **other})

    def an_edit(self, name: str, by: str = "ann", **other: Any) -> acts.Decide:
        """An approval of other arguments."""
        return self.a_decision(name, by, args=EDIT, args_digest=key_of(EDIT), **other)

    def a_resolution(self, name: str, to: str = "succeeded", **other: Any) -> acts.Resolve:
        """What became of a doubt."""
        good = to == "succeeded"
        fields: dict[str, Any] = {
            **self.place(name),
            "to": to,
            "by": "ann",
            "reason": "I looked",
            "kind": "person",
            "result": '"seen"' if good else None,
            "result_digest": key_of('"seen"') if good else None,
            "note": None if good else "retryable",
        }
        return acts.Resolve(**fields | other)

    def an_asking_again(self, name: str, **other: Any) -> acts.AskAgain:
        """Another round of decisions."""
        e = self.effect(name)
        facts = json.dumps({"digest": digest(2).hex(), "facts": encode(2)})
        said: dict[str, Any] = {"expires": HOUR, "quorum": 1, "facts": facts, "actor": "x"}
        said |= {"args": ARGS, "shown": SHOWN}
        seen: dict[str, Any] = {"epoch": e.epoch, "status": e.status, "reason": "new"}
        return acts.AskAgain(**{**self.place(name), **seen, **said, **other})

    def a_release(self, name: str, **other: Any) -> acts.Release:
        """A claim given back."""
        said: dict[str, Any] = {"nonce": self.effect(name).nonce, "actor": "x", "reason": "no"}
        return acts.Release(**{**self.place(name), **said, **other})

    def a_cancel(self, name: str, **other: Any) -> acts.Cancel:
        """An effect withdrawn."""
        said: dict[str, Any] = {"by": "ann", "reason": "no more"}
        return acts.Cancel(**{**self.place(name), **said, **other})

    def a_look(self, name: str, **other: Any) -> acts.Look:
        """A look, through the journal."""
        return acts.Look(**{**self.place(name), **other})

    def an_observation(self, name: str, inbox: str | None = "conflict") -> acts.Observe:
        """Something that was seen."""
        detail = {"reason": "two traces"}
        return acts.Observe(
            **self.place(name), kind="conflict", actor="probe", detail=detail, inbox=inbox
        )

    def places(self, *numbers: int) -> str:
        """Places as they are stored; each is but a number."""
        return json.dumps([{"n": n} for n in numbers])

    def an_adoption(self, name: str, n: int, *, seen: tuple[int, ...], **other: Any) -> Adopt:
        """One more place, by somebody who has *seen* these."""
        said: dict[str, Any] = {"place": json.dumps({"n": n}), "seen": [{"n": k} for k in seen]}
        fields: dict[str, Any] = {**self.place(name), **said, "actor": "x", **other}
        return Adopt(**fields)

    def a_halt(self, mode: str = "halt", **scope: Any) -> acts.PutHalt:
        """A halt of this tenant, unless its scope says otherwise."""
        where: dict[str, Any] = {"tenant": self.tenant, "tool": None, "workflow": None, **scope}
        return acts.PutHalt(halt=Halt(**where, mode=mode, by="op", reason="stop", at=at(0)))

    def a_lift(self, **scope: Any) -> acts.LiftHalt:
        """Its end."""
        where: dict[str, Any] = {"tenant": self.tenant, "tool": None, "workflow": None, **scope}
        return acts.LiftHalt(**where, by="op", reason="go on")

    def a_retention(self, *names: str, **other: Any) -> Retain:
        """The payloads of some effects, whenever they came to their end."""
        keys = tuple(self.key(name) for name in names)
        said: dict[str, Any] = {"tenant": self.tenant, "before": 1 << 62, "by": "keeper"}
        fields: dict[str, Any] = {**said, "keys": keys, **other}
        return Retain(**fields)

    # -- doing --------------------------------------------------------------------------------

    def do(self, *group: AnyAct, told: str | bool | None = None) -> _spec.Answer:
        """Do it in both, at the holder's, and compare the answers and then what is there."""
        holders = {getattr(getattr(act, "row", act), "holder", None) for act in group}
        slot = next((n for n, s in enumerate(self.rig.stores) if s.worker() in holders), 0)
        wanted = [self.model.apply(act) for act in group]
        applied = self.rig.stores[slot].apply(group)
        got = [said(act, answer) for act, answer in zip(group, applied.answers, strict=True)]
        assert got == wanted, group
        touched = {key for act in group if (key := _key(act)) is not None}
        touched |= {key for act in group if isinstance(act, Retain) for key in act.keys}
        self.keys |= touched
        self.compare(self.keys if len(self.keys) <= FEW else touched)
        if told is not None:
            last = wanted[-1]
            assert told in (last if isinstance(last, tuple) else (last,)), last
        return wanted[-1]

    def touched(self, *group: AnyAct) -> list[tuple[bytes, bool]]:
        """Do it, and say which effects changed."""
        for act in group:
            self.model.apply(act)
        return self.rig.stores[0].apply(group).touched

    def all(self, *several: AnyAct) -> None:
        """One after the other."""
        for act in several:
            self.do(act)

    def settled(self, name: str, status: str = "succeeded", **other: Any) -> None:
        """An effect that was claimed and came to an end."""
        self.do(self.a_claim(name))
        self.do(self.a_settle(name, status, **other))

    def failed(self, name: str) -> None:
        """An effect that did not happen and may be tried again."""
        self.settled(name, "failed", note="retryable")

    def doubtful(self, name: str, error: str | None = None, **other: Any) -> None:
        """An effect of which nobody knows."""
        self.do(self.a_claim(name, **other))
        self.do(self.a_doubt(name, error=error))

    def approved(self, name: str) -> None:
        """An effect that somebody asked for and somebody else approved."""
        self.do(self.an_ask(name))
        self.do(self.a_decision(name))

    def lost(self, act: AnyAct) -> None:
        """An act whose answer is lost, so that it is done once more."""
        self.do(act)
        self.do(act)

    def compare(self, keys: set[bytes]) -> None:
        """Rows and events of some effects, and the inbox of this tenant."""
        inbox: set[tuple[str, str]] = set()
        world = self.model.world()
        for key in self.keys:
            e = self.model.effects.get(key)
            mine = e is not None and e.tenant == self.tenant
            if e is not None and mine:
                inbox |= {(key.hex(), kind) for kind in e.inbox}
            if key not in keys:
                continue
            look = acts.Look(key=key, tenant=self.tenant)
            seen = said(look, self.rig.stores[0].read(look))
            assert seen == _spec.found(world, e if mine else None)
            if e is not None and mine:
                assert self.rig.history(key, self.tenant) == e.events
        assert self.rig.inbox(self.tenant) == inbox

    def steps(self, name: str) -> None:
        """What callers with each policy would do about an effect."""
        found, e = self.raw(name), self.effect(name)
        for guarantee in GUARANTEES:
            for asks_again in {False, guarantee != "read_only"}:
                policy = policy_of(guarantee, asks_again=asks_again)
                wanted = _spec.next_step(self.model.world(), e, guarantee, asks_again=asks_again)
                assert rules.next_step(found, SHOWN, policy).name == wanted, (e.status, guarantee)

    def crash(self, slot: int) -> None:
        """A worker dies."""
        self.rig.crash(slot)

    def turn(self, micros: int) -> None:
        """Time passes."""
        self.rig.turn(micros)
        self.model.turn(micros)

    def sweep(self, limit: int = 200) -> None:
        """Somebody tidies up after the dead, until nothing is left."""
        act = acts.Sweep(actor="sweeper", dead=None, limit=limit)
        wanted, got = 0, 0
        while found := self.model.apply(act):
            wanted += found
        for _ in range(20):
            found = self.rig.apply(0, [act])[0]
            assert found <= limit
            got += found
            if not found:
                break
        assert got == wanted
        assert self.rig.stores[0].read(acts.Dead()) == []
        self.compare(self.keys)

    def sound(self) -> None:
        """Everything is as the model has it, and ``ledger.verify()`` is content."""
        self.compare(self.keys)
        assert self.rig.flaws(self.tenant) == []


def _key(act: AnyAct) -> bytes | None:
    if isinstance(act, acts.Ask):
        return act.claim.key
    if isinstance(act, spending.Reserve):
        begins = act.claim if act.claim is not None else act.start
        return None if begins is None else begins.key
    return None if isinstance(act, PURSE_ACTS) else getattr(act, "key", None)


def policy_of(guarantee: str, *, asks_again: bool = False) -> Policy:
    """What a caller declares."""
    probe = ProbeAnswer.unknown if guarantee == "reconcile" else None
    approval: Approval | bool = False
    if asks_again:
        approval = Approval(after_expiry="ask")
    return Policy(guarantee=Guarantee(guarantee), probe=probe, approval=approval)
