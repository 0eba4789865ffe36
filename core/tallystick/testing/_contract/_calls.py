"""The straight path: claim, perform, settle, replay; and what an exception means."""

from __future__ import annotations

from tallystick._model import Guarantee, Status
from tallystick._policy import Policy
from tallystick.errors import EffectFailed, EffectInDoubt, NotApplied
from tallystick.testing._contract._base import Contract, raises

ORDER = {"order": "A"}


class Interrupted(BaseException):
    """As a cancellation: no ``Exception``."""


class Calls(Contract):
    """What every call may rely on."""

    def test_a_call_that_is_repeated_happens_once(self) -> None:
        """Every later call gets the recorded result, in this ledger and in another."""
        first, second = self.ledger(), self.ledger()
        charge = self.tool({"id": "ch_1"})
        for ledger in (first, first, second):
            assert ledger.call("charge", charge.fn, ORDER, workflow="w") == {"id": "ch_1"}
        assert charge.seen == [ORDER]

    def test_a_fresh_effect_is_recorded_as_it_went(self) -> None:
        """The row of the straight path is the record of it, without any event."""
        ledger = self.ledger()
        ledger.call("charge", self.tool("done").fn, ORDER, workflow="w", call_id="c1")
        effect = ledger.only()
        assert (effect.status, effect.result, effect.result_stored) == ("succeeded", "done", True)
        assert (effect.tool, effect.workflow, effect.call_id) == ("charge", "w", "c1")
        assert (effect.epoch, effect.attempt, effect.args) == (1, 1, ORDER)
        assert effect.created_at <= effect.changed_at
        assert ledger.history(effect.key) == []
        assert ledger.pending() == []

    def test_an_effect_is_running_while_its_tool_runs(self) -> None:
        """It is on record before anything happens, with its holder."""
        ledger = self.ledger()
        seen: list[tuple[str, bool]] = []

        def look(order: str) -> None:
            effect = ledger.ledger.effects()[0]
            seen.append((effect.status, effect.holder is not None))

        ledger.call("charge", self.tool(look, threaded=True).fn, ORDER, workflow="w")
        assert seen == [("running", True)]

    def test_a_replay_writes_nothing(self) -> None:
        """Neither the row nor its history shows who asked again."""
        ledger = self.ledger()
        charge = self.tool("done")
        ledger.call("charge", charge.fn, ORDER, workflow="w")
        before = ledger.row(ledger.only().key)
        ledger.call("charge", charge.fn, ORDER, workflow="w")
        assert ledger.row(before.key.hex()) == before

    def test_what_was_recorded_survives_every_ledger(self) -> None:
        """Whoever opens the database again is given the recorded result."""
        self.needs("durable")
        charge = self.tool("done")
        first = self.ledger()
        first.call("charge", charge.fn, ORDER, workflow="w")
        first.ledger.close()
        self._ledgers.remove(first)
        assert self.ledger().call("charge", charge.fn, ORDER, workflow="w") == "done"
        assert charge.times == 1

    def test_a_failure_is_raised_to_whoever_saw_it_and_replayed_to_others(self) -> None:
        """``NotApplied`` means that it did not happen; the record says so ever after."""
        ledger = self.ledger()
        charge = self.tool(NotApplied("card refused"))
        with raises(NotApplied):
            ledger.call("charge", charge.fn, ORDER, workflow="w")
        with raises(EffectFailed) as caught:
            ledger.call("charge", charge.fn, ORDER, workflow="w")
        assert (caught.error.error_message, charge.times) == ("card refused", 1)
        assert caught.error.error_type.endswith("NotApplied")
        assert ledger.only().status is Status.FAILED

    def test_a_retryable_failure_is_tried_again_by_the_next_call(self) -> None:
        """It did not happen, so a second attempt is safe; it is another epoch."""
        ledger = self.ledger()
        charge = self.tool(NotApplied("busy", retryable=True), "done")
        with raises(NotApplied):
            ledger.call("charge", charge.fn, ORDER, workflow="w")
        assert ledger.call("charge", charge.fn, ORDER, workflow="w") == "done"
        effect = ledger.only()
        assert (effect.status, effect.attempt, effect.epoch) == ("succeeded", 2, 2)
        assert ledger.kinds(effect.key) == ["started"]

    def test_an_exception_is_not_a_failure(self) -> None:
        """What a tool raises may come after it happened: in doubt, and never run again."""
        ledger = self.ledger()
        charge = self.tool(ValueError("bad json"))
        with raises(EffectInDoubt) as caught:
            ledger.call("charge", charge.fn, ORDER, workflow="w")
        assert isinstance(caught.error.__cause__, ValueError)
        with raises(EffectInDoubt):
            ledger.call("charge", charge.fn, ORDER, workflow="w")
        effect = ledger.only()
        assert (effect.status, charge.times) == ("in_doubt", 1)
        assert effect.error is not None
        assert (effect.error["type"], effect.error["message"]) == (
            "builtins.ValueError",
            "bad json",
        )
        assert "raise outcome" in effect.error["traceback"]
        assert ledger.inbox() == [("in_doubt", "charge")]

    def test_what_is_no_exception_is_raised_as_it_is_and_leaves_a_doubt(self) -> None:
        """A cancellation, Ctrl-C or exit in the middle tells nothing about the effect."""
        ledger = self.ledger()
        with raises(Interrupted):
            ledger.call("charge", self.tool(Interrupted()).fn, ORDER, workflow="w")
        with raises(EffectInDoubt):
            ledger.call("charge", self.tool("done").fn, ORDER, workflow="w")
        assert ledger.only().status is Status.IN_DOUBT

    def test_a_policy_may_know_what_an_exception_means(self) -> None:
        """``classify`` overrides the rules, by type or by a function."""
        ledger = self.ledger()
        by_type = Policy(classify={ValueError: "failed"})
        by_function = Policy(classify=lambda error: "retryable")
        for tool, policy in (("a", by_type), ("b", by_function)):
            with raises(ValueError):
                ledger.call(
                    tool, self.tool(ValueError("no")).fn, ORDER, workflow="w", policy=policy
                )
        assert {e.tool: e.status for e in ledger.effects()} == {"a": "failed", "b": "failed"}
        assert ledger.call("b", self.tool("done").fn, ORDER, workflow="w") == "done"

    def test_a_tool_that_only_reads_runs_every_time(self) -> None:
        """``READ_ONLY`` calls are on record and never deduplicated; their failure is no doubt."""
        ledger = self.ledger()
        policy = Policy(guarantee=Guarantee.READ_ONLY)
        look = self.tool(1, 2, ValueError("gone"))
        answers = [ledger.call("look", look.fn, workflow="w", policy=policy) for _ in range(2)]
        with raises(ValueError):
            ledger.call("look", look.fn, workflow="w", policy=policy)
        assert answers == [1, 2]
        assert sorted(e.status for e in ledger.effects()) == ["failed", "succeeded", "succeeded"]
        assert ledger.pending() == []

    def test_effects_are_found_by_key_prefix_workflow_tool_and_status(self) -> None:
        """Newest first, at most as many as were asked for."""
        ledger = self.ledger()
        for n, workflow in enumerate(("v", "v", "w")):
            ledger.call(f"t{n}", self.tool(n).fn, workflow=workflow)
        assert [e.tool for e in ledger.effects()] == ["t2", "t1", "t0"]
        assert [e.tool for e in ledger.effects(limit=1)] == ["t2"]
        assert [e.tool for e in ledger.effects(workflow="v")] == ["t1", "t0"]
        assert [e.tool for e in ledger.effects(workflow="v", tool="t0")] == ["t0"]
        assert ledger.effects(status=Status.FAILED) == []
        assert len(ledger.effects(status="succeeded")) == 3
        effect = ledger.only(tool="t1")
        assert ledger.get(effect.key[:10]) == ledger.get(effect.key) == effect

    def test_a_claim_by_hand_is_fresh_for_one_holder(self) -> None:
        """It says what became of it; the next one is given that."""
        ledger = self.ledger()
        held = ledger.hold("charge", ORDER, workflow="w")
        assert held.claim.fresh
        held.succeed("done")
        held.leave()
        again = ledger.hold("charge", ORDER, workflow="w")
        again.leave()
        assert (again.claim.fresh, again.claim.result) == (False, "done")
        assert ledger.only().attempt == 1

    def test_a_claim_by_hand_that_fails_is_a_failure(self) -> None:
        """Said in so many words, or by an error that means that it did not happen."""
        ledger = self.ledger()
        said = ledger.hold("said", ORDER, workflow="w")
        said.fail("no such account")
        said.leave()
        raised = ledger.hold("raised", ORDER, workflow="w")
        raised.leave(NotApplied("no", retryable=True))
        with raises(EffectFailed) as caught:
            ledger.hold("said", ORDER, workflow="w")
        assert caught.error.error_message == "no such account"
        again = ledger.hold("raised", ORDER, workflow="w")
        assert again.claim.fresh
        again.succeed()

    def test_a_claim_by_hand_that_is_left_without_a_word_is_in_doubt(self) -> None:
        """Nobody knows what happened in the block."""
        ledger = self.ledger()
        ledger.hold("charge", ORDER, workflow="w").leave()
        ledger.hold("refund", ORDER, workflow="w").leave(ValueError("what?"))
        # what is left without a word is posted, not awaited
        assert ledger.call("other", self.tool("done").fn, workflow="w") == "done"
        assert sorted(ledger.inbox()) == [("in_doubt", "charge"), ("in_doubt", "refund")]
