"""The kill switch, by hand."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from tallystick.cli import _render
from tallystick.cli._answer import NO, answering
from tallystick.cli._look import tidied
from tallystick.cli._options import DEFAULT, By, Json, LedgerUrl, Tenant, person
from tallystick.cli._plain import visible
from tallystick.cli._target import opened

Tool = Annotated[str | None, typer.Option(help="Only this tool.")]
Workflow = Annotated[str | None, typer.Option(help="Only this workflow.")]
Everywhere = Annotated[bool, typer.Option("--everywhere", help="For every tenant.")]
Why = Annotated[str, typer.Option("--reason", help="Why: callers are told.")]


def halt(
    *,
    reason: Why,
    tool: Tool = None,
    workflow: Workflow = None,
    everywhere: Everywhere = False,
    drain: Annotated[
        bool, typer.Option("--drain", help="Let what has begun be finished and retried.")
    ] = False,
    by: By = None,
    ledger: LedgerUrl = DEFAULT,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """
    Let no effect start: of a tool, of a workflow, of the tenant, or at all.

    Without --tool or --workflow it is everything of the tenant. What is running runs on.
    """
    who = person(by)
    mode = "drain" if drain else "halt"
    with answering(json=as_json) as answer, opened(ledger, tenant) as book:
        book.halt(
            by=who, reason=reason, tool=tool, workflow=workflow, everywhere=everywhere, mode=mode
        )
        what = _render.scope(None if everywhere else tenant, tool, workflow)
        value = {
            "tenant": None if everywhere else tenant,
            "tool": tool,
            "workflow": workflow,
            "mode": mode,
            "by": who,
            "reason": reason,
        }
        answer.give(value, lambda: Text(f"Halted: {visible(what)}.", style="bold red"))


def unhalt(
    *,
    tool: Tool = None,
    workflow: Workflow = None,
    everywhere: Everywhere = False,
    containment: Annotated[
        str | None, typer.Option(metavar="KEY", help="All that this containment froze.")
    ] = None,
    by: By = None,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    ledger: LedgerUrl = DEFAULT,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """
    Lift the halt of exactly this scope, or all that a containment froze.

    The exit code is 1 where there was none.
    """
    who = person(by)
    with answering(json=as_json) as answer, opened(ledger, tenant) as book:
        lifted = book.unhalt(
            by=who,
            reason=reason,
            tool=tool,
            workflow=workflow,
            everywhere=everywhere,
            containment=None if containment is None else tidied(containment),
        )
        what = visible(_render.scope(None if everywhere else tenant, tool, workflow))
        if containment is not None:
            what = f"what {visible(tidied(containment))} froze"
        says = f"Lifted: {what}." if lifted else f"There was no halt of {what}; see them: halts"
        answer.give({"lifted": lifted}, lambda: Text(says, style="green" if lifted else "yellow"))
    if not lifted:
        raise typer.Exit(NO)
