"""
What the stores on a server share: who is alive, connections that come and go, asking again.

Everything is judged by the database's clock: a worker is one row whose heartbeat keeps it alive.
Nothing depends on a single writer process, and losing a connection in the middle of a commit only
means asking again: every act carries the nonce that says "that was mine".
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

import tenacity
from sqlalchemy.exc import DBAPIError

from tallystick._acts import Act
from tallystick._ports import AnyAct, Applied, Lent
from tallystick.errors import LedgerClosed, StoreUnavailable
from tallystick.stores import _schema, _scripts
from tallystick.stores._budget_tx import Overtaken
from tallystick.stores._errors import translate
from tallystick.stores._lend import alend, lend
from tallystick.stores._server_tx import ServerTx
from tallystick.stores._tx import Execute

if TYPE_CHECKING:
    import sqlalchemy


class Connection(Protocol):
    """The part of a driver's connection that is used here."""

    def close(self) -> Any: ...


A = TypeVar("A")
D = TypeVar("D", bound=Connection)
T = TypeVar("T", bound=ServerTx)
_IDLE_READERS = 8
#: connections inherited by a fork: closing them here would break them in the parent
_INHERITED: list[Any] = []


class ServerStore(Generic[D, T]):
    """The abstract part: what is left to say is how one driver connects, executes and commits."""

    immediate = False
    local = False
    #: what the driver raises
    failures: ClassVar[type[Exception]]

    def __init__(
        self,
        engine: sqlalchemy.Engine,
        *,
        create: bool = False,
        lease: float = 15.0,
        owned: bool = False,
        patience: float = 30.0,
    ) -> None:
        self.engine = engine
        self._owned = owned
        self.shift = 0
        self._lease = int(lease * 1_000_000)
        self._patience = patience
        self._lock = threading.Lock()
        self._reset()
        try:
            _schema.ensure(engine, create=create)
        except (self.failures, DBAPIError) as error:
            raise explained(error) from error

    def _reset(self) -> None:
        self._id = uuid.uuid4().hex
        self._writer: D | None = None
        self._readers: deque[D] = deque()
        self._first: int | None = None
        self._beaten = float("-inf")
        self._closed = False

    # -- what a driver says in its own way ----------------------------------------------------

    def connect(self) -> D:
        """A connection of its own, outside the engine's pool, in autocommit."""
        raise NotImplementedError

    def _on(self, execute: Execute) -> T:
        """A transaction over whatever executes."""
        raise NotImplementedError

    def _tx(self, db: D) -> T:
        """A transaction on a connection of ours."""
        raise NotImplementedError

    def _lost(self, db: D) -> bool:
        """Whether a connection is known to be of no use any more."""
        raise NotImplementedError

    def _drop(self, db: D) -> None:
        """Close a connection, also one that is lost."""
        db.close()

    def _apply(self, acts: Sequence[AnyAct], so_far: Applied) -> Applied:
        """
        Apply a group, while nobody else uses the writer.

        *so_far*: what an earlier try committed of it, where not all of it is one transaction.
        """
        raise NotImplementedError

    def _clashed(self, error: BaseException) -> bool:
        """Whether others were in the way of what the driver says here, and it may go now."""
        raise NotImplementedError

    # -- writing ------------------------------------------------------------------------------

    def apply(self, acts: Sequence[AnyAct]) -> Applied:
        """A lost connection is asked again until it answers."""
        so_far = Applied([None] * len(acts), [])
        try:
            return self._once(acts, so_far)
        except Exception as error:
            if not self._again(error):
                raise
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._again),
            stop=tenacity.stop_after_delay(self._patience),
            wait=tenacity.wait_exponential(multiplier=0.02, max=1.0)
            + tenacity.wait_random(0, 0.05),
            reraise=True,
        )
        applied: Applied = retrying(self._once, acts, so_far)
        return applied

    def attempt(self, acts: Sequence[AnyAct]) -> Applied | None:
        return None if self._lock.locked() else self.apply(acts)

    def _again(self, error: BaseException) -> bool:
        """Whether applying the same acts again may succeed: they carry nonces, so it is safe."""
        if isinstance(error, Overtaken | StoreUnavailable):
            return True
        return error.__cause__ is not None and self._clashed(error.__cause__)

    def _once(self, acts: Sequence[AnyAct], so_far: Applied) -> Applied:
        with self._lock, self._translated():
            return self._apply(acts, so_far)

    @contextmanager
    def _translated(self) -> Generator[None]:
        if self._closed:
            raise LedgerClosed("this ledger was closed; open a new one")
        try:
            yield
        except self.failures as error:
            ours = explained(error)
            if isinstance(ours, StoreUnavailable) and self._writer is not None:
                self._drop(self._writer)
                self._writer = None
            raise ours from error

    def _ready(self) -> D:
        """The connection that writes."""
        if self._writer is None or self._lost(self._writer):
            self._writer = self.connect()
        return self._writer

    # -- reading ------------------------------------------------------------------------------

    def read(self, act: Act[A]) -> A:
        answer: A = self._ask(lambda tx: _scripts.answer(tx, act))
        return answer

    def _ask(self, deed: Callable[[T], A]) -> A:
        """Idle connections may have been lost since they were used: then ask on a new one."""
        try:
            with self._reader() as db:
                return deed(self._tx(db))
        except StoreUnavailable:
            while (idle := self._idle()) is not None:
                self._drop(idle)
            with self._reader() as db:
                return deed(self._tx(db))

    @contextmanager
    def _reader(self) -> Generator[D]:
        if self._closed:
            raise LedgerClosed("this ledger was closed; open a new one")
        db: D | None = None
        try:
            db = self._idle() or self.connect()
            yield db
        except BaseException as error:
            if db is not None:
                self._drop(db)
            if isinstance(error, self.failures):
                raise explained(error) from error
            raise
        self._keep(db)

    def _keep(self, db: D) -> None:
        if self._closed or len(self._readers) >= _IDLE_READERS:
            self._drop(db)
        else:
            self._readers.append(db)

    def _idle(self) -> D | None:
        while self._readers:
            try:
                db = self._readers.pop()
            except IndexError:  # another thread was faster
                return None
            if not self._lost(db):
                return db
            self._drop(db)
        return None

    # -- somebody's connection ----------------------------------------------------------------

    def lent(self, execute: Any) -> T:
        """A transaction over a caller's own connection, which the caller commits."""
        if not self.lively():
            self.beat()
        return self._on(execute)

    def lend(self, connection: Any) -> AbstractContextManager[Lent]:
        return lend(self, connection)

    def alend(self, connection: Any) -> AbstractAsyncContextManager[Lent]:
        return alend(self, connection)

    # -- life ---------------------------------------------------------------------------------

    def worker(self) -> str:
        return self._id

    def beats(self) -> float | None:
        return self._lease / 4_000_000

    def beat(self) -> None:
        """Say that this worker lives, on a connection that no other work can block."""
        self._ask(self._register)

    def _register(self, tx: T) -> None:
        """
        A heartbeat. Whoever was stopped so long that others may have forgotten it gives one before
        it holds anything more, and is known again with all that it held.
        """
        before = time.monotonic()
        self._first = tx.register(self._id, self._first)
        self._beaten = before

    def lively(self) -> bool:
        return time.monotonic() - self._beaten < self._lease / 1_500_000

    def close(self) -> None:
        with self._lock:
            self._closed = True
            while self._readers:
                self._drop(self._readers.pop())
            if self._writer is not None:
                self._drop(self._writer)
            if self._owned:
                self.engine.dispose()

    def forked(self) -> None:
        """In a forked child: a new worker with new connections; the parent's stay untouched."""
        _INHERITED.extend([self._writer, *self._readers])
        closed = self._closed
        self._lock = threading.Lock()
        self._reset()
        self._closed = closed


def explained(error: BaseException) -> BaseException:
    """The driver's error behind SQLAlchemy's, as ours."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    return translate(error)
