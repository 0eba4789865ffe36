"""Whole records into MariaDB and MySQL: one statement for many rows of a kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tallystick._archive._acts import Record
from tallystick._keys import scope_of
from tallystick._model import Row
from tallystick.stores._archive_tx import SqlArchive
from tallystick.stores._sql import Dialect, common

_PARAMETER = re.compile(r":(\w+)")
#: rows in one statement
_ROWS = 100
_ROW = ", ".join(f"e.{name}" for name in Row._fields)

STATEMENTS = {
    # Which keys are taken, waiting for those that somebody is about to take.
    "taken": "SELECT e.key FROM tallystick_effect e WHERE e.key {among} LOCK IN SHARE MODE",
    # Effects, whosever they are.
    "known_many": f"""
SELECT {_ROW}, e.twin, e.place, e.undo FROM tallystick_effect e WHERE e.key {{among}}""",
    # The events of some effects.
    "record_events_many": """
SELECT v.key, v.n, v.kind, v.actor, v.at, v.epoch, v.detail, v.previous, v.hash
  FROM tallystick_event v WHERE v.key {among} ORDER BY v.key, v.n""",
    # The votes about some effects.
    "record_votes_many": """
SELECT v.key, v.round, v.actor, v.digest, v.reason, v.at
  FROM tallystick_vote v WHERE v.key {among} ORDER BY v.key, v.round, v.actor""",
    # What the inbox shows of some effects.
    "record_items_many": """
SELECT i.key, i.kind, i.opened_at, i.due_at, i.note
  FROM tallystick_inbox i WHERE i.key {among} ORDER BY i.key, i.kind""",
}


class MariaArchive(SqlArchive):
    """The same as in SQL everywhere, in as few round trips as there are hundreds of rows."""

    dialect: Dialect
    _execute: Callable[..., Any]

    def _each(self, name: str, values: Sequence[Any]) -> list[Any]:
        """Execute a statement about each of *values*."""
        raise NotImplementedError

    @contextmanager
    def _snapshot(self) -> Generator[None]:
        """The next transaction only is at REPEATABLE READ, where it can be of one moment."""
        self._execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", {})
        self._execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", {})
        try:
            yield
        finally:
            self._execute("COMMIT", {})

    def belongings(self, name: str, keys: Sequence[bytes]) -> Mapping[bytes, Sequence[Any]]:
        found: dict[bytes, list[Any]] = {}
        # the events say their key themselves
        begin = 0 if name == "record_events" else 1
        for row in self._each(f"{name}_many", keys):
            found.setdefault(row[0], []).append(row[begin:])
        return found

    def rows(self, keys: Sequence[bytes]) -> Sequence[Any]:
        return self._each("known_many", keys)

    def put_records(self, records: Sequence[Record]) -> list[bytes]:
        taken = {row[0] for row in self._each("taken", [record.row.key for record in records])}
        new = dict[bytes, Record]()
        for record in records:
            if record.row.key not in taken:
                new.setdefault(record.row.key, record)
        self._put_all("put_record", [_columns(record) for record in new.values()])
        self._put_all("append", [event._asdict() for r in new.values() for event in r.events])
        votes = [{"key": key, **vote._asdict()} for key, r in new.items() for vote in r.votes]
        self._put_all("put_vote", votes)
        for key, record in new.items():
            for kind, opened, due, note in record.items:
                place = {"key": key, "kind": kind, "tenant": record.row.tenant}
                self.run("open_item", **place, at=opened, due=due, note=note)
        return [record.row.key for record in records if record.row.key in taken]

    def _put_all(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        for first in range(0, len(rows), _ROWS):
            some = rows[first : first + _ROWS]
            params = {
                f"{column}_{n}": value
                for n, row in enumerate(some)
                for column, value in row.items()
            }
            self._execute(self.dialect.say(_many(name, len(some))), params)


def _many(name: str, rows: int) -> str:
    """A statement that inserts one row of values, for several; a key that is taken is an error."""
    head, _, values = common()[name].partition("VALUES ")
    one = values.partition("\n")[0].partition(" ON CONFLICT")[0]
    lists = (_PARAMETER.sub(rf":\1_{n}", one) for n in range(rows))
    return f"{head}VALUES {', '.join(lists)}"


def _columns(record: Record) -> dict[str, Any]:
    row = record.row
    more: dict[str, Any] = {"awaited": False, "twin": record.twin}
    more |= {"place": record.place, "undo": record.undo}
    return row._asdict() | more | {"scope": scope_of(row.tenant, row.workflow)}
