"""Budgets: what is charged never passes the limit, and nothing charged is ever lost."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from tallystick._policy import Policy
from tallystick.budgets import Budget, BudgetLine, Reservation
from tallystick.errors import (
    BudgetError,
    BudgetExceeded,
    EffectInDoubt,
    InvalidCall,
    NotApplied,
    UnknownBudget,
)
from tallystick.testing._contract._base import Contract, Faced, Tool, raises
from tallystick.testing._crash import Crashed, crash_at

CALL = {"customer": "c-1", "eur": 200}
DAY = 86_400.0


class Purse(Contract):
    """How the tests on budgets look into them."""

    def purse(self, ledger: Faced, name: str = "purse", **terms: Any) -> Any:
        """Declare a budget; through the face under test."""
        budget: Budget = ledger.budget(name, **terms)
        return Faced(budget, awaiting=self.awaiting)

    def held(self, purse: Any, **amounts: Any) -> Any:
        """Reserve by hand."""
        reservation: Reservation = purse.reserve(**amounts)
        return Faced(reservation, awaiting=self.awaiting)

    def line(self, ledger: Faced, name: str = "purse", **per: str) -> BudgetLine:
        """A budget's only line, or the one with these values."""
        found: list[BudgetLine] = [
            x for x in ledger.budgets() if x.budget == name and dict(x.per) == per
        ]
        assert len(found) == 1, found
        return found[0]

    def figures(self, ledger: Faced, name: str = "purse", **per: str) -> tuple[Any, Any, Any]:
        """What is reserved, spent and unreconciled."""
        line = self.line(ledger, name, **per)
        return line.reserved, line.spent, line.unreconciled

    def pay(self, ledger: Faced, tool: Tool, args: Any = None, **options: Any) -> Any:
        """Call a tool that budgets pay for."""
        given = {"workflow": "w", **options}
        return ledger.call("refund", tool.fn, CALL if args is None else args, **given)


