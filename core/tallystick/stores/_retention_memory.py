"""The retention of a transaction in memory."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from tallystick._acts import EventRow
from tallystick._budgets._acts import Reservation
from tallystick._model import OVER, Row
from tallystick._retention import ReadStale, Stale
from tallystick._rules import dropped_at
from tallystick._undoing._tools import MARKS

if TYPE_CHECKING:
    from tallystick.stores._budget_memory import Tills
    from tallystick.stores._memory import Shelf


class MemoryRetention:
    """What the scripts of retention need, on a shelf; a part of :class:`MemoryTx`."""

    _shelf: Shelf
    _tills: Tills
    _now: int

    def _put(self, place: dict[Any, Any], key: Any, value: Any) -> None:
        raise NotImplementedError

    def plan(self, key: bytes) -> str | None:
        return self._shelf.plans.get(key)

    def drop_payload(
        self, key: bytes, before: int, columns: dict[str, Any], undo: str | None
    ) -> bool:
        row = self._shelf.rows[key]
        if not self._past(row, before):
            return False
        self._put(self._shelf.rows, key, row._replace(**columns))
        if undo is not None:
            self._put(self._shelf.plans, key, undo)
        return True

    def _past(self, row: Row, before: int) -> bool:
        """Over for long enough, waiting for nobody, and never begun again as it was approved."""
        again = row.result_note == "retryable" and (row.approval_until or 0) > self._now
        shown = any(key == row.key for key, _ in self._shelf.items)
        over = row.status in OVER and row.changed_at <= before and row.tool not in MARKS
        return over and not again and not shown

    def strip_event(self, event: EventRow) -> None:
        chain = self._shelf.events[event.key]
        after = [event if there.n == event.n else there for there in chain]
        self._put(self._shelf.events, event.key, after)

    def drop_note(self, id_: bytes, before: int) -> bool:
        held = self._tills.reservations.get(id_)
        if held is None or not _told(held, before):
            return False
        self._put(self._tills.reservations, id_, held._replace(note=None))
        return True

    def stale(self, act: ReadStale) -> Stale:
        if act.calls:
            held = [r for r in self._tills.reservations.values() if r.seq > act.after]
            mine = [r for r in held if r.tenant == act.tenant][: act.limit]
            due = tuple(r.id for r in mine if _told(r, act.before))
            return Stale(mine[-1].seq if mine else None, due)
        through, stale = None, list[Row]()
        every = enumerate(self._shelf.rows.values(), 1)
        later = ((seq, row) for seq, row in every if seq > act.after and row.tenant == act.tenant)
        for seq, row in islice(later, act.limit):
            through = seq
            if (dropped_at(row) or 0) < row.changed_at and self._past(row, act.before):
                stale.append(row)
        return Stale(through, tuple(r.key for r in stale), tuple(r.workflow for r in stale))


def _told(held: Reservation, before: int) -> bool:
    """Whether a reservation is over, and something was said about it."""
    over = held.state in ("settled", "released") and (held.settled_at or 0) <= before
    return over and held.note is not None
