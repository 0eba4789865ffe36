"""The trail: what was out of the ordinary, chained, and provably whole."""

from __future__ import annotations

from tallystick._changes import GENESIS
from tallystick._model import Guarantee
from tallystick._policy import Policy
from tallystick.errors import ApprovalRequired, EffectInDoubt
from tallystick.testing._contract._base import Contract, Faced, raises

ORDER = {"order": "A"}


class Audit(Contract):
    """Events, their chain, the inbox, and ``verify``."""

    def _eventful(self, ledger: Faced) -> str:
        """An effect with a history; its key."""
        policy = Policy(approval=True)
        with raises(ApprovalRequired) as caught:
            ledger.call("charge", self.tool().fn, ORDER, workflow="w", policy=policy)
        key = str(caught.error.key)
        ledger.approve(key, by="ann", reason="ok")
        with raises(EffectInDoubt):
            ledger.call("charge", self.tool(ValueError()).fn, ORDER, workflow="w", policy=policy)
        ledger.resolve(key, by="bob", succeeded="found", reason="saw it")
        return key

    def test_everything_out_of_the_ordinary_is_an_event(self) -> None:
        """With its actor, its moment and its epoch, in order."""
        ledger = self.ledger()
        key = self._eventful(ledger)
        events = ledger.history(key)
        assert [event.kind for event in events] == [
            "asked", "approved", "started", "in_doubt", "resolved",
        ]  # fmt: skip
        assert [event.n for event in events] == [1, 2, 3, 4, 5]
        worker = events[0].actor
        assert [event.actor for event in events] == [worker, "ann", worker, worker, "bob"]
        moments = [event.at for event in events]
        assert moments == sorted(moments)
        epochs = [event.epoch for event in events]
        assert epochs == sorted(epochs)
        assert {event.key for event in events} == {key}

    def test_each_event_is_hashed_over_the_one_before(self) -> None:
        """From a beginning that everybody knows."""
        ledger = self.ledger()
        events = ledger.history(self._eventful(ledger))
        previous = GENESIS.hex()
        for event in events:
            assert event.previous == previous
            previous = event.hash
        assert len({event.hash for event in events}) == len(events)
        assert ledger.row(events[0].key).head == bytes.fromhex(previous)

    def test_a_whole_ledger_is_sound(self) -> None:
        """Every effect and every event is looked at."""
        ledger = self.ledger()
        self._eventful(ledger)
        for n in range(3):
            ledger.call("charge", self.tool(n).fn, {"n": n}, workflow="w")
        verified = ledger.verify()
        assert verified.sound
        assert (verified.effects, verified.events) == (4, 5)

    def test_what_was_tampered_with_is_found(self) -> None:
        """A result, an event, or the last event taken away."""
        self.needs("damageable")
        for what in ("result", "event", "removed"):
            ledger = self.ledger(tenant=what)
            whole, spoilt = self._eventful(ledger), ""
            with raises(EffectInDoubt) as caught:
                ledger.call("other", self.tool(ValueError()).fn, workflow="w")
            spoilt = str(caught.error.key)
            ledger.resolve(spoilt, by="bob", succeeded="found")
            self.spoil(ledger, spoilt, what)
            verified = ledger.verify()
            assert not verified.sound, what
            assert {damage.key for damage in verified.damage} == {spoilt} != {whole}

    def test_the_inbox_shows_a_request_until_it_is_decided(self) -> None:
        """Oldest first; approved, denied, cancelled or expired, it is gone."""
        ledger = self.ledger()
        policy = Policy(approval=True)
        keys: list[str] = []
        for n in range(4):
            with raises(ApprovalRequired) as caught:
                ledger.call("charge", self.tool().fn, {"n": n}, workflow="w", policy=policy)
            keys.append(str(caught.error.key))
        assert [item.effect.key for item in ledger.pending()] == keys
        ledger.approve(keys[0], by="ann")
        ledger.deny(keys[1], by="ann")
        ledger.cancel(keys[2], by="ann")
        assert [item.effect.key for item in ledger.pending()] == keys[3:]

    def test_the_inbox_shows_a_doubt_until_it_is_resolved(self) -> None:
        """By a person, or because somebody took it up again."""
        ledger = self.ledger()
        policy = Policy(guarantee=Guarantee.IDEMPOTENT)
        keys: list[str] = []
        for n in range(4):
            with raises(EffectInDoubt):
                ledger.call(
                    "charge", self.tool(ValueError(n)).fn, {"n": n}, workflow="w", policy=policy
                )
            keys.append(str(ledger.effects(limit=1)[0].key))
        assert ledger.inbox() == [("in_doubt", "charge")] * 4
        assert "ValueError" in ledger.pending()[0].note
        ledger.resolve(keys[0], by="ann", succeeded=1)
        ledger.resolve(keys[1], by="ann", failed="no")
        ledger.cancel(keys[2], by="ann")
        assert [item.effect.key for item in ledger.pending()] == [keys[3]]
        ledger.call("charge", self.tool("x").fn, {"n": 3}, workflow="w", policy=policy)
        assert ledger.pending() == []
