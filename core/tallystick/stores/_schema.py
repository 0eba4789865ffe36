"""
The tables in the database, and whether they are the ones that this version reads and writes.

Looking costs one small SELECT; Alembic is imported only where something has to change. The
database's own errors pass through untranslated: the stores have one table for them.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, Index, Inspector, Table
from sqlalchemy.exc import DBAPIError

from tallystick.errors import SchemaMismatch, StoreBusy
from tallystick.stores._revision import HEAD, MARIADB, VERSION_TABLE

#: seconds that a change of the schema waits for another process's
_PATIENCE = 30.0
_REVISION = sqlalchemy.select(sqlalchemy.column("version_num", sqlalchemy.Text)).select_from(
    sqlalchemy.table(VERSION_TABLE)
)
_NEXT = "run `tallystick db upgrade --ledger URL` or open it with Ledger(..., create=True)"


def ensure(engine: Engine, *, create: bool) -> None:
    """
    Return only if the database has the tables of this version.

    With *create*, missing ones are made and old ones brought up to date, whoever else is at it;
    otherwise, and where they are newer than this version, ``SchemaMismatch`` says what to do.
    """
    revision = current(engine)
    if revision == HEAD:
        return
    if create:
        upgrade(engine)
    elif revision is None:
        raise SchemaMismatch(f"the database has no tables of tallystick: {_NEXT}")
    else:
        _refuse_newer(revision)
        raise SchemaMismatch(
            f"the ledger's tables are at revision {revision} and this version of tallystick "
            f"needs {HEAD}: {_NEXT}"
        )


def upgrade(engine: Engine) -> None:
    """
    Bring the database to this version's revision, from nothing or from an older one.

    All of it happens, or nothing does; on MariaDB and MySQL, what was cut off is finished by the
    next call. Several processes may do so at once; each returns when it is done, by whomever.
    """
    from tallystick.stores import migrations

    deadline = time.monotonic() + _PATIENCE
    while (revision := current(engine)) != HEAD:
        if revision is not None:
            _refuse_newer(revision)
        try:
            with _transaction(engine) as connection:
                _refuse_strangers(connection)
                migrations.upgrade(connection, HEAD)
        except (DBAPIError, *migrations.FAILURES):
            # Another process was faster, unless nothing has moved.
            if time.monotonic() > deadline or current(engine) == revision:
                raise


def current(engine: Engine) -> str | None:
    """The revision that the database is at; ``None`` where tallystick has no tables."""
    with engine.connect() as connection:
        try:
            return connection.scalar(_REVISION)
        except DBAPIError:
            connection.rollback()
            if sqlalchemy.inspect(connection).has_table(VERSION_TABLE):
                raise
            return None


def check(engine: Engine) -> list[str]:
    """
    How the database differs from what this version needs, in sentences; none where it is right.

    Names are compared, and what keeps a promise: primary keys and unique indexes. What is there
    besides is nobody's business here.
    """
    from tallystick.stores._tables import METADATA

    found: list[str] = []
    if (revision := current(engine)) != HEAD:
        at = "at no revision" if revision is None else f"at revision {revision}"
        found.append(f"The database is {at}; this version needs {HEAD}.")
    with engine.connect() as connection:
        inspector = sqlalchemy.inspect(connection)
        for table in METADATA.sorted_tables:
            found.extend(_differences(inspector, table, engine.dialect.name))
    return found


def _over(index: Index, dialect: str) -> list[str]:
    """The columns of an index, as the database has it."""
    names = [column.name for column in index.columns]
    if dialect not in MARIADB:
        return names
    from tallystick.stores._mariadb_schema import columns_of

    return columns_of(names, index.dialect_options["postgresql"]["where"])


def _differences(inspector: Inspector, table: Table, dialect: str) -> Generator[str]:
    name = table.name
    if not inspector.has_table(name):
        yield f"The table {name} is missing."
        return
    columns = {column["name"] for column in inspector.get_columns(name)}
    for column in table.columns:
        if column.name not in columns:
            yield f"The column {name}.{column.name} is missing."
    key = [column.name for column in table.primary_key.columns]
    if inspector.get_pk_constraint(name)["constrained_columns"] != key:
        yield f"The primary key of {name} is not ({', '.join(key)})."
    indexes = {index["name"]: index for index in inspector.get_indexes(name)}
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        there = indexes.get(str(index.name))
        over = _over(index, dialect)
        if there is None:
            yield f"The index {index.name} on {name} is missing."
        elif there["column_names"] != over:
            yield f"The index {index.name} on {name} is not over ({', '.join(over)})."
        elif index.unique and not there["unique"]:
            yield f"The index {index.name} on {name} is not unique."


def _refuse_newer(revision: str) -> None:
    """Raise where *revision* is none that this package knows."""
    from tallystick.stores import migrations

    if not migrations.known(revision):
        raise SchemaMismatch(
            f"this database was written by a newer tallystick: its tables are at revision "
            f"{revision} and this version knows {HEAD}; upgrade the package"
        )


def _refuse_strangers(connection: Connection) -> None:
    """Raise where our tables stand without a revision, so that nobody can say which they are."""
    inspector = sqlalchemy.inspect(connection)
    # The tables first: who made them committed their revision with them.
    from tallystick.stores._tables import METADATA

    strangers = [name for name in METADATA.tables if inspector.has_table(name)]
    if not strangers:
        return
    begun = connection.dialect.name in MARIADB and inspector.has_table(VERSION_TABLE)
    if begun:  # that table is made first, and was not filled: somebody was cut off
        return
    if not inspector.has_table(VERSION_TABLE) or connection.scalar(_REVISION) is None:
        raise SchemaMismatch(
            f"the database has {', '.join(sorted(strangers))}, but {VERSION_TABLE} names no "
            "revision, so tallystick did not make them or was robbed of it: restore that table, "
            "or use another database"
        )


@contextmanager
def _transaction(engine: Engine) -> Generator[Connection]:
    """A real transaction around changes of the schema; it waits for its turn, but not forever."""
    with ExitStack() as stack:
        connection = stack.enter_context(engine.connect())
        if engine.dialect.name == "sqlite":
            stack.enter_context(_turn(connection))
            stack.enter_context(connection.begin())
            _begin_immediate(connection)
        elif engine.dialect.name in MARIADB:
            from tallystick.stores._mariadb_schema import turn

            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            stack.enter_context(turn(connection, _PATIENCE))
        else:
            # Also for an engine that commits each statement, or sees the world as it was.
            connection = connection.execution_options(isolation_level="READ COMMITTED")
            stack.enter_context(connection.begin())
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(_PATIENCE * 1000)}")
        yield connection


@contextmanager
def _turn(connection: Connection) -> Generator[None]:
    """Hold the lock file beside a SQLite database; one in memory needs none."""
    rows = connection.exec_driver_sql("PRAGMA database_list").all()
    connection.rollback()
    path = next((row[2] for row in rows if row[1] == "main"), "")
    if not path:
        yield
        return
    from tallystick.stores import _locks

    folder = Path(f"{path}-workers")
    folder.mkdir(exist_ok=True)
    lock = _locks.patiently(folder / "schema.lock", _PATIENCE)
    try:
        lock.acquire()
    except _locks.Locked as error:
        raise StoreBusy(
            f"another process has been changing the ledger's tables for {_PATIENCE:.0f} s; "
            f"try again, or see who holds {folder / 'schema.lock'}"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _begin_immediate(connection: Connection) -> None:
    """The driver begins before INSERT and the like, but not before CREATE TABLE."""
    driver: Any = connection.connection.driver_connection
    if not driver.in_transaction:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
