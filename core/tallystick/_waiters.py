"""Callers that wait for an effect to change: woken by the journal, or by another process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

from tallystick._acts import Found, Look
from tallystick._model import Row
from tallystick._ports import Store
from tallystick.errors import LedgerError

#: unconditional wake-ups without anybody waiting, after which watching ends
_IDLE_TICKS = 3


def version(row: Row) -> tuple[str, int, int]:
    """Equal for two readings of a row only if nothing that matters changed between them."""
    return row.status, row.epoch, row.events


class Waiter:
    """One caller, waiting for one effect to be other than it saw it."""

    __slots__ = ("_future", "_lock", "found", "row")

    def __init__(self, row: Row, future: asyncio.Future[Any] | None = None) -> None:
        self.row = row
        self.found: Found | None = None
        self._future = future
        self._lock = threading.Lock()
        self._lock.acquire()

    def changed(self, found: Found) -> bool:
        """Whether *found* is news: another version, gone, or a holder that died."""
        row = found.row
        if row is None or version(row) != version(self.row):
            return True
        return row.status == "running" and not found.alive

    def wake(self, found: Found | None) -> None:
        """Hand over the news; from any thread, any number of times."""
        if self.found is None:
            self.found = found
        if self._future is None:
            if self._lock.locked():
                self._lock.release()
            return
        try:
            self._future.get_loop().call_soon_threadsafe(self._done)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    def _done(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def block(self, timeout: float) -> Found | None:
        """Wait on this thread."""
        self._lock.acquire(timeout=min(timeout, threading.TIMEOUT_MAX))
        return self.found

    async def wait(self, timeout: float) -> Found | None:
        """Wait on this event loop."""
        assert self._future is not None
        timer = asyncio.get_running_loop().call_later(timeout, self._done)
        try:
            await self._future
        finally:
            timer.cancel()
        return self.found


class Waiters:
    """
    Who waits for what.

    A waiter is registered before it looks a last time, so no change can fall between. Other
    processes are watched only while somebody waits for what they may change.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._by_key: dict[bytes, set[Waiter]] = {}
        self._remote = 0
        self._idle = 0
        self._end: Callable[[], None] | None = None

    def join(self, waiter: Waiter, *, remote: bool) -> None:
        """Register; with *remote* other processes may make the change."""
        with self._lock:
            self._by_key.setdefault(waiter.row.key, set()).add(waiter)
            if remote:
                self._remote += 1
                self._idle = 0
                if self._end is None:
                    self._end = self._store.watch(self.wake)

    def leave(self, waiter: Waiter, *, remote: bool) -> None:
        """Take the registration back."""
        with self._lock:
            waiting = self._by_key.get(waiter.row.key)
            if waiting is not None:
                waiting.discard(waiter)
                if not waiting:
                    del self._by_key[waiter.row.key]
            if remote:
                self._remote -= 1

    def announce(self, touched: Sequence[tuple[bytes, bool]]) -> None:
        """The journal committed changes: wake who waits here, hint to who waits elsewhere."""
        keys = [key for key, _ in touched if key in self._by_key] if self._by_key else []
        if keys:
            self.wake(keys)
        elsewhere = [key for key, awaited in touched if awaited]
        if elsewhere:
            self._store.publish(elsewhere)

    def wake(self, keys: Sequence[bytes] | None) -> None:
        """Look at the effects that are waited for, once each, and pass the news on."""
        with self._lock:
            if keys is None:
                self._tick()
            chosen = list(self._by_key) if keys is None else keys
            waiting = [(k, list(self._by_key[k])) for k in chosen if k in self._by_key]
        for key, waiters in waiting:
            try:
                found = self._store.read(Look(key=key, tenant=waiters[0].row.tenant))
            except LedgerError:
                continue  # the next tick tries again; the waiters' own limits hold
            for waiter in waiters:
                if waiter.changed(found):
                    waiter.wake(found)

    def _tick(self) -> None:
        self._idle = self._idle + 1 if self._remote == 0 else 0
        if self._idle >= _IDLE_TICKS and self._end is not None:
            self._end()
            self._end = None

    def close(self) -> None:
        """Stop watching and wake everybody empty-handed."""
        with self._lock:
            if self._end is not None:
                self._end()
                self._end = None
            waiters = [w for ws in self._by_key.values() for w in ws]
        for waiter in waiters:
            waiter.wake(None)
