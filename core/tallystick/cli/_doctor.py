"""The command that asks whether all is well with a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.console import RenderableType
from rich.text import Text

from tallystick.cli import _render
from tallystick.cli._answer import NO, answering
from tallystick.cli._db import translated
from tallystick.cli._options import DEFAULT, Json, LedgerUrl, Tenant
from tallystick.cli._target import located, masked

if TYPE_CHECKING:
    from tallystick.cli._case import Check

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(ledger: LedgerUrl = DEFAULT, tenant: Tenant = "default", as_json: Json = False) -> None:
    """
    Ask whether the database is sound, current, durable, and used as it may be.

    The exit code is 1 where a check failed; warnings leave it at 0.
    """
    with answering(json=as_json) as answer, translated():
        url = located(ledger, tables=False)
        from tallystick.cli._checks import examine

        checks = list(examine(url, tenant))
        healthy = all(check.state != "fail" for check in checks)
        value = {"ledger": masked(url), "healthy": healthy, "checks": checks}
        answer.give(value, lambda: _report([_line(check) for check in checks]))
    if not healthy:
        raise typer.Exit(NO)


def _line(check: Check) -> tuple[Text, Text, Text, Text]:
    state = Text(check.state, style=_COLOURS[check.state])
    return state, Text(check.name), _render.cell(check.says), _render.cell(check.next)


def _report(lines: list[tuple[Text, Text, Text, Text]]) -> RenderableType:
    made = _render.table("", "check", "found", "next")
    for line in lines:
        made.add_row(*line)
    return made
