"""Whole records read and written on a SQL database."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from tallystick._acts import EventRow
from tallystick._archive._acts import Ballot, Item, Known, Numbered, Record, Records
from tallystick._keys import scope_of
from tallystick._model import Row
from tallystick.stores._archive_sql import ARCHIVE_STATEMENTS, OF_WORKFLOW, SINCE
from tallystick.stores._sql import Dialect

_WIDTH = len(Row._fields)
_EVENTS = Row._fields.index("events")


class ArchiveTx(Protocol):
    """What the scripts of exports and imports are made of."""

    def records(self, act: Records) -> list[Numbered]:
        """Read effects with all that belongs to them, all of one moment."""
        ...

    def known(self, act: Known) -> list[Record]:
        """Read the effects with these keys and their events, whosever they are."""
        ...

    def put_records(self, records: Sequence[Record]) -> list[bytes]:
        """Insert effects in this order, with all that belongs to them; which keys were taken."""
        ...


class SqlArchive:
    """What the scripts of exports and imports need, said in SQL; a part of :class:`SqlTx`."""

    dialect: Dialect
    _execute: Callable[..., Any]

    def run(self, name: str, /, **params: Any) -> Any:
        """Execute a statement by its name."""
        raise NotImplementedError

    @contextmanager
    def _snapshot(self) -> Generator[None]:
        """What is read inside is as it was at one moment."""
        self._execute(self.dialect.snapshot, {})
        try:
            yield
        finally:
            self._execute("COMMIT", {})

    def records(self, act: Records) -> list[Numbered]:
        where, params = _filter(act)
        place: dict[str, Any] = {"tenant": act.tenant, "after": act.after, "limit": act.limit}
        with self._snapshot():
            sql = self.dialect.say(ARCHIVE_STATEMENTS["records"], where=where)
            found = self._execute(sql, place | params).fetchall()
            # whatever else belongs to an effect came with an event
            keys = [row[1] for row in found if row[1 + _EVENTS] or act.thorough]
            events = self.belongings("record_events", keys)
            votes = self.belongings("record_votes", keys)
            items = self.belongings("record_items", keys)
        return [
            Numbered(
                row[0],
                record_from(
                    row[1:],
                    tuple([EventRow._make(event) for event in events.get(row[1], ())]),
                    tuple([Ballot._make(vote) for vote in votes.get(row[1], ())]),
                    tuple([Item._make(item) for item in items.get(row[1], ())]),
                ),
            )
            for row in found
        ]

    def belongings(self, name: str, keys: Sequence[bytes]) -> Mapping[bytes, Sequence[Any]]:
        """What belongs to some effects, by their keys."""
        return {key: self.run(name, key=key).fetchall() for key in keys}

    def rows(self, keys: Sequence[bytes]) -> Sequence[Any]:
        """The rows with these keys, whosever they are, with what is not part of a row."""
        found = (self.run("known", key=key).fetchone() for key in keys)
        return [row for row in found if row is not None]

    def known(self, act: Known) -> list[Record]:
        found = self.rows(act.keys)
        events = self.belongings("record_events", [row[0] for row in found])
        return [
            record_from(row, tuple([EventRow._make(event) for event in events.get(row[0], ())]))
            for row in found
        ]

    def put_records(self, records: Sequence[Record]) -> list[bytes]:
        raise NotImplementedError


def _filter(act: Records) -> tuple[str, dict[str, Any]]:
    where, params = "", dict[str, Any]()
    if act.workflow is not None:
        where += OF_WORKFLOW
        params |= {"scope": scope_of(act.tenant, act.workflow), "workflow": act.workflow}
    if act.since is not None:
        where += SINCE
        params["since"] = act.since
    return where, params


def record_from(row: Sequence[Any], *belongings: Any) -> Record:
    """A record from its columns as they are selected."""
    return Record(Row._make(row[:_WIDTH]), *row[_WIDTH : _WIDTH + 3], *belongings)
