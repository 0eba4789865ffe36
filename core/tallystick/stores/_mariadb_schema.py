"""
The tables as MariaDB and MySQL keep them, derived from the common definitions by rules.

A text or a digest that stands in a key has a length, any other has none; a text is compared byte by
byte and with its blanks. An index of some rows is one of all, with the column that tells them apart
in front. Changes of the schema are not transactional here: each is made unless it is there already,
so that a change that was cut off is finished by whoever comes next.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic.operations import Operations, ops
from sqlalchemy.dialects import mysql

from tallystick.errors import StoreBusy
from tallystick.stores._mariadb_sql import FILL, GUARD, Server, quoted
from tallystick.stores._tables import METADATA

if TYPE_CHECKING:
    from sqlalchemy import Connection

_DIGEST = 32
#: characters of a text in a key, which may have 3,072 bytes in all
_LONGEST = {"ns": 400, "id": 100, "checkpoint": 100, "task": 200}
_OTHERS = 255
_CONDITION = re.compile(r"(\w+) = ")


def columns_of(names: Iterable[str], condition: Any) -> list[str]:
    """What an index is over here, where others have it over *names* and some rows."""
    if condition is None:
        return list(names)
    found = _CONDITION.match(str(condition))
    assert found is not None, "an index of some rows is for those with one value in one column"
    return [found.group(1), *names]


def _keyed() -> set[tuple[str, str]]:
    """The columns that stand in a key, by table."""
    found: set[tuple[str, str]] = set()
    for table in METADATA.tables.values():
        found |= {(table.name, column.name) for column in table.primary_key}
        for index in table.indexes:
            over = columns_of(
                (column.name for column in index.columns),
                index.dialect_options["postgresql"]["where"],
            )
            found |= {(table.name, name) for name in over}
    return found


_KEYED = _keyed()


class MariaOperations(Operations):
    """Alembic's operations, said as these servers need them; each is done once."""

    def invoke(self, operation: ops.MigrateOperation) -> Any:
        """Do what is not there yet."""
        if isinstance(operation, ops.CreateTableOp):
            self._table(operation)
        elif isinstance(operation, ops.AddColumnOp):
            self._column(operation.table_name, operation.column)
        elif isinstance(operation, ops.CreateIndexOp):
            self._index(operation)
        return None if self._done(operation) else super().invoke(operation)

    @property
    def _server(self) -> Server:
        return server_of(self.get_bind())

    def _done(self, operation: ops.MigrateOperation) -> bool:
        inspector = sa.inspect(self.get_bind())
        if isinstance(operation, ops.CreateTableOp):
            return inspector.has_table(operation.table_name)
        if isinstance(operation, ops.DropTableOp):
            return not inspector.has_table(operation.table_name)
        if isinstance(operation, ops.AddColumnOp):
            there = inspector.get_columns(operation.table_name)
            return operation.column.name in {column["name"] for column in there}
        if isinstance(operation, ops.DropColumnOp):
            there = inspector.get_columns(operation.table_name)
            return operation.column_name not in {column["name"] for column in there}
        if isinstance(operation, ops.CreateIndexOp):
            indexes = inspector.get_indexes(str(operation.table_name))
            return operation.index_name in {index["name"] for index in indexes}
        return False

    def _table(self, operation: ops.CreateTableOp) -> None:
        items: list[Any] = list(operation.columns)
        for item in items:
            if hasattr(item, "server_default"):
                self._column(operation.table_name, item)
            elif isinstance(item, sa.CheckConstraint):
                item.sqltext = sa.text(quoted(str(item.sqltext)))
        prefix = self.get_bind().dialect.name
        operation.kw |= {
            f"{prefix}_engine": "InnoDB",
            f"{prefix}_row_format": "DYNAMIC",
            f"{prefix}_charset": "utf8mb4",
            f"{prefix}_collate": self._server.collation,
        }

    def _column(self, table: str, column: sa.Column[Any]) -> None:
        keyed = (table, column.name) in _KEYED
        if isinstance(column.type, sa.LargeBinary):
            column.type = mysql.VARBINARY(_DIGEST) if keyed else mysql.LONGBLOB()
        elif isinstance(column.type, sa.Text):
            text = {"charset": "utf8mb4", "collation": self._server.collation}
            length = _LONGEST.get(column.name, _OTHERS)
            column.type = mysql.VARCHAR(length, **text) if keyed else mysql.LONGTEXT(**text)

    def _index(self, operation: ops.CreateIndexOp) -> None:
        condition = operation.kw.get("postgresql_where")
        operation.columns = columns_of(map(str, operation.columns), condition)


def server_of(connection: Connection) -> Server:
    """Which of the two answers."""
    version = connection.exec_driver_sql("SELECT version()").scalar_one()
    return Server.of(str(version))


def begin(operations: Operations) -> None:
    """What is there before any revision: the slots that a wary claim locks one of."""
    slot = sa.Column("slot", sa.Integer(), primary_key=True, autoincrement=False)
    operations.create_table(GUARD, slot)
    operations.execute(FILL)


@contextmanager
def turn(connection: Connection, seconds: float) -> Generator[None]:
    """
    Change the schema while nobody else does.

    Raises StoreBusy if others are at it for longer than *seconds*; statements that stand in the way
    are waited for as long.
    """

    def one(statement: str, **params: Any) -> Any:
        return connection.exec_driver_sql(statement, params).scalar_one()

    digest = hashlib.sha256(str(one("SELECT database()")).encode()).hexdigest()
    lock, wait = f"tallystick {digest[:32]}", max(1, round(seconds))
    before = one("SELECT @@SESSION.lock_wait_timeout")
    if one("SELECT get_lock(%(lock)s, %(wait)s)", lock=lock, wait=wait) != 1:
        raise StoreBusy(
            f"another process has been changing the ledger's tables for {wait} s; try again, or "
            "see who is at it in SHOW PROCESSLIST"
        )
    try:
        connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {wait}")
        yield
    finally:
        connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {before}")
        one("SELECT release_lock(%(lock)s)", lock=lock)
