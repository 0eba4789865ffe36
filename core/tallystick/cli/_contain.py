"""When something went wrong: freeze it, look, undo it, and see what stays."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from tallystick._undoing._containment import Affected, Containment
from tallystick.cli import _given, _render
from tallystick.cli._answer import NO, Answer, answering
from tallystick.cli._look import tidied
from tallystick.cli._options import DEFAULT, By, Json, LedgerUrl, Tenant, person
from tallystick.cli._plain import moment, visible
from tallystick.cli._runs import Modules, import_all
from tallystick.cli._target import opened

_SAYS = {
    "undoable": ("can be undone", "green"),
    "done": ("undone", "green"),
    "withdrawn": ("withdrawn", "green"),
    "failed": ("failed", "bold red"),
    "missing": ("missing", "bold red"),
    "in_doubt": ("in doubt", "bold red"),
    "refused": ("refused", "bold red"),
    "waiting": ("waits", "yellow"),
    "kept": ("stays", "dim"),
}


def contain(
    *,
    workflow: Annotated[
        str | None, typer.Option(help="Only this workflow, and the runs inside of it.")
    ] = None,
    agent: Annotated[
        str | None, typer.Option(help="Only the runs with this label `agent`.")
    ] = None,
    tool: Annotated[str | None, typer.Option(help="Only this tool.")] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="90m|2h|1d|TIME", help="Only what changed since then."),
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="KEY", help="Go on with one that was cut off.")
    ] = None,
    only_list: Annotated[
        bool, typer.Option("--list", help="Freeze and undo nothing; say what could be undone.")
    ] = False,
    dependents: Annotated[
        bool, typer.Option("--dependents", help="Also what depends on it, and so on.")
    ] = False,
    modules: Modules = None,
    by: By = None,
    reason: Annotated[str, typer.Option(help="Why: callers are told.")] = "",
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for others.")] = 60.0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    ledger: LedgerUrl = DEFAULT,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """
    Freeze what went wrong, undo it newest first, and say what stays.

    Shows what can still be undone and until when, and asks. Nothing starts any more where it
    happened, until `tallystick unhalt --containment KEY`. What later effects depend on is not
    undone. The exit code is 1 where something is left to do.
    """
    who = person(by)
    if as_json and not (yes or only_list):
        raise typer.BadParameter("with --json nobody is asked: add --yes", param_hint="--json")
    chosen: dict[str, Any] = {
        "workflow": workflow,
        "agent": agent,
        "tool": tool,
        "since": _since(since),
    }
    with answering(json=as_json) as answer, opened(ledger, tenant) as book:
        import_all(modules or [])
        book.learn_compensations()
        if resume is None:
            listed = book.contain(**chosen, dependents=dependents, undo=False)
            if only_list:
                answer.give(listed, lambda: [*_table(listed), _horizon(listed)])
                return
            _confirm(answer, listed, who, ask=not yes)
            # what was shown is what is contained, however long the answer took
            chosen |= {"since": listed.since, "by": who}
            chosen["reason"] = reason or f"{who} contained it"
        else:
            chosen["resume"] = tidied(resume)
        done = asyncio.run(book.acontain(**chosen, dependents=dependents, wait=wait))
        answer.give(done, lambda: [*_table(done), *_outcome(done)])
    if not done.complete:
        raise typer.Exit(NO)


def _since(text: str | None) -> datetime | timedelta | None:
    """So long ago by the clock of the database, or a moment."""
    return None if text is None else _given.span(text) or _given.since(text)


def _confirm(answer: Answer, listed: Containment, who: str, *, ask: bool) -> None:
    if answer.json:
        return
    for part in [*_table(listed), _horizon(listed)]:
        answer.say(part)
    if ask and not typer.confirm(f"\nFreeze it, and undo what can be undone, as {who}?"):
        typer.echo("Nothing was contained.", err=True)
        raise typer.Exit(NO)


def _table(found: Containment) -> list[RenderableType]:
    lines = [(name, one) for name in _SAYS for one in getattr(found, name)]
    if not lines:
        return [Text("Nothing is recorded that could be undone.")]
    length = _render.shortest(one.key for _, one in lines)
    made = _render.table("key", "what", "tool", "workflow", "at", "until", "reason")
    for name, one in sorted(lines, key=lambda line: line[1].at, reverse=True):
        says, style = _SAYS[name]
        made.add_row(
            one.key[:length],
            Text(says, style=style),
            _render.cell(one.tool),
            _render.cell(one.workflow),
            moment(one.at),
            moment(one.until),
            _render.cell(_why(one)),
        )
    return [made]


def _why(one: Affected) -> str:
    said = [one.reason]
    if one.residue:
        said.append(f"leaves {one.residue}")
    if one.one_shot:
        said.append("is tried once")
    return "; ".join(filter(None, said))


def _horizon(listed: Containment) -> Text:
    """How much can be undone, and how long."""
    can, cannot = len(listed.undoable), len(listed.stays) - len(listed.undoable)
    says = f"Can be undone: {can}"
    if listed.closes_at is not None:
        says += f", until the first closes at {moment(listed.closes_at)}"
    return Text(f"{says}. Cannot: {cannot}.", style="green" if not cannot else "yellow")


def _outcome(done: Containment) -> list[RenderableType]:
    undone, stays = len(done.done), len(done.stays)
    says = f"{undone} undone, {len(done.withdrawn)} withdrawn; {stays} of it stay in the world."
    parts: list[RenderableType] = [Text(says, style="green" if done.complete else "bold red")]
    key = str(done.key)[: _render.SHORT]
    if done.frozen:
        many = f"{len(done.frozen)} scope{'s' if len(done.frozen) > 1 else ''}"
        says = f"Frozen: {many}, until `tallystick unhalt --containment {key}`."
        parts.append(Text(says, style="yellow"))
    if not done.complete:
        says = f"Something is left to do. Next: tallystick inbox; the report: tallystick show {key}"
        parts.append(Text(visible(says)))
    return parts
