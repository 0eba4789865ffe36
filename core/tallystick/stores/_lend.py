"""Working on somebody's connection, and leaving the commit to them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import sqlalchemy
import sqlalchemy.orm

from tallystick._acts import Act, Claim, Found, Settle, Settled
from tallystick._ports import Tx
from tallystick.errors import AsyncTool, InvalidPolicy
from tallystick.stores import _scripts

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

A = TypeVar("A")


class Lender(Protocol):
    """A store that can work on a lent connection."""

    @property
    def engine(self) -> sqlalchemy.Engine: ...

    def lent(self, execute: Any) -> Tx: ...


class LentHere:
    """A lent connection, on this thread."""

    def __init__(self, store: Lender, db: sqlalchemy.Connection, given: Any) -> None:
        self.connection = given
        self._tx = _tx(store, db)

    async def claim(self, act: Claim) -> Found:
        return self._tx.claim([act])[0]

    async def do(self, act: Act[A]) -> A:
        return cast("A", _scripts.perform(self._tx, act, []))

    async def settle(self, act: Settle) -> Settled:
        return cast("Settled", _scripts.perform(self._tx, act, []))


class LentThere:
    """A lent connection of an event loop: everything runs in SQLAlchemy's greenlet."""

    def __init__(self, store: Lender, db: AsyncConnection, given: Any) -> None:
        self.connection = given
        self._store = store
        self._db = db

    async def _run(self, deed: Callable[[Tx], A]) -> A:
        return await self._db.run_sync(lambda db: deed(_tx(self._store, db)))

    async def claim(self, act: Claim) -> Found:
        return await self._run(lambda tx: tx.claim([act])[0])

    async def do(self, act: Act[A]) -> A:
        return cast("A", await self._run(lambda tx: _scripts.perform(tx, act, [])))

    async def settle(self, act: Settle) -> Settled:
        return cast("Settled", await self._run(lambda tx: _scripts.perform(tx, act, [])))


def _tx(store: Lender, db: sqlalchemy.Connection) -> Tx:
    def run(sql: str, params: Mapping[str, Any]) -> sqlalchemy.CursorResult[Any]:
        return db.exec_driver_sql(sql, dict(params))

    return store.lent(run)


@contextmanager
def lend(store: Lender, given: Any) -> Generator[LentHere]:
    """
    A savepoint on *given*, or a transaction of our own where nothing is given.

    Raises InvalidPolicy for what is no connection to the ledger's own database.
    """
    if given is None:
        with store.engine.connect() as db, db.begin():
            _begin_immediate(db)
            yield LentHere(store, db, db)
        return
    if isinstance(given, sqlalchemy.orm.Session):
        db = given.connection()
    elif isinstance(given, sqlalchemy.Connection):
        db = given
    else:
        raise _no_connection(given)
    _same_database(store, db)
    _begin_immediate(db)
    with db.begin_nested():
        yield LentHere(store, db, given)
        if isinstance(given, sqlalchemy.orm.Session):
            given.flush()


@asynccontextmanager
async def alend(store: Lender, given: Any) -> AsyncGenerator[LentThere]:
    """As :func:`lend`, for an ``AsyncConnection`` or ``AsyncSession``."""
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

    if given is None:
        raise InvalidPolicy(
            "a TRANSACTIONAL effect on the awaiting face needs connection=<AsyncConnection or "
            "AsyncSession>; the ledger's own connections are blocking"
        )
    if isinstance(given, AsyncSession):
        db = await given.connection()
    elif isinstance(given, AsyncConnection):
        db = given
    else:
        raise _no_connection(given)
    await db.run_sync(lambda inner: _same_database(store, inner))
    await db.run_sync(_begin_immediate)
    async with db.begin_nested():
        yield LentThere(store, db, given)
        if isinstance(given, AsyncSession):
            await given.flush()


def _begin_immediate(db: sqlalchemy.Connection) -> None:
    """
    Take SQLite's write lock before the first statement.

    The sqlite3 driver begins a transaction only before a write, so a savepoint would be the
    outermost transaction, and releasing it a commit.
    """
    if db.dialect.name == "sqlite":
        raw: Any = db.connection.driver_connection
        if not raw.in_transaction:
            db.exec_driver_sql("BEGIN IMMEDIATE")


def _same_database(store: Lender, db: sqlalchemy.Connection) -> None:
    ours, theirs = store.engine.url, db.engine.url
    same = (ours.get_backend_name(), ours.database, ours.host, ours.port) == (
        theirs.get_backend_name(),
        theirs.database,
        theirs.host,
        theirs.port,
    )
    if not same:
        raise InvalidPolicy(
            f"the connection is to {theirs.render_as_string()}, the ledger is in "
            f"{ours.render_as_string()}; effect and record can only be one commit in one database"
        )


def _no_connection(given: Any) -> Exception:
    if hasattr(given, "run_sync") or hasattr(given, "sync_session"):
        return AsyncTool("an async connection or session needs `await ledger.acall(…)`")
    return InvalidPolicy(
        f"connection={given!r}: give a SQLAlchemy or SQLModel Connection or Session (acall: "
        "AsyncConnection or AsyncSession) on the ledger's database"
    )
