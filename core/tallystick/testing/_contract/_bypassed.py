"""Calls of models while the ledger does not answer: stopped, or let through and booked later."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from tallystick._hooks import Details
from tallystick.errors import BudgetExceeded, StoreError, StoreUnavailable
from tallystick.prices import Usage
from tallystick.testing._contract._base import Faced, raises
from tallystick.testing._contract._metered import MOST, REQUEST, Metering


class Bypassing(Metering):
    """``on_error``: fail closed, unless every budget that pays says otherwise."""

    @contextmanager
    def silent(self, ledger: Faced) -> Generator[None]:
        """The database does not answer this ledger."""

        def silence(*args: Any, **options: Any) -> Any:
            raise StoreUnavailable("the database does not answer")

        names = ("apply", "attempt", "read")
        for name in names:
            setattr(ledger.engine.store, name, silence)
        try:
            yield
        finally:
            for name in names:
                delattr(ledger.engine.store, name)

    def test_a_silent_ledger_stops_the_call(self) -> None:
        """By default nothing goes on unchecked."""
        ledger = self.ledger()
        self.purse(ledger, usd=1)
        meter = self.meter(ledger, "purse")
        self.begin(meter).release(reason="no")
        with self.silent(ledger), raises(StoreError):
            meter.begin(REQUEST)

    def test_a_budget_may_let_it_go_on(self) -> None:
        """Told, and booked when the ledger answers again."""
        heard: list[Details] = []
        ledger = self.ledger(hooks=[heard.append])
        self.purse(ledger, usd=1, on_error="allow")
        meter = self.meter(ledger, "purse", session="s")
        self.begin(meter).release(reason="no")
        with self.silent(ledger):
            call = self.begin(meter)
            assert call.ledger.iteration == 0
        (told,) = [x for x in heard if x.kind == "budget_bypassed"]
        assert (told.tool, told.facts["session"]) == ("toy", "s")
        call.settle(Usage(input=900))
        ledger.rounds()
        assert self.figures(ledger) == (0, Decimal("0.0009"), 0)

    def test_what_was_used_in_silence_is_owed(self) -> None:
        """The journal writes it down as soon as it can, whatever the limit says by then."""
        ledger, other = self.ledger(), self.ledger()
        purse = self.purse(ledger, usd="0.003", on_error="allow")
        meter = self.meter(ledger, "purse")
        self.begin(meter).release(reason="no")
        with self.silent(ledger):
            call = self.begin(meter)
            self.held(self.purse(other), usd="0.003").settle()
            call.settle(Usage(input=900))
        ledger.rounds()
        line = self.line(ledger)
        assert (line.spent, line.exceeded) == (Decimal("0.0039"), True)
        with raises(BudgetExceeded):
            purse.reserve(usd="0.000000001")

    def test_what_nobody_knows_of_a_silent_time_stays_charged(self) -> None:
        """The reservation that failed is given back; the one of the call that went on is not."""
        ledger = self.ledger()
        self.purse(ledger, usd=1, on_error="allow")
        meter = self.meter(ledger, "purse")
        self.begin(meter).release(reason="no")
        with self.silent(ledger):
            call = self.begin(meter)
        call.leave(None, reason="timed out")
        ledger.rounds()
        ledger.rounds()
        assert self.figures(ledger) == (0, 0, MOST)

    def test_one_budget_that_does_not_allow_it_is_enough(self) -> None:
        """All that pay have to say so."""
        ledger = self.ledger()
        self.purse(ledger, usd=1, on_error="allow")
        self.purse(ledger, "strict", requests=5, model="toy")
        meter = self.meter(ledger, "purse")
        self.begin(meter).release(reason="no")
        with self.silent(ledger), raises(StoreError):
            meter.begin(REQUEST)

    def test_a_word_that_cannot_be_written_down_is_kept(self) -> None:
        """Settling never raises for the ledger's sake: the answer was paid for."""
        ledger = self.ledger()
        self.purse(ledger, usd=1)
        call = self.begin(self.meter(ledger, "purse"))
        with self.silent(ledger):
            call.settle(Usage(input=900))
        ledger.rounds()
        assert self.figures(ledger) == (0, Decimal("0.0009"), 0)
