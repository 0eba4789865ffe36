"""What the doctor looks at in the database itself."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.exc import DatabaseError

from tallystick.cli._case import Case, Check, Examination
from tallystick.cli._target import engine_for
from tallystick.stores._revision import HEAD

_FULL = 2
_OLDEST_SERVER = 130_000
#: CHECK constraints and the functions of the statements
_OLDEST_MARIA = {True: (10, 5), False: (8, 0)}


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
    try:
        found = "; ".join(str(row[0]) for row in case.rows("PRAGMA quick_check(5)"))
    except DatabaseError as error:
        found = str(error.orig)
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


def _maria(case: Case) -> Check:
    said = str(case.one("SELECT version()"))
    maria = "mariadb" in said.lower()
    name, oldest = "MariaDB" if maria else "MySQL", _OLDEST_MARIA[maria]
    major, minor = (int(part) for part in said.split(".")[:2])
    version = said.partition("-")[0]
    if (major, minor) >= oldest:
        return Check(name="server", state="ok", says=f"{name} {version}")
    return Check(
        name="server",
        state="warn",
        says=f"{name} {version} is older than what the statements need ({oldest[0]}.{oldest[1]})",
        next="upgrade the server",
    )


def _replicas(case: Case) -> Check:
    """READ COMMITTED cannot be replicated by its statements, and such a server refuses to write."""
    form = str(case.one("SELECT @@GLOBAL.binlog_format"))
    if form != "STATEMENT" or not case.one("SELECT @@GLOBAL.log_bin"):
        return Check(name="replication", state="ok", says="rows are replicated, or nothing is")
    return Check(
        name="replication",
        state="fail",
        says="binlog_format is STATEMENT: the server refuses what the ledger writes",
        next="set binlog_format to ROW or MIXED",
    )


def durable(case: Case) -> Check:
    safe, says, then = (
        _file_durable(case)
        if case.path is not None
        else _maria_durable(case)
        if case.maria
        else _server_durable(case)
    )
    if safe:
        return Check(name="durability", state="ok", says=f"{says}: a commit survives a power cut")
    return Check(
        name="durability",
        state="fail",
        says=f"{says}: a power cut can forget an effect, and so do it twice",
        next=then,
    )


Durable = tuple[bool, str, str]


def _file_durable(case: Case) -> Durable:
    level = _synchronous(case)
    return level >= _FULL, "synchronous is FULL" if level >= _FULL else "not FULL", ""


def _server_durable(case: Case) -> Durable:
    values = {name: case.one(f"SHOW {name}") for name in ("fsync", "synchronous_commit")}
    says = ", ".join(f"{name} is {value}" for name, value in values.items())
    then = "turn fsync and synchronous_commit on for this database"
    return "off" not in values.values(), says, then


def _maria_durable(case: Case) -> Durable:
    level = int(case.one("SELECT @@GLOBAL.innodb_flush_log_at_trx_commit"))
    says = f"innodb_flush_log_at_trx_commit is {level}"
    return level == 1, says, "set innodb_flush_log_at_trx_commit to 1"


def _synchronous(case: Case) -> int:
    """The level of the connections that the store itself makes."""
    from tallystick.stores._sqlite import SqliteStore

    connection = SqliteStore(engine_for(case.url), create=False).connect(read_only=True)
    try:
        return int(connection.execute("PRAGMA synchronous").fetchone()[0])
    finally:
        connection.close()


def tables(differences: list[str]) -> Check:
    if not differences:
        return Check(name="tables", state="ok", says=f"they are at revision {HEAD}")
    return Check(
        name="tables", state="fail", says=" ".join(differences), next="tallystick db upgrade"
    )


FILE: tuple[Examination, ...] = (_disk, _integrity, _journal)
SERVER: tuple[Examination, ...] = (_server,)
MARIA: tuple[Examination, ...] = (_maria, _replicas)
