"""A person decides: pending from the start, bound to what was shown, used once, first one wins."""

from __future__ import annotations

from typing import Any

from tallystick._model import Status
from tallystick._policy import Approval, Policy
from tallystick.errors import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalRequired,
    ArgumentsChanged,
    DecisionRefused,
    InvalidCall,
    NotApplied,
)
from tallystick.testing._contract._base import Contract, Faced, raises

ORDER = {"order": "A", "cents": 500}
HOUR = 3600.0


def asking(**options: Any) -> Policy:
    """A policy under which a person decides within an hour."""
    return Policy(approval=Approval(expires=HOUR, **options))


ASK = asking()


class Asking(Contract):
    """Calls that need a person."""

    def _ask(
        self, ledger: Faced, args: dict[str, Any] | None = None, policy: Policy = ASK
    ) -> ApprovalRequired:
        with raises(ApprovalRequired) as caught:
            ledger.call(
                "charge",
                self.tool().fn,
                ORDER if args is None else args,
                workflow="w",
                policy=policy,
            )
        return caught.error


class Approvals(Asking):
    """Approval by people, and everything that it binds."""

    def test_an_effect_that_needs_approval_is_inserted_as_pending(self) -> None:
        """There is no moment in which it exists unapproved and could run."""
        ledger = self.ledger()
        charge = self.tool("done")
        with raises(ApprovalRequired):
            ledger.call("charge", charge.fn, ORDER, workflow="w", policy=ASK)
        with raises(ApprovalRequired) as caught:
            ledger.call("charge", charge.fn, ORDER, workflow="w", policy=ASK)
        effect = ledger.only()
        assert (effect.status, effect.attempt, effect.holder) == ("pending", 0, None)
        assert effect.started_at is None
        assert charge.times == 0
        error = caught.error
        assert (error.key, error.tool, error.workflow) == (effect.key, "charge", "w")
        assert (error.arguments, error.digest) == (ORDER, effect.digest)
        assert ledger.kinds(effect.key) == ["asked"]
        item = ledger.pending()[0]
        assert (item.kind, item.effect, item.due_at) == ("approval", effect, effect.approval_until)

    def test_an_approved_effect_runs_once(self) -> None:
        """The approval is consumed by the statement that starts it."""
        ledger, desk = self.ledger(), self.ledger()
        key = self._ask(ledger).key
        approved = desk.approve(key, by="ann", reason="known customer")
        assert (approved.status, desk.pending()) == ("approved", [])
        charge = self.tool("done")
        for _ in range(2):
            assert ledger.call("charge", charge.fn, ORDER, workflow="w", policy=ASK) == "done"
        effect = ledger.only()
        assert (charge.times, effect.attempt, effect.epoch) == (1, 1, 2)
        assert ledger.kinds(key) == ["asked", "approved", "started"]
        event = ledger.history(key)[1]
        assert (event.actor, event.detail["reason"]) == ("ann", "known customer")

    def test_a_decision_is_bound_to_the_digest_of_what_was_shown(self) -> None:
        """An approver who saw something else approves nothing."""
        ledger = self.ledger()
        error = self._ask(ledger)
        with raises(DecisionRefused):
            ledger.approve(error.key, by="ann", digest="00" * 32)
        assert ledger.only().status is Status.PENDING
        assert ledger.approve(error.key, by="ann", digest=error.digest).status is Status.APPROVED

    def test_an_approval_goes_for_no_other_arguments(self) -> None:
        """Under one identity other arguments are an error, not a way around the approval."""
        ledger = self.ledger()
        policy = ASK.but(identity=("order",))
        ledger.approve(self._ask(ledger, policy=policy).key, by="ann")
        charge = self.tool("done")
        with raises(ArgumentsChanged):
            ledger.call(
                "charge", charge.fn, {"order": "A", "cents": 900}, workflow="w", policy=policy
            )
        assert (charge.times, ledger.only().status) == (0, "approved")

    def test_nobody_can_decide_when_the_time_is_over(self) -> None:
        """The request expires; the effect stays expired, and runs never."""
        ledger = self.ledger()
        key = self._ask(ledger).key
        ledger.turn(HOUR + 1)
        for verb in (ledger.approve, ledger.deny):
            with raises(DecisionRefused):
                verb(key, by="ann")
        charge = self.tool("done")
        with raises(ApprovalExpired):
            ledger.call("charge", charge.fn, ORDER, workflow="w", policy=ASK)
        assert (charge.times, ledger.only().status, ledger.pending()) == (0, "expired", [])

    def test_an_approval_that_is_not_used_in_time_expires(self) -> None:
        """Expiry bounds the use of a decision too."""
        ledger = self.ledger()
        ledger.approve(self._ask(ledger).key, by="ann")
        ledger.turn(HOUR + 1)
        charge = self.tool("done")
        with raises(ApprovalExpired):
            ledger.call("charge", charge.fn, ORDER, workflow="w", policy=ASK)
        assert (charge.times, ledger.only().status) == (0, "expired")

    def test_an_approval_is_no_longer_used_when_a_retry_comes_after_its_time(self) -> None:
        """What failed without effect waits like an approved one, and its approval ages."""
        ledger = self.ledger()
        ledger.approve(self._ask(ledger).key, by="ann")
        tries = self.tool(NotApplied("busy", retryable=True))
        with raises(NotApplied):
            ledger.call("charge", tries.fn, ORDER, workflow="w", policy=ASK)
        ledger.turn(HOUR + 1)
        charge = self.tool("done")
        with raises(ApprovalExpired):
            ledger.call("charge", charge.fn, ORDER, workflow="w", policy=ASK)
        assert (tries.times, charge.times, ledger.only().status) == (1, 0, "expired")

    def test_an_expired_effect_is_asked_for_again_where_the_policy_says_so(self) -> None:
        """That is a new round: what was approved before counts for nothing."""
        ledger = self.ledger()
        policy = asking(after_expiry="ask")
        ledger.approve(self._ask(ledger, policy=policy).key, by="ann")
        ledger.turn(HOUR + 1)
        key = self._ask(ledger, policy=policy).key
        assert ledger.inbox() == [("approval", "charge")]
        ledger.approve(key, by="ann")
        charge = self.tool("done")
        assert ledger.call("charge", charge.fn, ORDER, workflow="w", policy=policy) == "done"
        assert ledger.kinds(key) == [
            "asked", "approved", "expired", "asked", "approved", "started",
        ]  # fmt: skip

    def test_the_first_decision_wins(self) -> None:
        """The second one is refused, whichever it is."""
        first, second = self.ledger(), self.ledger()
        key = self._ask(first, {"n": 1}).key
        first.approve(key, by="ann")
        with raises(DecisionRefused):
            second.deny(key, by="bob")
        other = self._ask(first, {"n": 2}).key
        first.deny(other, by="ann")
        with raises(DecisionRefused):
            second.approve(other, by="bob")
        assert {e.key: e.status for e in first.effects()} == {key: "approved", other: "denied"}

    def test_saying_the_same_thing_twice_is_saying_it_once(self) -> None:
        """An answer that was lost can be asked for again."""
        ledger = self.ledger()
        key, other = self._ask(ledger, {"n": 1}).key, self._ask(ledger, {"n": 2}).key
        assert {ledger.approve(key, by="ann").status for _ in range(2)} == {Status.APPROVED}
        assert {ledger.deny(other, by="ann").status for _ in range(2)} == {Status.DENIED}
        assert ledger.kinds(key) == ["asked", "approved"]
        assert ledger.kinds(other) == ["asked", "denied"]

    def test_edited_arguments_run_and_the_originals_are_kept_beside_them(self) -> None:
        """What the approver put in place is what runs."""
        ledger = self.ledger()
        key = self._ask(ledger).key
        ledger.approve(key, by="ann", args={"cents": 300})
        charge = self.tool("done")
        ledger.call("charge", charge.fn, ORDER, workflow="w", policy=ASK)
        assert charge.seen == [{"order": "A", "cents": 300}]
        effect = ledger.only()
        assert (effect.args, effect.edited_args) == (ORDER, {"order": "A", "cents": 300})
        assert ledger.call("charge", charge.fn, ORDER, workflow="w", policy=ASK) == "done"
        assert charge.times == 1

    def test_an_edit_cannot_invent_arguments(self) -> None:
        """A tool would be called with what it does not take."""
        ledger = self.ledger()
        key = self._ask(ledger).key
        with raises(InvalidCall):
            ledger.approve(key, by="ann", args={"amount": 1})
        assert ledger.only().status is Status.PENDING

    def test_a_quorum_is_that_many_distinct_people(self) -> None:
        """One person twice is one person."""
        ledger = self.ledger()
        policy = asking(quorum=3)
        key = self._ask(ledger, policy=policy).key
        for by in ("ann", "bob", "ann", "bob"):
            assert ledger.approve(key, by=by).status is Status.PENDING
        assert ledger.inbox() == [("approval", "charge")]
        assert ledger.approve(key, by="cat").status is Status.APPROVED
        assert ledger.kinds(key) == ["asked", "voted", "voted", "approved"]
        assert ledger.only().quorum == 3

    def test_a_quorum_approves_one_and_the_same_thing(self) -> None:
        """Who saw other arguments has not approved these."""
        ledger = self.ledger()
        policy = asking(quorum=2)
        key = self._ask(ledger, policy=policy).key
        ledger.approve(key, by="ann", args={"cents": 300})
        with raises(DecisionRefused):
            ledger.approve(key, by="bob", args={"cents": 400})
        assert ledger.approve(key, by="bob", args={"cents": 300}).status is Status.APPROVED
        charge = self.tool("done")
        ledger.call("charge", charge.fn, ORDER, workflow="w", policy=policy)
        assert charge.seen == [{"order": "A", "cents": 300}]

    def test_one_denial_is_enough(self) -> None:
        """Whoever approved before."""
        ledger = self.ledger()
        policy = asking(quorum=2)
        key = self._ask(ledger, policy=policy).key
        ledger.approve(key, by="ann")
        ledger.deny(key, by="bob", reason="too much")
        charge = self.tool("done")
        with raises(ApprovalDenied) as caught:
            ledger.call("charge", charge.fn, ORDER, workflow="w", policy=policy)
        assert (caught.error.by, caught.error.reason, charge.times) == ("bob", "too much", 0)
        assert ledger.pending() == []

    def test_an_approval_stands_when_the_attempt_did_not_happen(self) -> None:
        """Then nothing of what was approved was done yet."""
        ledger = self.ledger()
        ledger.approve(self._ask(ledger).key, by="ann")
        charge = self.tool(NotApplied("busy", retryable=True), "done")
        with raises(NotApplied):
            ledger.call("charge", charge.fn, ORDER, workflow="w", policy=ASK)
        assert ledger.call("charge", charge.fn, ORDER, workflow="w", policy=ASK) == "done"
