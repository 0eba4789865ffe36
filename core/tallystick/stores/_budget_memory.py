"""The budgets of a transaction in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tallystick._budgets._acts import (
    Alert,
    ReadCosts,
    ReadReservations,
    Reservation,
    SessionState,
    session_id,
)
from tallystick._budgets._rules import Weight
from tallystick._budgets._terms import Known, Terms, budget_id
from tallystick.stores._budget_tx import Line, Use

Rows = dict[Any, Any]


def _rows() -> Rows:
    return {}


@dataclass(slots=True)
class Tills:
    """The budgets that several ledgers of one process may share."""

    #: by id: tenant and terms
    terms: dict[bytes, tuple[str, Known]] = field(default_factory=_rows)
    standing: dict[str, int] = field(default_factory=_rows)
    #: by id: budget, metric, label, and by how much it was raised
    lines: dict[bytes, tuple[bytes, str, str, int]] = field(default_factory=_rows)
    uses: dict[bytes, dict[int, Use]] = field(default_factory=_rows)
    reservations: dict[bytes, Reservation] = field(default_factory=_rows)
    raises: dict[bytes, int] = field(default_factory=_rows)
    sessions: dict[bytes, SessionState] = field(default_factory=_rows)
    #: alerts, and whether somebody heard of them
    alerts: dict[bytes, tuple[Alert, bool]] = field(default_factory=_rows)


class MemoryBudgets:
    """What the scripts of budgets need, on a shelf; a part of :class:`MemoryTx`."""

    till: Any = None
    _tills: Tills

    def now(self) -> int:
        """Microseconds since 1970."""
        raise NotImplementedError

    def _put(self, place: dict[Any, Any], key: Any, value: Any) -> None:
        raise NotImplementedError

    def standing(self, tenant: str) -> int:
        return self._tills.standing.get(tenant, 0)

    def put_terms(self, tenant: str, terms: Terms, by: str, *, bump: bool) -> None:
        if bump:
            self._put(self._tills.standing, tenant, self.standing(tenant) + 1)
        before = self.terms_of(tenant, terms.name)
        id_ = budget_id(tenant, terms.name)
        version = 1 if before is None else before.version + 1
        self._put(self._tills.terms, id_, (tenant, Known(id_, version, terms)))

    def terms_of(self, tenant: str, name: str) -> Known | None:
        return self._tills.terms.get(budget_id(tenant, name), (tenant, None))[1]

    def terms(self, tenant: str, names: tuple[str, ...] | None, *, standing: bool) -> list[Known]:
        if names is not None:
            found = [self.terms_of(tenant, name) for name in names]
            return [known for known in found if known is not None]
        every = [known for whose, known in self._tills.terms.values() if whose == tenant]
        mine = [known for known in every if known.terms.standing or not standing]
        return sorted(mine, key=lambda known: known.terms.name)

    def lock_lines(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        """All of them: the shelf has one lock."""
        return lines

    def put_line(self, line: bytes, budget: bytes, metric: str, label: str) -> None:
        if line not in self._tills.lines:
            self._put(self._tills.lines, line, (budget, metric, label, 0))

    def line(self, line: bytes, since: int) -> Line | None:
        found = self._tills.lines.get(line)
        if found is None:
            return None
        tenant, known = self._tills.terms[found[0]]
        uses = [u for u in self._tills.uses.get(line, {}).values() if u.start >= since]
        return Line(known.version, tenant, self.standing(tenant), found[3], tuple(uses))

    def use(self, line: bytes, start: int) -> Use | None:
        return self._tills.uses.get(line, {}).get(start)

    def books(self, tenant: str) -> dict[tuple[bytes, int], Weight]:
        mine = {
            id_
            for id_, (budget, *_) in self._tills.lines.items()
            if self._tills.terms[budget][0] == tenant
        }
        return {
            (id_, u.start): u.weight for id_ in mine for u in self._tills.uses.get(id_, {}).values()
        }

    def about(self, line: bytes) -> tuple[Known, str, str] | None:
        found = self._tills.lines.get(line)
        return None if found is None else (self._tills.terms[found[0]][1], found[1], found[2])

    def put_use(self, line: bytes, use: Use) -> None:
        weight = use.weight
        if min(weight) < 0 or weight.total > use.cap + use.over:
            raise AssertionError(f"the figures of line {line.hex()} do not add up: {use}")
        rows = self._tills.uses.get(line, {})
        self._put(self._tills.uses, line, {**rows, use.start: use})

    def put_raise(
        self, id_: bytes, line: bytes, amount: int, start: int | None, by: str, reason: str
    ) -> bool:
        if id_ in self._tills.raises:
            return False
        self._put(self._tills.raises, id_, amount)
        if start is None:
            budget, metric, label, raised = self._tills.lines[line]
            self._put(self._tills.lines, line, (budget, metric, label, raised + amount))
        return True

    def lines_of(self, budget: bytes) -> list[tuple[bytes, str, str]]:
        found = [
            (id_, m, label) for id_, (of, m, label, _) in self._tills.lines.items() if of == budget
        ]
        return sorted(found, key=lambda line: line[1:])

    def put_reservation(self, row: Reservation) -> bool:
        if row.id in self._tills.reservations:
            return False
        numbered = row._replace(seq=len(self._tills.reservations) + 1)
        self._put(self._tills.reservations, row.id, numbered)
        return True

    def reservation(self, id_: bytes) -> Reservation | None:
        return self._tills.reservations.get(id_)

    def set_reservation(self, before: Reservation, after: Reservation) -> None:
        self._put(self._tills.reservations, before.id, after._replace(seq=before.seq))

    def abandoned(self, holder: str, limit: int) -> list[Reservation]:
        held = (r for r in self._tills.reservations.values() if r.state == "held")
        lost = [r for r in held if r.holder == holder or self._late(r)]
        return sorted(lost, key=lambda row: row.id)[:limit]

    def _late(self, row: Reservation) -> bool:
        return row.until is not None and row.until <= self.now()

    def overdue(self) -> bool:
        return any(r.state == "held" and self._late(r) for r in self._tills.reservations.values())

    def reservations(self, act: ReadReservations) -> list[Reservation]:
        def wanted(row: Reservation) -> bool:
            return (
                row.tenant == act.tenant
                and (act.id is None or row.id == act.id)
                and (act.prefix is None or row.id.hex().startswith(act.prefix))
                and (act.scope is None or row.scope == act.scope)
                and (act.state is None or row.state == act.state)
                and (act.kind is None or row.kind == act.kind)
                and (act.since is None or row.created_at >= act.since)
                and (act.after is None or row.seq > act.after)
            )

        rows = list(self._tills.reservations.values())
        if act.after is None:
            rows.reverse()
        found: list[Reservation] = []
        for row in rows:
            if wanted(row):
                found.append(row)
                if len(found) == act.limit:
                    break
        return found

    def costs(self, act: ReadCosts) -> list[tuple[Any, ...]]:
        by = _BY[act.by]
        sums: dict[tuple[Any, str], list[int]] = {}
        for row in self._tills.reservations.values():
            if not _counts(row, act):
                continue
            mine = sums.setdefault((by(row), row.kind), [0, 0, 0, 0, 0])
            open_ = row.state in {"held", "unreconciled"}
            unpriced = int(row.kind == "model" and row.cost is None)
            charged = max(0, (row.bound or 0) - (row.cost or 0)) if open_ else 0
            more = (1, row.cost or 0, row.tokens or 0, unpriced, charged)
            mine[:] = [a + b for a, b in zip(mine, more, strict=True)]
        found = [(what, kind, *numbers) for (what, kind), numbers in sums.items()]
        return sorted(found, key=lambda line: (-line[3], str(line[0])))

    def count_session(self, tenant: str, name: str, used: SessionState) -> int:
        id_ = session_id(tenant, name)
        before = self._tills.sessions.get(id_, SessionState(0, 0, 0))
        after = SessionState(*(a + b for a, b in zip(before, used, strict=True)))
        self._put(self._tills.sessions, id_, after)
        return after.calls

    def session(self, tenant: str, name: str) -> SessionState:
        return self._tills.sessions.get(session_id(tenant, name), SessionState(0, 0, 0))

    def put_alert(self, alert: Alert) -> bool:
        if alert.id in self._tills.alerts:
            return False
        self._put(self._tills.alerts, alert.id, (alert._replace(at=self.now()), False))
        return True

    def told(self, id_: bytes) -> None:
        if id_ in self._tills.alerts:
            self._put(self._tills.alerts, id_, (self._tills.alerts[id_][0], True))

    def alerts(self, tenant: str, limit: int, *, untold: bool) -> list[Alert]:
        found = [a for a, _ in self._tills.alerts.values() if a.tenant == tenant]
        if untold:
            found = [a for a in found if not self._tills.alerts[a.id][1]]
        return sorted(found, key=lambda a: (a.at, a.id))[:limit]


def _counts(row: Reservation, act: ReadCosts) -> bool:
    return (
        row.tenant == act.tenant
        and row.state != "released"
        and (act.since is None or row.created_at >= act.since)
        and (act.until is None or row.created_at < act.until)
        and (act.by not in {"model", "tool"} or row.kind == act.by)
    )


_BY: dict[str, Callable[[Reservation], Any]] = {
    "model": lambda row: row.what if row.kind == "model" else None,
    "tool": lambda row: row.what if row.kind == "tool" else None,
    "what": lambda row: row.what,
    "provider": lambda row: row.provider,
    "workflow": lambda row: row.workflow,
    "session": lambda row: row.session,
    "day": lambda row: row.created_at // 86_400_000_000,
}
