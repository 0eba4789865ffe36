"""The commands about the tables."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from tallystick.cli._answer import NO, answering
from tallystick.cli._options import DEFAULT, Json, LedgerUrl
from tallystick.cli._plain import visible
from tallystick.cli._target import engine_for, located

if TYPE_CHECKING:
    from sqlalchemy import Engine

app = typer.Typer(help="Make the tables, bring them up to date, or check them.")


@app.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction] - typer calls it
    """Make the tables, bring them up to date, or check them."""


@app.command()
def upgrade(ledger: LedgerUrl = DEFAULT, as_json: Json = False) -> None:
    """
    Make the tables in a database that exists, or bring them up to date.

    All of it happens or nothing does; several may do it at once.
    """
    with answering(json=as_json) as answer, _engine(ledger) as engine:
        from tallystick.stores._schema import current
        from tallystick.stores._schema import upgrade as bring

        before = current(engine)
        bring(engine)
        after = current(engine)
        says = f"The tables are at revision {after}"
        says += " already." if before == after else f"; before: {before or 'none'}."
        answer.give({"before": before, "after": after}, lambda: Text(says, style="green"))


@app.command()
def check(ledger: LedgerUrl = DEFAULT, as_json: Json = False) -> None:
    """
    Say whether the tables are those of this version.

    The exit code is 1 where they are not.
    """
    with answering(json=as_json) as answer, _engine(ledger) as engine:
        from tallystick.stores._revision import HEAD
        from tallystick.stores._schema import check as compared
        from tallystick.stores._schema import current

        differences = compared(engine)
        value = {
            "current": current(engine),
            "needed": HEAD,
            "differences": differences,
            "up_to_date": not differences,
        }
        answer.give(value, lambda: _differences(differences, HEAD))
    if differences:
        raise typer.Exit(NO)


def _differences(found: list[str], head: str) -> Text:
    if not found:
        return Text(f"The tables are at revision {head}, as they should be.", style="green")
    lines = [*found, "Next: tallystick db upgrade"]
    return Text(visible("\n".join(lines)), style="yellow")


@contextmanager
def _engine(ledger: str) -> Generator[Engine]:
    """An engine for a database that exists, with its errors in our words."""
    engine = engine_for(located(ledger, tables=False))
    try:
        with translated():
            yield engine
    finally:
        engine.dispose()


@contextmanager
def translated() -> Generator[None]:
    """The database's errors become ours."""
    from sqlalchemy.exc import DBAPIError

    from tallystick.stores._errors import translate

    try:
        yield
    except DBAPIError as error:
        raise translate(error.orig or error) from error
