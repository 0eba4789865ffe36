"""The acts of exports and imports, and the values that they are about."""

from __future__ import annotations

from typing import NamedTuple

from tallystick._acts import Act, EventRow
from tallystick._model import Row


class Ballot(NamedTuple):
    """One person's approval, as it is stored."""

    round: int
    actor: str
    digest: bytes
    reason: str
    at: int


class Item(NamedTuple):
    """Something in the inbox, as it is stored; whether somebody was told stays behind."""

    kind: str
    opened_at: int
    due_at: int | None
    note: str


class Record(NamedTuple):
    """An effect with all that belongs to it, read at one moment."""

    row: Row
    twin: bytes
    place: str | None
    #: how it is undone, as it is stored
    undo: str | None = None
    events: tuple[EventRow, ...] = ()
    votes: tuple[Ballot, ...] = ()
    items: tuple[Item, ...] = ()

    @property
    def size(self) -> int:
        """About how many bytes it is."""
        row = self.row
        texts = (row.args, row.result, row.error, row.edited, row.facts, self.place, self.undo)
        return sum(len(text) for text in texts if text) + 500 * (1 + len(self.events))


class Numbered(NamedTuple):
    """A record, and where it stands in its ledger."""

    seq: int
    record: Record


class Records(Act["list[Numbered]"]):
    """
    Read effects with all that belongs to them, in the order they were written.

    The answer is of one moment: no effect in it is ahead of its events, votes or questions.
    """

    tenant: str
    after: int
    limit: int
    workflow: str | None = None
    #: only what changed at this moment, in the database's microseconds, or later
    since: int | None = None
    #: look for what belongs to an effect also where it says that there is nothing
    thorough: bool = False
    #: payloads as they are stored, be it encrypted
    stored: bool = False


class Known(Act["list[Record]"]):
    """Read the effects that have these keys, whosever they are; without votes and questions."""

    keys: tuple[bytes, ...]


class PutRecords(Act["list[bytes]"]):
    """Insert effects with all that belongs to them; the keys of those that are taken already."""

    records: tuple[Record, ...]
