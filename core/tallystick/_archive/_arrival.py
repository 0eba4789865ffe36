"""
What becomes of a record that comes from elsewhere: pure rules.

Nothing that is imported may start without a person's word *here*. What has an outcome keeps it.
What could be started is asked for again, and so is a run that was open, or its undoing; what was
under way, or in doubt, is in doubt and under no guarantee that would repeat it by itself: nobody
knows what its old ledger has done since. What was being undone is shown to a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tallystick._acts import EventRow
from tallystick._archive._acts import Item, Record
from tallystick._budgets._topups import reserved
from tallystick._changes import Change, chained
from tallystick._model import OVER, Guarantee, Row, Status
from tallystick._tombstones import Tombstone, quotes_seals, tombstone, unquoted
from tallystick._undoing._tools import COMPENSATE, RUN
from tallystick._vault import is_sealed

#: what the inbox calls a question that waits for a decision
ASKED = frozenset({"approval", "suspect", "budget"})
DOUBT = "in_doubt"
_FINAL = frozenset({*OVER, Status.COMPENSATION_FAILED})


def arrive(record: Record, now: int, by: str) -> Record:
    """The record as it is written here; *record* itself where nothing about it can start."""
    record = legible(record, now, by)
    change = _change(record)
    if change is None:
        items = _items(record, record.row, now, "")
        return record if items == record.items else record._replace(items=items)
    row = record.row
    said = Change(event="imported", actor=by, detail=change.detail)
    event = chained(row, said, now, change.columns.get("epoch", row.epoch))
    columns = {**change.columns, "events": event.n, "head": event.hash}
    if columns.get("status", row.status) != row.status:
        columns["changed_at"] = now
    after = row._replace(**columns)
    items = _items(record, after, now, change.note)
    return record._replace(row=after, events=(*record.events, event), items=items)


def legible(record: Record, now: int, by: str) -> Record:
    """The record without what only a key opens that is not in the archive: a tombstone says so."""
    row = record.row
    stone: Tombstone | None = None
    if is_sealed(row.args) or is_sealed(row.edited) or is_sealed(row.result):
        stone = tombstone(row, record.events, by, now)
    elif any(map(quotes_seals, record.events)):
        stone = unquoted(row, record.events, by, now)
    if stone is None:
        return record
    changed = {event.n: event for event in stone.stripped}
    events = [changed.get(event.n, event) for event in record.events]
    return record._replace(row=row._replace(**stone.columns), events=(*events, stone.event))


def _change(record: Record) -> Change | None:
    """What has to be changed about a record before it may be here; ``None``: nothing."""
    row = record.row
    if row.status in _FINAL and row.result_note != "retryable":
        return None
    if row.status == Status.COMPENSATING:
        return _to(row, Status.COMPENSATION_FAILED, "it was being undone in another ledger")
    if reserved(row.tool) and row.tool not in (RUN, COMPENSATE):
        return _to(row, Status.CANCELLED, "the ledger that asked for it is another one")
    return _open(record)


def _open(record: Record) -> Change | None:
    """What could begin or go on: as a question, or as a doubt where it may have happened."""
    row = record.row
    asks = row.status in (*_FINAL, Status.PENDING, Status.APPROVED) or row.tool in (RUN, COMPENSATE)
    if row.guarantee == Guarantee.READ_ONLY and row.status != Status.PENDING:
        return _to(row, Status.FAILED, "each call of it is its own", result_note=None)
    if not asks:
        return _doubt(row)
    return None if _asked(record) else _ask(row)


def _asked(record: Record) -> bool:
    """Whether it waits for a decision, towards which nobody has said anything yet."""
    row = record.row
    return row.status == Status.PENDING and all(vote.round != row.epoch for vote in record.votes)


def _ask(row: Row) -> Change:
    return _to(
        row,
        Status.PENDING,
        f"it was {row.status} in another ledger, and nobody has decided about it here",
        epoch=row.epoch + 1,
        edited=None,
        quorum=max(row.quorum, 1),
        result_note=None,
    )


def _doubt(row: Row) -> Change | None:
    plain = Guarantee.AT_MOST_ONCE.value
    if row.status == Status.IN_DOUBT and row.guarantee == plain:
        return None
    reason = f"it was {row.status} in another ledger when it was exported"
    return _to(row, Status.IN_DOUBT, reason, guarantee=plain)


def _to(row: Row, status: Status, reason: str, **columns: Any) -> Change:
    detail = {"was": row.status, "reason": reason}
    if columns.get("guarantee", row.guarantee) != row.guarantee:
        detail["guarantee"] = row.guarantee
    return Change(
        columns={"status": status.value, **columns},
        event="imported",
        actor="",
        detail=detail,
        note=reason,
    )


def _items(record: Record, row: Row, now: int, note: str) -> tuple[Item, ...]:
    """What the inbox shows of it here: what waits for a person waits for one here, too."""
    if row.status in OVER and not record.items:
        return ()
    pending, doubtful = row.status == Status.PENDING, row.status == Status.IN_DOUBT
    kept = [
        item
        for item in record.items
        if (pending if item.kind in ASKED else doubtful or item.kind != DOUBT)
    ]
    kinds = {item.kind for item in kept}
    if pending and not kinds & ASKED:
        kept.append(Item("approval", now, row.approval_until, note))
    if row.status == Status.COMPENSATION_FAILED and row.tool != RUN and note:
        kept.append(Item("compensation", now, None, note))
    if doubtful and DOUBT not in kinds:
        kept.append(Item(DOUBT, now, None, note))
    return tuple(kept)


def moved_on(mine: Record, theirs: Record) -> bool:
    """
    Whether the ledger's own record is the archive's, or has only moved on from it.

    Its events begin with those of the archive; without further ones it is the same, or the attempt
    that was under way has come to its end.
    """
    ours, row = mine.row, theirs.row
    if any(getattr(ours, name) != getattr(row, name) for name in _SAME):
        return False
    if _hushed(mine.events[: row.events]) != _hushed(theirs.events):
        return False
    if ours.events > row.events or is_sealed(ours.args):
        return True
    under_way = row.status == Status.RUNNING
    return ours._replace(awaited=False) == row or (
        under_way and (ours.epoch, ours.nonce) == (row.epoch, row.nonce)
    )


def _hushed(chain: Sequence[EventRow]) -> list[EventRow]:
    """Events by their hashes: one that lost what it quoted is still the same."""
    return [event._replace(detail="") for event in chain]


#: what never changes about an effect
_SAME = ("key", "tenant", "workflow", "tool", "call_id", "digest", "shown", "created_at")
