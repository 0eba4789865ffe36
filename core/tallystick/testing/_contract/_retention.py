"""Payloads go, the fact stays: what retention may take, and what it never does."""

from __future__ import annotations

from typing import Any

from tallystick._acts import Observe
from tallystick._model import OVER, Status
from tallystick._policy import Approval, Policy
from tallystick._retention import Retain
from tallystick._undoing._tools import MARKS
from tallystick.errors import (
    ApprovalExpired,
    ApprovalRequired,
    ArgumentsChanged,
    ArgumentsDropped,
    EffectInDoubt,
    InvalidCall,
    NotApplied,
    ResultNotStored,
)
from tallystick.testing._contract._base import Faced, raises
from tallystick.testing._contract._moves import MET, ONCE, Moves, workflow_of
from tallystick.testing._crash import Crashed, crash_at

SECRET = "hunter2-is-not-a-password"
DAY = 86_400.0
ORDER = {"order": SECRET}
LATER = NotApplied(SECRET, retryable=True)


class Retention(Moves):
    """``retain`` on effects in every status, and what callers meet afterwards."""

    def _kept(self, ledger: Faced, key: str) -> str:
        """All that is stored about an effect."""
        return repr([ledger.row(key), ledger.get(key), ledger.history(key)])

    def _done(self, ledger: Faced, *outcomes: Any, **options: Any) -> str:
        """An effect that came to its end a day ago; its key."""
        ledger.call("charge", self.tool(*outcomes).fn, ORDER, workflow="w", **options)
        ledger.turn(DAY)
        return str(ledger.effects(limit=1)[0].key)

    def test_what_is_over_loses_its_payload_and_nothing_else_does(self) -> None:
        """Arguments and outcome of every status that is an end; the others stay as they are."""
        ledger = self.ledger()
        keys = {s: self._bring_to(ledger, s, {"to": f"{SECRET} {s.value}"}) for s in Status}
        before = {status: ledger.row(key) for status, key in keys.items()}
        assert ledger.retain(payloads=3600).effects == 0
        ledger.turn(DAY)
        # with what compensations ran; the rounds themselves are marks and hold nothing
        every = [e for e in ledger.effects(limit=1000) if e.tool not in MARKS]
        over = sum(effect.status in OVER for effect in every)
        assert ledger.retain(payloads=60, dry_run=True).effects == over >= len(OVER)
        assert ledger.retain(payloads=60, by="ann").effects == over
        for status, key in keys.items():
            if status not in OVER:
                # whoever was running it may count as dead by now
                now, then = ledger.row(key), before[status]
                assert (now.args, now.facts) == (then.args, then.facts), status
                continue
            effect, row, was = ledger.get(key), ledger.row(key), before[status]
            assert (effect.args, effect.result, effect.facts) == ({}, None, None), status
            assert effect.payload_dropped_at is not None
            assert SECRET not in self._kept(ledger, key), status
            gone = {"args", "result", "error", "edited", "facts", "events", "head"}
            assert {n for n, value in row._asdict().items() if value != getattr(was, n)} <= gone
            last = ledger.history(key)[-1]
            assert (last.kind, last.actor) == ("retained", "ann"), status
        assert ledger.retain(payloads=60).effects == 0

    def test_what_lost_its_payload_never_runs_again(self) -> None:
        """A caller learns the outcome; other arguments are still other arguments."""
        ledger = self.ledger()
        for status in OVER:
            self._bring_to(ledger, status, {"to": status.value})
        ledger.turn(DAY)
        ledger.retain(payloads=60)
        charge = self.tool("again")
        for status in OVER:
            met = MET[status]
            with raises(ResultNotStored if isinstance(met, str) else met):
                args = {"to": status.value}
                ledger.call("charge", charge.fn, args, workflow=workflow_of(args), policy=ONCE)
        policy = Policy(identity=("order",))
        ledger.call("mail", self.tool("done").fn, {"order": "A", "to": 1}, workflow="w")
        ledger.call(
            "pay", self.tool("done").fn, {"order": "A", "to": 1}, workflow="w", policy=policy
        )
        ledger.retain(payloads=0)
        with raises(ArgumentsChanged):
            ledger.call("pay", charge.fn, {"order": "A", "to": 2}, workflow="w", policy=policy)
        assert charge.times == 0

    def test_a_failure_that_may_be_tried_again_is_tried_with_what_was_recorded(self) -> None:
        """The caller's arguments, where they are the same; they are on record again."""
        ledger = self.ledger()
        with raises(NotApplied):
            ledger.call("charge", self.tool(LATER).fn, ORDER, workflow="w")
        ledger.retain(payloads=0)
        key = ledger.only().key
        assert SECRET not in self._kept(ledger, key)
        charge = self.tool("done")
        assert ledger.call("charge", charge.fn, ORDER, workflow="w") == "done"
        effect = ledger.only()
        assert (charge.seen, effect.args, effect.payload_dropped_at) == ([ORDER], ORDER, None)
        ledger.turn(DAY)
        assert ledger.retain(payloads=60).effects == 1
        assert SECRET not in self._kept(ledger, key)

    def test_nothing_runs_in_the_place_of_volatile_arguments_that_are_gone(self) -> None:
        """What was recorded would have run, and this is something else."""
        ledger = self.ledger()
        policy = Policy(volatile=("memo",))
        first: dict[str, Any] = {"order": "A", "memo": "a"}
        with raises(NotApplied):
            ledger.call("charge", self.tool(LATER).fn, first, workflow="w", policy=policy)
        ledger.retain(payloads=0)
        charge = self.tool("done")
        other = {"order": "A", "memo": "b"}
        with raises(ArgumentsDropped) as caught:
            ledger.call("charge", charge.fn, other, workflow="w", policy=policy)
        assert (caught.error.key, charge.times) == (ledger.only().key, 0)
        assert ledger.call("charge", charge.fn, first, workflow="w", policy=policy) == "done"

    def test_what_events_quote_goes_too(self) -> None:
        """Errors, results of refused attempts, changed facts; a person's own words stay."""
        ledger = self.ledger()
        facts = iter((SECRET, f"{SECRET}!", f"{SECRET}!"))
        policy = Policy(approval=Approval(preconditions=lambda _: next(facts)))
        charge = self.tool(ValueError(SECRET), "done")
        with raises(ApprovalRequired) as caught:
            ledger.call("charge", charge.fn, ORDER, workflow="w", policy=policy)
        key = str(caught.error.key)
        for _ in range(2):
            ledger.approve(key, by="ann", reason="fine by me")
            with raises(ApprovalRequired, EffectInDoubt):
                ledger.call("charge", charge.fn, ORDER, workflow="w", policy=policy)
        ledger.resolve(key, by="ann", succeeded=SECRET, reason="I saw it")
        ledger.turn(DAY)
        assert SECRET in self._kept(ledger, key)
        before = ledger.history(key)
        assert ledger.retain(payloads=60).effects == 1
        after = ledger.history(key)
        assert SECRET not in self._kept(ledger, key)
        assert [e.hash for e in after[:-1]] == [e.hash for e in before]
        assert "fine by me" in repr(after)
        assert "I saw it" in repr(after)

    def test_an_edit_is_gone_and_still_proven(self) -> None:
        """The digest that was approved is the tombstone's."""
        ledger = self.ledger()
        policy = Policy(approval=True)
        with raises(ApprovalRequired) as caught:
            ledger.call("charge", self.tool().fn, ORDER, workflow="w", policy=policy)
        key = str(caught.error.key)
        digest = ledger.approve(key, by="ann", args={"order": f"{SECRET} B"}).digest
        ledger.call("charge", self.tool("done").fn, ORDER, workflow="w", policy=policy)
        ledger.turn(DAY)
        ledger.retain(payloads=60)
        effect = ledger.get(key)
        assert (effect.edited_args, effect.digest) == (None, digest)
        assert SECRET not in self._kept(ledger, key)

    def test_an_expired_request_that_is_made_again_shows_its_arguments(self) -> None:
        """Nobody approves what cannot be seen."""
        ledger = self.ledger()
        policy = Policy(approval=Approval(expires=60, after_expiry="ask"))
        refuse = Policy(approval=Approval(expires=60))
        charge = self.tool("done")
        with raises(ApprovalRequired) as caught:
            ledger.call("charge", charge.fn, ORDER, workflow="w", policy=policy)
        ledger.turn(61)
        with raises(ApprovalExpired):
            ledger.call("charge", charge.fn, ORDER, workflow="w", policy=refuse)
        assert ledger.retain(payloads=0).effects == 1
        with raises(ApprovalRequired) as again:
            ledger.call("charge", charge.fn, ORDER, workflow="w", policy=policy)
        assert (again.error.key, again.error.arguments) == (caught.error.key, ORDER)
        assert ledger.pending()[0].effect.args == ORDER
        ledger.approve(again.error.key, by="ann", digest=again.error.digest)
        assert ledger.call("charge", charge.fn, ORDER, workflow="w", policy=policy) == "done"

    def test_what_the_inbox_shows_is_kept(self) -> None:
        """A conflict about an effect that is over is for a person to look at first."""
        ledger = self.ledger()
        key = self._done(ledger, "done")
        place: dict[str, Any] = {"key": bytes.fromhex(key), "tenant": "default"}
        detail = {"reason": "two traces"}
        ledger.apply(
            Observe(**place, kind="conflict", actor="probe", detail=detail, inbox="conflict")
        )
        assert ledger.retain(payloads=0).effects == 0
        act = Retain(tenant="default", before=1 << 62, by="eve", keys=(bytes.fromhex(key),))
        assert ledger.apply(act).effects == 0
        assert ledger.get(key).args == ORDER

    def test_an_act_takes_only_what_is_over_for_long_enough(self) -> None:
        """Whoever sends it, and whatever it names."""
        ledger = self.ledger()
        keys = [self._bring_to(ledger, status, {"to": status.value}) for status in Status]
        raw = tuple(bytes.fromhex(key) for key in keys)
        before = [ledger.row(key) for key in keys]
        early = min(row.created_at for row in before) - 1
        assert ledger.apply(Retain(tenant="default", before=early, by="eve", keys=raw)).effects == 0
        other = Retain(tenant="other", before=1 << 62, by="eve", keys=raw)
        assert ledger.apply(other).effects == 0
        assert [ledger.row(key) for key in keys] == before
        act = Retain(tenant="default", before=1 << 62, by="eve", keys=raw)
        assert ledger.apply(act).effects == len(OVER)
        assert ledger.apply(act).effects == 0

    def test_reservations_keep_their_figures(self) -> None:
        """What was said of them goes, unless nobody knows what they cost."""
        ledger = self.ledger()
        budget = ledger.budget("tokens", tokens=100)
        faced = Faced(budget, awaiting=self.awaiting)
        for key in ("a", "b"):
            held = Faced(faced.reserve(tokens=5, key=key), awaiting=self.awaiting)
            held.release(reason=SECRET)
        ledger.turn(DAY)
        before = [row.state for row in ledger.reservations()]
        assert SECRET in repr(ledger.reservations())
        assert ledger.retain(payloads=60, dry_run=True).calls == 2
        assert ledger.retain(payloads=60).calls == 2
        assert SECRET not in repr(ledger.reservations())
        assert [row.state for row in ledger.reservations()] == before
        assert ledger.retain(payloads=60).calls == 0

    def test_a_ledger_that_dies_while_it_forgets_has_forgotten_some(self) -> None:
        """Each transaction is whole; the next process goes on with the rest."""
        for moment in ("before", "applied", "committed"):
            ledger = self.ledger(tenant=f"t {moment}")
            for n in range(4):
                ledger.call("charge", self.tool("done").fn, {"n": n}, workflow="w")
            ledger.turn(DAY)
            with crash_at(f"Retain.{moment}", nth=2) as death, raises(Crashed):
                ledger.retain(payloads=60, limit_per_batch=1)
            assert death.fired
            heir = self.heir(ledger, tenant=f"t {moment}")
            heir.turn(DAY)
            gone = sum(effect.payload_dropped_at is not None for effect in heir.effects())
            assert gone == (2 if moment == "committed" else 1)
            assert heir.retain(payloads=60).effects == 4 - gone
            assert heir.verify().sound

    def test_damage_is_still_found(self) -> None:
        """To an event that was stripped as to any other."""
        self.needs("damageable")
        ledger = self.ledger()
        with raises(EffectInDoubt) as caught:
            ledger.call("charge", self.tool(ValueError(SECRET)).fn, ORDER, workflow="w")
        key = str(caught.error.key)
        ledger.resolve(key, by="ann", succeeded="done")
        ledger.retain(payloads=0)
        assert ledger.verify().sound
        self.spoil(ledger, key, "event")
        assert [damage.key for damage in ledger.verify().damage] == [key]

    def test_nonsense_is_refused_before_anything_goes(self) -> None:
        """Times that are none, batches of nothing."""
        ledger = self.ledger()
        key = self._done(ledger, "done")
        nonsense: list[dict[str, Any]] = [
            {"payloads": -1},
            {"payloads": "90d"},
            {"payloads": 60, "limit_per_batch": 0},
            {"payloads": 60, "limit_per_batch": True},
            {"payloads": 60, "pause": -1},
            {"payloads": 60, "by": ""},
        ]
        for options in nonsense:
            with raises(InvalidCall):
                ledger.retain(**options)
        assert ledger.get(key).args == ORDER
