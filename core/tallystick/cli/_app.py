"""All commands under one name."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, version
from typing import Annotated

import typer

from tallystick.cli import (
    _archives,
    _budgets,
    _contain,
    _costs,
    _db,
    _decide,
    _doctor,
    _halt,
    _keys,
    _look,
    _plugins,
    _retain,
    _runs,
    _seals,
)
from tallystick.cli.demo import _command

_EPILOG = """
**Keys** may be shortened to any prefix that fits one effect.

**Exit codes**: 0 fine; 1 the answer is no (refused, declined, unsound, out of date);
2 wrong usage, or no such database, effect or budget.
"""

_ABOUT = "Look into a ledger of side effects, and decide what a person must decide."
_LOOK, _PERSON, _MONEY, _HOUSE = "Look", "Decide", "Spend", "Keep"


def _version(wanted: bool) -> None:
    if wanted:
        print(f"tallystick {version('tallystick')}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    pass


def build(entries: Iterable[EntryPoint]) -> typer.Typer:
    """All commands: our own, and those that *entries* name."""
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(help=_ABOUT, epilog=_EPILOG)(_options)
    for look in (_look.inbox, _look.effects, _look.show, _runs.runs, _look.halts):
        app.command(rich_help_panel=_LOOK)(look)
    app.add_typer(_budgets.app, name="budgets", rich_help_panel=_MONEY)
    for money in (_costs.cost, _costs.reprice):
        app.command(rich_help_panel=_MONEY)(money)
    for decide in (_decide.approve, _decide.deny, _decide.resolve, _decide.cancel):
        app.command(rich_help_panel=_PERSON)(decide)
    for switch in (_runs.compensate, _contain.contain, _halt.halt, _halt.unhalt):
        app.command(rich_help_panel=_PERSON)(switch)
    for keep in (_look.verify, _doctor.doctor, _retain.retain, _keys.shred, _keys.rewrap):
        app.command(rich_help_panel=_HOUSE)(keep)
    app.command("export", rich_help_panel=_HOUSE)(_archives.export)
    app.command("import", rich_help_panel=_HOUSE)(_archives.import_)
    app.command(rich_help_panel=_HOUSE)(_seals.seal)
    app.command("seal-key", rich_help_panel=_HOUSE)(_seals.seal_key)
    app.add_typer(_db.app, name="db", rich_help_panel=_HOUSE)
    app.command(rich_help_panel="See what it is for")(_command.demo)
    _plugins.add(app, entries, panel=_HOUSE)
    return app


app = build(_plugins.installed())