class Budgets(Purse):
    """By hand: reserve, settle, release, and what becomes of who says nothing."""

    def test_what_is_reserved_is_no_longer_there_for_others(self) -> None:
        """Up to the limit and not a billionth of a dollar further."""
        ledger = self.ledger()
        purse = self.purse(ledger, usd="1.00")
        self.held(purse, usd="0.6")
        with raises(BudgetExceeded) as no:
            purse.reserve(usd="0.400000001")
        assert (no.error.remaining, no.error.needed) == (Decimal("0.4"), Decimal("0.400000001"))
        self.held(purse, usd="0.4")
        assert self.line(ledger).remaining == 0
        with raises(BudgetExceeded):
            purse.reserve(usd="0.000000001")
        assert self.figures(ledger) == (1, 0, 0)

    def test_settling_frees_the_rest_and_counts_once(self) -> None:
        """A second settle, and a release after it, change nothing."""
        ledger = self.ledger()
        purse = self.purse(ledger, usd=1)
        held = self.held(purse, usd="0.5")
        for usd in ("0.3", "0.4"):
            held.settle(usd=usd)
        held.release()
        assert self.figures(ledger) == (0, Decimal("0.3"), 0)

    def test_a_release_counts_once_and_gives_way_to_the_truth(self) -> None:
        """What turns out to have been spent after all is charged."""
        ledger = self.ledger()
        purse = self.purse(ledger, tokens=100)
        held = self.held(purse, tokens=60)
        held.release()
        held.release()
        assert self.figures(ledger) == (0, 0, 0)
        held.settle(tokens=50)
        assert self.figures(ledger) == (0, 50, 0)

    def test_what_costs_more_than_was_reserved_is_charged_and_told(self) -> None:
        """Nothing is hidden: the figures say by how much the limit was passed."""
        ledger = self.ledger()
        purse = self.purse(ledger, usd=1)
        self.held(purse, usd="0.5").settle(usd="1.5")
        line = self.line(ledger)
        assert (line.spent, line.remaining, line.limit) == (Decimal("1.5"), 0, 1)
        with raises(BudgetExceeded):
            purse.reserve(usd="0.01")

    def test_the_same_reservation_is_made_once(self) -> None:
        """A key names it, whoever asks again; once it is over it is not made again."""
        ledger = self.ledger()
        purse = self.purse(ledger, requests=2)
        held = self.held(purse, key="job-1")
        assert purse.reserve(key="job-1").key == held.ledger.key
        assert self.figures(ledger) == (1, 0, 0)
        held.settle()
        with raises(BudgetError):
            purse.reserve(key="job-1")
        assert self.figures(ledger) == (0, 1, 0)

    def test_leaving_without_a_word_stays_charged(self) -> None:
        """Unreconciled, visibly, until somebody says what it was."""
        ledger = self.ledger()
        purse = self.purse(ledger, usd=1)
        with raises(RuntimeError), purse.ledger.reserve(usd="0.5"):
            raise RuntimeError
        assert self.figures(ledger) == (0, 0, Decimal("0.5"))
        (lost,) = ledger.reservations(state="unreconciled")
        assert lost.note == "left by RuntimeError"
        ledger.reconcile(lost.key[:12], by="ann", usd="0.2")
        assert self.figures(ledger) == (0, Decimal("0.2"), 0)
        with raises(BudgetError):
            ledger.reconcile(lost.key, by="ann", usd="0.1")

    def test_the_dead_stay_charged(self) -> None:
        """Reservations of a killed process become unreconciled, none is freed, none is lost."""
        ledger = self.ledger()
        self.held(self.purse(ledger, usd=1), usd="0.5")
        other = self.heir(ledger)
        other.recover()
        assert self.figures(other) == (0, 0, Decimal("0.5"))

    def test_silence_is_believed_for_a_while(self) -> None:
        """A reservation beyond its time is unreconciled; a late word still counts."""
        ledger = self.ledger()
        held = self.held(self.purse(ledger, usd=1), usd="0.5", ttl=30)
        ledger.recover()
        assert self.figures(ledger) == (Decimal("0.5"), 0, 0)
        ledger.turn(31)
        ledger.recover()
        assert self.figures(ledger) == (0, 0, Decimal("0.5"))
        held.settle(usd="0.1")
        assert self.figures(ledger) == (0, Decimal("0.1"), 0)

    def test_several_limits_hold_together(self) -> None:
        """One line without room is enough, and then none is charged."""
        ledger = self.ledger()
        purse = self.purse(ledger, usd=1, tokens=10)
        with raises(BudgetExceeded) as no:
            purse.reserve(usd="0.1", tokens=11)
        assert no.error.metric == "tokens"
        assert [x.remaining for x in ledger.budgets()] == [10, 1]
        self.held(purse, usd="0.1", tokens=10).settle(usd="0.1", tokens=3)
        assert [x.spent for x in ledger.budgets()] == [3, Decimal("0.1")]

    def test_other_terms_keep_what_is_charged(self) -> None:
        """Declared anew, by any process; the next reservation goes by the new terms."""
        ledger, other = self.ledger(), self.ledger()
        purse = self.purse(ledger, usd=1)
        theirs = self.purse(other)
        self.held(purse, usd="0.9").settle(usd="0.9")
        with raises(BudgetExceeded):
            theirs.reserve(usd="0.2")
        self.purse(other, usd=2)
        self.held(purse, usd="0.2")
        self.purse(ledger, usd="0.5")
        with raises(BudgetExceeded):
            theirs.reserve(usd="0.01")
        assert self.figures(ledger) == (Decimal("0.2"), Decimal("0.9"), 0)

    def test_a_budget_that_nobody_declared_pays_nothing(self) -> None:
        """Neither looked up, nor named by a policy."""
        ledger, tool = self.ledger(), self.tool()
        with raises(UnknownBudget):
            ledger.budget("purse")
        with raises(UnknownBudget):
            self.pay(ledger, tool, policy=Policy(budgets=("purse",)))
        assert tool.times == 0
        assert ledger.effects() == []

    def test_tenants_have_budgets_of_their_own(self) -> None:
        """The same name is another budget."""
        ledger, other = self.ledger(), self.ledger(tenant="acme")
        self.held(self.purse(ledger, usd=1), usd=1)
        self.held(self.purse(other, usd=1), usd=1)
        assert [x.remaining for x in (*ledger.budgets(), *other.budgets())] == [0, 0]

    def test_nonsense_is_refused(self) -> None:
        """Before anything is written."""
        ledger = self.ledger()
        for terms in (
            {"on_error": "allow"},
            {"usd": -1},
            {"usd": "much"},
            {"tokens": 1.5},
            {"usd": 1, "window": "fortnight"},
            {"usd": 1, "window": timedelta(0)},
            {"usd": 1, "zone": "Europe/Nowhere"},
            {"usd": 1, "on_exceed": "panic"},
            {"usd": 1, "soft": (1.5,)},
            {"usd": 1, "of": "args.eur"},
            {"usd": 1, "raise_by": {"tokens": 5}},
        ):
            with raises(InvalidCall):
                ledger.budget("purse", **terms)
        assert ledger.budgets() == []


