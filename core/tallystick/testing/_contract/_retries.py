"""Trying again inside one call: only what did not happen, and not for ever."""

from __future__ import annotations

from tallystick._model import Guarantee
from tallystick._policy import Policy, Retry
from tallystick.errors import EffectInDoubt, NotApplied
from tallystick.testing._contract._base import Contract, raises

AT_ONCE = Retry(attempts=3, initial=0, jitter=0)


def busy() -> NotApplied:
    """It did not happen, this time."""
    return NotApplied("busy", retryable=True)


class Retries(Contract):
    """``Policy(retry=…)``."""

    def test_what_did_not_happen_is_tried_again_within_the_call(self) -> None:
        """Each attempt is another epoch, and an event."""
        ledger = self.ledger()
        charge = self.tool(busy(), busy(), "done")
        policy = Policy(retry=AT_ONCE)
        assert ledger.call("charge", charge.fn, workflow="w", policy=policy) == "done"
        effect = ledger.only()
        assert (effect.attempt, effect.epoch, charge.times) == (3, 3, 3)
        events = ledger.history(effect.key)
        assert [(e.kind, e.detail["attempt"]) for e in events] == [("started", 2), ("started", 3)]
        assert events[0].detail["error"]["message"] == "busy"

    def test_attempts_end(self) -> None:
        """The last error is raised; a later call may go on."""
        ledger = self.ledger()
        charge = self.tool(busy(), busy(), busy(), "done")
        policy = Policy(retry=AT_ONCE)
        with raises(NotApplied):
            ledger.call("charge", charge.fn, workflow="w", policy=policy)
        assert charge.times == 3
        assert ledger.call("charge", charge.fn, workflow="w", policy=policy) == "done"

    def test_what_failed_for_good_is_not_tried_again(self) -> None:
        """A refused card stays refused."""
        ledger = self.ledger()
        charge = self.tool(NotApplied("refused"), "done")
        with raises(NotApplied):
            ledger.call("charge", charge.fn, workflow="w", policy=Policy(retry=AT_ONCE))
        assert charge.times == 1

    def test_what_may_have_happened_is_not_tried_again(self) -> None:
        """Whatever the retry policy says."""
        ledger = self.ledger()
        charge = self.tool(ValueError("?"), "done")
        with raises(EffectInDoubt):
            ledger.call("charge", charge.fn, workflow="w", policy=Policy(retry=AT_ONCE))
        assert charge.times == 1

    def test_what_may_have_happened_is_tried_again_under_the_same_key(self) -> None:
        """Where the downstream deduplicates, and only while it remembers."""
        ledger = self.ledger()
        charge = self.tool(ValueError("?"), "done")
        policy = Policy(guarantee=Guarantee.IDEMPOTENT, retry=AT_ONCE)
        assert ledger.call("charge", charge.fn, workflow="w", policy=policy) == "done"
        assert ledger.kinds(ledger.only().key) == ["in_doubt", "started"]
        assert ledger.pending() == []

    def test_the_window_of_retries_is_counted_from_the_first_claim(self) -> None:
        """Neither another call nor another process gets a new one."""
        ledger = self.ledger()
        policy = Policy(retry=Retry(attempts=9, initial=0, jitter=0, within=60))
        charge = self.tool(*[busy()] * 9, busy(), busy(), "done")
        with raises(NotApplied):
            ledger.call("charge", charge.fn, workflow="w", policy=policy)
        assert charge.times == 9
        ledger.turn(61)
        with raises(NotApplied):
            ledger.call("charge", charge.fn, workflow="w", policy=policy)
        assert charge.times == 10
        heir = self.heir(ledger)
        heir.turn(61)
        with raises(NotApplied):
            heir.call("charge", charge.fn, workflow="w", policy=policy)
        assert charge.times == 11

    def test_the_pause_between_attempts_grows(self) -> None:
        """From the first one by a factor up to a maximum."""
        retry = Retry(initial=1, factor=3, maximum=10, jitter=0)
        assert [retry.pause(n) for n in (1, 2, 3, 4)] == [1, 3, 9, 10]
