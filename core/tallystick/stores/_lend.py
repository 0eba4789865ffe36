"""Working on somebody's connection, and leaving the commit to them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import sqlalchemy
from sqlalchemy.exc import DBAPIError

from tallystick._acts import Act, Claim, Found, Settle, Settled
from tallystick._budgets._acts import SettleHeld
from tallystick.errors import AsyncTool, InvalidPolicy, LedgerError
from tallystick.stores import _scripts
from tallystick.stores._budget_tx import SpendingTx as Tx
from tallystick.stores._errors import translate
from tallystick.stores._revision import MARIADB

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

    def __init__(
        self, store: Lender, db: sqlalchemy.Connection, given: Any, *, exclusive: bool = False
    ) -> None:
        self.connection = given
        self.exclusive = exclusive
        #: whether there is anything to keep
        self.settled = False
        self._tx = _tx(store, db)

    async def claim(self, act: Claim) -> Found:
        with _translated():
            return self._tx.claim([act])[0]

    async def do(self, act: Act[A]) -> A:
        self.settled = self.settled or isinstance(act, SettleHeld)
        with _translated():
            return cast("A", _scripts.perform(self._tx, act, []))

    async def settle(self, act: Settle) -> Settled:
        self.settled = True
        with _translated():
            return cast("Settled", _scripts.perform(self._tx, act, []))


class LentThere:
    """A lent connection of an event loop: everything runs in SQLAlchemy's greenlet."""

    def __init__(self, store: Lender, db: AsyncConnection, given: Any, *, exclusive: bool) -> None:
        self.connection = given
        self.exclusive = exclusive
        #: whether there is anything to keep
        self.settled = False
        self._store = store
        self._db = db

    async def _run(self, deed: Callable[[Tx], A]) -> A:
        with _translated():
            return await self._db.run_sync(lambda db: deed(_tx(self._store, db)))

    async def claim(self, act: Claim) -> Found:
        return await self._run(lambda tx: tx.claim([act])[0])

    async def do(self, act: Act[A]) -> A:
        self.settled = self.settled or isinstance(act, SettleHeld)
        return cast("A", await self._run(lambda tx: _scripts.perform(tx, act, [])))

    async def settle(self, act: Settle) -> Settled:
        self.settled = True
        return cast("Settled", await self._run(lambda tx: _scripts.perform(tx, act, [])))


def _tx(store: Lender, db: sqlalchemy.Connection) -> Tx:
    def run(sql: str, params: Mapping[str, Any] | tuple[Any, ...]) -> sqlalchemy.CursorResult[Any]:
        return db.exec_driver_sql(sql, params if isinstance(params, tuple) else dict(params))

    return store.lent(run)


@contextmanager
def lend(store: Lender, given: Any) -> Generator[LentHere]:
    """
    A savepoint on *given*, or a transaction of our own where nothing is given.

    Raises InvalidPolicy for what is no connection to the ledger's own database.
    """
    from sqlalchemy.orm import Session  # slow, and only needed here

    if given is None:
        with _own(store) as db:
            yield LentHere(store, db, db)
        return
    _refuse_closed(given)
    if isinstance(given, Session):
        db = given.connection()
    elif isinstance(given, sqlalchemy.Connection):
        db = given
    else:
        raise _no_connection(given)
    _same_database(store, db)
    if isinstance(given, Session):
        given.flush()  # what waits there is the caller's, and is kept whatever becomes of ours
    with _translated():
        began = _begin(db)
    lent = LentHere(store, db, given, exclusive=began is False)
    try:
        # a session's own savepoint: what the tool added goes with it
        with _apart() as apart, given.begin_nested() as nested, apart():
            if isinstance(given, Session):
                given.connection()  # a session sets its savepoint when it is first used
            yield lent
            if not lent.settled:
                nested.rollback()  # and with it every lock on the effect's row
    finally:
        if began and not lent.settled:
            _undo(db)


@contextmanager
def _own(store: Lender) -> Generator[sqlalchemy.Connection]:
    """A connection and a transaction of our own, committed unless something is raised."""
    with _translated():
        db = store.engine.connect()
        if db.dialect.name in MARIADB:
            db = db.execution_options(isolation_level="READ COMMITTED")
    with db:
        with _translated():
            transaction = db.begin()
            _begin(db)
        try:
            yield db
        except BaseException:
            transaction.rollback()
            raise
        with _translated():
            transaction.commit()


