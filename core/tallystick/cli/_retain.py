"""The command that forgets: ``tallystick retain``."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer
from rich.text import Text

from tallystick.cli._answer import answering
from tallystick.cli._options import DEFAULT, By, Json, LedgerUrl, Tenant, duration, person
from tallystick.cli._target import opened
from tallystick.retention import Retained


def retain(
    *,
    payloads: Annotated[
        timedelta,
        typer.Option(
            parser=duration,
            metavar="90d|12h|45m",
            help="Drop arguments and results of what came to its end longer ago.",
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    batch: Annotated[
        int, typer.Option(min=1, max=10_000, help="At most so many effects in one transaction.")
    ] = 50,
    pause: Annotated[
        float, typer.Option(min=0, max=60, help="Seconds between two transactions.")
    ] = 0.005,
    ledger: LedgerUrl = DEFAULT,
    tenant: Tenant = "default",
    by: By = None,
    as_json: Json = False,
) -> None:
    """
    Drop old payloads and keep the facts: key, outcome, times, digests, history.

    Nothing that is pending, approved, running, in doubt or in the inbox is touched, and nothing
    runs again because of it. It can run while programs work, and be broken off at any time.
    """
    with answering(json=as_json) as answer, opened(ledger, tenant) as book:
        found = book.retain(
            payloads=payloads,
            by=person(by),
            limit_per_batch=batch,
            pause=pause,
            dry_run=dry_run,
        )
        answer.give(found, lambda: _said(found))


def _said(found: Retained) -> Text:
    verb = "would lose" if found.dry_run else "lost"
    one = found.effects == 1
    effects = f"1 effect {verb} its" if one else f"{found.effects:,} effects {verb} their"
    said = f"{effects} payload"
    if found.calls:
        said += f", and {found.calls:,} reservations their notes"
    return Text(f"{said}.", style="green")
