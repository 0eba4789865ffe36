"""The commands that seal a ledger, and make the key for that."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from tallystick.cli._answer import answering
from tallystick.cli._options import DEFAULT, Json, LedgerUrl, Tenant
from tallystick.cli._target import opened


def seal(
    *,
    ledger: LedgerUrl = DEFAULT,
    tenant: Tenant = "default",
    key: Annotated[Path, typer.Option(metavar="FILE", help="The private key that signs.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file of seals, appended to.")],
    as_json: Json = False,
) -> None:
    """
    Seal what was settled since the last seal, with a signature, outside of the database.

    `tallystick verify --seal` finds what was changed since. Keep the root that is printed where the
    file is not: it tells whether the last seals of the file were cut off.
    """
    with answering(json=as_json) as answer, opened(ledger, tenant) as book:
        done = book.seal(out, key=key)
        says = f"Seal {done.number} over {done.leaves:,} records; its root is {done.root}"
        answer.give(done, lambda: Text(says, style="green"))


def seal_key(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the private key goes.")],
    as_json: Json = False,
) -> None:
    """Make a key for seals: FILE for whoever seals and nobody else, FILE.pub for everybody."""
    with answering(json=as_json) as answer:
        from tallystick.seals import new_key

        public = new_key(file)
        says = f"{file} signs and is for you alone; {public} checks."
        answer.give({"private": file, "public": public}, lambda: Text(says, style="green"))
