"""The options that commands share."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

DEFAULT = "sqlite:///tallystick.db"

LedgerUrl = Annotated[
    str,
    typer.Option(
        "--ledger",
        envvar="TALLYSTICK_LEDGER",
        metavar="URL|FILE",
        help="The database: a URL, or the path of a SQLite file.",
    ),
]
Tenant = Annotated[str, typer.Option(help="Whose effects: nothing of other tenants is seen.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Key = Annotated[str, typer.Argument(metavar="KEY", help="The effect's key, or how it begins.")]
By = Annotated[
    str | None, typer.Option(help="Who decides.", show_default="the name of your user account")
]
Reason = Annotated[str, typer.Option(help="Why: kept in the effect's history.")]


def person(by: str | None) -> str:
    """The name under which a decision is recorded."""
    if by:
        return by
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        raise typer.BadParameter(
            "this user account has no name; say who decides", param_hint="--by"
        ) from None
