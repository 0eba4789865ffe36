"""The accounts: what was spent on what, what it costs by other prices, and what people say."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from tallystick._policy import Policy
from tallystick.errors import BudgetError, BudgetExceeded, EffectInDoubt, InvalidCall
from tallystick.metering import ModelRequest
from tallystick.prices import Overrides, Usage
from tallystick.testing._contract._base import Faced, raises
from tallystick.testing._contract._budgets import DAY
from tallystick.testing._contract._metered import MOST, Metering

#: three times as dear
DEARER = Overrides({"toy": {"input": "3", "output": "6"}}, label="dearer")


class Accounts(Metering):
    """Costs, repricing, and reservations that people settle."""

    def used(self, ledger: Faced, tokens: int = 1000, **options: Any) -> Any:
        """A call that used *tokens* of input; a dollar per million."""
        call = self.begin(self.meter(ledger, session="s"), **options)
        call.settle(Usage(input=tokens))
        return call

    def test_costs_are_added_up_and_the_unknown_is_shown(self) -> None:
        """What is open is what may still turn out to have been spent."""
        ledger = self.ledger()
        self.used(ledger)
        meter = self.meter(ledger, session="t")
        self.begin(meter).leave(Usage(input=500), reason="broken off")
        self.begin(meter).release(reason="refused")
        self.begin(meter)
        (line,) = ledger.costs()
        assert (line.what, line.kind, line.calls, line.tokens) == ("toy", "model", 3, 1500)
        assert (line.usd, line.open) == (Decimal("0.0015"), 2 * MOST - Decimal("0.0005"))
        assert line.unpriced == 1
        assert [(x.what, x.calls) for x in ledger.costs(by="session")] == [("s", 1), ("t", 2)]
        assert [x.what for x in ledger.costs(by="provider")] == ["home"]

    def test_what_was_spent_beyond_a_bound_opens_nothing(self) -> None:
        """Open is never less than nothing."""
        ledger = self.ledger()
        self.begin(self.meter(ledger)).leave(Usage(input=9_000_000), reason="?")
        assert [(x.usd, x.open) for x in ledger.costs()] == [(9, 0)]

    def test_what_tools_and_people_spend_is_added_up(self) -> None:
        """At what was reserved for it, where nobody says otherwise."""
        ledger, tool = self.ledger(), self.tool("paid", RuntimeError("?"))
        purse = self.purse(ledger, usd=10)
        policy = Policy(budgets=("purse",), cost="0.25")
        self.pay(ledger, tool, policy=policy)
        with raises(EffectInDoubt):
            self.pay(ledger, tool, {"customer": "c-2", "eur": 1}, policy=policy)
        self.held(purse, usd=2).settle(usd=1)
        self.held(purse, usd=2).settle()
        self.held(purse, usd=2).release()
        found = {x.what: (x.kind, x.calls, x.usd, x.open) for x in ledger.costs(by="what")}
        quarter = Decimal("0.25")
        assert found == {
            "purse": ("manual", 2, 3, 0),
            "refund": ("tool", 2, quarter, quarter),
        }
        assert [x.what for x in ledger.costs(by="tool")] == ["refund"]
        assert ledger.costs(by="model") == []

    def test_costs_are_cut_at_moments(self) -> None:
        """From the first on, before the second; by the database's clock, with a zone."""
        ledger = self.ledger()
        self.used(ledger)
        (row,) = ledger.reservations()
        ledger.turn(DAY)
        self.used(ledger)
        noon = row.created_at + timedelta(hours=1)
        for cut in ({"since": noon}, {"until": noon}, {}):
            assert sum(x.calls for x in ledger.costs(**cut)) == (1 if cut else 2)
        days = sorted(x.what for x in ledger.costs(by="day"))
        assert days == [str(row.created_at.date() + timedelta(days=n)) for n in (0, 1)]
        with raises(InvalidCall):
            ledger.costs(since=noon.replace(tzinfo=None))
        with raises(InvalidCall):
            ledger.costs(by="colour")

    def test_other_prices_change_nothing_until_they_are_written(self) -> None:
        """Then the cost, the budget and the session are those of the new price."""
        ledger = self.ledger()
        self.purse(ledger, usd=1, model="toy")
        self.used(ledger)
        for write in (False, True):
            (change,) = ledger.reprice(DEARER, write=write)
            assert (change.was, change.now) == (Decimal("0.001"), Decimal("0.003"))
            spent = Decimal("0.003") if write else Decimal("0.001")
            assert self.figures(ledger) == (0, spent, 0)
        assert ledger.reprice(DEARER, write=True) == []
        (row,) = ledger.reservations()
        assert (row.cost, row.price["version"]) == (Decimal("0.003"), "dearer")
        assert ledger.session("s").nanos == 3_000_000

    def test_only_what_is_known_is_repriced(self) -> None:
        """Neither what was released, nor what nobody knows, nor what the book has no price for."""
        ledger = self.ledger()
        meter = self.meter(ledger)
        self.begin(meter).leave(None, reason="?")
        self.begin(meter).release(reason="refused")
        self.begin(meter)
        other = ModelRequest(model="else", input_bound=10, output_bound=10)
        self.begin(meter, other).settle(Usage(input=10))
        assert ledger.reprice(DEARER, write=True) == []
        (found,) = ledger.reprice(Overrides({"else": {"input": "1", "output": 0}}), write=True)
        assert (found.model, found.was, found.now) == ("else", None, Decimal("0.00001"))

    def test_a_price_that_was_missing_settles_a_call(self) -> None:
        """Where everything else is known; what nobody knows the usage of stays as it is."""
        ledger = self.ledger()
        self.purse(ledger, usd=1)
        meter = self.meter(ledger, "purse")
        self.begin(meter).settle(Usage(input=100, output_audio=10))
        self.begin(meter).leave(Usage(input=100, output_audio=10), reason="broken off")
        assert self.figures(ledger) == (0, 0, 2 * MOST)
        rates = {"input": "1", "output": "2", "output_audio": "20"}
        (change,) = ledger.reprice(Overrides({"toy": rates}), write=True)
        assert (change.was, change.now) == (None, Decimal("0.0003"))
        assert self.figures(ledger) == (0, Decimal("0.0003"), MOST)

    def test_a_call_is_repriced_by_the_tier_that_it_had(self) -> None:
        """The service tier stays recorded: what was asked for, or answered; priced or not."""
        ledger = self.ledger()
        tiered = Tiered({"toy": {"input": "1", "output": "2"}})
        meter = self.meter(ledger, prices=tiered)
        for model in ("toy", "else"):
            for asked, answered in (("priority", None), (None, "priority"), ("flex", "priority")):
                request = ModelRequest(model=model, input_bound=1000, output_bound=0, context=asked)
                self.begin(meter, request).settle(Usage(input=1000), context=answered)
        assert [x.usd for x in ledger.costs()] == [Decimal("0.006"), 0]
        assert ledger.reprice(tiered) == []
        both = Tiered({"*": {"input": "3", "output": "2"}})
        for write in (False, True):
            found = ledger.reprice(both, write=write)
            assert [x.now for x in found] == [Decimal("0.006")] * 6
        assert ledger.reprice(both) == []

    def test_people_say_what_it_was(self) -> None:
        """By the key or its beginning; what was settled stays so."""
        ledger = self.ledger()
        self.purse(ledger, usd=1, tokens=10_000)
        call = self.begin(self.meter(ledger, "purse"))
        call.leave(None, reason="timed out")
        key = call.ledger.key
        assert ledger.reservation(key[:10]).note == "timed out"
        with raises(InvalidCall):
            ledger.reconcile(key, by="ann", usd="0.002")
        after = ledger.reconcile(key[:10], by="ann", usd="0.002", tokens=70, reason="the bill")
        assert (after.state, after.cost, after.tokens) == ("settled", Decimal("0.002"), 70)
        assert after.note == "the bill (by ann)"
        with raises(BudgetError):
            ledger.reconcile(key, by="ann", usd=0, tokens=0)
        assert [x.spent for x in ledger.budgets()] == [70, Decimal("0.002")]

    def test_a_key_that_fits_nothing_is_wrong(self) -> None:
        """Nor may another tenant's be looked at."""
        ledger, other = self.ledger(), self.ledger(tenant="acme")
        key = self.begin(self.meter(ledger)).ledger.key
        for wrong in ("", "xyz", "ab" * 32):
            with raises(InvalidCall):
                ledger.reservation(wrong)
        with raises(InvalidCall):
            other.reservation(key)
        with raises(InvalidCall):
            other.reconcile(key, by="ann", usd=1)

    def test_terms_declare_the_same_budget_again(self) -> None:
        """All of them, and no defaults; whoever reads them may be another process."""
        ledger, other = self.ledger(), self.ledger()
        for terms in (
            {"usd": Decimal("0.000000001")},
            {"tokens": 5, "requests": 7, "window": "month", "zone": "Europe/Berlin"},
            {
                "amount": Decimal(500),
                "of": "args.eur",
                "per": ["args.customer", "tool"],
                "where": {"tool": "refund", "risk": "money"},
                "require": {"args.currency": "EUR"},
                "window": timedelta(hours=1),
                "on_exceed": "ask",
                "on_error": "allow",
                "soft": [0.5, 0.8],
                "raise_by": {"amount": Decimal(50)},
            },
        ):
            ledger.budget("purse", **terms)
            assert other.budget("purse").terms == terms
            assert other.budget("again", **other.budget("purse").terms).terms == terms

    def test_all_that_was_declared_is_listed(self) -> None:
        """By name, whoever declared it, and of one tenant; also where nothing was charged yet."""
        ledger, other = self.ledger(), self.ledger()
        self.purse(ledger, "b", usd=1, per="user")
        self.purse(other, "a", usd=2)
        self.purse(self.ledger(tenant="acme"), "c", usd=3)
        assert [(x.name, x.terms["usd"]) for x in ledger.declared()] == [("a", 2), ("b", 1)]
        assert [x.budget for x in ledger.budgets()] == ["a"]

    def test_a_refusal_says_how_to_raise_the_line(self) -> None:
        """The command, as a shell takes it."""
        ledger, tool = self.ledger(), self.tool("paid")
        self.purse(ledger, "all refunds", requests=0, per="args.customer", tool="refund")
        with raises(BudgetExceeded) as no:
            self.pay(ledger, tool, {"customer": "Ann O", "eur": 1})
        command = "budgets raise 'all refunds' --per 'args.customer=Ann O' --requests AMOUNT"
        assert command in str(no.error)

    def test_a_line_names_its_window(self) -> None:
        """And when it ends, if ever."""
        ledger = self.ledger()
        for window, name in ((None, "total"), ("day", "day"), (timedelta(minutes=5), "300 s")):
            self.purse(ledger, usd=1, window=window)
            line = self.line(ledger)
            assert (line.window, line.resets_at is None) == (name, window is None)


class Tiered(Overrides):
    """Prices by which priority costs twice as much."""

    def price(self, model: str, usage: Usage, *, context: str | None = None, **more: Any) -> Any:
        """See :meth:`PriceBook.price`."""
        return super().price(model, usage + usage if context == "priority" else usage, **more)
