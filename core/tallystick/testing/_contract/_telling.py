"""Budgets that tell: the listeners hear of what runs out, once for each window."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from tallystick._hooks import Details
from tallystick.testing._contract._base import Faced
from tallystick.testing._contract._budgets import DAY, Purse


class Telling(Purse):
    """Soft thresholds and ``on_exceed="warn"``: the listeners hear of it, once per window."""

    def listening(self, **terms: Any) -> tuple[Faced, Any, list[tuple[str, Any]]]:
        """A ledger with a listener, a budget, and what is heard of it."""
        heard: list[tuple[str, Any]] = []

        def hear(details: Details) -> None:
            if details.kind.startswith("budget_"):
                heard.append((details.kind, details.facts["threshold"]))

        ledger = self.ledger(hooks=[hear])
        return ledger, self.purse(ledger, usd=1, **terms), heard

    def test_thresholds_are_told_once_per_window(self) -> None:
        """Each once, the highest one where several are passed at a time."""
        ledger, purse, heard = self.listening(soft=(0.5, 0.8, 0.9), window="day")
        for usd in ("0.4", "0.1", "0.1"):
            self.held(purse, usd=usd).settle()
        assert heard == [("budget_threshold", 0.5)]
        self.held(purse, usd="0.35")
        assert heard[1:] == [("budget_threshold", 0.9)]
        ledger.turn(DAY)
        self.held(purse, usd="0.6").settle()
        assert heard[2:] == [("budget_threshold", 0.5)]

    def test_what_was_freed_is_not_told_again(self) -> None:
        """A reservation that comes and goes is no news."""
        _, purse, heard = self.listening(soft=(0.5,))
        for _ in range(3):
            self.held(purse, usd="0.6").release()
        assert heard == [("budget_threshold", 0.5)]

    def test_a_threshold_says_what_it_is_about(self) -> None:
        """Enough for a message to somebody."""
        told: list[Details] = []
        ledger = self.ledger(hooks=[told.append])
        self.held(self.purse(ledger, usd=1, soft=(0.5,)), usd="0.6")
        (details,) = [x for x in told if x.kind == "budget_threshold"]
        facts = details.facts
        assert (facts["subject"], facts["metric"], facts["limit"]) == ("purse", "usd", "1.00")
        assert facts["charged"] == "0.60"

    def test_a_warning_lets_it_go_on(self) -> None:
        """Nothing is refused; the figures say what happened, and somebody hears of it."""
        ledger, purse, heard = self.listening(on_exceed="warn", window=timedelta(hours=1))
        for _ in range(3):
            self.held(purse, usd="0.75").settle()
        line = self.line(ledger)
        assert (line.spent, line.remaining, line.exceeded) == (Decimal("2.25"), 0, True)
        assert heard == [("budget_warned", 0.0)]

    def test_who_fails_to_listen_is_told_again(self) -> None:
        """By the housekeeping, until it was heard."""
        failing = [True]
        heard: list[str] = []

        def hear(details: Details) -> None:
            if details.kind == "budget_threshold":
                heard.append(details.kind)
                if failing[0]:
                    raise OSError

        ledger = self.ledger(hooks=[hear])
        self.held(self.purse(ledger, usd=1, soft=(0.5,)), usd="0.6")
        ledger.rounds()
        failing[0] = False
        ledger.rounds()
        heard.clear()
        ledger.rounds()
        assert heard == []

    def test_an_overrun_is_told(self) -> None:
        """What cost more than was reserved, and more than there was."""
        told: list[Details] = []
        ledger = self.ledger(hooks=[told.append])
        self.held(self.purse(ledger, usd=1), usd="0.5").settle(usd="1.5")
        ledger.rounds()
        (details,) = [x for x in told if x.kind == "budget_overrun"]
        assert (details.facts["over"], details.facts["actual"]) == ("0.50", "1.50")