@asynccontextmanager
async def alend(store: Lender, given: Any) -> AsyncGenerator[LentThere]:
    """As :func:`lend`, for an ``AsyncConnection`` or ``AsyncSession``."""
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

    if given is None:
        raise InvalidPolicy(
            "a TRANSACTIONAL effect on the awaiting face needs connection=<AsyncConnection or "
            "AsyncSession>; the ledger's own connections are blocking"
        )
    _refuse_closed(given)
    if isinstance(given, AsyncSession):
        db = await given.connection()
    elif isinstance(given, AsyncConnection):
        db = given
    else:
        raise _no_connection(given)
    await db.run_sync(lambda inner: _same_database(store, inner))
    if isinstance(given, AsyncSession):
        await given.flush()
    with _translated():
        began = await db.run_sync(_begin)
    lent = LentThere(store, db, given, exclusive=began is False)
    try:
        with _apart() as apart:
            async with given.begin_nested() as nested:
                with apart():
                    if isinstance(given, AsyncSession):
                        db = await given.connection()
                    yield lent
                    if not lent.settled:
                        await nested.rollback()
    finally:
        if began and not lent.settled:
            await db.run_sync(_undo)


@contextmanager
def _apart() -> Generator[Callable[[], AbstractContextManager[None]]]:
    """
    Tells an error of a savepoint's end from what was raised before it, inside of the context given.

    A deadlock on MariaDB takes the whole transaction back, and the savepoint with it: that it
    cannot be returned to must not hide why.
    """
    raised: list[BaseException] = []

    @contextmanager
    def inside() -> Generator[None]:
        try:
            yield
        except BaseException as error:
            raised.append(error)
            raise

    try:
        yield inside
    except DBAPIError as error:
        if not raised:
            with _translated():
                raise
        if error is raised[0]:
            raise
        raise raised[0] from raised[0].__cause__


@contextmanager
def _translated() -> Generator[None]:
    """Errors of our own statements, not the tool's, as ours."""
    try:
        yield
    except DBAPIError as error:
        ours = translate(error.orig or error)
        if isinstance(ours, LedgerError):
            raise ours from error
        raise


def _begin(db: sqlalchemy.Connection) -> bool | None:
    """
    Take SQLite's write lock before the first statement; false where the lender has begun before.

    The sqlite3 driver begins a transaction only before a write, so a savepoint would be the
    outermost transaction, and releasing it a commit. ``None`` where no lock keeps others out.
    """
    if db.dialect.name != "sqlite":
        return None
    raw: Any = db.connection.driver_connection
    if raw.in_transaction:
        return False
    db.exec_driver_sql("BEGIN IMMEDIATE")
    return True


def _undo(db: sqlalchemy.Connection) -> None:
    """Let go of the write lock: nothing was written since we took it."""
    raw: Any = db.connection.driver_connection
    if raw.in_transaction:
        db.exec_driver_sql("ROLLBACK")


def _refuse_closed(given: Any) -> None:
    if getattr(given, "closed", False) is True:
        raise InvalidPolicy("the connection is closed; call inside of `with engine.begin() as …`")


def shares(store: Any, given: Any) -> bool:
    """Whether *given*, a connection or session, works in the very database of *store*."""
    engine = getattr(store, "engine", None)
    if engine is None:
        return False
    bind = given.get_bind() if hasattr(given, "get_bind") else given
    return _place(engine.url) == _place(bind.engine.url)


def _place(url: sqlalchemy.URL) -> tuple[Any, ...]:
    name = url.database
    if url.get_backend_name() == "sqlite" and name:
        name = str(Path(name).resolve())
    kind = url.get_backend_name()
    kind = MARIADB[0] if kind in MARIADB else kind
    return kind, name, url.host, url.port, url.query.get("host")


def _same_database(store: Lender, db: sqlalchemy.Connection) -> None:
    ours, theirs = store.engine.url, db.engine.url
    if _place(ours) != _place(theirs):
        raise InvalidPolicy(
            f"the connection is to {theirs.render_as_string()}, the ledger is in "
            f"{ours.render_as_string()}; effect and record can only be one commit in one "
            "database: lend a connection to that one"
        )
    raw: Any = db.connection.driver_connection
    maria = db.dialect.name in MARIADB
    if raw.get_autocommit() if maria else db.dialect.name == "postgresql" and raw.autocommit:
        raise InvalidPolicy(
            "the connection commits each statement by itself (AUTOCOMMIT); lend one that is in a "
            "transaction"
        )
    if maria and (level := db.get_isolation_level()) != "READ COMMITTED":
        raise InvalidPolicy(
            f"the connection is at {level}, where it does not see what others have committed since "
            'it began; lend one at READ COMMITTED: create_engine(…, isolation_level="READ '
            'COMMITTED")'
        )


def _no_connection(given: Any) -> Exception:
    if hasattr(given, "run_sync") or hasattr(given, "sync_session"):
        return AsyncTool("an async connection or session needs `await ledger.acall(…)`")
    return InvalidPolicy(
        f"connection={given!r}: give a SQLAlchemy or SQLModel Connection or Session (acall: "
        "AsyncConnection or AsyncSession) on the ledger's database"
    )
