"""The demo's figures, counted from the bank's book and from the ledger."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tallystick._model import Effect, Event, Guarantee, Status
from tallystick.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Charges:
    """What the bank's book says about one side."""

    per_order: Counter[str]
    cents: int

    @property
    def total(self) -> int:
        """All charges."""
        return self.per_order.total()

    @property
    def repeated(self) -> int:
        """Orders that were charged more than once."""
        return sum(count > 1 for count in self.per_order.values())

    def lost(self, orders: Iterable[str]) -> int:
        """Orders that were not charged."""
        return sum(self.per_order[order] == 0 for order in orders)


def charges(book: Path, account: str) -> Charges:
    """Read the bank's book."""
    with closing(sqlite3.connect(book)) as connection:
        rows = connection.execute(
            "SELECT \"order\", cents FROM book WHERE account = ? AND kind = 'charges'", (account,)
        ).fetchall()
    return Charges(
        per_order=Counter(order for order, _ in rows), cents=sum(cents for _, cents in rows)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """What the ledger says about attempts that were cut off."""

    by_probe: int
    by_person: int
    by_key: int

    @property
    def resolved(self) -> int:
        """Doubts that were resolved, in whatever way."""
        return self.by_probe + self.by_person + self.by_key


def doubts(ledger: Ledger, workflows: Iterable[str]) -> Doubts:
    """Read the histories of the effects of *workflows*."""
    found: Counter[str] = Counter()
    for workflow in workflows:
        for effect in ledger.effects(workflow=workflow, status=Status.SUCCEEDED):
            found.update(_ways(effect, ledger.history(effect.key)))
    return Doubts(by_probe=found["probe"], by_person=found["person"], by_key=found["key"])


def _ways(effect: Effect, history: Iterable[Event]) -> Iterator[str]:
    """How each doubt about an effect was resolved."""
    for event in history:
        if event.kind == "resolved":
            yield "probe" if event.actor == "probe" else "person"
        again = event.kind == "started" and event.detail.get("from") in {"running", "in_doubt"}
        if again and effect.guarantee is Guarantee.IDEMPOTENT:
            yield "key"
