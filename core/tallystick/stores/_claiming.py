"""Claims that are made one by one: an insert, and a look at what was in its way."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick._acts import Claim, Found
from tallystick._model import Row
from tallystick.stores._tx import SqlTx, granted, inserted


class ClaimsAlone(SqlTx):
    """A transaction whose statement for a claim says no more than whether it was inserted."""

    def _insert(self, c: Claim) -> bool:
        """Insert the effect unless its key is taken, a halt forbids it or other budgets hold."""
        raise NotImplementedError

    def _there(self, c: Claim) -> Row | None:
        """The effect, where it is known to be there."""
        return None

    def claim(self, claims: Sequence[Claim]) -> list[Found]:
        return [self._claim(c) for c in claims]

    def _claim(self, c: Claim) -> Found:
        twin = self._twin(c) if c.call_id is not None or c.suspect != "run" else None
        row = self._there(c)
        if row is None:
            if (twin is None or c.suspect == "run") and self._insert(c):
                return inserted(c, self.now(), twin)
            row = self.look(c.tenant, c.key)
        if row is not None:
            alive = row.status == "running" and self.alive(row.holder)
            return granted(c, row, self.now(), twin, alive=alive)
        place = {"tenant": c.tenant, "tool": c.tool, "workflow": c.workflow, "undoing": c.undoing}
        halted = bool(self.run("halted", **place).fetchone()[0])
        stale = c.status == "running" and self.standing(c.tenant) != c.standing
        return Found(False, None, False, self.now(), halted=halted, twin=twin, stale=stale)

    def _twin(self, c: Claim) -> bytes | None:
        found = self.run("twin", scope=c.scope, twin=c.twin, key=c.key, after=c.after).fetchone()
        return None if found is None else found[0]
