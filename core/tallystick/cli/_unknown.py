"""The commands about what is charged without being known."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from tallystick.budgets import ReservationView
from tallystick.cli import _money
from tallystick.cli._answer import answering
from tallystick.cli._look import tidied
from tallystick.cli._options import (
    DEFAULT,
    Amount,
    By,
    Json,
    LedgerUrl,
    Requests,
    Tenant,
    Tokens,
    Usd,
    amounts,
    person,
)
from tallystick.cli._plain import visible
from tallystick.cli._target import opened
from tallystick.errors import BudgetError

ReservationKey = Annotated[
    str, typer.Argument(metavar="KEY", help="The reservation's key, or how it begins.")
]


def unreconciled(
    *,
    held: Annotated[
        bool, typer.Option("--held", help="Those of calls that are under way instead.")
    ] = False,
    session: Annotated[str | None, typer.Option(help="Only of this session.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="As many as this.")] = 50,
    ledger: LedgerUrl = DEFAULT,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """
    List the reservations whose cost nobody knows, newest first.

    They stay charged until somebody says what it was.
    """
    state = "held" if held else "unreconciled"
    with answering(json=as_json) as answer, opened(ledger, tenant) as book:
        book.recover()
        found = book.reservations(state=state, session=session, limit=limit)
        answer.give(found, lambda: _money.reservations(found, state))


def reconcile(
    key: ReservationKey,
    *,
    usd: Usd = None,
    tokens: Tokens = None,
    requests: Requests = None,
    amount: Amount = None,
    by: By = None,
    reason: Annotated[str, typer.Option(help="Why: kept with it.")] = "",
    held: Annotated[
        bool, typer.Option("--held", help="Also where its caller may still say what it was.")
    ] = False,
    ledger: LedgerUrl = DEFAULT,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """
    Say what a call did cost that nobody knew of; the rest of it is free again.

    Whatever is said later, by the call itself too, changes nothing.
    """
    who, said = person(by), amounts(usd, tokens, requests, amount)
    if not said:
        raise typer.BadParameter("say what it was: --usd, --tokens, --requests or --amount")
    with answering(json=as_json) as answer, opened(ledger, tenant) as book:
        book.recover()
        before = book.reservation(tidied(key))
        if before.state == "held" and not held:
            raise BudgetError(
                f"{before.key[:12]} is held for {before.what}, whose caller is alive and may still "
                "say what it cost; wait, or add --held to say it in its place"
            )
        after = book.reconcile(before.key, by=who, reason=reason, **said)
        answer.give(after, lambda: _reconciled(after, said))


def _reconciled(row: ReservationView, said: dict[str, Any]) -> Text:
    what = ", ".join(_money.amount(metric, value) for metric, value in said.items())
    return Text(visible(f"{row.key[:12]} {row.what}: {what} spent; the rest is free."), "green")
