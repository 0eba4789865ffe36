"""The commands that look."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from tallystick._model import Status, Verification
from tallystick.cli import _render, _undo
from tallystick.cli._answer import NO, answering
from tallystick.cli._options import DEFAULT, Json, Key, LedgerUrl, Tenant
from tallystick.cli._plain import visible
from tallystick.cli._target import opened


def inbox(ledger: LedgerUrl = DEFAULT, tenant: Tenant = "default", as_json: Json = False) -> None:
    """
    Show what waits for a person: approvals, effects in doubt, conflicts.

    What dead processes left running is put in doubt first, so that nothing is missing here.
    """
    with answering(json=as_json) as answer, opened(ledger, tenant) as book:
        book.recover()
        items = book.pending()
        answer.give(items, lambda: _render.inbox(items))


def effects(
    *,
    ledger: LedgerUrl = DEFAULT,
    tenant: Tenant = "default",
    workflow: Annotated[str | None, typer.Option(help="Only of this workflow.")] = None,
    tool: Annotated[str | None, typer.Option(help="Only of this tool.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only in this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="As many as this.")] = 50,
    as_json: Json = False,
) -> None:
    """List effects, newest first."""
    with answering(json=as_json) as answer, opened(ledger, tenant) as book:
        found = book.effects(workflow=workflow, tool=tool, status=status, limit=limit)
        answer.give(found, lambda: _render.effects(found))


def show(
    key: Key, ledger: LedgerUrl = DEFAULT, tenant: Tenant = "default", as_json: Json = False
) -> None:
    """
    Show one effect in full: arguments, result, error, how it can be undone, and history.

    Of a run that is being undone it also shows how far that is.
    """
    with answering(json=as_json) as answer, opened(ledger, tenant) as book:
        effect = book.get(tidied(key))
        events, plan = book.history(effect.key), book.undo_of(effect.key)
        done = book.undone(effect.workflow) if _undo.is_undone(effect) else None
        value = {"effect": effect, "undo": plan, "compensation": done, "history": events}
        more = _undo.report(done) if done is not None else []
        answer.give(
            value,
            lambda: [
                *_render.effect(effect, _undo.pairs(plan)), *more, *_render.history(events),
            ],
        )  # fmt: skip


def halts(ledger: LedgerUrl = DEFAULT, tenant: Tenant = "default", as_json: Json = False) -> None:
    """List what is halted."""
    with answering(json=as_json) as answer, opened(ledger, tenant) as book:
        found = book.halts()
        answer.give(found, lambda: _render.halts(found))


def verify(
    *,
    ledger: LedgerUrl = DEFAULT,
    tenant: Tenant = "default",
    seal: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Compare with the seals in this file, too.")
    ] = None,
    public_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The key that the seals were signed for.")
    ] = None,
    last_root: Annotated[
        str | None,
        typer.Option(metavar="HEX", help="The root that the last seal has to have."),
    ] = None,
    as_json: Json = False,
) -> None:
    """
    Check every result and every history against its hashes, and against what was sealed.

    The exit code is 1 where something does not fit.
    """
    with answering(json=as_json) as answer, opened(ledger, tenant) as book:
        found = book.verify(seal=seal, public_key=public_key, last_root=last_root)
        value = {
            "sound": found.sound,
            "effects": found.effects,
            "events": found.events,
            "damage": found.damage,
            "unchecked": found.unchecked,
        }
        answer.give(value, lambda: _verification(found))
    if not found.sound:
        raise typer.Exit(NO)


def _verification(found: Verification) -> list[RenderableType]:
    counted = f"{found.effects:,} effects and {found.events:,} events"
    if found.unchecked:
        counted += f" ({found.unchecked:,} encrypted without their key: payloads not checked)"
    if found.sound:
        return [Text(f"{counted}: sound.", style="green")]
    made = _render.table("key", "what is wrong")
    for damage in found.damage:
        made.add_row(damage.key, visible(damage.what))
    count = len(found.damage)
    return [made, Text(f"{counted}: {count} damaged.", style="bold red")]


def tidied(key: str) -> str:
    """A key as it was typed or copied, as the ledger knows it."""
    return key.strip().rstrip("….").lower()
