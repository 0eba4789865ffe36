"""Calls of models: reserved at their upper bound, and whatever becomes of them is known."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tallystick.errors import (
    BudgetError,
    BudgetExceeded,
    UnknownBudget,
    UnpricedModel,
)
from tallystick.metering import Meter, ModelRequest
from tallystick.prices import Overrides, PriceBook, Usage
from tallystick.testing._contract._base import Faced, raises
from tallystick.testing._contract._budgets import Purse

#: a dollar per million tokens in, two per million out, and nobody knows what sound costs
PRICES = Overrides({"toy": {"input": "1", "output": "2"}})
#: costs at most 0.003 USD
REQUEST = ModelRequest(model="toy", provider="home", input_bound=1000, output_bound=1000)
MOST = Decimal("0.003")


class Metering(Purse):
    """``Meter``: begin, then settle, leave or release."""

    def meter(
        self, ledger: Faced, *budgets: str, prices: PriceBook = PRICES, **options: Any
    ) -> Any:
        """A meter, through the face under test."""
        made = Meter(ledger.ledger, *budgets, prices=prices, **options)
        return Faced(made, awaiting=self.awaiting)

    def begin(self, meter: Any, request: ModelRequest = REQUEST, **options: Any) -> Any:
        """A call that may be made now."""
        return Faced(meter.begin(request, **options), awaiting=self.awaiting)

    # -- what becomes of a call ---------------------------------------------------------------

    def test_a_call_holds_the_most_that_it_can_cost(self) -> None:
        """And then costs what it used; again: no change."""
        ledger = self.ledger()
        self.purse(ledger, usd=1, tokens=10_000, requests=10)
        call = self.begin(self.meter(ledger, "purse"))
        assert [x.reserved for x in ledger.budgets()] == [1, 2000, MOST]
        for tokens in (900, 5):
            call.settle(Usage(input=tokens, output=100))
        assert [x.spent for x in ledger.budgets()] == [1, 1000, Decimal("0.0011")]
        (row,) = ledger.reservations()
        assert (row.state, row.cost, row.bound) == ("settled", Decimal("0.0011"), MOST)
        assert row.price is not None
        assert row.price["source"] == "override"

    def test_a_call_without_room_is_not_made(self) -> None:
        """Nothing is reserved anywhere, and no session counts it."""
        ledger = self.ledger()
        self.purse(ledger, usd="0.002999999")
        self.purse(ledger, "wide", usd=1)
        with raises(BudgetExceeded) as no:
            self.meter(ledger, "wide", "purse", session="s").begin(REQUEST)
        assert (no.error.budget, no.error.needed) == ("purse", MOST)
        assert [x.charged for x in ledger.budgets()] == [0, 0]
        assert (ledger.session("s").calls, ledger.reservations()) == (0, [])

    def test_what_was_never_made_is_free(self) -> None:
        """Only where whoever asked is certain of it."""
        ledger = self.ledger()
        self.purse(ledger, usd=1)
        call = self.begin(self.meter(ledger, "purse"))
        call.release(reason="connection refused")
        call.settle(Usage(input=900))
        assert self.figures(ledger) == (0, 0, 0)
        assert [x.note for x in ledger.reservations(state="released")] == ["connection refused"]

    def test_what_nobody_knows_stays_charged(self) -> None:
        """What is known of it is spent, and the rest unreconciled."""
        ledger = self.ledger()
        self.purse(ledger, usd=1)
        meter = self.meter(ledger, "purse")
        self.begin(meter).leave(None, reason="timed out")
        assert self.figures(ledger) == (0, 0, MOST)
        self.begin(meter).leave(Usage(input=900), reason="the stream broke off")
        known = Decimal("0.0009")
        assert self.figures(ledger) == (0, known, MOST + MOST - known)

    def test_saying_nothing_is_safe(self) -> None:
        """After its time a call is unreconciled; a late word still counts."""
        ledger = self.ledger()
        self.purse(ledger, usd=1)
        call = self.begin(self.meter(ledger, "purse", lasts=30))
        ledger.turn(31)
        ledger.recover()
        assert self.figures(ledger) == (0, 0, MOST)
        call.settle(Usage(input=900))
        assert self.figures(ledger) == (0, Decimal("0.0009"), 0)

    def test_what_an_answer_is_worth_may_be_unknown(self) -> None:
        """It could be bounded and cannot be priced: visibly unknown, and never nothing."""
        ledger = self.ledger()
        self.purse(ledger, usd=1)
        call = self.begin(self.meter(ledger, "purse"))
        call.settle(Usage(input=900, output_audio=5), model="toy")
        assert self.figures(ledger) == (0, 0, MOST)
        (row,) = ledger.reservations(state="unreconciled")
        assert (row.cost, row.tokens) == (None, 905)

    def test_the_answer_may_have_another_name(self) -> None:
        """Priced under the name that was asked for, if nobody knows the answer's."""
        ledger = self.ledger()
        self.purse(ledger, usd=1)
        self.begin(self.meter(ledger, "purse")).settle(Usage(input=900), model="toy-2026-11-01")
        assert self.figures(ledger) == (0, Decimal("0.0009"), 0)
        assert [x.what for x in ledger.reservations()] == ["toy-2026-11-01"]

    # -- bounds -------------------------------------------------------------------------------

    def test_an_answer_is_shortened_to_what_is_left(self) -> None:
        """Where the caller can do with less; to the last token that fits."""
        ledger = self.ledger()
        self.purse(ledger, usd="0.0015")
        meter = self.meter(ledger, "purse")
        request = ModelRequest(model="toy", input_bound=1000, output_bound=1000, least_output=250)
        assert self.begin(meter, request).ledger.output_bound == 250
        assert self.line(ledger).remaining == 0
        self.purse(ledger, usd="0.002999")
        with raises(BudgetExceeded):
            meter.begin(request)

    def test_tokens_shorten_an_answer_too(self) -> None:
        """Every time that the client may send it by itself counts."""
        ledger = self.ledger()
        self.purse(ledger, tokens=3000)
        request = ModelRequest(
            model="nobody knows", input_bound=1000, output_bound=1000, least_output=1, attempts=2
        )
        call = self.begin(self.meter(ledger, "purse"), request)
        assert call.ledger.output_bound == 500
        assert self.figures(ledger) == (3000, 0, 0)

    def test_money_needs_a_price(self) -> None:
        """A model that nobody knows is not taken for free; tokens and requests need no price."""
        ledger = self.ledger()
        self.purse(ledger, usd=1)
        self.purse(ledger, "counts", tokens=5000, requests=5)
        request = ModelRequest(model="unheard-of", input_bound=1000, output_bound=1000)
        with raises(UnpricedModel) as no:
            self.meter(ledger, "purse").begin(request)
        assert no.error.model == "unheard-of"
        self.begin(self.meter(ledger, "counts"), request).settle(Usage(input=900))
        assert [x.spent for x in ledger.budgets()] == [1, 900, 0]

    def test_a_call_without_a_bound_is_not_made(self) -> None:
        """Neither the request nor the price book says how much it may use."""
        ledger = self.ledger()
        self.purse(ledger, tokens=1000)
        with raises(BudgetError):
            self.meter(ledger, "purse").begin(ModelRequest(model="toy", input_bound=1000))
        with raises(UnknownBudget):
            self.meter(ledger, "nobody's").begin(REQUEST)
        assert ledger.reservations() == []

    # -- who pays, and who counts -------------------------------------------------------------

    def test_budgets_concern_models_by_their_facts(self) -> None:
        """Split by session, whichever meter makes the call."""
        ledger = self.ledger()
        self.purse(ledger, requests=1, model="toy", per="session", on_exceed="deny")
        self.begin(self.meter(ledger, session="a"))
        self.begin(self.meter(ledger), session="b").release(reason="no")
        with raises(BudgetExceeded) as no:
            self.meter(ledger, session="a").begin(REQUEST)
        assert no.error.per == {"session": "a"}
        with raises(BudgetError):
            self.meter(ledger).begin(REQUEST)
        other = ModelRequest(model="else", input_bound=1, output_bound=1)
        self.begin(self.meter(ledger, session="a"), other)
        assert self.line(ledger, session="b").remaining == 1

    def test_a_session_goes_on_in_another_process(self) -> None:
        """Its calls are numbered over all ledgers; what it used is added up."""
        ledger, other = self.ledger(), self.ledger()
        calls = [self.begin(self.meter(each, session="s")) for each in (ledger, other, ledger)]
        assert [call.ledger.iteration for call in calls] == [1, 2, 3]
        calls[0].settle(Usage(input=900))
        calls[1].leave(Usage(input=100), reason="broken off")
        calls[2].release(reason="refused")
        assert other.session("s") == (3, 1000, 1_000_000)
        assert ledger.session("else") == (0, 0, 0)
        assert [x.iteration for x in other.reservations(session="s")] == [3, 2, 1]

    def test_a_workflow_is_a_session_where_none_is_named(self) -> None:
        """And its scope's budgets and labels count."""
        ledger = self.ledger()
        self.purse(ledger, usd=1, per="user")
        with ledger.ledger.workflow("w", budget="purse", labels={"user": "ann"}):
            call = self.begin(self.meter(ledger))
        call.settle(Usage(input=900))
        assert (call.ledger.session, call.ledger.iteration) == ("w", 1)
        assert self.line(ledger, user="ann").spent == Decimal("0.0009")