class Windows(Purse):
    """Windows begin by themselves; there is nothing to reset."""

    def test_a_window_ends_by_the_databases_clock(self) -> None:
        """What was spent in it stays there; a call settles in the window that it began in."""
        ledger = self.ledger()
        purse = self.purse(ledger, requests=1, window="day")
        held = self.held(purse)
        with raises(BudgetExceeded) as no:
            purse.reserve()
        assert no.error.resets_at is not None
        ledger.turn(DAY)
        self.held(purse).settle()
        held.settle()
        assert self.figures(ledger) == (0, 1, 0)
        with raises(BudgetExceeded):
            purse.reserve()

    def test_a_window_may_roll(self) -> None:
        """Nothing is forgotten before its time is over, and everything some pieces later."""
        ledger = self.ledger()
        purse = self.purse(ledger, requests=3, window=timedelta(minutes=10))
        for _ in range(3):
            self.held(purse).settle()
            ledger.turn(195)
        with raises(BudgetExceeded):  # 585 seconds after the first one, however slow this runs
            purse.reserve()
        ledger.turn(30)
        self.held(purse).settle()
        with raises(BudgetExceeded):
            purse.reserve()
        ledger.turn(2000)
        assert self.line(ledger).remaining == 3

    def test_each_customer_has_a_line(self) -> None:
        """Split by a fact, which a call has to have."""
        ledger, tool = self.ledger(), self.tool("paid")
        self.purse(
            ledger, amount=500, of="args.eur", per="args.customer", tool="refund", window="month"
        )
        for customer in ("c-1", "c-2"):
            for eur in (200, 300):
                self.pay(ledger, tool, {"customer": customer, "eur": eur})
        with raises(BudgetExceeded) as no:
            self.pay(ledger, tool, {"customer": "c-1", "eur": "0.01"})
        assert (no.error.per, no.error.limit) == ({"args.customer": "c-1"}, 500)
        with raises(BudgetError):
            self.pay(ledger, tool, {"eur": 1})
        assert tool.times == 4
        assert self.figures(ledger, **{"args.customer": "c-2"}) == (0, 500, 0)


