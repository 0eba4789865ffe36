"""The commands about keys: ``tallystick shred`` and ``tallystick rewrap``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from tallystick.cli._answer import answering
from tallystick.cli._options import DEFAULT, By, Json, LedgerUrl, Tenant, person
from tallystick.cli._target import opened


def shred(
    *,
    workflow: Annotated[str, typer.Argument(metavar="WORKFLOW", help="Whose payloads go.")],
    reason: Annotated[str, typer.Option(help="Why: kept for good.")],
    ledger: LedgerUrl = DEFAULT,
    tenant: Tenant = "default",
    by: By = None,
    as_json: Json = False,
) -> None:
    """
    Delete the key of an encrypted workflow: nobody reads its payloads again, in no backup either.

    Refused while anything in it is pending, approved, running or in doubt. The facts stay: key,
    outcome, times, digests, history. Nothing in the workflow runs again. No key is needed for this.
    """
    with answering(json=as_json) as answer, opened(ledger, tenant) as book:
        gone = book.shred(workflow, by=person(by), reason=reason)
        value = {"workflow": workflow, "effects": gone}
        answer.give(value, lambda: Text(f"{workflow}: {_many(gone)} for good.", style="green"))


def _many(count: int) -> str:
    return (
        f"{count:,} effect lost its payload"
        if count == 1
        else (f"{count:,} effects lost their payloads")
    )


def rewrap(
    *, ledger: LedgerUrl = DEFAULT, tenant: Tenant = "default", as_json: Json = False
) -> None:
    """
    After a change of key: wrap the data keys in the new one; no payload is touched.

    TALLYSTICK_KEY is the new key, TALLYSTICK_OLD_KEYS are those before it, separated by commas.
    """
    with answering(json=as_json) as answer, opened(ledger, tenant) as book:
        count = book.rewrap()
        said = f"{count:,} data keys are wrapped in the new key."
        answer.give({"rewrapped": count}, lambda: Text(said, style="green"))
