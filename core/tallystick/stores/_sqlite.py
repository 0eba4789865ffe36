"""
Effects in one SQLite file: the embedded default.

Write-ahead log, ``synchronous=FULL`` (an effect forgotten in a power cut is an effect done twice),
one writer connection per ledger, readers beside it. Processes queue for the write lock at a lock
file first: that is fair where SQLite's own busy handler is not. Liveness is a lock file per ledger
that the operating system gives back at death and only at death, so a stopped process is never
taken for a dead one.
"""

from __future__ import annotations

import errno
import os
import socket
import sqlite3
import threading
import uuid
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    contextmanager,
    suppress,
)
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

import tenacity
from sqlalchemy.exc import DBAPIError

from tallystick._acts import Act, Claim, Settle
from tallystick._ports import AnyAct, Applied, Lent
from tallystick.errors import (
    InvalidUrl,
    LedgerClosed,
    LedgerError,
    StoreCorrupt,
    StoreFull,
    StoreUnavailable,
)
from tallystick.stores import _locks, _schema, _scripts
from tallystick.stores._archive_sqlite import SqliteArchive
from tallystick.stores._budget_sql import STRAIGHT
from tallystick.stores._claiming import ClaimsAlone
from tallystick.stores._clock import wall_micros
from tallystick.stores._errors import translate
from tallystick.stores._lend import alend, lend
from tallystick.stores._sql import SQLITE, numbered
from tallystick.stores._tx import holding, swift
from tallystick.stores._watch import DataVersion

if TYPE_CHECKING:
    import sqlalchemy

A = TypeVar("A")
_STATEMENTS = SQLITE.statements()
#: the straight path takes its values as tuples, in the order of the acts' fields
_CLAIM = numbered(_STATEMENTS["claim"], (*Claim._fields, "attempt", "now"))
_SETTLE = numbered(
    _STATEMENTS["settle"], ("key", "tenant", "epoch", "nonce", "to", *Settle._fields[5:], "now")
)
_STRAIGHT = {name: numbered(_STATEMENTS[name], order) for name, order in STRAIGHT.items()}
#: commits that do not wait for the disk, nor tidy up the log, and those that do both
_SWIFT = ("PRAGMA synchronous = NORMAL", "PRAGMA wal_autocheckpoint = 0")
_SAFE = ("PRAGMA synchronous = FULL", "PRAGMA wal_autocheckpoint = 1000")
_IDLE_READERS = 8
_NO_ROOM = {errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.EDQUOT}
#: connections inherited by a fork: closing them here would break them in the parent
_INHERITED: list[Any] = []

_NETWORK = {
    "nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre",
    "fuse.sshfs", "fuse.s3fs", "fuse.rclone", "fuse.glusterfs", "ncpfs", "ocfs2", "gfs2",
}  # fmt: skip


def network_filesystem(path: Path) -> str | None:
    """The kind of network file system that holds *path*, or ``None`` (also where unknown)."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return None
    best, kind = "", None
    real = str(path.resolve().parent)
    for line in mounts.read_text(errors="replace").splitlines():
        _, place, fstype, *_ = line.split(" ")
        place = place.replace("\\040", " ")
        inside = f"{real}/".startswith(f"{place.rstrip('/')}/")
        if inside and len(place) >= len(best):
            best, kind = place, fstype
    return kind if kind in _NETWORK else None


def path_of(url: sqlalchemy.URL) -> Path:
    """The file that *url* names; InvalidUrl where it is none."""
    name = url.database
    if not name or ":memory:" in name or "memory" in url.query.get("mode", ""):
        raise InvalidUrl(
            "an in-memory SQLite database is another one for every connection; "
            "use memory:// for a ledger that lives in this process"
        )
    if name.startswith("file:"):
        raise InvalidUrl(f"{name} is a URI; give the path itself: sqlite:///ledger.db")
    return Path(name).resolve()


class SqliteTx(SqliteArchive, ClaimsAlone):
    """One transaction on the file; the wall clock and lock files stand in for a server's."""

    dialect = SQLITE
    statements = _STATEMENTS

    def __init__(
        self, execute: Any, alive: Callable[[str], bool], now: int, many: Any = None
    ) -> None:
        super().__init__(execute)
        #: one statement for many rows; a lent connection is not asked for it
        self._many = many or execute
        self._alive = alive
        self._now = now

    def now(self) -> int:
        return self._now

    def alive(self, holder: str | None) -> bool:
        return holder is not None and self._alive(holder)

    def _facts(self) -> dict[str, Any]:
        return {"now": self._now, "alive": False}

    def straight(self, name: str, /, *values: Any) -> Any:
        return self._execute(_STRAIGHT[name], values)

    def start(self, act: Any) -> Any:
        row = self.load(act.tenant, act.key) if act.status == "running" else None
        if row is not None and self.alive(row.holder):
            return None
        return super().start(act)

    def _insert(self, c: Claim) -> bool:
        running = c.status == "running"
        values = (*(c if running else c._replace(holder=None)), int(running), self._now)
        inserted: bool = self._execute(_CLAIM, values).rowcount == 1
        return inserted

    def _settle(self, s: Settle) -> bool | None:
        found = self._execute(_SETTLE, (*s, self._now)).fetchone()
        return None if found is None else bool(found[0])

    def beat(self, worker: str) -> None:
        self.run("beat", worker=worker, host=socket.gethostname(), pid=os.getpid(), first=None)

    def dead(self) -> list[str]:
        known = [str(row[0]) for row in self.run("workers").fetchall()]
        return [worker for worker in known if not self._alive(worker)]


