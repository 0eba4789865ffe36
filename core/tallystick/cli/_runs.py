"""Runs, and undoing what one did."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from tallystick._undoing._report import Run, RunStatus
from tallystick.cli import _render, _undo
from tallystick.cli._answer import NO, answering
from tallystick.cli._options import DEFAULT, By, Json, LedgerUrl, Tenant, person
from tallystick.cli._plain import ago
from tallystick.cli._target import opened
from tallystick.errors import CompensationIncomplete, InvalidCall

Modules = Annotated[
    list[str] | None,
    typer.Option("--import", metavar="MODULE", help="Where compensations are; repeatable."),
]


def runs(
    *,
    status: Annotated[RunStatus | None, typer.Option(help="Only in this status.")] = None,
    parent: Annotated[str | None, typer.Option(help="Only those inside of this run.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="As many as this.")] = 50,
    ledger: LedgerUrl = DEFAULT,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """
    List runs, newest first.

    What dead processes left open is shown as stopped: whoever opens it goes on.
    """
    with answering(json=as_json) as answer, opened(ledger, tenant) as book:
        book.recover()
        found = book.runs(status=status, parent=parent, limit=limit)
        answer.give(found, lambda: _table(found))


def compensate(
    workflow: Annotated[str, typer.Argument(metavar="WORKFLOW", help="What is to be undone.")],
    *,
    to: Annotated[str | None, typer.Option(help="Only back to this savepoint.")] = None,
    modules: Modules = None,
    by: By = None,
    reason: Annotated[str, typer.Option(help="Why: kept in the history.")] = "",
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for others.")] = 60.0,
    ledger: LedgerUrl = DEFAULT,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """
    Undo what a workflow did, newest first; go on where another process died in it.

    Functions are found by the names that were recorded, in what --import names; a record alone
    makes nothing run. The exit code is 1 where something is left to do.
    """
    who = person(by)
    with answering(json=as_json) as answer, opened(ledger, tenant) as book:
        import_all(modules or [])
        book.learn_compensations()
        try:
            done = asyncio.run(book.acompensate(workflow, to=to, by=who, reason=reason, wait=wait))
        except CompensationIncomplete as incomplete:
            done = incomplete.compensation
        answer.give(done, lambda: _undo.report(done))
    if not done.complete:
        raise typer.Exit(NO)


def import_all(modules: Sequence[str]) -> None:
    """Import modules by their names, from the current folder, too."""
    folder = os.getcwd()  # noqa: PTH109 - as an entry of the path
    if folder not in sys.path:
        sys.path.insert(0, folder)
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:
            raise InvalidCall(f"--import {module}: {type(error).__name__}: {error}") from error


def _table(found: Sequence[Run]) -> RenderableType:
    if not found:
        return Text("No runs fit.")
    made = _render.table("run", "status", "kind", "attempts", "parent", "age")
    for run in found:
        made.add_row(
            _render.cell(run.id),
            _render.cell(run.status.replace("_", " ")),
            _render.cell(run.kind or ""),
            str(run.attempts),
            _render.cell(run.parent or ""),
            ago(run.created_at),
        )
    return made
