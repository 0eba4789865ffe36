"""Whole records read and written on a shelf."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from tallystick._archive._acts import Ballot, Item, Known, Numbered, Record, Records
from tallystick._model import Row

if TYPE_CHECKING:
    from tallystick.stores._memory import Shelf


class MemoryArchive:
    """What the scripts of exports and imports need, in dictionaries; a part of MemoryTx."""

    _shelf: Shelf

    def _put(self, place: dict[Any, Any], key: Any, value: Any) -> None:
        raise NotImplementedError

    def records(self, act: Records) -> list[Numbered]:
        items: dict[bytes, list[Item]] = {}
        for (key, kind), (opened, due, note, _) in self._shelf.items.items():
            items.setdefault(key, []).append(Item(kind, opened, due, note))
        return [
            Numbered(seq, self._record(row, items.get(row.key, ())))
            for seq, row in islice(self._matching(act), act.limit)
        ]

    def _matching(self, act: Records) -> Iterator[tuple[int, Row]]:
        # the numbers are given in the order of the rows, without a gap
        rows = islice(self._shelf.rows.values(), act.after, None)
        for seq, row in enumerate(rows, act.after + 1):
            if (
                row.tenant == act.tenant
                and (act.workflow is None or row.workflow == act.workflow)
                and (act.since is None or self._changed(row) >= act.since)
            ):
                yield seq, row

    def _changed(self, row: Row) -> int:
        events = self._shelf.events.get(row.key, ())
        return max(row.changed_at, *(event.at for event in events), 0)

    def _record(self, row: Row, items: Sequence[Item] = ()) -> Record:
        shelf, key = self._shelf, row.key
        _, twin, place = shelf.places[key]
        votes = [
            Ballot(n, by, *said)
            for n in range(1, row.epoch + 1)
            for by, said in shelf.ballots.get((key, n), {}).items()
        ]
        events = tuple(shelf.events.get(key, ()))
        undo = shelf.plans.get(key)
        return Record(row, twin, place, undo, events, tuple(votes), tuple(items))

    def known(self, act: Known) -> list[Record]:
        rows = self._shelf.rows
        return [self._record(rows[key]) for key in act.keys if key in rows]

    def put_records(self, records: Sequence[Record]) -> list[bytes]:
        taken: list[bytes] = []
        for record in records:
            if record.row.key in self._shelf.rows:
                taken.append(record.row.key)
            else:
                self._put_record(record)
        return taken

    def _put_record(self, record: Record) -> None:
        shelf, key = self._shelf, record.row.key
        number = len(shelf.rows) + 1
        self._put(shelf.places, key, (number, record.twin, record.place))
        self._put(shelf.rows, key, record.row)
        if record.undo is not None:
            self._put(shelf.plans, key, record.undo)
        self._put(shelf.twins, record.twin, [*shelf.twins.get(record.twin, []), key])
        self._put(shelf.events, key, list(record.events))
        for round_, by, *said in record.votes:
            ballots = shelf.ballots.get((key, round_), {})
            self._put(shelf.ballots, (key, round_), {**ballots, by: tuple(said)})
        for kind, opened, due, note in record.items:
            self._put(shelf.items, (key, kind), (opened, due, note, False))
