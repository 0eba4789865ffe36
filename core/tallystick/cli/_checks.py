"""What the doctor looks at, in order; first the database itself, then what is in it."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from tallystick.cli._case import Case, Check, Examination
from tallystick.cli._database import FILE, MARIA, SERVER, durable, tables
from tallystick.cli._plain import moment
from tallystick.cli._target import engine_for, file_of
from tallystick.stores import _schema

#: beyond this many effects the doctor leaves the reading of each one to `tallystick verify`
_MANY = 100_000
#: microseconds since 1970 by the database's clock
_SQLITE_NOW = "SELECT CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"
_POSTGRES_NOW = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"
_MARIADB_NOW = "SELECT timestampdiff(MICROSECOND, '1970-01-01', utc_timestamp(6))"
_KINDS = {
    "approval": "to approve",
    "in_doubt": "in doubt",
    "conflict": "in conflict",
    "suspect": "suspected to be repeated",
    "budget": "to raise a budget",
}


def examine(url: str, tenant: str) -> Iterator[Check]:
    """Look at everything; what needs the tables is left out where they are not right."""
    engine = engine_for(url)
    try:
        with engine.connect() as db:
            case = Case(url=url, tenant=tenant, db=db, path=file_of(url))
            for look in FILE if case.path is not None else MARIA if case.maria else SERVER:
                check = look(case)
                yield check
                if check.state == "fail":
                    return
            differences = _schema.check(engine)
            yield tables(differences)
            if not differences:
                for look in _CONTENTS:
                    yield look(case)
    finally:
        engine.dispose()


def _hosts(case: Case) -> Check:
    here = socket.gethostname()
    hosts = {row[0] for row in case.rows("SELECT DISTINCT host FROM tallystick_worker")}
    others = sorted(hosts - {here})
    if case.path is None:
        says = f"{len(hosts)} host(s) have worked here" if hosts else "nobody is at work"
        return Check(name="hosts", state="ok", says=says)
    if not others:
        return Check(name="hosts", state="ok", says=f"used by this host ({here}) only")
    return Check(
        name="hosts",
        state="warn",
        says=f"used by {', '.join(others)} too: a SQLite file is for one host at a time",
        next="use PostgreSQL for several hosts; after a move to this host all is well",
    )


def _workers(case: Case) -> Check:
    running = "SELECT holder, count(*) FROM tallystick_effect WHERE status = 'running' GROUP BY 1"
    left = {holder: count for holder, count in case.rows(running) if not _alive(case, holder)}
    if not left:
        return Check(name="workers", state="ok", says="no dead process has left effects running")
    return Check(
        name="workers",
        state="warn",
        says=f"{sum(left.values())} effect(s) were left running by {len(left)} dead process(es)",
        next="tallystick inbox (puts them in doubt; a retry of their caller does so too)",
    )


def _alive(case: Case, holder: str) -> bool:
    if case.path is not None:
        from tallystick.stores._sqlite import SqliteStore

        return SqliteStore(engine_for(case.url), create=False).alive(holder)
    query = "SELECT count(*) FROM tallystick_worker WHERE id = :id AND last_seen > :since"
    return bool(case.rows(query, id=holder, since=_now(case) - 15_000_000)[0][0])


def _now(case: Case) -> int:
    if case.path is not None:
        return int(case.one(_SQLITE_NOW))
    return int(case.one(_MARIADB_NOW if case.maria else _POSTGRES_NOW))


def _inbox(case: Case) -> Check:
    query = (
        "SELECT kind, count(*), min(opened_at) FROM tallystick_inbox"
        " WHERE tenant = :tenant GROUP BY kind ORDER BY kind"
    )
    found = case.rows(query, tenant=case.tenant)
    if not found:
        return Check(name="inbox", state="ok", says="nothing waits for a person")
    from tallystick._model import at

    kinds = [f"{count} {_KINDS.get(kind, kind)}" for kind, count, _ in found]
    oldest = moment(at(min(opened for _, _, opened in found)))
    urgent = any(kind not in {"approval", "budget"} for kind, _, _ in found)
    return Check(
        name="inbox",
        state="warn" if urgent else "ok",
        says=f"{', '.join(kinds)}; the oldest since {oldest}",
        next="tallystick inbox",
    )


def _halts(case: Case) -> Check:
    query = "SELECT count(*) FROM tallystick_halt WHERE tenant IS NULL OR tenant = :tenant"
    count = case.rows(query, tenant=case.tenant)[0][0]
    if not count:
        return Check(name="halts", state="ok", says="nothing is halted")
    return Check(
        name="halts", state="warn", says=f"{count} halt(s) in force", next="tallystick halts"
    )


def _budgets(case: Case) -> Check:
    query = (
        "SELECT state, count(*), coalesce(sum(bound), 0),"
        " sum(CASE WHEN until <= :now THEN 1 ELSE 0 END) FROM tallystick_reservation"
        " WHERE tenant = :tenant AND state IN ('held', 'unreconciled') GROUP BY state"
    )
    rows = case.rows(query, tenant=case.tenant, now=_now(case))
    found = {state: rest for state, *rest in rows}
    lost, bound, _ = found.get("unreconciled", (0, 0, 0))
    _, _, late = found.get("held", (0, 0, 0))
    says: list[str] = []
    if lost:
        from tallystick._budgets._amounts import Metric, shown

        dollars = f", up to {shown(Metric.USD, int(bound)):f} USD" if bound else ""
        says.append(f"{lost} reservation(s) whose cost nobody knows{dollars}")
    if late:
        says.append(f"{late} held beyond their time")
    if not says:
        return Check(name="budgets", state="ok", says="nothing is charged whose cost is unknown")
    return Check(
        name="budgets",
        state="warn",
        says="; ".join(says),
        next="tallystick budgets unreconciled",
    )


def _records(case: Case) -> Check:
    count = case.one("SELECT count(*) FROM tallystick_effect")
    if count > _MANY:
        says = f"{count:,} effects are too many to read them all here"
        return Check(name="records", state="ok", says=says, next="tallystick verify")
    from tallystick.ledger import Ledger

    with Ledger(case.url, tenant=case.tenant) as ledger:
        found = ledger.verify()
    counted = f"{found.effects:,} effects and {found.events:,} events"
    if found.sound:
        return Check(name="records", state="ok", says=f"{counted} match their hashes")
    return Check(
        name="records",
        state="fail",
        says=f"{len(found.damage)} of {counted} do not match their hashes",
        next="tallystick verify",
    )


_CONTENTS: tuple[Examination, ...] = (
    durable,
    _hosts,
    _workers,
    _inbox,
    _halts,
    _budgets,
    _records,
)
