"""A store's transaction by itself, for what only shows there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any

import psycopg

from tallystick._ports import Store
from tallystick.stores._postgres import PostgresStore, PostgresTx
from tallystick.stores._sqlite import SqliteStore, SqliteTx
from tallystick.stores._tx import SqlTx


@contextlib.contextmanager
def transaction(store: Store) -> Generator[SqliteTx | PostgresTx]:
    """A transaction that is committed at the end."""
    inner: Any = store
    if isinstance(store, SqliteStore):
        with inner._transaction(holds=False) as tx:
            yield tx
        return
    assert isinstance(store, PostgresStore)
    with contextlib.closing(store.connect()) as db, db.transaction():
        yield inner._tx(db)


def refused_lock(store: Store, read: Callable[[SqlTx], Any]) -> bool:
    """Whether somebody else has to wait who wants to read the same to write it."""
    assert isinstance(store, PostgresStore)
    inner: Any = store
    with contextlib.closing(store.connect()) as db:
        db.execute("SET lock_timeout = '100ms'")
        try:
            with db.transaction():
                read(inner._tx(db))
        except psycopg.errors.LockNotAvailable:
            return True
    return False
