"""All commands under one name."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from tallystick.cli import _db, _decide, _doctor, _halt, _look
from tallystick.cli.demo import _command

_EPILOG = """
**Keys** may be shortened to any prefix that fits one effect.

**Exit codes**: 0 fine; 1 the answer is no (refused, declined, unsound, out of date);
2 wrong usage, or no such database or effect.
"""

app = typer.Typer(
    help="Look into a ledger of side effects, and decide what a person must decide.",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"tallystick {version('tallystick')}")
        raise typer.Exit


@app.callback(epilog=_EPILOG)
def _options(  # pyright: ignore[reportUnusedFunction] - typer calls it
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Look into a ledger of side effects, and decide what a person must decide."""


_LOOK, _PERSON, _HOUSE = "Look", "Decide", "Keep"

app.command(rich_help_panel=_LOOK)(_look.inbox)
app.command(rich_help_panel=_LOOK)(_look.effects)
app.command(rich_help_panel=_LOOK)(_look.show)
app.command(rich_help_panel=_LOOK)(_look.halts)
app.command(rich_help_panel=_PERSON)(_decide.approve)
app.command(rich_help_panel=_PERSON)(_decide.deny)
app.command(rich_help_panel=_PERSON)(_decide.resolve)
app.command(rich_help_panel=_PERSON)(_decide.cancel)
app.command(rich_help_panel=_PERSON)(_halt.halt)
app.command(rich_help_panel=_PERSON)(_halt.unhalt)
app.command(rich_help_panel=_HOUSE)(_look.verify)
app.command(rich_help_panel=_HOUSE)(_doctor.doctor)
app.add_typer(_db.app, name="db", rich_help_panel=_HOUSE)
app.command(rich_help_panel="See what it is for")(_command.demo)
