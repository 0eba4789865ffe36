"""The records of one workflow, and which of them a call is answered from."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from tallystick._acts import Act
from tallystick._budgets._topups import ANSWER, reserved
from tallystick._model import Row

#: a compensation has the key of the effect that it undoes for a call id
_KEY = re.compile("[0-9a-f]{64}")
#: records that are read at once
PAGE = 5000


class Record(NamedTuple):
    """One recorded effect, as a replay sees it."""

    seq: int
    row: Row
    #: keys of the effects whose tools were running around it
    within: tuple[bytes, ...]

    @property
    def caused(self) -> tuple[bytes, ...]:
        """Keys of the effects because of which it was made: around it, or undone by it."""
        undoes = self.row.call_id or ""
        return (*self.within, bytes.fromhex(undoes)) if _KEY.fullmatch(undoes) else self.within


class ReadRecords(Act[list[Record]]):
    """Read the effects of a workflow in the order in which they were asked for."""

    scope: bytes
    after: int = 0
    limit: int = PAGE


class Asked(NamedTuple):
    """What a replay is told of a call."""

    tool: str
    workflow: str
    call_id: str | None
    key: bytes
    digest: bytes
    #: the arguments as they would be recorded; rarely asked for
    shown: Callable[[], str]


class Records:
    """What is recorded of one workflow; each record answers one intent."""

    def __init__(self, records: Iterable[Record]) -> None:
        every = list(records)
        self._known = bool(every)
        asked = (r for r in every if r.row.tool == ANSWER or not reserved(r.row.tool))
        self._all = {record.row.key: record for record in asked}
        self._like: dict[tuple[str, bytes], OrderedDict[bytes, Record]] = {}
        self._tools: dict[str, OrderedDict[bytes, Record]] = {}
        for key, record in self._all.items():
            row = record.row
            self._like.setdefault((row.tool, row.digest), OrderedDict())[key] = record
            self._tools.setdefault(row.tool, OrderedDict())[key] = record

    def __bool__(self) -> bool:
        """Whether anything is recorded, be it only that there was a run."""
        return self._known

    def named(self, key: bytes) -> Record | None:
        """The record under exactly this key."""
        return self._all.get(key)

    def alike(self, asked: Asked) -> Record | None:
        """A record of the same tool and arguments that answered nobody yet."""
        return _first(self._like.get((asked.tool, asked.digest)), asked.call_id)

    def other(self, asked: Asked) -> Record | None:
        """A record of the same tool that answered nobody yet, whatever its arguments."""
        return _first(self._tools.get(asked.tool), asked.call_id)

    def take(self, record: Record) -> None:
        """From now on it has answered somebody."""
        row = record.row
        self._like[row.tool, row.digest].pop(row.key, None)
        self._tools[row.tool].pop(row.key, None)

    def untaken(self) -> list[tuple[int, Record]]:
        """What answered nobody, each with its number in the order of the records."""
        numbered = enumerate(self._all.values(), 1)
        return [(n, r) for n, r in numbered if r.row.key in self._tools[r.row.tool]]


def _first(records: OrderedDict[bytes, Record] | None, call_id: str | None) -> Record | None:
    """The one under the same call id, else the oldest."""
    if not records:
        return None
    if call_id is not None:
        for record in records.values():
            if record.row.call_id == call_id:
                return record
    return next(iter(records.values()))
