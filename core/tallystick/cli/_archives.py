"""The commands that take effects out of a ledger, and bring them into another one."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import typer
from rich.console import RenderableType
from rich.text import Text

from tallystick._archive._values import Exported, Loaded
from tallystick.cli._answer import NO, Answer, answering
from tallystick.cli._given import since as moment
from tallystick.cli._options import DEFAULT, By, Json, LedgerUrl, Tenant, person
from tallystick.cli._plain import visible
from tallystick.cli._target import engine_for, located, opened

File = Annotated[str, typer.Argument(metavar="FILE|-", help="A file, or - for the pipe.")]
_STDIO = "-"


def export(
    file: File,
    *,
    ledger: LedgerUrl = DEFAULT,
    tenant: Tenant = "default",
    workflow: Annotated[str | None, typer.Option(help="Only of this workflow.")] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="7d|DATE", help="Only what changed since then."),
    ] = None,
    format_: Annotated[
        Literal["jsonl", "parquet"],
        typer.Option("--format", help="parquet is for analysis, and cannot be imported."),
    ] = "jsonl",
    as_json: Json = False,
) -> None:
    """
    Write effects with all their history to a file that another ledger can import.

    A file is written whole or not at all. With `-` the archive goes to the standard output, and
    what this command says to the standard error.
    """
    with answering(json=as_json) as answer, opened(ledger, tenant) as book, _aside(answer, file):
        target: Any = sys.stdout.buffer if file == _STDIO else file
        done = book.export(target, workflow=workflow, since=moment(since), format=format_)
        answer.give(done, lambda: _exported(done))


@contextmanager
def _aside(answer: Answer, file: str) -> Generator[None]:
    """Keep the standard output free where the archive itself goes there."""
    if file != _STDIO:
        yield
        return
    from tallystick.cli._answer import console

    answer.json, answer.out = False, console(stderr=True)
    yield
    sys.stdout.buffer.flush()


def _exported(done: Exported) -> Text:
    size = f"{done.bytes:,} bytes, sha256 {done.sha256}"
    return Text(f"{done.effects:,} effects with {done.events:,} events: {size}.", style="green")


def import_(
    file: File,
    *,
    ledger: LedgerUrl = DEFAULT,
    tenant: Tenant = "default",
    skip: Annotated[
        bool, typer.Option("--skip-conflicts", help="Leave out what the ledger has another of.")
    ] = False,
    create: Annotated[
        bool, typer.Option("--create", help="Make the ledger if there is none there.")
    ] = False,
    by: By = None,
    as_json: Json = False,
) -> None:
    """
    Take over the effects of a file that `tallystick export` wrote.

    All of it is checked before anything is written; an import that was cut off is done again.
    Nothing that comes in can start before a person decides about it here. The exit code is 1 where
    something was left out.
    """
    with answering(json=as_json) as answer:
        if create:
            _make(ledger)
        with opened(ledger, tenant) as book:
            source: Any = sys.stdin.buffer if file == _STDIO else file
            done = book.load(source, on_conflict="skip" if skip else "refuse", by=person(by))
        answer.give(done, lambda: _loaded(done))
    if done.skipped:
        raise typer.Exit(NO)


def _make(ledger: str) -> None:
    """Make the tables where there are none, and the file where it is one."""
    from pathlib import Path

    from tallystick.cli._db import translated
    from tallystick.stores import _schema

    url = ledger if "://" in ledger else f"sqlite:///{ledger}"
    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).touch()
    with translated():
        _schema.upgrade(engine_for(located(ledger, tables=False)))


def _loaded(done: Loaded) -> list[RenderableType]:
    said: list[RenderableType] = [
        Text(
            f"{done.effects:,} effects: {done.imported:,} imported, {done.known:,} known before.",
            style="green",
        )
    ]
    if done.asked or done.in_doubt:
        waiting = f"{done.asked:,} to decide and {done.in_doubt:,} in doubt: `tallystick inbox`"
        said.append(Text(f"For a person: {waiting}.", style="yellow"))
    if done.skipped:
        left = f"{done.skipped:,} left out: the ledger has other records under their keys"
        said.append(Text(visible("\n".join([f"{left}.", *done.conflicts])), style="red"))
    return said
