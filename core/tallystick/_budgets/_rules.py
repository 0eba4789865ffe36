"""Whether what is wanted fits, and what a reservation weighs in each of its states."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from tallystick._budgets._amounts import Metric
from tallystick._budgets._terms import Terms


class State(StrEnum):
    """Where a reservation is in its life."""

    HELD = "held"
    SETTLED = "settled"
    RELEASED = "released"
    #: nobody knows what was spent: it stays charged until somebody says
    UNRECONCILED = "unreconciled"


#: the note of a reservation of which all is known but the price
UNPRICED = "nobody knows the price of what it used"


class Demand(NamedTuple):
    """What a reservation wants of one line."""

    line: bytes
    budget: bytes
    version: int
    terms: Terms
    metric: Metric
    label: str
    amount: int


class Weight(NamedTuple):
    """What is charged to a line, by how certain it is."""

    reserved: int = 0
    spent: int = 0
    unreconciled: int = 0

    @property
    def total(self) -> int:
        """All that is charged."""
        return self.reserved + self.spent + self.unreconciled

    def __add__(self, other: object) -> Weight:
        """Both together."""
        if not isinstance(other, Weight):
            return NotImplemented
        reserved, spent, unreconciled = self
        return Weight(
            reserved + other.reserved, spent + other.spent, unreconciled + other.unreconciled
        )

    def __sub__(self, other: Weight) -> Weight:
        """The difference."""
        reserved, spent, unreconciled = self
        return Weight(
            reserved - other.reserved, spent - other.spent, unreconciled - other.unreconciled
        )


class Figures(NamedTuple):
    """A line at a moment: what counts in its window, and the limit with what it was raised by."""

    weight: Weight
    limit: int

    @property
    def remaining(self) -> int:
        """What may still be reserved."""
        return max(0, self.limit - self.weight.total)


class Part(NamedTuple):
    """What one reservation holds of one line, in the row of the window that it was taken from."""

    line: str
    metric: str
    start: int
    amount: int
    actual: int | None = None


class Refusal(NamedTuple):
    """The line that has no room, and how far it is from having it."""

    demand: Demand
    figures: Figures
    ends: int | None


def weigh(state: str, amount: int, actual: int | None) -> Weight:
    """
    What a reservation of *amount* weighs in *state*, *actual* being what is known to be spent.

    Unreconciled, what is known is spent and the rest of the reservation stays charged.
    """
    if state == State.HELD:
        return Weight(reserved=amount)
    if state == State.SETTLED:
        return Weight(spent=amount if actual is None else actual)
    if state == State.UNRECONCILED:
        known = actual or 0
        return Weight(spent=known, unreconciled=max(amount - known, 0))
    return Weight()


def allowed(before: str, after: str) -> bool:
    """
    Whether a reservation may go from one state to another.

    What was settled stays so. What was released may still turn out to have been spent.
    """
    if before in (after, State.SETTLED):
        return False
    return before in (State.HELD, State.UNRECONCILED) or after == State.SETTLED


def refused(wanted: Iterable[tuple[Demand, Figures, int | None]]) -> Refusal | None:
    """
    The line that decides against it, or ``None`` where all have room or only warn.

    A line that denies decides before one that lets a person be asked.
    """
    against = [
        Refusal(demand, figures, ends)
        for demand, figures, ends in wanted
        if demand.terms.on_exceed != "warn" and not fits(demand.amount, figures)
    ]
    order = ("deny", "downgrade", "ask")
    return min(against, key=lambda r: order.index(r.demand.terms.on_exceed), default=None)


def fits(amount: int, figures: Figures) -> bool:
    """Whether a line has room for *amount*; exactly reaching the limit is within it."""
    return figures.weight.total + amount <= figures.limit


def passed(terms: Terms, total: int, limit: int) -> int:
    """How many of the soft thresholds *total* has reached; one more when it is above the limit."""
    count = sum(1 for part in terms.soft if total * 1000 >= part * limit)
    return len(terms.soft) + 1 if total > limit else count


_written = json.JSONEncoder(separators=(",", ":")).encode


def written(parts: Sequence[Part]) -> str:
    """Parts as JSON."""
    return _written(parts)


def parts_of(text: str) -> list[Part]:
    """The parts that :func:`written` wrote down."""
    return [Part(*fields) for fields in json.loads(text)]


def actually(parts: Sequence[Part], actual: Mapping[str, int] | None) -> list[Part]:
    """*parts* with what is known to have been spent of each metric."""
    if actual is None:
        return list(parts)
    return [part._replace(actual=actual.get(part.metric, part.actual)) for part in parts]
