"""What each guarantee promises after a death in the middle."""

from __future__ import annotations

from typing import Any

from tallystick._context import current_effect
from tallystick._model import Guarantee, Status
from tallystick._policy import Policy, ProbeAnswer
from tallystick.errors import DecisionRefused, EffectInDoubt, NotApplied
from tallystick.testing._contract._base import Contract, Faced, Tool, raises

ORDER = {"order": "A"}
HOUR = 3600.0
LIVES = Policy(guarantee=Guarantee.IDEMPOTENT, key_lifetime=HOUR)


def reconciled(*answers: Any, quiet: float = HOUR, wait: float = 0) -> Policy:
    """A policy whose probe gives *answers*, one after the other."""
    tool = Tool(*answers)

    def probe(effect: Any) -> Any:
        return tool.fn(effect=effect)

    return Policy(
        guarantee=Guarantee.RECONCILE,
        probe=probe,
        quiet=quiet,
        wait=wait,
    )


class Guarantees(Contract):
    """The table of the five guarantees, row by row."""

    def test_at_most_once_is_in_doubt_after_a_death_and_never_repeated(self) -> None:
        """The tool ran, nobody wrote down what became of it: only a person can tell."""
        charge = self.tool("done")
        heir = self.cut_off(self.ledger(), charge, ORDER)
        for _ in range(2):
            with raises(EffectInDoubt):
                heir.call("charge", charge.fn, ORDER, workflow="w")
        assert (charge.times, heir.only().status) == (1, "in_doubt")
        assert heir.inbox() == [("in_doubt", "charge")]

    def test_idempotent_is_repeated_under_the_same_key(self) -> None:
        """The downstream deduplicates, so the second attempt is harmless."""
        keys: list[tuple[str, int, int]] = []

        def note(order: str) -> str:
            effect = current_effect()
            keys.append((effect.idempotency_key, effect.attempt, effect.epoch))
            return "done"

        charge = self.tool(note)
        heir = self.cut_off(self.ledger(), charge, ORDER, policy=LIVES)
        assert heir.call("charge", charge.fn, ORDER, workflow="w", policy=LIVES) == "done"
        key = heir.only().key
        assert keys == [(key, 1, 1), (key, 2, 2)]
        assert heir.kinds(key) == ["started"]

    def test_idempotent_is_in_doubt_once_the_key_is_forgotten(self) -> None:
        """A repeat would then be a second charge."""
        charge = self.tool("done")
        heir = self.cut_off(self.ledger(), charge, ORDER, policy=LIVES)
        heir.turn(HOUR)
        with raises(EffectInDoubt):
            heir.call("charge", charge.fn, ORDER, workflow="w", policy=LIVES)
        assert charge.times == 1

    def test_a_key_s_lifetime_is_never_extended(self) -> None:
        """Neither a takeover, nor a retry, nor a restart starts it anew."""
        charge = self.tool("done")
        heir = self.cut_off(self.ledger(), charge, ORDER, policy=LIVES)
        heir.turn(HOUR * 0.6)
        third = self.cut_off(heir, charge, ORDER, policy=LIVES)
        third.turn(HOUR * 1.01)
        with raises(EffectInDoubt):
            third.call("charge", charge.fn, ORDER, workflow="w", policy=LIVES)
        assert (charge.times, third.only().attempt) == (2, 2)

    def test_a_key_s_lifetime_begins_at_the_first_claim(self) -> None:
        """A person's "it did not happen" allows a new attempt, not a longer life of the key."""
        ledger = self.ledger()
        with raises(EffectInDoubt):
            ledger.call("charge", self.tool(ValueError()).fn, ORDER, workflow="w", policy=LIVES)
        ledger.turn(HOUR * 0.6)
        ledger.resolve(ledger.only().key, by="ann", failed="no")
        with raises(EffectInDoubt):
            ledger.call("charge", self.tool(ValueError()).fn, ORDER, workflow="w", policy=LIVES)
        ledger.turn(HOUR * 0.6)
        charge = self.tool("done")
        with raises(EffectInDoubt):
            ledger.call("charge", charge.fn, ORDER, workflow="w", policy=LIVES)
        assert charge.times == 0

    def test_a_repeat_that_did_not_happen_says_nothing_about_the_first_attempt(self) -> None:
        """So the doubt stays, and ends when the key does: in doubt, and not run again."""
        for n, repeated in enumerate((NotApplied("no", retryable=True), NotApplied("no"))):
            args: dict[str, Any] = {"n": n}
            charge = self.tool("charged", repeated, "charged twice")
            heir = self.cut_off(self.ledger(), charge, args, policy=LIVES)
            with raises(EffectInDoubt):
                heir.call("charge", charge.fn, args, workflow="w", policy=LIVES)
            assert heir.effects(limit=1)[0].status is Status.IN_DOUBT
            heir.turn(HOUR * 2)
            with raises(EffectInDoubt):
                heir.call("charge", charge.fn, args, workflow="w", policy=LIVES)
            assert charge.times == 2

    def test_a_claim_by_hand_that_repeats_cannot_deny_the_first_attempt(self) -> None:
        """Its holder knows about its own attempt only."""
        heir = self.cut_off(self.ledger(), self.tool("charged"), ORDER, policy=LIVES)
        held = heir.hold("charge", ORDER, workflow="w", policy=LIVES)
        held.fail("no such account")
        held.leave()
        assert heir.only().status is Status.IN_DOUBT
        again = heir.hold("charge", ORDER, workflow="w", policy=LIVES)
        again.succeed("found")
        assert heir.only().result == "found"

    def test_a_repeat_that_is_given_back_leaves_the_doubt_of_the_first_attempt(self) -> None:
        """Being interrupted before it acted, it found out nothing."""
        policy = LIVES.but(classify={KeyError: "interrupted"})
        charge = self.tool("charged", KeyError("interrupted"), "charged twice")
        heir = self.cut_off(self.ledger(), charge, ORDER, policy=policy)
        with raises(KeyError):
            heir.call("charge", charge.fn, ORDER, workflow="w", policy=policy)
        heir.turn(HOUR * 2)
        with raises(EffectInDoubt):
            heir.call("charge", charge.fn, ORDER, workflow="w", policy=policy)
        assert (charge.times, heir.inbox()) == (2, [("in_doubt", "charge")])

    def test_an_attempt_is_repeated_only_under_the_guarantee_it_was_recorded_with(self) -> None:
        """Who declares more later cannot know what the first attempt's downstream remembers."""
        charge = self.tool("done")
        heir = self.cut_off(self.ledger(), charge, ORDER)
        with raises(EffectInDoubt):
            heir.call("charge", charge.fn, ORDER, workflow="w", policy=LIVES)
        assert charge.times == 1

    def test_a_probe_that_finds_it_settles_the_doubt(self) -> None:
        """What it found is the recorded result."""
        charge = self.tool("never")
        policy = reconciled(ProbeAnswer.happened({"id": "ch_1"}))
        heir = self.cut_off(self.ledger(), charge, ORDER, policy=policy)
        for _ in range(2):
            call = heir.call("charge", charge.fn, ORDER, workflow="w", policy=policy)
            assert call == {"id": "ch_1"}
        effect = heir.only()
        assert (charge.times, effect.status, heir.pending()) == (1, "succeeded", [])
        assert heir.kinds(effect.key) == ["in_doubt", "resolved"]
        assert heir.history(effect.key)[-1].actor == "probe"

    def test_a_probe_is_told_the_recorded_effect(self) -> None:
        """Its key and its arguments, to look for."""
        told: list[Any] = []

        def answer(effect: Any) -> ProbeAnswer:
            told.append((effect.idempotency_key, effect.args))
            return ProbeAnswer.happened()

        policy = reconciled(answer)
        heir = self.cut_off(self.ledger(), self.tool(), ORDER, policy=policy)
        heir.call("charge", self.tool().fn, ORDER, workflow="w", policy=policy)
        assert told == [(heir.only().key, ORDER)]

    def test_a_no_counts_only_after_the_quiet_period(self) -> None:
        """An old attempt may still arrive; only when it no longer can, another one is made."""
        charge = self.tool("done")
        policy = reconciled(ProbeAnswer.not_happened())
        heir = self.cut_off(self.ledger(), charge, ORDER, policy=policy)
        with raises(EffectInDoubt) as caught:
            heir.call("charge", charge.fn, ORDER, workflow="w", policy=policy)
        assert charge.times == 1
        with raises(DecisionRefused):
            heir.resolve(str(caught.error.key), by="ann", failed="not yet")
        heir.turn(HOUR + 1)
        assert heir.call("charge", charge.fn, ORDER, workflow="w", policy=policy) == "done"
        assert charge.times == 2
        key = heir.only().key
        assert heir.kinds(key) == ["in_doubt", "resolved", "started"]

    def test_a_no_is_asked_again_at_the_end_of_the_quiet_period(self) -> None:
        """A caller with patience waits for it, and what has arrived by then counts."""
        charge = self.tool("never")
        answers = (ProbeAnswer.not_happened(), ProbeAnswer.happened("it arrived"))
        policy = reconciled(*answers, quiet=0.2, wait=5)
        ledger = self.ledger()
        ledger.hold("charge", ORDER, workflow="w", policy=policy).leave()
        # what is left without a word is posted: let it arrive
        ledger.call("other", self.tool().fn, workflow="w")
        call = ledger.call("charge", charge.fn, ORDER, workflow="w", policy=policy)
        assert (call, charge.times) == ("it arrived", 0)

    def test_a_person_may_say_no_once_the_quiet_period_is_over(self) -> None:
        """Not before: what is said to be false must not come true."""
        policy = reconciled(ProbeAnswer.unknown())
        heir = self.cut_off(self.ledger(), self.tool(), ORDER, policy=policy)
        heir.recover()
        key = heir.only().key
        heir.turn(HOUR + 1)
        assert heir.resolve(key, by="ann", failed="no trace").status is Status.FAILED

    def test_a_probe_that_cannot_tell_leaves_the_doubt(self) -> None:
        """So does one that raises, or that answers anything else."""
        for n, answer in enumerate((ProbeAnswer.unknown("down"), OSError("down"), "yes")):
            charge, args = self.tool("done"), {"n": n}
            policy = reconciled(answer)
            heir = self.cut_off(self.ledger(), charge, args, policy=policy)
            with raises(EffectInDoubt):
                heir.call("charge", charge.fn, args, workflow="w", policy=policy)
            assert (charge.times, heir.effects(limit=1)[0].status) == (1, "in_doubt")

    def test_a_conflict_is_a_person_s_to_resolve(self) -> None:
        """More than one trace: it is shown to people, once, and nothing runs."""
        charge = self.tool("done")
        policy = reconciled(ProbeAnswer.conflict("two charges: ch_1, ch_2"))
        heir = self.cut_off(self.ledger(), charge, ORDER, policy=policy)
        for _ in range(2):
            with raises(EffectInDoubt):
                heir.call("charge", charge.fn, ORDER, workflow="w", policy=policy)
        kinds = {item.kind: item.note for item in heir.pending()}
        assert set(kinds) == {"in_doubt", "conflict"}
        assert kinds["conflict"] == "two charges: ch_1, ch_2"
        heir.resolve(heir.only().key, by="ann", succeeded="ch_1")
        assert (heir.pending(), charge.times) == ([], 1)

    def test_a_failed_attempt_of_a_reconciled_tool_may_be_tried_again(self) -> None:
        """``NotApplied`` needs no probe."""
        ledger = self.ledger()
        policy = reconciled(AssertionError("nobody asks"))
        charge = self.tool(NotApplied("no", retryable=True), "done")
        with raises(NotApplied):
            ledger.call("charge", charge.fn, ORDER, workflow="w", policy=policy)
        assert ledger.call("charge", charge.fn, ORDER, workflow="w", policy=policy) == "done"

    def test_a_tool_that_only_reads_is_no_doubt_after_a_death(self) -> None:
        """There is nothing that a person would have to see."""
        policy = Policy(guarantee=Guarantee.READ_ONLY)
        heir = self.cut_off(self.ledger(), self.tool("x"), ORDER, policy=policy)
        heir.recover()
        assert (heir.pending(), _statuses(heir)) == ([], ["failed"])
        assert heir.call("charge", self.tool("y").fn, ORDER, workflow="w", policy=policy) == "y"


def _statuses(ledger: Faced) -> list[str]:
    return [str(effect.status) for effect in ledger.effects()]