class Paying(Purse):
    """Effects: the reservation is made in the claim's transaction and follows the effect."""

    def test_an_effect_is_paid_once(self) -> None:
        """However often it is asked for; a replay costs nothing."""
        ledger, tool = self.ledger(), self.tool("paid")
        self.purse(ledger, requests=1, tool="refund")
        assert [self.pay(ledger, tool) for _ in range(3)] == ["paid"] * 3
        assert self.figures(ledger) == (0, 1, 0)
        with raises(BudgetExceeded):
            self.pay(ledger, tool, {"customer": "c-2", "eur": 1})
        assert (tool.times, len(ledger.effects())) == (1, 1)

    def test_while_it_runs_it_is_reserved(self) -> None:
        """And the tool's own call of the ledger sees that."""
        ledger = self.ledger()
        seen: list[Any] = []

        def look(customer: str, eur: int) -> None:
            seen.append([x.reserved for x in ledger.ledger.budgets()])

        tool = self.tool(look)
        self.purse(ledger, usd=1)
        self.pay(ledger, tool, policy=Policy(budgets=("purse",), cost="0.25"))
        assert seen == [[Decimal("0.25")]]
        assert self.figures(ledger) == (0, Decimal("0.25"), 0)

    def test_what_did_not_happen_costs_nothing(self) -> None:
        """And may be tried again, if there is still room."""
        ledger = self.ledger()
        tool = self.tool(NotApplied("not yet", retryable=True), "paid")
        self.purse(ledger, requests=1, tool="refund")
        with raises(NotApplied):
            self.pay(ledger, tool)
        assert self.figures(ledger) == (0, 0, 0)
        assert self.pay(ledger, tool) == "paid"
        assert self.figures(ledger) == (0, 1, 0)

    def test_an_exception_is_no_refund(self) -> None:
        """The outcome is unknown and stays charged, until somebody says what became of it."""
        ledger = self.ledger()
        self.purse(ledger, amount=500, of="args.eur", tool="refund")
        with raises(EffectInDoubt):
            self.pay(ledger, self.tool(RuntimeError("?")))
        assert self.figures(ledger) == (0, 0, 200)
        ledger.resolve(ledger.only().key, by="ann", failed="the bank knows nothing of it")
        assert self.figures(ledger) == (0, 0, 0)

    def test_a_doubt_that_is_resolved_is_spent(self) -> None:
        """By a person who says that it happened."""
        ledger = self.ledger()
        self.purse(ledger, amount=500, of="args.eur", tool="refund")
        with raises(EffectInDoubt):
            self.pay(ledger, self.tool(RuntimeError("?")))
        ledger.resolve(ledger.only().key, by="ann", succeeded="it is there")
        assert self.figures(ledger) == (0, 200, 0)

    def test_a_cut_off_effect_stays_charged(self) -> None:
        """Its process was killed; the next one does not pay twice when it goes on."""
        ledger, tool = self.ledger(), self.tool("paid")
        self.purse(ledger, requests=1, tool="charge")
        policy = Policy(guarantee="idempotent")  # type: ignore[arg-type]  # a string will do
        with crash_at("SettleHeld.before") as death, raises(Crashed):
            ledger.call("charge", tool.fn, {"order": "A"}, workflow="w", policy=policy)
        assert death.fired
        ledger = self.heir(ledger)
        ledger.recover()
        assert self.figures(ledger) == (0, 0, 1)
        again = ledger.call("charge", tool.fn, {"order": "A"}, workflow="w", policy=policy)
        assert (again, tool.times) == ("paid", 2)
        assert self.figures(ledger) == (0, 1, 0)

    def test_waiting_for_a_person_holds_nothing(self) -> None:
        """The reservation is made when the effect starts, and may not fit any more then."""
        ledger, tool = self.ledger(), self.tool("paid")
        self.purse(ledger, requests=1, tool="refund")
        policy = Policy(approval=True)
        ask = {"customer": "c-9", "eur": 9}
        pending = ledger.ask("refund", ask, workflow="w", policy=policy)
        self.pay(ledger, tool)
        ledger.approve(pending.key, by="ann")
        with raises(BudgetExceeded):
            self.pay(ledger, tool, ask, policy=policy)
        assert ledger.get(pending.key).status == "approved"
        Faced(ledger.budget("purse"), awaiting=self.awaiting).raise_limit(by="ann", requests=1)
        assert self.pay(ledger, tool, ask, policy=policy) == "paid"
        assert self.figures(ledger) == (0, 2, 0)

    def test_nested_budgets_are_all_or_none(self) -> None:
        """Named by the policy, by the workflow's scope, or concerned."""
        ledger, tool = self.ledger(), self.tool("paid")
        self.purse(ledger, "everybody", requests=10, where={"risk": "money"})
        self.purse(ledger, "mine", requests=10)
        self.purse(ledger, "little", amount=100)
        policy = Policy(risk="money", budgets={"little": "eur"})
        with ledger.ledger.workflow("w", budget="mine", labels={"user": "ann"}):
            with raises(BudgetExceeded) as no:
                self.pay(ledger, tool, policy=policy)
            assert no.error.budget == "little"
            assert [x.reserved + x.spent for x in ledger.budgets()] == [0, 0, 0]
            self.pay(ledger, tool, {"customer": "c", "eur": 100}, policy=policy)
        assert [x.spent for x in ledger.budgets()] == [1, 100, 1]

    def test_whoever_declares_it_it_concerns_all(self) -> None:
        """A ledger that has been open for long learns of it with its next claim."""
        ledger, other, tool = self.ledger(), self.ledger(), self.tool("paid")
        self.pay(ledger, tool, {"eur": 1})
        self.purse(other, requests=1, tool="refund")
        self.pay(ledger, tool, {"eur": 2})
        with raises(BudgetExceeded):
            self.pay(ledger, tool, {"eur": 3})
        self.purse(other, requests=3, tool="refund", soft=(0.5,))
        self.pay(ledger, tool, {"eur": 4})
        self.purse(other, requests=3, tool="else")
        self.pay(ledger, tool, {"eur": 5})
        assert self.figures(other) == (0, 2, 0)

    def test_amounts_that_are_none_are_refused(self) -> None:
        """Missing, negative, another currency: nothing is started and nothing is charged."""
        ledger, tool = self.ledger(), self.tool("paid")
        self.purse(
            ledger, amount=500, of="args.eur", tool="refund", require={"args.currency": "EUR"}
        )
        for args in (
            {"currency": "EUR"},
            {"eur": -5, "currency": "EUR"},
            {"eur": "lots", "currency": "EUR"},
            {"eur": 5, "currency": "USD"},
            {"eur": 5},
        ):
            with raises(BudgetError, InvalidCall):
                self.pay(ledger, tool, args)
        assert (tool.times, ledger.effects()) == (0, [])
        self.pay(ledger, tool, {"eur": 5.25, "currency": "EUR"})
        assert self.figures(ledger) == (0, Decimal("5.25"), 0)
