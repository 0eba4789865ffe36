"""Budgets that ask: a person decides whether there is more, once for each line and window."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tallystick._budgets._topups import CONTINUE, RAISE
from tallystick._hooks import Details
from tallystick._model import Status
from tallystick.errors import BudgetExceeded, DecisionRefused, InvalidCall
from tallystick.testing._contract._base import Faced, raises
from tallystick.testing._contract._budgets import DAY, Purse

WEEK = 7 * DAY


class Asking(Purse):
    """``on_exceed="ask"``: a request in the inbox, which raises the limit when it is approved."""

    def asked(self, purse: Any, **amounts: Any) -> str:
        """Be refused; the key of the request."""
        with raises(BudgetExceeded) as no:
            purse.reserve(**(amounts or {"usd": "0.25"}))
        assert no.error.request is not None
        return no.error.request

    def spent(self, ledger: Faced, usd: str = "0.9", **terms: Any) -> Any:
        """A budget of a dollar that asks, with *usd* spent."""
        purse = self.purse(ledger, usd=1, on_exceed="ask", **terms)
        self.held(purse, usd=usd).settle()
        return purse

    def test_a_request_says_what_is_asked_and_why(self) -> None:
        """In the inbox, with all that an approver needs; nothing is reserved."""
        ledger = self.ledger()
        key = self.asked(self.spent(ledger))
        assert ledger.inbox() == [("budget", RAISE)]
        assert ledger.get(key).args == {
            "budget": "purse",
            "metric": "usd",
            "per": {},
            "raise": "1.00",
            "lasting": False,
            "limit": "1.00",
            "charged": "0.90",
            "needed": "0.25",
            "for": "a reservation in purse",
        }
        assert self.figures(ledger) == (0, Decimal("0.9"), 0)

    def test_it_asks_once(self) -> None:
        """However often it is refused, by whichever ledger, for whatever amount."""
        ledger, other = self.ledger(), self.ledger()
        purse = self.spent(ledger)
        keys = {self.asked(purse), self.asked(purse, usd="0.5"), self.asked(self.purse(other))}
        assert len(keys) == 1
        assert ledger.inbox() == [("budget", RAISE)]

    def test_an_approver_grants_to_the_line_that_was_asked_for(self) -> None:
        """And no tool can pass for the ledger's own question."""
        ledger, tool = self.ledger(), self.tool()
        key = self.asked(self.spent(ledger))
        self.purse(ledger, "other", usd=1)
        for edit in ({"budget": "other"}, {"per": {"user": "bob"}}, {"metric": "tokens"}):
            with raises(InvalidCall):
                ledger.approve(key, by="ann", args=edit)
        for name in (RAISE, CONTINUE):
            with raises(InvalidCall):
                ledger.call(name, tool.fn, {}, workflow="w")
        assert (tool.times, ledger.get(key).status) == (0, Status.PENDING)

    def test_the_listeners_hear_of_a_request_once(self) -> None:
        """As of any other request."""
        heard: list[Details] = []
        ledger = self.ledger(hooks=[heard.append])
        purse = self.spent(ledger)
        for _ in range(2):
            self.asked(purse)
        (asked,) = [x for x in heard if x.kind == "approval_required"]
        assert (asked.tool, asked.facts["inbox"]) == (RAISE, "budget")

    def test_an_approval_raises_the_limit(self) -> None:
        """Once, whatever is said afterwards; the effect that was refused goes on."""
        ledger, tool = self.ledger(), self.tool("paid")
        self.purse(ledger, amount=300, of="args.eur", tool="refund", on_exceed="ask", raise_by=200)
        self.pay(ledger, tool)
        more = {"customer": "c-2", "eur": 250}
        with raises(BudgetExceeded) as no:
            self.pay(ledger, tool, more)
        approved = ledger.approve(no.error.request, by="ann")
        assert approved.status is Status.SUCCEEDED
        assert ledger.kinds(no.error.request) == ["asked", "approved", "raised"]
        with raises(DecisionRefused):
            ledger.approve(no.error.request, by="bob")
        assert self.line(ledger).limit == 550
        assert self.pay(ledger, tool, more) == "paid"
        assert ledger.inbox() == []

    def test_the_approver_may_grant_something_else(self) -> None:
        """Another amount, for good; what was asked for stays recorded."""
        ledger = self.ledger()
        key = self.asked(self.spent(ledger, window="day"))
        ledger.approve(key, by="ann", args={"raise": "0.50", "lasting": True})
        assert self.line(ledger).limit == Decimal("1.5")
        ledger.turn(DAY)
        assert self.line(ledger).limit == Decimal("1.5")
        assert ledger.get(key).args["raise"] == "1.00"
        assert ledger.history(key)[-1].detail == {"by": "0.50", "limit": "1.50", "lasting": True}

    def test_a_raise_is_for_its_window(self) -> None:
        """Unless it is to last."""
        ledger = self.ledger()
        ledger.approve(self.asked(self.spent(ledger, window="day")), by="ann")
        assert self.line(ledger).limit == 2
        ledger.turn(DAY)
        assert self.line(ledger).limit == 1

    def test_a_grant_that_grants_nothing_is_refused(self) -> None:
        """Before anything is written: the request goes on waiting."""
        ledger = self.ledger()
        key = self.asked(self.spent(ledger))
        for args in (
            {"raise": "much"},
            {"raise": "-1"},
            {"raise": 0},
            {"lasting": "yes"},
            {"metric": "euros"},
            {"more": 1},
        ):
            with raises(InvalidCall):
                ledger.approve(key, by="ann", args=args)
        assert ledger.get(key).status is Status.PENDING
        assert self.line(ledger).limit == 1

    def test_another_request_when_the_raise_is_used_up(self) -> None:
        """A new question, with the figures as they are then."""
        ledger = self.ledger()
        purse = self.spent(ledger)
        first = self.asked(purse)
        ledger.approve(first, by="ann")
        self.held(purse, usd=1).settle()
        second = self.asked(purse)
        assert second != first
        args = ledger.get(second).args
        assert (args["limit"], args["charged"]) == ("2.00", "1.90")
        ledger.approve(second, by="ann")
        assert self.line(ledger).limit == 3

    def test_a_request_proposes_enough(self) -> None:
        """At least what is needed, though a smaller raise was declared."""
        ledger = self.ledger()
        purse = self.spent(ledger, raise_by="0.10")
        assert ledger.get(self.asked(purse, usd="0.75")).args["raise"] == "0.75"

    def test_a_no_stands_for_its_window(self) -> None:
        """Nobody is asked again; in the next window it is another question."""
        ledger = self.ledger()
        purse = self.spent(ledger, window="day")
        key = self.asked(purse)
        ledger.deny(key, by="ann", reason="enough")
        with raises(BudgetExceeded) as no:
            purse.reserve(usd="0.25")
        assert no.error.request == key
        assert "denied by ann" in str(no.error)
        assert ledger.inbox() == []
        ledger.turn(DAY)
        self.held(purse, usd=1).settle()
        assert self.asked(purse) != key

    def test_a_withdrawn_request_names_another_way(self) -> None:
        """Nobody is sent to decide what is over."""
        ledger = self.ledger()
        purse = self.spent(ledger)
        ledger.cancel(self.asked(purse), by="ann")
        with raises(BudgetExceeded) as no:
            purse.reserve(usd="0.25")
        assert "cancelled" in str(no.error)
        assert "tallystick budgets raise purse" in str(no.error)

    def test_a_request_that_nobody_decided_is_asked_again(self) -> None:
        """After a week, when somebody needs it again; the listeners hear of it again."""
        heard: list[Details] = []
        ledger = self.ledger(hooks=[heard.append])
        purse = self.spent(ledger)
        key = self.asked(purse)
        ledger.turn(WEEK + 1)
        with raises(DecisionRefused):
            ledger.approve(key, by="ann")
        assert self.line(ledger).limit == 1
        assert self.asked(purse) == key
        assert [x.kind for x in heard].count("approval_required") == 2
        assert ledger.inbox() == [("budget", RAISE)]
        ledger.approve(key, by="ann")
        assert self.line(ledger).limit == 2

    def test_the_limit_that_is_asked_about_is_the_declared_one_too(self) -> None:
        """Raised, declared lower, and again at the old limit: that was not decided yet."""
        ledger = self.ledger()
        purse = self.spent(ledger)
        first = self.asked(purse)
        ledger.approve(first, by="ann", args={"lasting": True})
        self.purse(ledger, usd=0, on_exceed="ask", raise_by=1)
        assert self.line(ledger).limit == 1
        assert self.asked(purse) != first

    def test_every_line_asks_for_itself(self) -> None:
        """A customer's limit is raised, and no other's."""
        ledger, tool = self.ledger(), self.tool("paid")
        self.purse(
            ledger, requests=1, per="args.customer", tool="refund", on_exceed="ask", window="month"
        )
        keys: list[str] = []
        for customer in ("c-1", "c-2"):
            self.pay(ledger, tool, {"customer": customer, "eur": 1})
            with raises(BudgetExceeded) as no:
                self.pay(ledger, tool, {"customer": customer, "eur": 2})
            keys.append(str(no.error.request))
        assert len(set(keys)) == 2
        ledger.approve(keys[0], by="ann")
        assert self.line(ledger, **{"args.customer": "c-1"}).limit == 2
        assert self.line(ledger, **{"args.customer": "c-2"}).limit == 1
        assert self.pay(ledger, tool, {"customer": "c-1", "eur": 2}) == "paid"

    def test_nobody_is_asked_where_another_budget_says_no(self) -> None:
        """A raise would change nothing."""
        ledger, tool = self.ledger(), self.tool("paid")
        self.purse(ledger, "asks", requests=0, tool="refund", on_exceed="ask")
        self.purse(ledger, "denies", requests=0, tool="refund")
        with raises(BudgetExceeded) as no:
            self.pay(ledger, tool)
        assert (no.error.budget, no.error.request) == ("denies", None)
        assert ledger.inbox() == []

    def test_tenants_ask_for_themselves(self) -> None:
        """One tenant's approver cannot raise another one's budget."""
        ledger, other = self.ledger(), self.ledger(tenant="acme")
        key = self.asked(self.spent(ledger))
        self.spent(other)
        with raises(InvalidCall):
            other.approve(key, by="ann")
        assert self.line(other).limit == self.line(ledger).limit == 1
