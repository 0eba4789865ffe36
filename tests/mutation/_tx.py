"""A store's transaction by itself, for what only shows there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any

import psycopg
import pymysql

from tallystick._ports import Store
from tallystick.stores._mariadb import MariaStore
from tallystick.stores._mariadb_tx import MariaTx, errno
from tallystick.stores._postgres import PostgresStore, PostgresTx
from tallystick.stores._sqlite import SqliteStore, SqliteTx
from tallystick.stores._tx import SqlTx


@contextlib.contextmanager
def transaction(store: Store) -> Generator[SqliteTx | PostgresTx | MariaTx]:
    """A transaction that is committed at the end."""
    inner: Any = store
    if isinstance(store, SqliteStore):
        with inner._transaction(holds=False) as tx:
            yield tx
        return
    if isinstance(store, MariaStore):
        with contextlib.closing(inner._connect(commits=False)) as db:
            yield inner._tx(db)
            db.commit()
        return
    assert isinstance(store, PostgresStore)
    with contextlib.closing(store.connect()) as db, db.transaction():
        yield inner._tx(db)


def refused_lock(store: Store, read: Callable[[SqlTx], Any]) -> bool:
    """Whether somebody else has to wait who wants to read the same to write it."""
    inner: Any = store
    if isinstance(store, MariaStore):
        return _refused_lock(inner, read)
    assert isinstance(store, PostgresStore)
    with contextlib.closing(store.connect()) as db:
        db.execute("SET lock_timeout = '100ms'")
        try:
            with db.transaction():
                read(inner._tx(db))
        except psycopg.errors.LockNotAvailable:
            return True
    return False


def _refused_lock(inner: Any, read: Callable[[SqlTx], Any]) -> bool:
    with contextlib.closing(inner._connect(commits=False)) as db, db.cursor() as cursor:
        cursor.execute("SET SESSION innodb_lock_wait_timeout = 0")
        try:
            read(inner._tx(db))
        except pymysql.OperationalError as error:
            return errno(error) == 1205
    return False
