"""Learning from PostgreSQL that another process changed something."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from tallystick.errors import LedgerError

CHANNEL = "tallystick"
#: seconds between unconditional wake-ups: a hint may be lost, a holder may die without a word
_FALLBACK = 1.0


class Listener:
    """
    LISTENs on one connection and turns notifications into wake-ups.

    Notifications are hints: every second everybody is woken anyway, and after a lost connection
    too. The thread ends with :meth:`end`.
    """

    def __init__(
        self, connect: Callable[[], Any], wake: Callable[[Sequence[bytes] | None], None]
    ) -> None:
        self._connect = connect
        self._wake = wake
        self._stop = threading.Event()
        self._db: Any = None
        self._thread = threading.Thread(target=self._run, name="tallystick-listen", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._db = self._connect()
                self._db.execute(f"LISTEN {CHANNEL}")
                self._wake(None)
                self._listen()
            except (psycopg.Error, LedgerError, OSError):
                self._stop.wait(_FALLBACK)
                self._wake(None)
            finally:
                if self._db is not None:
                    self._db.close()

    def _listen(self) -> None:
        while not self._stop.is_set():
            heard = [
                bytes.fromhex(note.payload)
                for note in self._db.notifies(timeout=_FALLBACK, stop_after=1)
            ]
            self._wake(heard or None)

    def end(self) -> None:
        """Stop listening; returns at once, the thread follows within a second."""
        self._stop.set()