class SqliteStore:
    """The store behind ``sqlite:///file.db``."""

    immediate = False
    local = True

    def __init__(
        self,
        engine: sqlalchemy.Engine,
        *,
        create: bool = False,
        owned: bool = False,
        busy: float = 30.0,
    ) -> None:
        self.path = path_of(engine.url)
        if (kind := network_filesystem(self.path)) is not None:
            raise InvalidUrl(
                f"{self.path} is on a network file system ({kind}), where SQLite's locks cannot "
                "be trusted; use a local disk, or PostgreSQL for several machines"
            )
        self.engine = engine
        self._owned = owned
        self.shift = 0
        self._busy = int(busy * 1000)
        self._workers = Path(f"{self.path}-workers")
        self._lock = threading.Lock()
        self._reset()
        try:
            self._workers.mkdir(parents=True, exist_ok=True)
            # a new file is made; tables of another version are only touched when asked to
            _schema.ensure(engine, create=create or _schema.current(engine) is None)
            # the log is switched on now: later a transaction that we were lent would be in the way
            self._keep(self.connect(read_only=True))
        except (sqlite3.Error, DBAPIError, OSError, UnicodeError) as error:
            raise _explained(error, self.path) from error

    def _reset(self) -> None:
        self._id = uuid.uuid4().hex
        self._held: IO[Any] | None = None
        self._birth = threading.Lock()
        self._gate: IO[Any] | None = None
        self._writer: sqlite3.Connection | None = None
        self._readers: deque[sqlite3.Connection] = deque()
        self._registered = False
        #: whether the writer leaves out waiting for the disk
        self._swift = False
        self._closed = False

    def connect(self, *, read_only: bool = False) -> sqlite3.Connection:
        """A connection of its own, outside the engine's pool."""
        fairy = self.engine.raw_connection()
        raw = cast("sqlite3.Connection", fairy.driver_connection)
        fairy.detach()
        raw.isolation_level = None
        try:
            raw.execute(f"PRAGMA busy_timeout = {self._busy}")
            # SQLite does not wait for others while it turns a new file into a log and back
            patiently = tenacity.Retrying(
                retry=tenacity.retry_if_exception(_locked),
                stop=tenacity.stop_after_delay(self._busy / 1000),
                wait=tenacity.wait_random(0.001, 0.01),
                reraise=True,
            )
            patiently(raw.execute, "PRAGMA journal_mode = WAL")
            raw.execute("PRAGMA synchronous = FULL")
            if read_only:
                raw.execute("PRAGMA query_only = ON")
        except BaseException:
            raw.close()
            raise
        return raw

    def worker(self) -> str:
        if self._held is None:
            with self._birth:
                if self._held is None:
                    held = (self._workers / self._id).open("w")
                    _locks.take(held)
                    self._held = held
        return self._id

    def alive(self, worker: str) -> bool:
        """Whether somebody holds the worker's lock file."""
        if worker == self._id:
            return self._held is not None
        try:
            probe = (self._workers / worker).open("r+")
        except FileNotFoundError:
            return False
        try:
            # shared: two that ask at once must not take each other for the worker
            _locks.share(probe)
        except _locks.Locked:
            return True
        finally:
            probe.close()
        return False

    def apply(self, acts: Sequence[AnyAct]) -> Applied:
        touched: list[tuple[bytes, bool]] = []
        with self._lock, self._transaction(holds=holding(acts), swift=swift(acts)) as tx:
            if len(acts) == 1:
                return Applied([_scripts.perform(tx, acts[0], touched)], touched)
            return Applied(_scripts.perform_group(tx, acts, touched), touched)

    def attempt(self, acts: Sequence[AnyAct]) -> Applied | None:
        if not self._lock.acquire(blocking=False):
            return None
        try:
            touched: list[tuple[bytes, bool]] = []
            hasty = {"swift": swift(acts), "patient": False}
            with self._transaction(holds=holding(acts), **hasty) as tx:
                return Applied([_scripts.perform(tx, act, touched) for act in acts], touched)
        except _locks.Locked:
            return None  # another process is in; whoever can wait for it should
        finally:
            self._lock.release()

    @contextmanager
    def _transaction(
        self, *, holds: bool, swift: bool = False, patient: bool = True
    ) -> Generator[SqliteTx]:
        """
        A write transaction, entered through the gate; committed unless something is raised.

        A *swift* one does not wait for the disk: it outlives its process, and a power cut only
        with the next one that does wait.
        """
        if self._closed:
            raise LedgerClosed("this ledger was closed; open a new one")
        try:
            if self._writer is None or self._gate is None:
                self._writer, self._gate = self.connect(), (self._workers / "gate").open("w")
            if holds:
                self.worker()
            db = self._writer
            _locks.take(self._gate, wait=patient)
            try:
                if swift is not self._swift:
                    for pragma in _SWIFT if swift else _SAFE:
                        db.execute(pragma)
                    self._swift = swift
                db.execute("BEGIN IMMEDIATE")
                now = wall_micros() + self.shift
                tx = SqliteTx(db.execute, self.alive, now, db.executemany)
                if holds and not self._registered:
                    tx.beat(self._id)
                yield tx
                db.execute("COMMIT")
                self._registered = self._registered or holds
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                _locks.leave(self._gate)
        except (sqlite3.Error, OSError) as error:
            raise _explained(error, self.path) from error

    def read(self, act: Act[A]) -> A:
        if self._closed:
            raise LedgerClosed("this ledger was closed; open a new one")
        db: sqlite3.Connection | None = None
        try:
            db = self._idle() or self.connect(read_only=True)
            tx = SqliteTx(db.execute, self.alive, wall_micros() + self.shift)
            answer: A = _scripts.answer(tx, act)
        except (sqlite3.Error, DBAPIError, OSError) as error:
            if db is not None:
                db.close()
            raise _explained(error, self.path) from error
        self._keep(db)
        return answer

    def _idle(self) -> sqlite3.Connection | None:
        try:
            return self._readers.pop()
        except IndexError:
            return None

    def _keep(self, db: sqlite3.Connection) -> None:
        if self._closed or len(self._readers) >= _IDLE_READERS:
            db.close()
        else:
            self._readers.append(db)

    def lent(self, execute: Any) -> SqliteTx:
        """A transaction over a caller's own connection, which the caller commits."""
        self.worker()
        return SqliteTx(execute, self.alive, wall_micros() + self.shift)

    def lend(self, connection: Any) -> AbstractContextManager[Lent]:
        return lend(self, connection)

    def alend(self, connection: Any) -> AbstractAsyncContextManager[Lent]:
        return alend(self, connection)

    def beats(self) -> float | None:
        return None

    def beat(self) -> None:
        self.worker()

    def lively(self) -> bool:
        return True

    def publish(self, keys: Sequence[bytes]) -> None:
        """Nothing to do: every commit changes the file's data version, which is watched."""

    def watch(self, wake: Callable[[Sequence[bytes] | None], None]) -> Callable[[], None]:
        return DataVersion(lambda: self.connect(read_only=True), wake).end

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            while self._readers:
                self._readers.pop().close()
            if self._writer is not None:
                self._writer.close()
            if self._gate is not None:
                self._gate.close()
            if self._held is not None:
                self._held.close()
                with suppress(OSError):
                    (self._workers / self._id).unlink()
            if self._owned:
                self.engine.dispose()

    def forked(self) -> None:
        """In a forked child: a new worker with new connections; the parent's stay untouched."""
        _INHERITED.extend([self._writer, *self._readers])
        for inherited in (self._held, self._gate):
            if inherited is not None:
                inherited.close()  # closes the descriptor; the parent keeps its lock
        closed = self._closed
        self._lock = threading.Lock()
        self._reset()
        self._closed = closed


def _locked(error: BaseException) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _explained(error: BaseException, path: Path) -> BaseException:
    if isinstance(error, LedgerError):
        return error
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    if isinstance(error, OSError):
        kind = StoreFull if error.errno in _NO_ROOM else StoreUnavailable
        return kind(f"{path} cannot be used: {error}; nothing was started")
    if isinstance(error, UnicodeError):
        return StoreCorrupt(f"{path} is damaged: {error}; restore it from a backup")
    return translate(error)
