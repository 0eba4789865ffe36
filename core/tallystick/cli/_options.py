"""The options that commands share."""

from __future__ import annotations

import getpass
import re
from datetime import timedelta
from typing import Annotated, Any

import typer

DEFAULT = "sqlite:///tallystick.db"
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

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
Usd = Annotated[str | None, typer.Option(metavar="AMOUNT", help="US dollars, like 2.50.")]
Tokens = Annotated[int | None, typer.Option(min=0, help="Tokens of models.")]
Requests = Annotated[int | None, typer.Option(min=0, help="Calls.")]
Amount = Annotated[
    str | None, typer.Option(metavar="AMOUNT", help="A value among the arguments of tools.")
]


def amounts(
    usd: str | None, tokens: int | None, requests: int | None, amount: str | None
) -> dict[str, Any]:
    """What is said, by metric."""
    said = {"usd": usd, "tokens": tokens, "requests": requests, "amount": amount}
    return {name: value for name, value in said.items() if value is not None}


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


def duration(text: str) -> timedelta:
    """A time like ``30d``, ``12h`` or ``45m``."""
    found = re.fullmatch(r"(\d{1,6})([smhdw])", text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no time; write it like 30d, 12h or 45m")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
