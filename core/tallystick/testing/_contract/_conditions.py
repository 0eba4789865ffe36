"""When a person decides, for how long a caller waits, and on which facts the decision rests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tallystick._model import Status
from tallystick._policy import Policy
from tallystick.errors import ApprovalDenied, ApprovalRequired, AsyncTool, NotApplied
from tallystick.testing._contract._approvals import ORDER, Asking, asking
from tallystick.testing._contract._base import PATIENCE, raises


def priced(*prices: str) -> Callable[[Mapping[str, Any]], dict[str, str]]:
    """Facts about a price that changes every time somebody looks."""
    left = iter(prices)
    return lambda args: {"price": next(left)}


class Conditions(Asking):
    """Predicates, preconditions, and waiting for a decision."""

    def test_facts_that_changed_void_the_approval_and_ask_again(self) -> None:
        """The approver saw a price; another price is another decision, and the reason is shown."""
        ledger = self.ledger()
        policy = asking(preconditions=priced("10.00", "12.00", "12.00", "12.00"))
        key = self._ask(ledger, policy=policy).key
        ledger.approve(key, by="ann")
        self._ask(ledger, policy=policy)
        item = ledger.pending()[0]
        assert item.effect.status is Status.PENDING
        assert "10.00" in item.note
        assert "12.00" in item.note
        ledger.approve(key, by="ann")
        charge = self.tool("done")
        assert ledger.call("charge", charge.fn, ORDER, workflow="w", policy=policy) == "done"

    def test_facts_are_compared_before_every_attempt(self) -> None:
        """An approved effect that is tried again is tried under the facts that were approved."""
        ledger = self.ledger()
        policy = asking(preconditions=priced("10.00", "10.00", "12.00"))
        ledger.approve(self._ask(ledger, policy=policy).key, by="ann")
        charge = self.tool(NotApplied("busy", retryable=True), "done")
        with raises(NotApplied):
            ledger.call("charge", charge.fn, ORDER, workflow="w", policy=policy)
        with raises(ApprovalRequired):
            ledger.call("charge", charge.fn, ORDER, workflow="w", policy=policy)
        assert charge.times == 1

    def test_a_predicate_says_which_calls_need_a_person(self) -> None:
        """It sees the arguments."""
        ledger = self.ledger()

        def large(args: Mapping[str, Any]) -> bool:
            return bool(args["cents"] > 100)

        policy = Policy(approval=large)
        small = self.tool("done")
        assert ledger.call("charge", small.fn, {"cents": 1}, workflow="w", policy=policy) == "done"
        with raises(ApprovalRequired):
            ledger.call("charge", small.fn, {"cents": 101}, workflow="w", policy=policy)
        assert small.times == 1

    def test_a_predicate_that_raises_means_that_a_person_is_needed(self) -> None:
        """Nobody may act because a policy service was down."""
        ledger = self.ledger()

        def broken(args: Any) -> bool:
            raise OSError("down")

        self._ask(ledger, policy=Policy(approval=broken))

    def test_an_async_predicate_is_awaited_or_refused(self) -> None:
        """Where nothing can be awaited, the error names the face that can."""
        ledger = self.ledger()

        async def small(args: Any) -> bool:
            return False

        policy = Policy(approval=small)
        charge = self.tool("done")
        if self.awaiting:
            assert ledger.call("charge", charge.fn, ORDER, workflow="w", policy=policy) == "done"
        else:
            with raises(AsyncTool):
                ledger.call("charge", charge.fn, ORDER, workflow="w", policy=policy)
            assert (charge.times, ledger.effects()) == (0, [])

    def test_a_caller_may_wait_for_the_decision(self) -> None:
        """And then performs it, or gets the denial."""
        ledger, desk = self.ledger(), self.ledger()
        policy = asking(wait=PATIENCE)
        charge = self.tool("done")
        for n, verb in enumerate(("approve", "deny")):
            options = {"workflow": "w", "policy": policy}
            call = self.meanwhile(ledger.call, "charge", charge.fn, {"n": n}, **options)
            self.eventually(lambda: len(desk.pending()) == 1)
            getattr(desk, verb)(desk.pending()[0].effect.key, by="ann")
            if verb == "approve":
                assert call.result(PATIENCE) == "done"
            else:
                assert isinstance(call.exception(PATIENCE), ApprovalDenied)
        assert charge.times == 1

    def test_a_caller_s_patience_ends_and_the_request_stays(self) -> None:
        """The effect is pending as if nobody had waited."""
        ledger = self.ledger()
        self._ask(ledger, policy=asking(wait=0.05))
        assert ledger.inbox() == [("approval", "charge")]
