"""Tables of budgets, reservations and costs."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from shlex import quote
from typing import Protocol

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tallystick.budgets import Budget, BudgetLine, CostLine, Repriced, ReservationView
from tallystick.cli import _render
from tallystick.cli._plain import ago, moment, visible
from tallystick.cli._topup import amount

__all__ = ["amount", "budgets", "costs", "repriced", "reservations"]

_BAR = 10
_HIGH = 80


class Sums(Protocol):
    """What a table ends with."""

    @property
    def calls(self) -> int: ...
    @property
    def tokens(self) -> int: ...
    @property
    def usd(self) -> Decimal: ...
    @property
    def unpriced(self) -> int: ...
    @property
    def open(self) -> Decimal: ...


def budgets(lines: Sequence[BudgetLine], unused: Sequence[Budget]) -> list[RenderableType]:
    """Budgets, a line each; what needs somebody is marked."""
    parts: list[RenderableType] = [_lines(lines)] if lines else []
    for budget in unused:
        says = f"{budget.described}: nobody has drawn on it yet."
        parts.append(Text(visible(f"{budget.name}: {says}"), "dim"))
    if not parts:
        parts.append(Text("There are no budgets; declare one: tallystick budgets set NAME --usd …"))
    return [*parts, *_hints(lines)]


def _lines(lines: Sequence[BudgetLine]) -> Table:
    made = _table(
        "budget", "per", "metric", "limit", "spent", "reserved", "unreconciled", "left", "used",
        "resets", "",
    )  # fmt: skip
    for line in lines:
        per = ", ".join(f"{fact} {value}" for fact, value in line.per.items())
        made.add_row(
            _render.cell(line.budget, "bold"),
            _render.cell(per),
            line.metric,
            number(line.limit),
            number(line.spent),
            number(line.reserved),
            Text(number(line.unreconciled), "yellow" if line.unreconciled else ""),
            number(line.remaining),
            _used(line),
            _resets(line),
            _mark(line),
        )
    return made


def _used(line: BudgetLine) -> Text:
    if not line.limit:
        return Text("")
    part = line.charged * 100 / line.limit
    filled = min(_BAR, round(part * _BAR / 100))
    style = "red" if part >= 100 else "yellow" if part >= _HIGH else "green"  # noqa: PLR2004
    return Text("█" * filled, style) + Text("░" * (_BAR - filled), "dim") + Text(f" {part:.0f}%")


def _resets(line: BudgetLine) -> Text:
    if line.resets_at is None:
        return Text("never", "dim")
    if line.window.endswith(" s"):
        return _render.cell(f"rolls, {line.window}")
    return _render.cell(f"{moment(line.resets_at)} ({line.window})")


def _mark(line: BudgetLine) -> Text:
    marks = Text()
    if line.exceeded:
        marks += Text("EXCEEDED", "bold red")
    elif not line.remaining:
        marks += Text("used up", "red")
    if line.unreconciled:
        marks += Text(", " if marks else "") + Text("UNRECONCILED", "bold yellow")
    return marks


def _hints(lines: Sequence[BudgetLine]) -> list[RenderableType]:
    hints: list[RenderableType] = []
    short = next((line for line in lines if not line.remaining), None)
    if short is not None:
        per = "".join(f" --per {quote(f'{fact}={value}')}" for fact, value in short.per.items())
        next_ = f"Next: tallystick budgets raise {quote(short.budget)}{per} --{short.metric} …"
        hints.append(Text(visible(next_)))
    if any(line.unreconciled for line in lines):
        hints.append(Text("Next: tallystick budgets unreconciled (what nobody knows the cost of)"))
    return hints


def reservations(found: Sequence[ReservationView], state: str) -> RenderableType:
    """Reservations, one a line, and how each is settled."""
    if not found:
        return Text("Nothing is held." if state == "held" else "The cost of everything is known.")
    made = _table("key", "what", "session", "at most", "known", "age", "why", "next")
    length = _render.shortest(row.key for row in found)
    for row in found:
        made.add_row(
            row.key[:length],
            _render.cell(row.what, "bold"),
            _render.cell(row.session or row.workflow or ""),
            _dollars(row.bound),
            _dollars(row.cost),
            ago(row.created_at),
            _render.cell(row.note),
            "" if state == "held" else _settles(row, length),
        )
    return made


def _settles(row: ReservationView, length: int) -> str:
    key = row.key[:length]
    if row.kind == "tool":
        return f"tallystick resolve {key}"
    return f"tallystick budgets reconcile {key} --{'usd' if row.bound is not None else 'tokens'} …"


def costs(by: str, lines: Sequence[CostLine], total: Sums, elsewhere: Sums) -> list[RenderableType]:
    """What was spent, the total in the last line; nothing that is charged is left out."""
    parts: list[RenderableType] = [_costs(by, lines, total)] if lines else [Text("No calls.")]
    if elsewhere.usd or elsewhere.open:
        says = (
            f"Besides: {elsewhere.calls:,} call(s) of other kinds, {number(elsewhere.usd)} USD "
            f"spent and {number(elsewhere.open)} open; --by what shows all."
        )
        parts.append(Text(says))
    if total.open:
        says = (
            f"{number(total.open)} USD are charged without being known. "
            "Next: tallystick budgets unreconciled (or --held)"
        )
        parts.append(Text(says, "yellow"))
    if total.unpriced:
        says = (
            f"{total.unpriced:,} call(s) have no known cost: the total is more than it says. Next, "
            "where only the price is missing: tallystick reprice --prices FILE.toml"
        )
        parts.append(Text(says, "yellow"))
    return parts


def _costs(by: str, lines: Sequence[CostLine], total: Sums) -> Table:
    made = _table(by, "kind", "calls", "tokens", "usd", "open", "unpriced")
    for line in lines:
        what = _render.cell(line.what or "(none)", "" if line.what else "dim")
        made.add_row(what, line.kind, *_sums(line))
    made.add_section()
    made.add_row("total", "", *_sums(total), style="bold")
    return made


def _sums(line: Sums) -> list[RenderableType]:
    return [
        f"{line.calls:,}",
        f"{line.tokens:,}",
        number(line.usd),
        Text(number(line.open), "yellow" if line.open else ""),
        Text(f"{line.unpriced:,}", "yellow" if line.unpriced else ""),
    ]


def repriced(
    found: Sequence[Repriced], was: Decimal, now: Decimal, *, written: bool
) -> list[RenderableType]:
    """Each difference, and what they come to."""
    if not found:
        return [Text("Every call that has a price has this price already.", "green")]
    made = _table("key", "model", "was", "is", "difference")
    length = _render.shortest(one.key for one in found)
    for one in found:
        made.add_row(
            one.key[:length],
            _render.cell(one.model),
            "unknown" if one.was is None else number(one.was),
            number(one.now),
            signed(one.now - (one.was or 0)),
        )
    made.add_section()
    made.add_row("total", "", number(was), number(now), signed(now - was), style="bold")
    calls = f"{len(found):,} call(s)"
    if written:
        return [made, Text(f"{calls} were repriced.", "green")]
    return [made, Text(f"Nothing was changed. Next: the same with --write, for {calls}.", "yellow")]


def number(value: Decimal | int) -> str:
    """A number in full, with its thousands apart."""
    return f"{value:,f}" if isinstance(value, Decimal) else f"{value:,}"


def signed(value: Decimal) -> str:
    """A difference, with its sign."""
    return f"{value:+,f}"


def _dollars(value: Decimal | None) -> str:
    return "" if value is None else number(value)


def _table(*columns: str) -> Table:
    made = _render.table(*columns)
    for column in made.columns:
        if column.header in _NUMBERS:
            column.justify, column.no_wrap = "right", True
        elif column.header in {"used", "metric", "next"}:
            column.no_wrap = True
    return made


_NUMBERS = {
    "limit", "spent", "reserved", "unreconciled", "left", "calls", "tokens", "usd", "open",
    "unpriced", "was", "is", "difference", "at most", "known",
}  # fmt: skip
