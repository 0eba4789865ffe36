"""
The model and the three stores, step by step, hand in hand.

``TALLYSTICK_MODEL_EXAMPLES=2000`` (and ``…_STEPS=50``) is the long run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tallystick import _acts as acts
from tallystick import _rules as rules
from tallystick._budgets import _acts as spending
from tallystick._budgets._amounts import Metric
from tallystick._budgets._rules import Demand
from tallystick._budgets._terms import Terms, budget_id, line_id
from tallystick._canonical import digest
from tallystick._codec import encode
from tallystick._flows import budgets
from tallystick._keys import scope_of
from tallystick._model import Guarantee, Halt, at
from tallystick._places import Adopt, Neighbours
from tallystick._policy import Approval, Policy, ProbeAnswer
from tallystick._ports import AnyAct
from tallystick._retention import Retain
from tallystick._undoing._acts import Turn
from tests.model import _spec
from tests.model._purse import ACTS as PURSE_ACTS
from tests.model._rigs import KINDS, TENANT, Bench, Rig, fast_database, key_of, quick_folder

EXAMPLES = int(os.environ.get("TALLYSTICK_MODEL_EXAMPLES", "60"))
#: a number that no effect has
ALL = 1 << 40
STEPS = int(os.environ.get("TALLYSTICK_MODEL_STEPS", "40"))
WORKERS = 2

#: far more than the seconds that an example takes; no sum of turns is equal to a limit
HOUR = 1_000_000_000
LIMITS = (HOUR, 2 * HOUR)
LIFETIME = 5 * HOUR // 2
TURNS = (6 * HOUR // 10, 11 * HOUR // 10)


class Name(NamedTuple):
    """What is always the same about an effect of this universe."""

    tool: str
    workflow: str
    call_id: str | None

    @property
    def key(self) -> bytes:
        return key_of("/".join(map(str, self)))

    @property
    def args(self) -> str:
        return encode({"to": self.tool}, where="args")

    @property
    def shown(self) -> bytes:
        return digest({"to": self.tool})


#: the first two are the same call under two call ids: twins
NAMES = (
    Name("charge", "w1", "c1"),
    Name("charge", "w1", "c2"),
    Name("mail", "w1", None),
    Name("charge", "w2", None),
)
BUDGETS = ("one", "two", "both")
#: what is wanted of which budgets
WANTED = (
    (("one", 1),),
    (("one", 2), ("both", 1)),
    (("both", 2),),
    (("one", 1), ("two", 3)),
    (("two", 0),),
)
NONE = (0, 0, 0)
GUARANTEES = [g.value for g in Guarantee]
PEOPLE = ("ann", "bob")
EDITS = (None, None, encode({"to": "edited"}, where="args"))
FACTS = json.dumps({"digest": digest({"price": 2}).hex(), "facts": encode({"price": 2})})
BOOM = '{"type":"E","message":"boom","traceback":""}'
SCOPES = (
    (None, None, None),
    (TENANT, None, None),
    (TENANT, "charge", None),
    (TENANT, None, "w1"),
    (TENANT, "mail", "w1"),
    ("other", None, None),
)

#: later than any test
ALWAYS = 1 << 62
SEEN = ("now", "now", "now", "before", "other", "behind")

names = st.sampled_from(NAMES)
slots = st.integers(0, WORKERS - 1)
Build = Callable[[Callable[[int], str]], AnyAct]


class Ticket(NamedTuple):
    """A claim that somebody was granted once, and may still believe in."""

    key: bytes
    epoch: int
    nonce: bytes


class Lockstep(RuleBasedStateMachine):
    """Everything that can happen to four effects, on every store and in the model at once."""

    bench: Bench

    def __init__(self) -> None:
        super().__init__()
        self.rigs: list[Rig] = [self.bench.rig(kind, WORKERS) for kind in KINDS]
        self.model = _spec.Model(WORKERS)
        self.tickets: list[Ticket] = []
        self.last: tuple[int, Build] | None = None
        self.nonces = 0

    # -- doing --------------------------------------------------------------------------------

    def nonce(self) -> bytes:
        self.nonces += 1
        return self.nonces.to_bytes(16, "big")

    def do(self, slot: int, build: Build) -> _spec.Answer:
        """The same act everywhere, and the same answer."""
        self.last = (slot, build)
        return self.group(slot, [build])[0]

    def group(self, slot: int, builds: list[Build]) -> list[_spec.Answer]:
        """Several acts in one transaction."""
        ours = [build(self.model.holder) for build in builds]
        wanted: list[Any] = [None] * len(ours)
        for i in sorted(range(len(ours)), key=lambda i: _turn(ours[i])):
            wanted[i] = self.model.apply(ours[i])
        for rig in self.rigs:
            got = rig.apply(slot, [build(rig.holder) for build in builds])
            assert got == wanted, f"{rig.kind}: {ours}"
        for act, answer in zip(ours, wanted, strict=True):
            self._after(slot, act, answer)
        if self.model.purses.terms:
            self._same_money()
        return wanted

    def _same_money(self) -> None:
        """The figures, the reservations that they come from, and that both agree."""
        purses = self.model.purses
        wanted = {(line.hex(), *f) for line, f in purses.figures(TENANT).items() if f[0] != NONE}
        views = sorted(str(purses.view(id_)) for id_ in purses.held)
        charged = {line: purses.charged(line) for line in purses.lines}
        for rig in self.rigs:
            assert {figures for figures in rig.figures(TENANT) if figures[1] != NONE} == wanted
            assert sorted(map(str, rig.held(TENANT))) == views, rig.kind
            for (line, _), (booked, weighed) in rig.books(TENANT).items():
                assert booked == weighed == charged[line], rig.kind
            assert not any(rig.held("other")), rig.kind

    def _after(self, slot: int, act: AnyAct, answer: _spec.Answer) -> None:
        key: bytes | None = getattr(act, "key", None)
        if isinstance(act, acts.Ask):
            key = act.claim.key
        if isinstance(act, spending.Reserve):
            begins = act.claim if act.claim is not None else act.start
            key = None if begins is None else begins.key
            answer = answer[2] if answer[0] == "reserved" else answer
        if isinstance(act, PURSE_ACTS) or key is None:
            return
        e = self.model.effects.get(key)
        if e is not None and isinstance(answer, tuple) and answer[0] == "granted":
            ticket = Ticket(key, e.epoch, e.nonce)
            self.tickets = [t for t in self.tickets if t != ticket] + [ticket]
        wanted = _spec.found(self.model.world(), e)
        for rig in self.rigs:
            assert rig.look((slot + 1) % WORKERS, key) == wanted, rig.kind
            if e is not None:
                self._same_next_step(rig, slot, key, e)

    def _same_next_step(self, rig: Rig, slot: int, key: bytes, e: _spec.Eff) -> None:
        found = rig.found(slot, key)
        other = GUARANTEES[e.epoch % len(GUARANTEES)]
        for guarantee, asks_again in ((e.guarantee, False), (other, other != "read_only")):
            policy = _policy(guarantee, asks_again=asks_again)
            step = rules.next_step(found, e.shown, policy).name
            wanted = _spec.next_step(self.model.world(), e, guarantee, asks_again=asks_again)
            assert step == wanted, f"{rig.kind}: {guarantee}"

    def effect(self, name: Name) -> _spec.Eff | None:
        return self.model.effects.get(name.key)

    # -- the straight path --------------------------------------------------------------------

    def _claim(
        self, name: Name, slot: int, guarantee: str, suspect: str, **asked: Any
    ) -> Callable[[Callable[[int], str]], acts.Claim]:
        nonce = self.nonce()
        return lambda holder: acts.Claim(
            key=name.key,
            tenant=TENANT,
            workflow=name.workflow,
            tool=name.tool,
            call_id=name.call_id,
            guarantee=guarantee,
            status=asked.get("status", "running"),
            holder=holder(slot),
            nonce=nonce,
            digest=name.shown,
            shown=name.shown,
            args=name.args,
            scope=scope_of(TENANT, name.workflow),
            twin=_twin(name),
            suspect=suspect,
            quiet=HOUR if guarantee == "reconcile" else 0,
            key_lifetime=LIFETIME if guarantee == "idempotent" else None,
            expires=asked.get("expires"),
            quorum=asked.get("quorum", 0),
            facts=asked.get("facts"),
            after=asked.get("after", 0),
            place=json.dumps([{"n": self.nonces}]),
            standing=self.model.purses.standing.get(TENANT, 0) - asked.get("behind", 0),
            undoing=asked.get("undoing", False),
        )

    @rule(
        name=names,
        slot=slots,
        guarantee=st.sampled_from(GUARANTEES),
        suspect=st.sampled_from(("run", "run", "ask", "replay")),
        after=st.sampled_from((0, 0, ALL)),
        behind=st.sampled_from((0, 0, 0, 0, 1)),
        undoing=st.sampled_from((False, False, True)),
    )
    def claim(
        self,
        name: Name,
        slot: int,
        guarantee: str,
        suspect: str,
        after: int,
        behind: int,
        undoing: bool,
    ) -> None:
        asked = {"after": after, "behind": behind, "undoing": undoing}
        self.do(slot, self._claim(name, slot, guarantee, suspect, **asked))

    @rule(
        name=names,
        slot=slots,
        kind=st.sampled_from(("approval", "suspect")),
        quorum=st.integers(1, 2),
        expires=st.sampled_from(LIMITS),
    )
    def ask(self, name: Name, slot: int, kind: str, quorum: int, expires: int) -> None:
        claim = self._claim(
            name, slot, "at_most_once", "run", status="pending", quorum=quorum, expires=expires
        )
        self.do(slot, lambda holder: acts.Ask(claim=claim(holder), actor=holder(slot), kind=kind))

    @rule(
        name=names,
        slot=slots,
        seen=st.sampled_from(SEEN),
        undoing=st.sampled_from((False, False, True)),
    )
    def start(self, name: Name, slot: int, seen: str, undoing: bool) -> None:
        """Begin an attempt at what was seen: now, earlier, or with other arguments."""
        build = self._start(name, slot, seen, undoing=undoing)
        if build is not None:
            self.do(slot, build)

    def _start(
        self, name: Name, slot: int, seen: str, *, undoing: bool = False
    ) -> Callable[[Callable[[int], str]], acts.Start] | None:
        e = self.effect(name)
        startable = ("approved", "running", "in_doubt", "failed")
        if e is None or e.status not in startable:
            return None
        if e.status == "failed" and e.note != "retryable":
            return None
        nonce = self.nonce()
        standing = self.model.purses.standing.get(TENANT, 0) - (seen == "behind")
        return lambda holder: acts.Start(
            key=name.key,
            tenant=TENANT,
            status=e.status,
            epoch=e.epoch - (seen == "before"),
            shown=key_of("other") if seen == "other" else e.shown,
            nonce=nonce,
            holder=holder(slot),
            actor=holder(slot),
            reason="again",
            standing=standing,
            undoing=undoing,
        )

    @precondition(lambda self: self.tickets)
    @rule(
        data=st.data(),
        slot=slots,
        outcome=st.sampled_from(
            (("succeeded", None), ("succeeded", None), ("failed", None), ("failed", "retryable"))
        ),
    )
    def settle(self, data: st.DataObject, slot: int, outcome: tuple[str, str | None]) -> None:
        """Whoever was granted a claim once says what became of it; perhaps too late."""
        build = self._settle(data.draw(st.sampled_from(self.tickets)), *outcome)
        self.do(slot, build)

    def _settle(
        self, ticket: Ticket, status: str, note: str | None
    ) -> Callable[[Callable[[int], str]], acts.Settle]:
        good = status == "succeeded"
        return lambda holder: acts.Settle(
            key=ticket.key,
            tenant=TENANT,
            epoch=ticket.epoch,
            nonce=ticket.nonce,
            status=status,
            result='"done"' if good else None,
            result_digest=key_of('"done"') if good else None,
            note=note,
            error=None if good else BOOM,
        )

    @rule(
        chosen=st.permutations(NAMES),
        slot=slots,
        size=st.integers(2, 4),
        suspects=st.lists(st.sampled_from(("run", "ask")), min_size=4, max_size=4),
    )
    def together(self, chosen: list[Name], slot: int, size: int, suspects: list[str]) -> None:
        """Acts about different effects in one group."""
        builds: list[Build] = []
        for name, suspect in zip(chosen[:size], suspects, strict=False):
            mine = [t for t in self.tickets if t.key == name.key]
            if self.effect(name) is None:
                builds.append(self._claim(name, slot, "at_most_once", suspect))
            elif mine:
                builds.append(self._settle(mine[-1], "succeeded", None))
            else:
                builds.append(_cancel(name))
        self.group(slot, builds)

    # -- out of the ordinary ------------------------------------------------------------------

    @precondition(lambda self: self.tickets)
    @rule(data=st.data(), slot=slots, mine=st.booleans(), error=st.sampled_from((None, BOOM)))
    def doubt(self, data: st.DataObject, slot: int, mine: bool, error: str | None) -> None:
        ticket = data.draw(st.sampled_from(self.tickets))
        self.do(
            slot,
            lambda holder: acts.Doubt(
                key=ticket.key,
                tenant=TENANT,
                epoch=ticket.epoch,
                nonce=ticket.nonce if mine else None,
                actor=holder(slot),
                error=error,
                reason="nobody knows",
            ),
        )

    @precondition(lambda self: self.tickets)
    @rule(data=st.data(), slot=slots)
    def release(self, data: st.DataObject, slot: int) -> None:
        ticket = data.draw(st.sampled_from(self.tickets))
        self.do(
            slot,
            lambda holder: acts.Release(
                key=ticket.key,
                tenant=TENANT,
                nonce=ticket.nonce,
                actor=holder(slot),
                reason="cancelled before the tool started",
            ),
        )

    @rule(slot=slots)
    def crash(self, slot: int) -> None:
        self.model.crash(slot)
        for rig in self.rigs:
            rig.crash(slot)

    @rule(slot=slots, limit=st.sampled_from((1, 1, 200)))
    def recover(self, slot: int, limit: int) -> None:
        """Sweep until nothing is found."""
        sweep, wanted = acts.Sweep(actor="sweeper", dead=None, limit=limit), 0
        while found := self.model.apply(sweep):
            wanted += found
        for rig in self.rigs:
            total = 0
            while found := rig.apply(slot, [sweep])[0]:
                total += found
                assert total <= wanted, rig.kind
            assert total == wanted, rig.kind
        self._look_at_all(slot)
        self._same_money()

    @rule(slot=slots, chosen=st.lists(names, max_size=4, unique=True), early=st.booleans())
    def retain(self, slot: int, chosen: list[Name], early: bool) -> None:
        """Drop the payloads of some effects, and what was said of all reservations."""
        act = Retain(
            tenant=TENANT,
            before=0 if early else ALWAYS,
            by="keeper",
            keys=tuple(name.key for name in chosen),
            calls=tuple(self.model.purses.held),
        )
        self.do(slot, _same(act))
        self._look_at_all(slot)

    @rule(micros=st.sampled_from(TURNS))
    def wait(self, micros: int) -> None:
        self.model.turn(micros)
        for rig in self.rigs:
            rig.turn(micros)
        self._look_at_all(0)

    def _look_at_all(self, slot: int) -> None:
        for name in NAMES:
            wanted = _spec.found(self.model.world(), self.effect(name))
            for rig in self.rigs:
                assert rig.look(slot, name.key) == wanted, rig.kind

    @rule(name=names, slot=slots, kind=st.sampled_from(("conflict", "note")))
    def observe(self, name: Name, slot: int, kind: str) -> None:
        act = acts.Observe(
            key=name.key,
            tenant=TENANT,
            kind=kind,
            actor="probe",
            detail={"reason": "two traces"},
            inbox="conflict" if kind == "conflict" else None,
        )
        self.do(slot, _same(act))

    @rule(name=names, slot=slots, seen=st.sampled_from(("now", "now", "before", "other")))
    def adopt(self, name: Name, slot: int, seen: str) -> None:
        """One more place, by somebody who saw those that are there now, or earlier."""
        e = self.effect(name)
        places: list[Any] = [json.loads(place) for place in e.places] if e is not None else []
        self.nonces += 1
        act = Adopt(
            key=name.key,
            tenant=TENANT,
            place=json.dumps({"n": self.nonces}),
            seen={"now": places, "before": places[:-1], "other": [*places, {"n": 0}]}[seen],
            actor="somebody",
        )
        self.do(slot, _same(act))

    @rule(name=names, slot=slots)
    def await_news(self, name: Name, slot: int) -> None:
        act = acts.Look(key=name.key, tenant=TENANT, await_=True)
        self.do(slot, _same(act))

    # -- money --------------------------------------------------------------------------------

    @rule(
        slot=slots,
        name=st.sampled_from(BUDGETS),
        limit=st.integers(0, 6),
        on_exceed=st.sampled_from(("deny", "deny", "ask", "warn", "downgrade")),
        soft=st.sampled_from(((), (500,), (250, 900))),
        standing=st.sampled_from((False, False, False, True)),
    )
    def declare(
        self,
        slot: int,
        name: str,
        limit: int,
        on_exceed: Any,
        soft: tuple[int, ...],
        standing: bool,
    ) -> None:
        limits = ((Metric.USD, limit), (Metric.TOKENS, 2 * limit))
        terms = Terms(
            name=name,
            limits=limits[: 1 + (name == "both")],
            on_exceed=on_exceed,
            soft=soft,
            where=(("tool", "charge"),) if standing else (),
        )
        self.do(slot, _same(spending.PutTerms(tenant=TENANT, terms=terms, by="ann")))

    def _demands(self, wanted: tuple[tuple[str, int], ...], *, old: bool) -> tuple[Demand, ...]:
        found: list[Demand] = []
        for name, amount in wanted:
            id_ = budget_id(TENANT, name)
            if id_ not in self.model.purses.terms:
                continue
            _, version, terms = self.model.purses.terms[id_]
            for metric, _ in terms.limits:
                line = line_id(TENANT, name, metric.value, "{}")
                found.append(Demand(line, id_, version - old, terms, metric, "{}", amount))
        return tuple(sorted(found))

    def _row(
        self, id_: bytes, kind: str, slot: int, **more: Any
    ) -> Callable[[Callable[[int], str]], spending.Reservation]:
        said: dict[str, Any] = {"nonce": self.nonce(), **more}
        return lambda holder: budgets.blank(
            id_=id_, tenant=TENANT, kind=kind, what="x", holder=holder(slot), **said
        )

    @rule(
        name=names,
        slot=slots,
        wanted=st.sampled_from(WANTED),
        guarantee=st.sampled_from(GUARANTEES),
        old=st.sampled_from((False, False, False, False, True)),
        seen=st.sampled_from(SEEN),
        suspect=st.sampled_from(("run", "run", "ask")),
    )
    def pay(
        self,
        name: Name,
        slot: int,
        wanted: Any,
        guarantee: str,
        old: bool,
        seen: str,
        suspect: str,
    ) -> None:
        """Begin an effect, or an attempt at one, that budgets pay for."""
        demands = self._demands(wanted, old=old)
        if self.effect(name) is None or seen == "other":
            claim = self._claim(name, slot, guarantee, suspect)
            row = self._row(name.key, "tool", slot)
            self.do(
                slot,
                lambda holder: spending.Reserve(
                    row=row(holder)._replace(nonce=claim(holder).nonce),
                    demands=demands,
                    claim=claim(holder),
                ),
            )
            return
        start = self._start(name, slot, seen)
        if start is not None:
            row = self._row(name.key, "tool", slot)
            self.do(
                slot,
                lambda holder: spending.Reserve(
                    row=row(holder)._replace(nonce=start(holder).nonce),
                    demands=demands,
                    start=start(holder),
                ),
            )

    @precondition(lambda self: self.tickets)
    @rule(
        data=st.data(),
        slot=slots,
        outcome=st.sampled_from((("succeeded", None), ("failed", None), ("failed", "retryable"))),
    )
    def settle_held(self, data: st.DataObject, slot: int, outcome: tuple[str, str | None]) -> None:
        """Whoever was granted a claim that is paid for says what became of it."""
        build = self._settle(data.draw(st.sampled_from(self.tickets)), *outcome)
        self.do(slot, lambda holder: spending.SettleHeld(settle=build(holder)))

    @rule(
        slot=slots,
        which=st.integers(0, 3),
        wanted=st.sampled_from(WANTED),
        session=st.sampled_from((None, "s")),
        until=st.sampled_from((None, *LIMITS)),
        force=st.sampled_from((False, False, False, True)),
        old=st.sampled_from((False, False, False, True)),
    )
    def hold(
        self,
        slot: int,
        which: int,
        wanted: Any,
        session: str | None,
        until: int | None,
        force: bool,
        old: bool,
    ) -> None:
        """Reserve by hand, or for a model; a key may be asked for twice."""
        id_ = key_of(f"hand {which}")
        nonce = id_[:16]
        more = {"until": until, "session": session, "nonce": nonce}
        row = self._row(id_, "model" if session else "manual", slot, **more)
        demands = self._demands(wanted, old=old)
        standing = self.model.purses.standing.get(TENANT, 0) - old if session else None
        self.do(
            slot,
            lambda holder: spending.Reserve(
                row=row(holder), demands=demands, force=force, standing=standing
            ),
        )

    @rule(
        slot=slots,
        which=st.integers(0, 3),
        name=names,
        tool=st.sampled_from((False, False, False, True)),
        state=st.sampled_from(("settled", "settled", "released", "unreconciled")),
        usd=st.sampled_from((None, 0, 1, 2, 5)),
        whose=st.sampled_from((TENANT, TENANT, TENANT, "other")),
    )
    def reckon(
        self, slot: int, which: int, name: Name, tool: bool, state: str, usd: Any, whose: str
    ) -> None:
        """Say what became of a reservation; perhaps it was more than was reserved."""
        act = spending.Reckon(
            key=name.key if tool else key_of(f"hand {which}"),
            tenant=whose,
            state=state,
            actual=None if usd is None else {"usd": usd},
            cost=usd,
            tokens=3 if usd == 1 else None,
            note="said" if usd == 2 else None,
        )
        self.do(slot, _same(act))

    @rule(slot=slots, which=st.integers(0, 3), was=st.sampled_from((None, 0, 1, 2)))
    def reprice(self, slot: int, which: int, was: int | None) -> None:
        key = key_of(f"hand {which}")
        held = self.model.purses.held.get(key)
        if held is not None and held.state == "settled":
            act = spending.Reprice(key=key, tenant=TENANT, was=was, cost=3, price="{}")
            self.do(slot, _same(act))

    @rule(slot=slots, name=st.sampled_from(BUDGETS), n=st.integers(0, 2), lasting=st.booleans())
    def raise_limit(self, slot: int, name: str, n: int, lasting: bool) -> None:
        act = spending.Raise(
            id=key_of(f"raise {n}"),
            tenant=TENANT,
            name=name,
            metric="usd",
            label="{}",
            amount=2,
            lasting=lasting,
            by="ann",
            reason="more",
        )
        self.do(slot, _same(act))

    # -- people -------------------------------------------------------------------------------

    @rule(
        name=names,
        slot=slots,
        by=st.sampled_from(PEOPLE),
        approve=st.sampled_from((True, True, False)),
        edit=st.sampled_from(EDITS),
        shown=st.sampled_from(("nothing", "asked", "runs", "wrong")),
    )
    def decide(
        self, name: Name, slot: int, by: str, approve: bool, edit: str | None, shown: str
    ) -> None:
        e = self.effect(name)
        said = {
            "nothing": None,
            "asked": name.shown,
            "runs": _spec.runs(e) if e is not None else name.shown,
            "wrong": key_of("wrong"),
        }[shown]
        act = acts.Decide(
            key=name.key,
            tenant=TENANT,
            approve=approve,
            by=by,
            reason="I looked",
            args=edit if approve else None,
            args_digest=key_of(edit) if approve and edit is not None else None,
            shown=said,
        )
        self.do(slot, _same(act))

    @rule(
        name=names,
        slot=slots,
        by=st.sampled_from(PEOPLE),
        happened=st.booleans(),
        epoch=st.sampled_from((None, None, 0, -1)),
        early=st.sampled_from((False, False, True)),
    )
    def resolve(
        self, name: Name, slot: int, by: str, happened: bool, epoch: int | None, early: bool
    ) -> None:
        e = self.effect(name)
        seen = e.epoch if e is not None else 1
        act = acts.Resolve(
            key=name.key,
            tenant=TENANT,
            to="succeeded" if happened else "failed",
            by=by,
            reason="I looked",
            kind="person",
            epoch=None if epoch is None else seen + epoch,
            result='"seen"' if happened else None,
            result_digest=key_of('"seen"') if happened else None,
            note=None if happened else "retryable",
            early=early,
        )
        self.do(slot, _same(act))

    @rule(
        name=names,
        slot=slots,
        to=st.sampled_from(("compensating", "compensating", "compensated", "compensation_failed")),
        stale=st.sampled_from((False, False, False, True)),
        error=st.sampled_from((None, None, BOOM)),
    )
    def turn_back(self, name: Name, slot: int, to: str, stale: bool, error: str | None) -> None:
        """One step on the way of undoing it."""
        e = self.effect(name)
        act = Turn(
            key=name.key,
            tenant=TENANT,
            status="succeeded" if e is None else e.status,
            epoch=1 if e is None else e.epoch - stale,
            to=to,
            by="ann",
            reason="it was not wanted",
            error=error,
        )
        self.do(slot, _same(act))

    @rule(name=names, slot=slots)
    def cancel(self, name: Name, slot: int) -> None:
        self.do(slot, _cancel(name))

    @rule(name=names, slot=slots)
    def lapse(self, name: Name, slot: int) -> None:
        act = acts.Lapse(key=name.key, tenant=TENANT, actor="clock")
        self.do(slot, _same(act))

    @rule(name=names, slot=slots, stale=st.booleans(), quorum=st.integers(1, 2))
    def ask_again(self, name: Name, slot: int, stale: bool, quorum: int) -> None:
        e = self.effect(name)
        if e is None or e.status not in ("expired", "approved", "pending"):
            return
        act = acts.AskAgain(
            key=name.key,
            tenant=TENANT,
            epoch=e.epoch - stale,
            status=e.status,
            expires=HOUR,
            quorum=quorum,
            facts=FACTS,
            actor="somebody",
            reason="the facts changed",
            args=name.args,
            shown=name.shown,
        )
        self.do(slot, _same(act))

    # -- halts --------------------------------------------------------------------------------

    @rule(
        slot=slots,
        scope=st.sampled_from(SCOPES),
        mode=st.sampled_from(("halt", "drain", "contain")),
    )
    def halt(self, slot: int, scope: tuple[str | None, str | None, str | None], mode: str) -> None:
        tenant, tool, workflow = scope
        halt = Halt(
            tenant=tenant, tool=tool, workflow=workflow, mode=mode, by="op", reason="r", at=at(0)
        )
        self.do(slot, _same(acts.PutHalt(halt=halt)))

    @rule(slot=slots, scope=st.sampled_from(SCOPES), contain=st.booleans())
    def lift(
        self, slot: int, scope: tuple[str | None, str | None, str | None], contain: bool
    ) -> None:
        tenant, tool, workflow = scope
        act = acts.LiftHalt(
            tenant=tenant, tool=tool, workflow=workflow, by="op", reason="r", contain=contain
        )
        self.do(slot, _same(act))

    @precondition(lambda self: self.model.halts)
    @rule(slot=slots)
    def lift_all(self, slot: int) -> None:
        for *scope, contain in list(self.model.halts):
            self.lift(slot, tuple(scope), contain)

    # -- answers that were lost, and strangers ------------------------------------------------

    @precondition(lambda self: self.last is not None)
    @rule()
    def again(self) -> None:
        """The answer to the last act was lost, and it is done once more."""
        assert self.last is not None
        self.do(*self.last)

    @precondition(lambda self: self.tickets)
    @rule(data=st.data(), slot=slots)
    def stranger(self, data: st.DataObject, slot: int) -> None:
        """Another tenant's ledger knows everything, and can do nothing."""
        ticket = data.draw(st.sampled_from(self.tickets))
        e = self.model.effects[ticket.key]
        for act in _by_stranger(ticket, e):
            self.do(slot, _same(act))
        for rig in self.rigs:
            assert rig.look(slot, ticket.key, "other") == _spec.NOTHING
            assert rig.inbox("other") == set()
        self.last = None

    # -- the end ------------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            self._compare()
        finally:
            for rig in self.rigs:
                rig.close()

    def _compare(self) -> None:
        effects = self.model.effects
        inbox = {(key.hex(), kind) for key, e in effects.items() for kind in e.inbox}
        for rig in self.rigs:
            assert rig.flaws() == [], rig.kind
            assert rig.inbox() == inbox, rig.kind
            assert rig.inbox(None) == inbox, rig.kind
            for key, e in effects.items():
                assert rig.history(key) == e.events, rig.kind
                assert rig.history(key, "other") == (), rig.kind
            halts = rig.stores[0].read(acts.Halts(tenant=TENANT))
            wanted = {scope for scope in self.model.halts if scope[0] in (None, TENANT)}
            found = {(h.tenant, h.tool, h.workflow, h.mode == "contain") for h in halts}
            assert found == wanted, rig.kind
            self._compare_neighbours(rig)

    def _compare_neighbours(self, rig: Rig) -> None:
        for name in NAMES:
            scope = scope_of(TENANT, name.workflow)
            twins = Neighbours(scope=scope, twin=_twin(name), limit=3)
            found = [tuple(near[1:]) for near in rig.stores[0].read(twins)]
            assert found == self.model.neighbours(twins), rig.kind
            # of one group only twins have an order
            every = Neighbours(scope=scope)
            found = sorted(tuple(near[1:]) for near in rig.stores[0].read(every))
            assert found == sorted(self.model.neighbours(every)), rig.kind


