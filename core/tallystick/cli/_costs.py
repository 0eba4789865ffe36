"""The commands about what was spent: cost, reprice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from tallystick._treasury import By
from tallystick.budgets import CostLine
from tallystick.cli import _given, _money
from tallystick.cli._answer import answering
from tallystick.cli._options import DEFAULT, Json, LedgerUrl, Tenant
from tallystick.cli._target import opened

Since = Annotated[
    str | None,
    typer.Option(metavar="WHEN", help="From then on: 7d, 24h, 2026-11-01, or a time; in UTC."),
]
Until = Annotated[
    str | None, typer.Option(metavar="WHEN", help="Until then; a day counts to its end.")
]
#: reports that count one kind of call only
_PARTIAL = {"model": "model", "tool": "tool"}


def cost(
    *,
    by: Annotated[By, typer.Option(help="One line for each.")] = "model",
    since: Since = None,
    until: Until = None,
    ledger: LedgerUrl = DEFAULT,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """
    Add up what was spent, and what is charged without being known.

    "open" is what calls may cost that are under way, or of which nobody knows; "unpriced" are calls
    of models without a known cost.
    """
    begin, end = _given.since(since), _given.until(until)
    if begin is not None and end is not None and begin >= end:
        raise typer.BadParameter(f"{since} is not before {until}", param_hint="--since")
    with answering(json=as_json) as answer, opened(ledger, tenant) as book:
        book.recover()
        lines = book.costs(by=by, since=begin, until=end)
        if by == "day":
            lines.sort(key=lambda line: line.what)
        every = lines if by not in _PARTIAL else book.costs(by="what", since=begin, until=end)
        others = [line for line in every if line.kind != _PARTIAL.get(by, line.kind)]
        total, rest = Total.of(lines), Total.of(others)
        value = {
            "by": by,
            "since": begin,
            "until": end,
            "lines": lines,
            "total": asdict(total),
            "elsewhere": asdict(rest),
        }
        answer.give(value, lambda: _money.costs(by, lines, total, rest))


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """What several lines come to."""

    calls: int
    tokens: int
    usd: Decimal
    unpriced: int
    open: Decimal

    @classmethod
    def of(cls, lines: list[CostLine]) -> Total:
        """The sum of all columns."""
        return cls(
            calls=sum(line.calls for line in lines),
            tokens=sum(line.tokens for line in lines),
            usd=sum((line.usd for line in lines), Decimal("0.00")),
            unpriced=sum(line.unpriced for line in lines),
            open=sum((line.open for line in lines), Decimal("0.00")),
        )


def reprice(
    *,
    prices: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml",
            help="Prices that win over those of genai-prices: see tallystick.prices.Overrides.",
        ),
    ] = None,
    since: Since = None,
    write: Annotated[
        bool,
        typer.Option("--write", "--yes", "-y", help="Record the new costs. Without it: only look."),
    ] = False,
    ledger: LedgerUrl = DEFAULT,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """
    Compare what calls of models cost by other prices with what was recorded.

    Shows each difference, and changes nothing without --write. What a call used stays as it was
    recorded, and what nobody knows stays unknown.
    """
    begin = _given.since(since)
    with answering(json=as_json) as answer, opened(ledger, tenant) as book:
        book_of_prices = _given.book(prices)
        found = book.reprice(book_of_prices, since=begin, write=write)
        was = sum((one.was or Decimal(0) for one in found), Decimal("0.00"))
        now = sum((one.now for one in found), Decimal("0.00"))
        value = {
            "written": write,
            "changes": found,
            "was": was,
            "now": now,
            "difference": now - was,
        }
        answer.give(value, lambda: _money.repriced(found, was, now, written=write))
