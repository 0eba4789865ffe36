"""
What stays of an effect when its payload goes: pure functions of what is known.

The tombstone keeps key, digests, names, outcome, times and the chain of events. Where an event
quotes what a tool was given or said, the quotation goes too, and the event that says so keeps the
hash of what is left of the other, so that every word that stays is still proven.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from tallystick._acts import EventRow
from tallystick._changes import Change, chained, event_hash, runs
from tallystick._model import Row, Status
from tallystick._vault import is_sealed

#: what stands in whatever was sealed
SEALED = "sealed"
#: the event that says what went
RETAINED = "retained"
#: what an event quotes besides a result; what an effect was before may also be a status
_QUOTES = ("error", "was")
#: events whose reason is a tool's, a probe's or a fact's words, and not a person's
_QUOTING = ("asked", "conflict", "in_doubt", "observed", "compensation_failed")


class Tombstone(NamedTuple):
    """
    The columns of a row without its payload, the event that says so, and the events that change.

    Of the latter each is as it was, but for its detail.
    """

    columns: dict[str, Any]
    event: EventRow
    stripped: list[EventRow]


def tombstone(
    row: Row, chain: Sequence[EventRow], by: str, now: int, *, imaged: bool = False
) -> Tombstone:
    """What *row* and its *chain* become when the payload is dropped; *imaged*: a plan's, too."""
    columns: dict[str, Any] = {
        "args": str(now),
        "edited": json.dumps(runs(row).hex()) if row.edited is not None else None,
        "facts": None,
        "result": None,
        "error": kind_only(row),
    }
    dropped = sorted(name for name, now_ in columns.items() if getattr(row, name) != now_)
    return _said(row, chain, by, now, columns, sorted([*dropped, *["before"] * imaged]))


def unquoted(row: Row, chain: Sequence[EventRow], by: str, now: int) -> Tombstone:
    """As :func:`tombstone`, where only what the events quote is dropped."""
    return _said(row, chain, by, now, {}, [])


def _said(
    row: Row,
    chain: Sequence[EventRow],
    by: str,
    now: int,
    columns: dict[str, Any],
    dropped: list[str],
) -> Tombstone:
    stripped = [after for event in chain if (after := _stripped(event)) is not None]
    detail: dict[str, Any] = {"dropped": dropped}
    if stripped:
        detail["residues"] = {str(event.n): _hash(event).hex() for event in stripped}
    event = chained(row, Change(event=RETAINED, actor=by, detail=detail), now, row.epoch)
    return Tombstone(columns | {"events": event.n, "head": event.hash}, event, stripped)


def quotes_seals(event: EventRow) -> bool:
    """Whether an event quotes what only a key opens."""
    if SEALED not in event.detail:
        return False
    detail: dict[str, Any] = json.loads(event.detail)
    return any(map(_sealed, detail.values()))


def _sealed(value: Any) -> bool:
    inner = cast("dict[str, Any]", value).get(SEALED) if isinstance(value, dict) else value
    return is_sealed(inner)


def kind_only(row: Row) -> str | None:
    """What an attempt ended with, without the words; a person's refusal is no payload."""
    if row.error is None or row.status == Status.DENIED:
        return row.error
    said = json.loads(row.error)
    kept = {"type": said.get("type", ""), "message": "", "traceback": ""}
    return json.dumps(kept | ({"by": said["by"]} if "by" in said else {}))


def _stripped(event: EventRow) -> EventRow | None:
    """*event* without what it quotes; ``None`` where it quotes nothing."""
    detail: dict[str, Any] = json.loads(event.detail)
    left = {name: value for name, value in detail.items() if not _quotes(event.kind, name, value)}
    if left == detail:
        return None
    return event._replace(detail=json.dumps(left, sort_keys=True, separators=(",", ":")))


def _quotes(kind: str, name: str, value: object) -> bool:
    if name == "reason":
        return kind in _QUOTING
    return name == "result" or (name in _QUOTES and isinstance(value, Mapping))


def _hash(event: EventRow) -> bytes:
    key, n, kind, actor, moment, epoch, detail, previous, _ = event
    return event_hash(previous, key, n, kind, actor, moment, epoch, detail)


def residues(chain: Sequence[EventRow]) -> dict[int, bytes]:
    """By number, the hash of what is left of each event that lost a quotation."""
    found: dict[int, bytes] = {}
    for event in chain:
        if event.kind == RETAINED:
            said: dict[str, str] = json.loads(event.detail).get("residues", {})
            found |= {int(n): bytes.fromhex(digest) for n, digest in said.items()}
    return found


def told(chain: Sequence[EventRow]) -> bool:
    """Whether the chain says that the payload was dropped."""
    return any(e.kind == RETAINED and json.loads(e.detail)["dropped"] for e in chain)
