"""What people see: tables, and one effect in full."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tallystick._model import Effect, Event, Halt, InboxItem, Status
from tallystick.cli import _topup
from tallystick.cli._plain import ago, compact, moment, pretty, visible

#: as many characters of a key as people are shown, or more where that is not enough
SHORT = 12
_ARGS = 60
#: a worker's name is a random one, and its beginning enough
_HEX = re.compile("[0-9a-f]{32}")
_WORKER = 8
_WHOLE = {"key", "status", "what", "age", "left", "at", "#", ""}

_COLOURS = {
    Status.PENDING: "yellow",
    Status.APPROVED: "cyan",
    Status.RUNNING: "blue",
    Status.SUCCEEDED: "green",
    Status.FAILED: "red",
    Status.IN_DOUBT: "bold magenta",
    Status.COMPENSATING: "yellow",
    Status.COMPENSATION_FAILED: "bold red",
}


def table(*columns: str) -> Table:
    """An empty table; what is copied from it, or short, is never cut or broken."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold", no_wrap=column in _WHOLE)
    return made


def cell(text: object, style: str = "") -> Text:
    """A table's cell, on one line."""
    return Text(visible(str(text)).replace("\n", " "), style=style)


def status_of(effect: Effect) -> Text:
    """A status in its colour."""
    return Text(str(effect.status).replace("_", " "), _COLOURS.get(effect.status, "dim"))


def shortest(keys: Iterable[str]) -> int:
    """How many characters tell these keys apart."""
    known = set(keys)
    length = SHORT
    while len({key[:length] for key in known}) < len(known):
        length += 1
    return length


def effects(found: Sequence[Effect]) -> RenderableType:
    """Effects, one a line."""
    if not found:
        return Text("No effects fit.")
    made = table("key", "status", "call", "workflow", "age")
    length = shortest(effect.key for effect in found)
    for effect in found:
        made.add_row(
            effect.key[:length],
            status_of(effect),
            call(effect),
            cell(effect.workflow),
            ago(effect.created_at),
        )
    return made


def call(effect: Effect) -> Text:
    """What an effect does, in short: a list is for finding it, `show` and `approve` for reading."""
    if _topup.is_topup(effect):
        return cell(_topup.sentence(effect))
    args = compact(effect.args if effect.edited_args is None else effect.edited_args)
    short = args if len(args) <= _ARGS else f"{args[: _ARGS - 1]}…"
    return cell(f"{effect.tool} ", "bold") + Text(short)


def inbox(items: Sequence[InboxItem]) -> RenderableType:
    """What waits for a person."""
    if not items:
        return Text("Nothing waits for a person.")
    made = table("key", "what", "call", "workflow", "age", "left")
    length = shortest(item.effect.key for item in items)
    for item in items:
        said = call(item.effect)
        if item.note and not _topup.is_topup(item.effect):
            said += Text("\n") + cell(item.note, "yellow")
        made.add_row(
            item.effect.key[:length],
            cell(item.kind.replace("_", " "), "bold"),
            said,
            cell(item.effect.workflow),
            ago(item.opened_at),
            ago(item.due_at),
        )
    return Group(made, Text(_next(items[0], length)))


def _next(item: InboxItem, length: int) -> str:
    key = item.effect.key[:length]
    if item.kind == "budget":
        return f"Next: tallystick approve {key} (--raise AMOUNT for another one; or deny)"
    if item.kind == "compensation":
        workflow = shlex.quote(visible(item.effect.workflow))
        return f"Next: tallystick compensate {workflow} (or resolve {key} --happened by hand)"
    if item.kind in {"approval", "suspect"}:
        return f"Next: tallystick approve {key} (or deny)"
    return f"Next: tallystick resolve {key} --happened (or --did-not-happen --reason …)"


