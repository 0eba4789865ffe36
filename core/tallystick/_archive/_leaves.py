"""
What a seal says of a record, and whether the record still is what was sealed: pure.

A leaf has a part that never changes (what the effect is) and one that does (what became of it). A
record may move on after its seal; each deed then adds an event, so its chain has to go on from the
sealed one, and a result that was sealed stays the result. Without a further event nothing may have
changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, cast

from tallystick._acts import EventRow
from tallystick._archive._acts import Numbered, Record
from tallystick._archive._lines import compact
from tallystick._archive._shapes import Shape, columns_of
from tallystick._changes import UNDOING
from tallystick._model import Row, Status
from tallystick._undoing._plan import without_image

#: never changes about an effect
_FIXED = frozenset({
    "key", "tenant", "workflow", "tool", "call_id", "guarantee", "digest", "shown", "quiet",
    "key_lifetime", "created_at",
})  # fmt: skip
#: what may become another one, with which event, and what it is
_MOVED = (("plan", "started", "how it is undone"), ("place", "placed", "where it was asked for"))
_OPEN = frozenset({Status.PENDING, Status.APPROVED, Status.RUNNING})


class Leaf(NamedTuple):
    """A record as it was sealed."""

    key: bytes
    fixed: bytes
    state: bytes
    events: int
    head: bytes | None
    #: the digest of the result, once there is one: it stays
    outcome: bytes | None
    #: when it changed last
    at: int
    #: of how it is undone, without what was there before; an attempt may bring another one
    plan: bytes | None = None
    #: of the places at which it was asked for; one more is an event
    place: bytes | None = None


class Chain(NamedTuple):
    """A chain of events that belongs to no effect, as it was sealed."""

    key: bytes
    events: int
    head: bytes


LEAF: Final = Shape(columns_of(Leaf))
CHAIN: Final = Shape(columns_of(Chain))


def settled(record: Record) -> bool:
    """Whether a record has an outcome, if only a doubt."""
    return record.row.status not in _OPEN


def moment(record: Record) -> int:
    """When a record changed last."""
    events = record.events
    return max(record.row.changed_at, events[-1].at) if events else record.row.changed_at


def leaf_of(found: Numbered) -> Leaf:
    """The leaf of a record; *awaited* is a wish of the moment and in no leaf."""
    seq, record = found
    row = record.row
    values = row._asdict()
    del values["awaited"]
    fixed = {"seq": seq, "twin": record.twin}
    fixed |= {name: values.pop(name) for name in Row._fields if name in _FIXED}
    votes = [tuple(vote) for vote in sorted(record.votes)]
    succeeded = row.status in (Status.SUCCEEDED, *UNDOING)
    plan = without_image(record.undo)
    return Leaf(
        row.key,
        _hashed(list(fixed.values())),
        _hashed([*values.values(), record.place, record.undo, votes]),
        row.events,
        row.head,
        row.result_digest if succeeded else None,
        moment(record),
        None if plan is None else _hashed([plan]),
        None if record.place is None else _hashed([record.place]),
    )


def _hashed(values: list[Any]) -> bytes:
    return hashlib.sha256(compact(_plain(values)).encode()).digest()


def _plain(value: Any) -> Any:
    """As JSON has it; bytes in a list of their own, so that they are no text."""
    if isinstance(value, bytes):
        return [value.hex()]
    if isinstance(value, tuple | list):
        return [_plain(part) for part in cast("list[Any]", value)]
    return value


def differences(leaf: Leaf, found: Numbered) -> Iterator[str]:
    """What is not as it was sealed, nor as it can have become since."""
    now, events = leaf_of(found), found.record.events
    if now.fixed != leaf.fixed:
        yield "what it is was changed after it was sealed: its names, its arguments or its number"
    if leaf.outcome is not None and found.record.row.result_digest != leaf.outcome:
        yield "its result is another one than was sealed"
    if now.events < leaf.events:
        yield f"{leaf.events} events were sealed, {now.events} are there"
    elif now.events == leaf.events:
        if now.state != leaf.state:
            yield "what became of it was changed after it was sealed, and no event tells of that"
    elif not goes_on(leaf.events, leaf.head, events):
        yield "its events do not go on from the ones that were sealed"
    else:
        since = {event.kind for event in events[leaf.events :]}
        for name, kind, what in _MOVED:
            if getattr(now, name) != getattr(leaf, name) and kind not in since:
                yield f"{what} was changed after it was sealed, and no event tells of that"


def goes_on(events: int, head: bytes | None, chain: Sequence[EventRow]) -> bool:
    """Whether a chain begins with so many events, the last of which has this hash."""
    return events == 0 or (len(chain) >= events and chain[events - 1].hash == head)
