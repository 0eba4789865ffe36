"""
The commands about threads: ``tallystick prune`` and ``tallystick threads import``.

They are listed wherever tallystick is installed, so LangGraph is imported when one runs.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from tallystick.cli import _render
from tallystick.cli._answer import NO, Answer, answering
from tallystick.cli._options import DEFAULT, Json, LedgerUrl, Tenant, duration
from tallystick.cli._target import opened
from tallystick_checkpoint._extra import required

if TYPE_CHECKING:
    from tallystick_checkpoint._copying import Copied
    from tallystick_checkpoint._pruning import Pruned, Retained

Threads = Annotated[
    list[str] | None,
    typer.Option("--thread", metavar="ID", help="Only this thread; may be given several times."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


def prune(
    *,
    thread: Threads = None,
    older_than: Annotated[
        timedelta | None,
        typer.Option(
            parser=duration,
            metavar="30d|12h|45m",
            help="Drop what has been in this database for longer.",
        ),
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option(metavar="N", help="Keep the newest N of the root graph; 1 without it."),
    ] = None,
    dry_run: DryRun = False,
    ledger: LedgerUrl = DEFAULT,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """
    Drop old checkpoints of LangGraph's threads; every thread can go on afterwards.

    With both --older-than and --keep a checkpoint goes only if it is older and not among the
    newest. What the kept ones need stays with them. Effects are never touched.
    """
    with answering(json=as_json) as answer, required(), opened(ledger, tenant) as book:
        from tallystick._faces import run_sync
        from tallystick_checkpoint import LedgerSaver
        from tallystick_checkpoint import _pruning as pruning

        rule = pruning.Rule(keep, older_than)
        ports = LedgerSaver(book)._sync  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        seen: list[Pruned] = []
        told = seen.append if thread else None
        total = run_sync(
            pruning.retain(ports, book.tenant, rule, thread or None, dry=dry_run, told=told)
        )
        value = {"dry_run": dry_run, **total._asdict(), "by_thread": [s._asdict() for s in seen]}
        answer.give(value, lambda: _pruned(seen, total, dry=dry_run))


def _pruned(seen: list[Pruned], total: Retained, *, dry: bool) -> list[RenderableType]:
    made = _render.table("thread", "would go" if dry else "dropped", "kept")
    for one in seen:
        made.add_row(_render.cell(one.thread), f"{one.dropped:,}", f"{one.kept:,}")
    verb = "would go" if dry else "went"
    gone = f"{_many(total.dropped, 'checkpoint')} {verb}"
    says = f"{_many(total.threads, 'thread')}: {gone}, {total.kept:,} stay."
    return [*([made] if seen else []), Text(says, style="green")]


threads = typer.Typer(help="Bring LangGraph's threads into the ledger.")


@threads.callback()
def _group() -> None:  # pyright: ignore[reportUnusedFunction] - typer calls it
    """Bring LangGraph's threads into the ledger."""


@threads.command("import")
def import_(
    *,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="The database of LangGraph's SqliteSaver (sqlite:///file.db, or the file) or "
            "PostgresSaver (postgresql://…); it is only read.",
        ),
    ],
    thread: Threads = None,
    dry_run: DryRun = False,
    ledger: LedgerUrl = DEFAULT,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """
    Copy threads from LangGraph's own savers, and compare each checkpoint with its source.

    Running it again copies what is new and changes nothing else. A thread that has gone on in the
    ledger, or was deleted there, is left as it is; the exit code is 1 then.
    """
    with answering(json=as_json) as answer, required(), opened(ledger, tenant) as book:
        from tallystick_checkpoint import LedgerSaver
        from tallystick_checkpoint._copying import copying
        from tallystick_checkpoint._reading import SEALED
        from tallystick_checkpoint._stock import stock

        with stock(source) as saver:
            target = LedgerSaver(book, serde=SEALED)
            found = list(copying(saver, target, thread or None, dry_run=dry_run))
        fine = all(one.fine for one in found)
        _imported(answer, found, fine=fine, dry=dry_run)
    if not fine:
        raise typer.Exit(NO)


def _imported(answer: Answer, found: list[Copied], *, fine: bool, dry: bool) -> None:
    checked = sum(one.checkpoints for one in found if one.fine) if not dry else 0
    value: dict[str, Any] = {
        "dry_run": dry,
        "complete": fine,
        "added": sum(one.added for one in found),
        "verified": checked,
        "threads": found,
    }
    answer.give(value, lambda: _report(found, checked, dry=dry))


def _report(found: list[Copied], checked: int, *, dry: bool) -> list[RenderableType]:
    made = _render.table("thread", "", "checkpoints", "new", "why")
    counted: Counter[str] = Counter()
    for one in found:
        outcome = "to copy" if dry and one.outcome == "copied" else one.outcome
        counted[outcome] += 1
        style = "green" if one.fine else "bold red"
        made.add_row(
            _render.cell(one.thread),
            Text(outcome, style=style),
            f"{one.checkpoints:,}",
            f"{one.added:,}",
            _render.cell(one.why),
        )
    parts = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(counted.items()))
    says = f"{_many(len(found), 'thread')}: {parts or 'nothing to import'}."
    lines = [Text(says, style="green" if all(one.fine for one in found) else "yellow")]
    if dry:
        lines.append(Text("Nothing was written."))
    elif checked:
        lines.append(Text(f"{_many(checked, 'checkpoint')} read back: as in the source."))
    return [*([made] if found else []), *lines]


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
