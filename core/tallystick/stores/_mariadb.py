"""
Effects in MariaDB or MySQL, through PyMySQL: where one of these is the database that is there.

A group of acts is one transaction at READ COMMITTED; see ``_server`` for what is promised of every
server. These have no word for telling others of a change: who waits for another process looks ten
times a second, at each effect that is waited for. InnoDB keeps the locks of a lent transaction
until its end, also those that a savepoint gave back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

import pymysql
from pymysql.connections import Connection
from pymysql.cursors import Cursor
from sqlalchemy.exc import DBAPIError

from tallystick._acts import PutHalt
from tallystick._ports import AnyAct, Applied
from tallystick.errors import StoreError
from tallystick.stores import _scripts
from tallystick.stores._mariadb_sql import Server
from tallystick.stores._mariadb_tx import MariaTx, errno
from tallystick.stores._server import ServerStore
from tallystick.stores._tx import Execute, holding
from tallystick.stores._watch import Ticks

#: a deadlock, a row that was changed since it was read, an event or a vote that was faster
_CLASHES = {1213, 1020, 1062}
#: seconds between looks at what other processes may have changed, while somebody waits
_LOOK = 0.1
#: seconds that a halt waits for transactions which began before it
_HALTING = 2


class MariaStore(ServerStore["Connection[Cursor]", MariaTx]):
    """The store behind ``mariadb://`` and ``mysql://``."""

    failures = pymysql.Error
    #: bytes that a statement may have
    _most = 0

    def connect(self) -> Connection[Cursor]:
        return self._connect(commits=True)

    def _connect(self, *, commits: bool) -> Connection[Cursor]:
        try:
            fairy = self.engine.raw_connection()
        except DBAPIError as error:
            raise (error.orig or error) from error
        raw = cast("Connection[Cursor]", fairy.driver_connection)
        fairy.detach()
        try:
            with raw.cursor() as cursor:
                cursor.execute(
                    Server.of(cast("Any", raw).get_server_info()).session(commits=commits)
                )
                if not self._most:
                    cursor.execute("SELECT @@max_allowed_packet")
                    found: Any = cursor.fetchone()
                    self._most = int(found[0])
        except BaseException:
            self._drop(raw)
            raise
        return raw

    def _ready(self) -> Connection[Cursor]:
        if self._writer is None or self._lost(self._writer):
            self._writer = self._connect(commits=False)
        return self._writer

    def _on(self, execute: Execute) -> MariaTx:
        return MariaTx(execute, self._lease, self.shift, self._id)

    def _tx(self, db: Connection[Cursor]) -> MariaTx:
        return self._on(self._executing(db))

    def _executing(self, db: Connection[Cursor]) -> Execute:
        def run(sql: str, params: Mapping[str, Any] | tuple[Any, ...]) -> Cursor:
            cursor = db.cursor()
            text = cursor.mogrify(sql, params if isinstance(params, tuple) else dict(params))
            if 4 * len(text) > self._most:
                self._refuse_long(text)
            cursor.execute(text)
            return cursor

        return run

    def _refuse_long(self, text: str) -> None:
        """Raise before a server cuts the connection because it was sent too much."""
        size = len(text.encode("utf-8", "surrogateescape"))
        if size >= self._most:
            raise StoreError(
                f"what is to be recorded needs a statement of {size:,} bytes and the server takes "
                f"{self._most:,}; raise its max_allowed_packet, or record less"
            )

    def _lost(self, db: Connection[Cursor]) -> bool:
        return not db.open

    def _drop(self, db: Connection[Cursor]) -> None:
        with suppress(pymysql.Error):  # closed already
            db.close()

    def _clashed(self, error: BaseException) -> bool:
        return errno(error) in _CLASHES

    def _apply(self, acts: Sequence[AnyAct], so_far: Applied) -> Applied:
        """All of them in one transaction, in an order that cannot deadlock."""
        if holding(acts) and not self.lively():
            self.beat()
        db = self._ready()
        touched: list[tuple[bytes, bool]] = []
        try:
            answers = _scripts.perform_group(self._tx(db), acts, touched)
            db.commit()
        except BaseException:
            self._give_up(db)
            raise
        if any(isinstance(act, PutHalt) for act in acts):
            self._until_seen(db)
        return Applied(answers, touched)

    def _give_up(self, db: Connection[Cursor]) -> None:
        """Take back what was begun; a connection that cannot even do that is of no more use."""
        try:
            db.rollback()
        except BaseException as error:
            self._writer = None
            self._drop(db)
            if not isinstance(error, pymysql.Error):
                raise

    def _until_seen(self, db: Connection[Cursor]) -> None:
        """
        Wait for the transactions that began before a halt was committed, and may not have seen it.

        A lock on the table is granted once those that wrote to it have ended; whoever begins later
        sees the halt. A long transaction of a TRANSACTIONAL tool may outlast the wait, and an
        account that may lock no tables does not wait.
        """
        with suppress(pymysql.err.OperationalError), db.cursor() as cursor:
            try:
                cursor.execute(f"SET SESSION lock_wait_timeout = {_HALTING}")
                cursor.execute("LOCK TABLES tallystick_effect READ")
            finally:
                cursor.execute("UNLOCK TABLES")
                cursor.execute("SET SESSION lock_wait_timeout = 5")

    def publish(self, keys: Sequence[bytes]) -> None:
        """Nothing to do: who waits looks by himself."""

    def watch(self, wake: Callable[[Sequence[bytes] | None], None]) -> Callable[[], None]:
        return Ticks(_LOOK, wake).end
