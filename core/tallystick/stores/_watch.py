"""Learning that another process changed something: each database's own way, in one thread."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

Wake = Callable[[Sequence[bytes] | None], None]

#: seconds between looks at SQLite's data version, while somebody waits
_GLANCE = 0.004
#: seconds between unconditional wake-ups: a hint may be lost, a holder may die without a word
_FALLBACK = 0.5


class DataVersion:
    """
    Watches ``PRAGMA data_version`` of a SQLite file.

    The number changes when another connection commits; asking for it reads shared memory only.
    The thread ends with :meth:`end`.
    """

    def __init__(self, connect: Callable[[], Any], wake: Wake) -> None:
        self._connect = connect
        self._wake = wake
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tallystick-watch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._look()
            except (sqlite3.Error, SQLAlchemyError, OSError):
                self._stop.wait(_FALLBACK)
                self._wake(None)

    def _look(self) -> None:
        db = self._connect()
        try:
            seen, due = None, 0.0
            while not self._stop.wait(_GLANCE):
                version = db.execute("PRAGMA data_version").fetchone()[0]
                now = time.monotonic()
                if version != seen or now >= due:
                    seen, due = version, now + _FALLBACK
                    self._wake(None)
        finally:
            db.close()

    def end(self) -> None:
        """Stop watching; returns at once, the thread follows within milliseconds."""
        self._stop.set()


class Ticks:
    """Wakes everybody every so many seconds. The thread ends with :meth:`end`."""

    def __init__(self, seconds: float, wake: Wake) -> None:
        self._seconds = seconds
        self._wake = wake
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tallystick-watch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            self._wake(None)

    def end(self) -> None:
        """Stop ticking; returns at once, the thread follows within a tick."""
        self._stop.set()
