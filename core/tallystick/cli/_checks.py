"""What the doctor looks at: each check is a function that says what it found."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import text

from tallystick.cli._plain import moment
from tallystick.cli._target import engine_for, file_of
from tallystick.stores import _schema
from tallystick.stores._tables import HEAD

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: beyond this many effects the doctor leaves the reading of each one to `tallystick verify`
_MANY = 100_000
_FULL = 2
_OLDEST_SERVER = 130_000
_KINDS = {
    "approval": "to approve",
    "in_doubt": "in doubt",
    "conflict": "in conflict",
    "suspect": "suspected to be repeated",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: Literal["ok", "warn", "fail"]
    says: str
    next: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What there is to look at."""

    url: str
    tenant: str
    db: Connection
    path: Path | None

    def one(self, query: str) -> Any:
        """The first value of the first row."""
        return self.db.execute(text(query)).scalar()

    def rows(self, query: str, **values: Any) -> list[Any]:
        """All rows."""
        return list(self.db.execute(text(query), values))


Examination = Callable[[Case], Check]


def examine(url: str, tenant: str) -> Iterator[Check]:
    """Look at everything; what needs the tables is left out where they are not right."""
    engine = engine_for(url)
    try:
        with engine.connect() as db:
            case = Case(url=url, tenant=tenant, db=db, path=file_of(url))
            for look in _FILE if case.path is not None else _SERVER:
                check = look(case)
                yield check
                if look is _integrity and check.state == "fail":
                    return
            differences = _schema.check(engine)
            yield _tables(differences)
            if not differences:
                for look in _CONTENTS:
                    yield look(case)
    finally:
        engine.dispose()


def _disk(case: Case) -> Check:
    from tallystick.stores._sqlite import network_filesystem

    path = case.path or Path()
    kind = network_filesystem(path)
    where = path.absolute()
    if kind is None:
        return Check(name="disk", state="ok", says=f"{where} is on a local disk")
    return Check(
        name="disk",
        state="fail",
        says=f"{where} is on a network file system ({kind}), whose locks cannot be trusted",
        next="move the file to a local disk, or use PostgreSQL",
    )


def _integrity(case: Case) -> Check:
    found = "; ".join(str(row[0]) for row in case.rows("PRAGMA quick_check(5)"))
    if found == "ok":
        return Check(name="file", state="ok", says="SQLite finds the file sound")
    return Check(
        name="file",
        state="fail",
        says=f"SQLite finds damage: {found}",
        next="stop all writers, keep a copy, and restore the file from a backup",
    )


def _journal(case: Case) -> Check:
    mode = case.one("PRAGMA journal_mode")
    if mode == "wal":
        return Check(name="journal", state="ok", says="the file has a write-ahead log")
    return Check(
        name="journal",
        state="warn",
        says=f"the journal mode is {mode}: readers and the writer wait for each other",
        next="open it once with Ledger(…), which turns the write-ahead log on",
    )


def _server(case: Case) -> Check:
    version, number = case.one("SHOW server_version"), int(case.one("SHOW server_version_num"))
    if number >= _OLDEST_SERVER:
        return Check(name="server", state="ok", says=f"PostgreSQL {version}")
    return Check(
        name="server",
        state="warn",
        says=f"PostgreSQL {version} is older than what tallystick is tested with (13)",
        next="upgrade the server",
    )


def _durable(case: Case) -> Check:
    if case.path is not None:
        level = _synchronous(case)
        safe, says = level >= _FULL, "synchronous is FULL" if level >= _FULL else "not FULL"
    else:
        values = {name: case.one(f"SHOW {name}") for name in ("fsync", "synchronous_commit")}
        safe = "off" not in values.values()
        says = ", ".join(f"{name} is {value}" for name, value in values.items())
    if safe:
        return Check(name="durability", state="ok", says=f"{says}: a commit survives a power cut")
    return Check(
        name="durability",
        state="fail",
        says=f"{says}: a power cut can forget an effect, and so do it twice",
        next="turn fsync and synchronous_commit on for this database",
    )


def _synchronous(case: Case) -> int:
    """The level of the connections that the store itself makes."""
    from tallystick.stores._sqlite import SqliteStore

    connection = SqliteStore(engine_for(case.url), create=False).connect(read_only=True)
    try:
        return int(connection.execute("PRAGMA synchronous").fetchone()[0])
    finally:
        connection.close()


def _tables(differences: list[str]) -> Check:
    if not differences:
        return Check(name="tables", state="ok", says=f"they are at revision {HEAD}")
    return Check(
        name="tables", state="fail", says=" ".join(differences), next="tallystick db upgrade"
    )


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
    lease = 15_000_000
    query = (
        "SELECT count(*) FROM tallystick_worker WHERE id = :id"
        " AND last_seen > CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint) - :lease"
    )
    return bool(case.rows(query, id=holder, lease=lease)[0][0])


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
    urgent = any(kind != "approval" for kind, _, _ in found)
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


_FILE: tuple[Examination, ...] = (_disk, _integrity, _journal)
_SERVER: tuple[Examination, ...] = (_server,)
_CONTENTS: tuple[Examination, ...] = (_durable, _hosts, _workers, _inbox, _halts, _records)