def _twin(name: Name) -> bytes:
    return key_of(f"{name.tool} {name.workflow}")[:16]


def _turn(act: AnyAct) -> tuple[int, bytes]:
    """In which order a group is done: claims, settles, the rest, each by key."""
    kind = 0 if isinstance(act, acts.Claim) else 1 if isinstance(act, acts.Settle) else 2
    return kind, getattr(act, "key", b"")


def _same(act: AnyAct) -> Build:
    """An act that is the same whoever does it."""
    return lambda holder: act


def _cancel(name: Name) -> Build:
    return _same(acts.Cancel(key=name.key, tenant=TENANT, by="ann", reason="no longer wanted"))


def _policy(guarantee: str, *, asks_again: bool) -> Policy:
    probe = ProbeAnswer.unknown if guarantee == "reconcile" else None
    approval: Approval | bool = False
    if asks_again:
        approval = Approval(after_expiry="ask")
    return Policy(guarantee=Guarantee(guarantee), probe=probe, approval=approval)


def _by_stranger(ticket: Ticket, e: _spec.Eff) -> list[AnyAct]:
    place: dict[str, Any] = {"key": ticket.key, "tenant": "other"}
    held: dict[str, Any] = {"epoch": ticket.epoch, "nonce": ticket.nonce}
    said: dict[str, Any] = {"by": "eve", "reason": "mine"}
    return [
        acts.Look(**place, await_=True),
        Adopt(**place, place="{}", seen=[json.loads(p) for p in e.places], actor="eve"),
        acts.Settle(**place, **held, status="succeeded"),
        acts.Start(
            **place,
            status=e.status,
            epoch=e.epoch,
            shown=e.shown,
            nonce=b"eve",
            holder="eve",
            actor="eve",
            reason="mine",
        ),
        acts.Doubt(**place, **held, actor="eve", error=None, reason="mine"),
        acts.Release(**place, nonce=ticket.nonce, actor="eve", reason="mine"),
        acts.Decide(**place, **said, approve=True, args=None, args_digest=None, shown=None),
        acts.Resolve(**place, **said, to="failed", kind="person", early=True),
        acts.Cancel(**place, **said),
        Turn(**place, **said, status=e.status, epoch=e.epoch, to="compensating"),
        acts.Lapse(**place, actor="eve"),
        acts.Observe(**place, kind="conflict", actor="eve", detail={}, inbox="conflict"),
    ]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """Databases for all examples."""
    with quick_folder(Path.cwd()) as folder, fast_database() as url:
        bench = Bench(folder, url)
        yield bench
        bench.close()


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.timeout(max(120, EXAMPLES * 3))
def test_every_store_answers_what_the_model_answers(bench: Bench) -> None:
    """Whatever is done in whatever order: one life of an effect, on paper and in three stores."""
    machine = type("Lockstep", (Lockstep,), {"bench": bench})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            phases=[p for p in Phase if p is not Phase.explain],
        ),
    )
