"""
The lines that one transaction charges: locked once, read once, written once.

A group of reservations on one line costs one reading and one writing of it, however many they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tallystick._budgets._acts import SessionState
from tallystick._budgets._rules import Demand, Figures, Weight, passed
from tallystick._budgets._terms import Terms
from tallystick._budgets._windows import Window
from tallystick.stores._budget_tx import BudgetTx, Line, SpendingTx, Use

_NOTHING = SessionState(0, 0, 0)


class Till:
    """What is charged to some lines, while nobody else can charge them."""

    def __init__(self, tx: BudgetTx) -> None:
        self._tx = tx
        self._locked: set[bytes] = set()
        self._lines: dict[bytes, Line] = {}
        self._uses: dict[bytes, dict[int, Use]] = {}
        self._dirty: set[tuple[bytes, int]] = set()
        self._standing: dict[str, int] = {}
        #: by tenant and name: the calls so far, and what is to be added to the session's row
        self._sessions: dict[tuple[str, str], tuple[int, SessionState]] = {}

    def lock(self, lines: Iterable[bytes]) -> None:
        """Take these for ourselves, in an order that cannot deadlock."""
        wanted = sorted(set(lines) - self._locked)
        if wanted:
            self._locked.update(self._tx.lock_lines(wanted))

    def standing(self, tenant: str, demands: Iterable[Demand]) -> int:
        """The version of the standing budgets that this transaction goes by."""
        for demand in demands:  # they are read anyway, and say it too
            if tenant in self._standing:
                break
            self._ours(demand, self._tx.now())
        if tenant not in self._standing:
            self._standing[tenant] = self._tx.standing(tenant)
        return self._standing[tenant]

    def count(self, tenant: str, name: str, used: SessionState) -> int:
        """Add to what a session used; its number of calls."""
        if used == _NOTHING:
            return self._sessions.get((tenant, name), (0, used))[0]
        if (tenant, name) not in self._sessions:
            calls = self._tx.count_session(tenant, name, used)
            self._sessions[tenant, name] = calls, _NOTHING
            return calls
        calls, more = self._sessions[tenant, name]
        calls += used.calls
        added = SessionState(*(a + b for a, b in zip(more, used, strict=True)))
        self._sessions[tenant, name] = calls, added
        return calls

    def version(self, demand: Demand, now: int) -> int | None:
        """The version of the terms that are in force for a line; it is begun where it is new."""
        line = self._ours(demand, now)
        if line is None:
            self._tx.put_line(demand.line, demand.budget, demand.metric, demand.label)
            self.lock([demand.line])
            line = self._ours(demand, now)
        return None if line is None else line.version

    def _ours(self, demand: Demand, now: int) -> Line | None:
        """A line as it is, if nobody else can change it."""
        if demand.line not in self._locked:
            return None
        return self._line(demand.line, demand.terms.window, now)

    def _line(self, id_: bytes, window: Window, now: int) -> Line | None:
        if id_ not in self._lines:
            line = self._tx.line(id_, window.since(now))
            if line is None:
                return None
            self._lines[id_] = line
            self._standing.setdefault(line.tenant, line.standing)
            rows = self._uses.setdefault(id_, {})
            for use in line.uses:
                rows.setdefault(use.start, use)
        return self._lines[id_]

    def forget(self, id_: bytes) -> None:
        """Read a line again: it was changed by other means."""
        self._lines.pop(id_, None)

    def figures(self, demand: Demand, now: int) -> Figures:
        """What counts for a line now, and the limit."""
        return self.figures_of(demand.line, demand.terms, demand.terms.limit(demand.metric), now)

    def figures_of(self, id_: bytes, terms: Terms, limit: int, now: int) -> Figures:
        """As :meth:`figures`, for a line by its id."""
        line = self._line(id_, terms.window, now)
        limit += line.raised if line else 0
        since = terms.window.since(now)
        weight = None
        for use in self._uses.get(id_, {}).values():
            if use.start >= since:
                weight = use.weight if weight is None else weight + use.weight
                limit += use.raised
        return Figures(Weight() if weight is None else weight, limit)

    def charge(self, demand: Demand, now: int, by: Weight) -> int:
        """
        Add *by* to a line's row of this moment.

        Returns how many thresholds were passed that nobody was told of in this window.
        """
        use = self._use(demand.line, demand.terms.window.start(now))
        before = self.figures(demand, now)
        reached = passed(demand.terms, before.weight.total + by.total, before.limit)
        news = max(0, reached - self._told(demand, now)) if reached else 0
        told = max(use.told, reached)
        self._put(demand.line, use._replace(weight=use.weight + by, cap=before.limit, told=told))
        return news

    def _told(self, demand: Demand, now: int) -> int:
        since = demand.terms.window.since(now)
        uses = self._uses.get(demand.line, {}).values()
        return max((use.told for use in uses if use.start >= since), default=0)

    def shift(self, line: bytes, start: int, by: Weight) -> int:
        """Change what is charged to one row; by how much more it is now over its limit."""
        use = self._use(line, start)
        return self._put(line, use._replace(weight=use.weight + by))

    def raise_(self, line: bytes, start: int, amount: int, limit: int) -> None:
        """Raise the limit of one window; *limit* is the one from now on."""
        use = self._use(line, start)
        self._put(line, use._replace(raised=use.raised + amount, cap=limit))

    def _use(self, line: bytes, start: int) -> Use:
        rows = self._uses.setdefault(line, {})
        if start not in rows:
            rows[start] = self._tx.use(line, start) or Use(start)
        return rows[start]

    def _put(self, line: bytes, use: Use) -> int:
        over = max(use.over, use.weight.total - use.cap)
        self._uses[line][use.start] = use._replace(over=over)
        self._dirty.add((line, use.start))
        return over - use.over

    def close(self) -> None:
        """Write what has changed."""
        for line, start in sorted(self._dirty):
            self._tx.put_use(line, self._uses[line][start])
        for (tenant, name), (_, more) in sorted(self._sessions.items()):
            if more != _NOTHING:
                self._tx.count_session(tenant, name, more)
        self._dirty.clear()
        self._sessions.clear()


def till_of(tx: SpendingTx) -> Till:
    """The till of a transaction: one, so that it reads and writes each line once."""
    till = tx.till
    if not isinstance(till, Till):
        till = tx.till = Till(tx)
    return till


def close(tx: SpendingTx) -> None:
    """Write what the transaction's till has changed."""
    if tx.till is not None:
        tx.till.close()
        tx.till = None


def lock(tx: SpendingTx, group: Sequence[Any]) -> None:
    """Take the lines of a whole group at once, so that no two groups wait for each other."""
    lines = {line for act in group for line in getattr(act, "lines", ())}
    if lines:
        till_of(tx).lock(lines)
