"""Whole records into SQLite: the driver goes through the rows itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from tallystick._acts import EventRow
from tallystick._archive._acts import Record
from tallystick._keys import scope_of
from tallystick._model import Row
from tallystick.stores._archive_tx import SqlArchive
from tallystick.stores._sql import SQLITE, numbered

_STATEMENTS = SQLITE.statements()
#: the values of a record come as a tuple, in the order of its fields
_PUT = numbered(_STATEMENTS["put_record"], (*Row._fields, "scope", "twin", "place", "undo"))
#: kilobytes of pages that the connection may keep: keys come in no order, and each finds its page
_ROOM = "PRAGMA cache_size = -16384"
_APPEND = numbered(_STATEMENTS["append"], EventRow._fields)


class SqliteArchive(SqlArchive):
    """The same as in SQL everywhere, with one call of the driver for all rows of a kind."""

    _many: Callable[[str, Sequence[Any]], Any]

    def put_records(self, records: Sequence[Record]) -> list[bytes]:
        self._execute(_ROOM, ())
        last = self.run("last_seq").fetchone()[0]
        rows = [
            (*r.row, scope_of(r.row.tenant, r.row.workflow), r.twin, r.place, r.undo)
            for r in records
        ]
        new, taken = records, list[bytes]()
        if self._many(_PUT, rows).rowcount != len(rows):
            put = {row[0] for row in self.run("keys_since", last=last).fetchall()}
            new = [record for record in records if record.row.key in put]
            taken = [record.row.key for record in records if record.row.key not in put]
        self._many(_APPEND, list(chain.from_iterable(record.events for record in new)))
        for record in new:
            if record.votes or record.items:
                self._put_questions(record)
        return taken

    def _put_questions(self, record: Record) -> None:
        key, tenant = record.row.key, record.row.tenant
        for vote in record.votes:
            self.run("put_vote", key=key, **vote._asdict())
        for kind, opened, due, note in record.items:
            self.run("open_item", key=key, kind=kind, tenant=tenant, at=opened, due=due, note=note)
