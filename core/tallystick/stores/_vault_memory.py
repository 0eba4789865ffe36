"""The data keys of a transaction in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tallystick._changes import KEPT
from tallystick._keys import scope_of
from tallystick._vault import DataKey, ReadDataKeys, Rewrap, Shred

if TYPE_CHECKING:
    from tallystick.stores._memory import Shelf

_OPEN = ("pending", "approved", "running", "in_doubt", "compensating", "compensation_failed")


class MemoryVault:
    """What the scripts of data keys need, on a shelf; a part of :class:`MemoryTx`."""

    _shelf: Shelf
    _now: int

    def _put(self, place: dict[Any, Any], key: Any, value: Any) -> None:
        raise NotImplementedError

    def put_datakey(self, made: DataKey) -> DataKey:
        there = self._shelf.datakeys.get(made.scope)
        if there is None:
            there = made._replace(created_at=self._now)
            self._put(self._shelf.datakeys, made.scope, there)
        return there

    def datakeys(self, act: ReadDataKeys) -> list[DataKey]:
        every = sorted(self._shelf.datakeys.values())
        if act.scope is not None:
            return [key for key in every if key.scope == act.scope]
        mine = [key for key in every if key.tenant == act.tenant]
        return [key for key in mine if key.scope > act.after][: act.limit]

    def rewrap(self, act: Rewrap) -> bool:
        there = self._shelf.datakeys.get(act.scope)
        if there is None or there.kek != act.was or there.wrapped is None:
            return False
        self._put(self._shelf.datakeys, act.scope, there._replace(kek=act.kek, wrapped=act.wrapped))
        return True

    def shred(self, act: Shred) -> bool:
        there = self._shelf.datakeys[act.scope]
        if self.open_in(act):
            return False
        gone = there._replace(wrapped=None, shredded_at=self._now)
        self._put(self._shelf.datakeys, act.scope, gone)
        return True

    def open_in(self, act: Shred) -> int:
        rows = self._shelf.rows.values()
        mine = [row for row in rows if scope_of(row.tenant, row.workflow) == act.scope]
        return sum(row.status in _OPEN and row.result_note != KEPT for row in mine)
