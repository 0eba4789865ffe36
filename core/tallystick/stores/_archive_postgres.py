"""Whole records into PostgreSQL: one statement for all rows of a kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tallystick._acts import EventRow
from tallystick._archive._acts import Ballot, Item, Record
from tallystick._archive._shapes import columns_of as typed
from tallystick._keys import scope_of
from tallystick._model import Row
from tallystick.stores._archive_tx import SqlArchive
from tallystick.stores._sql import POSTGRES, array, unnest

_KEY = {"key": "bytes"}
_EVENT = {column.name: column.kind.__name__ for column in typed(EventRow)}
_VOTE = _KEY | {column.name: column.kind.__name__ for column in typed(Ballot)}
_ITEM = _KEY | {"tenant": "str"} | {column.name: column.kind.__name__ for column in typed(Item)}
_EFFECT = {
    "ord": "int",
    **{column.name: column.kind.__name__ for column in typed(Row, "awaited")},
    "scope": "bytes",
    "twin": "bytes",
    "place": "str",
    "undo": "str",
}
#: what a row does not say itself
_BESIDE = ("twin", "place", "undo")
_NAMES = ", ".join(name for name in _EFFECT if name != "ord")


def _listed(fields: Mapping[str, str]) -> str:
    return ", ".join(fields)


STATEMENTS = {
    # Effects as they were recorded elsewhere, in their order, unless their keys are taken.
    "put_records": POSTGRES.say(
        f"""
INSERT INTO tallystick_effect ({_NAMES}, awaited)
SELECT {_NAMES}, false FROM ({{want}}) w ORDER BY w.ord
    ON CONFLICT (key) DO NOTHING RETURNING key""",
        want=unnest(_EFFECT),
    ),
    # Their events.
    "put_record_events": POSTGRES.say(
        f"INSERT INTO tallystick_event ({_listed(_EVENT)}) {unnest(_EVENT)}"
    ),
    # Their votes.
    "put_record_votes": POSTGRES.say(
        f"INSERT INTO tallystick_vote ({_listed(_VOTE)}) {unnest(_VOTE)}"
    ),
    # What the inbox shows of them.
    "put_record_items": POSTGRES.say(
        f"""
INSERT INTO tallystick_inbox ({_listed(_ITEM)}, notified)
SELECT u.*, false FROM ({{want}}) u""",
        want=unnest(_ITEM),
    ),
    # Effects, whosever they are.
    "known_many": POSTGRES.say(
        f"""
SELECT {", ".join(f"e.{name}" for name in Row._fields)}, e.twin, e.place, e.undo
  FROM tallystick_effect e WHERE e.key = ANY(CAST(:keys AS bytea[]))"""
    ),
    # Chains of events, whosever they are.
    "record_events_many": POSTGRES.say(
        """
SELECT key, n, kind, actor, at, epoch, detail, previous, hash
  FROM tallystick_event WHERE key = ANY(CAST(:keys AS bytea[])) ORDER BY key, n"""
    ),
    # All votes about some effects.
    "record_votes_many": POSTGRES.say(
        """
SELECT key, round, actor, digest, reason, at FROM tallystick_vote
 WHERE key = ANY(CAST(:keys AS bytea[])) ORDER BY key, round, actor"""
    ),
    # What the inbox shows of some effects.
    "record_items_many": POSTGRES.say(
        """
SELECT key, kind, opened_at, due_at, note FROM tallystick_inbox
 WHERE key = ANY(CAST(:keys AS bytea[])) ORDER BY key, kind"""
    ),
}


class PostgresArchive(SqlArchive):
    """The same as in SQL everywhere, in as many round trips as there are tables."""

    def belongings(self, name: str, keys: Sequence[bytes]) -> Mapping[bytes, Sequence[Any]]:
        found: dict[bytes, list[Any]] = {}
        if keys:
            # the events say their key themselves
            begin = 0 if name == "record_events" else 1
            for row in self.run(f"{name}_many", keys=array(keys, "bytes")).fetchall():
                found.setdefault(row[0], []).append(row[begin:])
        return found

    def rows(self, keys: Sequence[bytes]) -> Sequence[Any]:
        rows: Sequence[Any] = self.run("known_many", keys=array(keys, "bytes")).fetchall()
        return rows

    def put_records(self, records: Sequence[Record]) -> list[bytes]:
        rows = [_columns(record) | {"ord": n} for n, record in enumerate(records)]
        put = {row[0] for row in self.run("put_records", **_arrays(rows, _EFFECT)).fetchall()}
        new = [record for record in records if record.row.key in put]
        self._put_all("put_record_events", _EVENT, [e._asdict() for r in new for e in r.events])
        self._put_all(
            "put_record_votes",
            _VOTE,
            [{"key": r.row.key, **vote._asdict()} for r in new for vote in r.votes],
        )
        self._put_all(
            "put_record_items",
            _ITEM,
            [
                {"key": r.row.key, "tenant": r.row.tenant, **item._asdict()}
                for r in new
                for item in r.items
            ],
        )
        return [record.row.key for record in records if record.row.key not in put]

    def _put_all(
        self, name: str, fields: Mapping[str, str], rows: Sequence[Mapping[str, Any]]
    ) -> None:
        if rows:
            self.run(name, **_arrays(rows, fields))


def _arrays(rows: Sequence[Mapping[str, Any]], fields: Mapping[str, str]) -> dict[str, str]:
    """One array for each field."""
    return {name: array([row[name] for row in rows], kind) for name, kind in fields.items()}


def _columns(record: Record) -> dict[str, Any]:
    row = record.row
    scope = scope_of(row.tenant, row.workflow)
    said = record._asdict()
    return {**row._asdict(), "scope": scope, **{name: said[name] for name in _BESIDE}}