def halts(found: Sequence[Halt]) -> RenderableType:
    """Halts in force."""
    if not found:
        return Text("Nothing is halted.")
    made = table("what", "mode", "by", "since", "reason")
    for halt in found:
        made.add_row(
            cell(scope(halt.tenant, halt.tool, halt.workflow)),
            cell(halt.mode),
            cell(halt.by),
            moment(halt.at),
            cell(halt.reason),
        )
    return made


def scope(tenant: str | None, tool: str | None, workflow: str | None) -> str:
    """What a halt is about, in words."""
    parts = [f"tool {tool}" if tool else "", f"workflow {workflow}" if workflow else ""]
    what = " in ".join(part for part in parts if part) or "everything"
    return f"{what} of {f'tenant {tenant}' if tenant is not None else 'every tenant'}"


def facts(pairs: Iterable[tuple[str, object]]) -> Table:
    """Names and values; a value is never cut."""
    made = Table(box=None, show_header=False, pad_edge=False)
    made.add_column(style="dim")
    made.add_column(overflow="fold")
    for name, value in pairs:
        if value not in (None, ""):
            made.add_row(name, value if isinstance(value, Text) else Text(visible(str(value))))
    return made


def effect(one: Effect, more: Iterable[tuple[str, object]] = ()) -> list[RenderableType]:
    """One effect in full; *more* is known of it, too."""
    attempts = f"{one.attempt} (epoch {one.epoch}, holder {one.holder or 'none'})"
    pairs: list[tuple[str, object]] = [
        ("key", one.key),
        ("status", status_of(one)),
        ("tool", one.tool),
        ("workflow", one.workflow),
        ("tenant", one.tenant),
        ("call id", one.call_id),
        ("guarantee", one.guarantee),
        ("attempts", attempts),
        ("created", moment(one.created_at)),
        ("started", moment(one.started_at)),
        ("changed", moment(one.changed_at)),
        ("approval until", moment(one.approval_until)),
        ("digest", one.digest),
        *more,
    ]
    parts: list[RenderableType] = [facts(pairs)]
    if _topup.is_topup(one):
        parts += [_title("asks to"), Text(visible(_topup.sentence(one)))]
    if one.payload_dropped_at is not None:
        when = moment(one.payload_dropped_at)
        return [*parts, _title("payload dropped"), Text(f"on {when}"), *error(one.error)]
    if one.payload_sealed:
        said = "give the key in TALLYSTICK_KEY"
        return [*parts, _title("payload encrypted"), Text(said), *error(one.error)]
    parts += value("arguments", one.args)
    if one.edited_args is not None:
        parts += value("arguments as edited by the approver", one.edited_args)
    if one.status is Status.SUCCEEDED:
        parts += value("result", one.result) if one.result_stored else [_title("result not stored")]
    return parts + error(one.error)


def value(title: str, it: Any) -> list[RenderableType]:
    """A value in full under its title."""
    return [_title(title), Text(pretty(it))]


def error(found: dict[str, Any] | None) -> list[RenderableType]:
    """What an attempt ended with, traceback and all."""
    if not found:
        return []
    kind = str(found.get("type", "error")).removeprefix("builtins.")
    lines = f"{kind}: {found.get('message', '')}"
    parts: list[RenderableType] = [_title("error"), Text(visible(lines), style="red")]
    if by := found.get("by"):
        parts.append(Text(visible(f"said by {by}")))
    if traceback := found.get("traceback"):
        parts.append(Text(visible(str(traceback).rstrip()), style="dim"))
    return parts


def history(events: Sequence[Event]) -> list[RenderableType]:
    """What happened off the straight path."""
    if not events:
        return []
    made = table("#", "at", "what", "by", "epoch", "detail")
    for event in events:
        made.add_row(
            str(event.n),
            moment(event.at),
            cell(event.kind.replace("_", " ")),
            cell(event.actor[:_WORKER] if _HEX.fullmatch(event.actor) else event.actor),
            str(event.epoch),
            cell(compact(event.detail)),
        )
    return [_title("history"), made]


def _title(text: str) -> Text:
    return Text(f"\n{text}", style="bold")
