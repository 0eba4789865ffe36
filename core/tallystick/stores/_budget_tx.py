"""The budgets of a transaction on a SQL database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

from tallystick._budgets._acts import (
    Alert,
    ReadCosts,
    ReadReservations,
    Reservation,
    SessionState,
    session_id,
)
from tallystick._budgets._rules import Weight
from tallystick._budgets._terms import Known, Terms, budget_id, terms_from
from tallystick._ports import Tx
from tallystick.stores._archive_tx import ArchiveTx
from tallystick.stores._budget_sql import BUDGET_STATEMENTS, BY, CHANGING, STRAIGHT
from tallystick.stores._sql import Dialect

#: keys of effects that were changed, and whether somebody awaits them
Touched = list[tuple[bytes, bool]]


class Overtaken(Exception):
    """Another process changed a row between reading and writing it: do the act again."""


class Use(NamedTuple):
    """One row of a line: what is charged to it in one window, or one piece of a rolling one."""

    start: int
    weight: Weight = Weight()
    raised: int = 0
    #: the limit under which it was charged, and what is known to be above it
    cap: int = 0
    over: int = 0
    #: how many thresholds somebody was told of
    told: int = 0


class Line(NamedTuple):
    """A line as it is stored: versions of budgets, by how much it was raised, its rows."""

    version: int
    tenant: str
    #: of the tenant's standing budgets
    standing: int
    raised: int
    uses: tuple[Use, ...]


class BudgetTx(Protocol):
    """What a transaction must offer for budgets."""

    def now(self) -> int:
        """Microseconds since 1970 by the database's clock."""
        ...

    def standing(self, tenant: str) -> int:
        """Which version of the standing budgets is in force."""
        ...

    def put_terms(self, tenant: str, terms: Terms, by: str, *, bump: bool) -> None:
        """Write a budget's terms under its next version; *bump* that of the standing ones, too."""
        ...

    def terms_of(self, tenant: str, name: str) -> Known | None:
        """Read a budget and keep others from declaring it until the transaction ends."""
        ...

    def terms(self, tenant: str, names: tuple[str, ...] | None, *, standing: bool) -> list[Known]:
        """Read budgets, by name."""
        ...

    def lock_lines(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        """
        Let nobody else charge those of *lines* that exist until the transaction ends.

        Returns which are ours now: another process may begin a line right after it was not found.
        """
        ...

    def put_line(self, line: bytes, budget: bytes, metric: str, label: str) -> None:
        """Begin a line, unless it exists."""
        ...

    def line(self, line: bytes, since: int) -> Line | None:
        """Read a line and its rows from *since* on."""
        ...

    def use(self, line: bytes, start: int) -> Use | None:
        """Read one row of a line."""
        ...

    def books(self, tenant: str) -> dict[tuple[bytes, int], Weight]:
        """Read what is charged to each row of a tenant's lines."""
        ...

    def about(self, line: bytes) -> tuple[Known, str, str] | None:
        """Read the budget, the metric and the label of a line."""
        ...

    def put_use(self, line: bytes, use: Use) -> None:
        """Write a row; the database refuses more than its cap and what is known to be over it."""
        ...

    def put_raise(
        self, id_: bytes, line: bytes, amount: int, start: int | None, by: str, reason: str
    ) -> bool:
        """Remember a raise, and where *start* is ``None`` raise the line; whether it is new."""
        ...

    def lines_of(self, budget: bytes) -> list[tuple[bytes, str, str]]:
        """Read (line, metric, label) of a budget's lines."""
        ...

    def put_reservation(self, row: Reservation) -> bool:
        """Write a reservation; whether it is new."""
        ...

    def reservation(self, id_: bytes) -> Reservation | None:
        """Read a reservation and keep others from changing it until the transaction ends."""
        ...

    def set_reservation(self, before: Reservation, after: Reservation) -> None:
        """Change a reservation that was read in this transaction."""
        ...

    def abandoned(self, holder: str, limit: int) -> list[Reservation]:
        """Read what *holder* holds, and what is past its time."""
        ...

    def overdue(self) -> bool:
        """Whether anything is past its time."""
        ...

    def reservations(self, act: ReadReservations) -> list[Reservation]:
        """Read reservations as the act says."""
        ...

    def costs(self, act: ReadCosts) -> list[tuple[Any, ...]]:
        """Add up (what, kind, calls, nanos, tokens, unpriced calls, charged without a price)."""
        ...

    def count_session(self, tenant: str, name: str, used: SessionState) -> int:
        """Add to what a session used; its number of calls."""
        ...

    def session(self, tenant: str, name: str) -> SessionState:
        """Read what a session used."""
        ...

    def put_alert(self, alert: Alert) -> bool:
        """Remember an alert; whether it is new."""
        ...

    def told(self, id_: bytes) -> None:
        """Mark an alert as told."""
        ...

    def alerts(self, tenant: str, limit: int, *, untold: bool) -> list[Alert]:
        """Read alerts, oldest first."""
        ...


class SpendingTx(Tx, BudgetTx, ArchiveTx, Protocol):
    """A transaction of a store that keeps budgets and takes in archives beside the effects."""

    #: what this transaction charges, if anything; see :class:`tallystick.stores._till.Till`
    till: Any


class SqlBudgets:
    """What the scripts of budgets need, said in SQL; a part of :class:`SqlTx`."""

    till: Any = None
    dialect: Dialect
    _execute: Callable[..., Any]

    def run(self, name: str, /, **params: Any) -> Any:
        """Execute a statement by its name."""
        raise NotImplementedError

    def straight(self, name: str, /, *values: Any) -> Any:
        """Execute a statement that every model call needs, with its values in their order."""
        return self.run(name, **dict(zip(STRAIGHT[name], values, strict=True)))

    def _facts(self) -> Mapping[str, Any]:
        raise NotImplementedError

    def standing(self, tenant: str) -> int:
        found = self.run("standing_version", tenant=tenant).fetchone()
        return 0 if found is None else int(found[0])

    def put_terms(self, tenant: str, terms: Terms, by: str, *, bump: bool) -> None:
        if bump:
            self.run("bump", tenant=tenant)
        self.run(
            "put_terms",
            id=budget_id(tenant, terms.name),
            tenant=tenant,
            name=terms.name,
            terms=terms.text(),
            is_standing=terms.standing,
            actor=by,
        )

    def terms_of(self, tenant: str, name: str) -> Known | None:
        found = self.run("terms_of", id=budget_id(tenant, name)).fetchone()
        return None if found is None else _known(found)

    def terms(self, tenant: str, names: tuple[str, ...] | None, *, standing: bool) -> list[Known]:
        if names is None:
            rows = self.run("terms", tenant=tenant, only_standing=standing).fetchall()
            return [_known(row) for row in rows]
        statement = self.dialect.say(BUDGET_STATEMENTS["terms_of"].replace("{lock}", ""))
        found = [
            self._execute(statement, {"id": budget_id(tenant, name)}).fetchone() for name in names
        ]
        return [_known(row) for row in found if row is not None]

    def lock_lines(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        """All of them, where there is one writer at a time."""
        return lines

    def put_line(self, line: bytes, budget: bytes, metric: str, label: str) -> None:
        self.run("put_line", id=line, budget=budget, metric=metric, label=label)

    def line(self, line: bytes, since: int) -> Line | None:
        rows = self.straight("line", line, since).fetchall()
        if not rows:
            return None
        uses = tuple([_use(row[4:]) for row in rows if row[4] is not None])
        version, whose, standing, raised, *_ = rows[0]
        return Line(version, whose, standing, raised, uses)

    def use(self, line: bytes, start: int) -> Use | None:
        found = self.straight("use", line, start).fetchone()
        return None if found is None else _use(found)

    def books(self, tenant: str) -> dict[tuple[bytes, int], Weight]:
        rows = self.run("books", tenant=tenant).fetchall()
        return {(line, start): Weight(*weight) for line, start, *weight in rows}

    def about(self, line: bytes) -> tuple[Known, str, str] | None:
        found = self.run("about", line=line).fetchone()
        return None if found is None else (_known(found[:3]), found[3], found[4])

    def put_use(self, line: bytes, use: Use) -> None:
        start, weight, *rest = use
        self.straight("put_use", line, start, *weight, *rest)

    def put_raise(
        self, id_: bytes, line: bytes, amount: int, start: int | None, by: str, reason: str
    ) -> bool:
        facts = {"line": line, "amount": amount}
        new = self.run("put_raise", id=id_, start=start, actor=by, reason=reason, **facts).rowcount
        if new and start is None:
            self.run("raise_line", **facts)
        return bool(new)

    def lines_of(self, budget: bytes) -> list[tuple[bytes, str, str]]:
        return [tuple(row) for row in self.run("lines_of", budget=budget).fetchall()]

    def put_reservation(self, row: Reservation) -> bool:
        return bool(self.straight("put_reservation", *row[1:]).rowcount)

    def reservation(self, id_: bytes) -> Reservation | None:
        found = self.straight("reservation", id_).fetchone()
        return None if found is None else Reservation._make(found)

    def set_reservation(self, before: Reservation, after: Reservation) -> None:
        changed = self.straight("set_reservation", before.id, before.state, *_changes(after))
        if changed.rowcount != 1:
            raise Overtaken(before.id.hex())

    def abandoned(self, holder: str, limit: int) -> list[Reservation]:
        rows = self.run("abandoned", holder=holder, limit=limit).fetchall()
        return [Reservation._make(row) for row in rows]

    def overdue(self) -> bool:
        return self.run("overdue").fetchone() is not None

    def reservations(self, act: ReadReservations) -> list[Reservation]:
        where, params = _where(act)
        order = " ORDER BY r.seq" if act.after is not None else " ORDER BY r.seq DESC"
        sql = self.dialect.say(BUDGET_STATEMENTS["reservations"], where=where + order)
        rows = self._execute(sql, params | {"tenant": act.tenant, "limit": act.limit}).fetchall()
        return [Reservation._make(row) for row in rows]

    def costs(self, act: ReadCosts) -> list[tuple[Any, ...]]:
        params: dict[str, Any] = {"tenant": act.tenant}
        where = ""
        for name, sign in (("since", ">="), ("until", "<")):
            if (moment := getattr(act, name)) is not None:
                where += f" AND r.created_at {sign} :{name}"
                params[name] = moment
        if act.by in {"model", "tool"}:
            where += " AND r.kind = :kind"
            params["kind"] = act.by
        sql = self.dialect.say(BUDGET_STATEMENTS["costs"], where=where, by=BY[act.by])
        return [
            (what, kind, *(int(n or 0) for n in numbers))
            for what, kind, *numbers in self._execute(sql, params).fetchall()
        ]

    def count_session(self, tenant: str, name: str, used: SessionState) -> int:
        id_ = session_id(tenant, name)
        return int(self.straight("count_session", id_, tenant, name, *used).fetchone()[0])

    def session(self, tenant: str, name: str) -> SessionState:
        found = self.run("session", id=session_id(tenant, name)).fetchone()
        return SessionState(0, 0, 0) if found is None else SessionState(*found)

    def put_alert(self, alert: Alert) -> bool:
        params = alert._asdict()
        del params["at"]
        return bool(self.run("put_alert", **params).rowcount)

    def told(self, id_: bytes) -> None:
        self.run("told", id=id_)

    def alerts(self, tenant: str, limit: int, *, untold: bool) -> list[Alert]:
        rows = self.run("alerts", tenant=tenant, untold=untold, limit=limit).fetchall()
        return [Alert._make(row) for row in rows]


_changes = attrgetter(*CHANGING)


def _known(row: Any) -> Known:
    return Known(row[0], row[1], terms_from(row[2]))


def _use(row: Any) -> Use:
    start, reserved, spent, unreconciled, *rest = row
    return Use(start, Weight(reserved, spent, unreconciled), *rest)


def _where(act: ReadReservations) -> tuple[str, dict[str, Any]]:
    """The conditions that a reading act names, and their values."""
    params: dict[str, Any] = {}
    where = ""
    for name, column, sign in (
        ("id", "id", "="),
        ("scope", "scope", "="),
        ("state", "state", "="),
        ("kind", "kind", "="),
        ("since", "created_at", ">="),
        ("after", "seq", ">"),
    ):
        if (value := getattr(act, name)) is not None:
            where += f" AND r.{column} {sign} :{name}"
            params[name] = value
    if act.prefix is not None:
        where += " AND r.id >= :low AND r.id <= :high"
        params["low"] = bytes.fromhex(act.prefix.ljust(64, "0"))
        params["high"] = bytes.fromhex(act.prefix.ljust(64, "f"))
    return where, params
