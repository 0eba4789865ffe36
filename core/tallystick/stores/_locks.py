"""
Locks on files: held by a process, and gone with it.

A door to portalocker, of which some versions say too little about their types; and past it where
the system's own call will do, for each write to a file passes here.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, Any, cast


class Locked(Exception):
    """Somebody else holds it."""


if sys.platform == "win32":

    def _lock(file: IO[Any], *, alone: bool, wait: bool) -> None:
        import portalocker

        kind = portalocker.LOCK_EX if alone else portalocker.LOCK_SH
        try:
            cast("Any", portalocker).lock(file, kind if wait else kind | portalocker.LOCK_NB)
        except portalocker.LockException as error:
            raise Locked from error

    def leave(file: IO[Any]) -> None:
        """Let others have it."""
        import portalocker

        cast("Any", portalocker).unlock(file)

else:
    import fcntl

    def _lock(file: IO[Any], *, alone: bool, wait: bool) -> None:
        kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        try:
            fcntl.flock(file, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Locked from error

    def leave(file: IO[Any]) -> None:
        """Let others have it."""
        fcntl.flock(file, fcntl.LOCK_UN)


def take(file: IO[Any], *, wait: bool = False) -> None:
    """Hold *file* alone; raises Locked at once where another process holds it, or waits for it."""
    _lock(file, alone=True, wait=wait)


def share(file: IO[Any]) -> None:
    """Hold *file* beside others who do so; raises Locked where somebody holds it alone."""
    _lock(file, alone=False, wait=False)


class Patient:
    """A lock on a file that is made for it; to be taken once."""

    def __init__(self, path: Path, seconds: float) -> None:
        import portalocker  # slow, and only needed where a schema is made or an archive is written

        self._lock: Any = cast("Any", portalocker).Lock(path, timeout=seconds, check_interval=0.02)
        self._failure: type[Exception] = portalocker.LockException

    def acquire(self) -> None:
        """Wait for it; raises Locked after the seconds that were given."""
        try:
            self._lock.acquire()
        except self._failure as error:
            raise Locked from error

    def release(self) -> None:
        """Let others have it."""
        self._lock.release()


def patiently(path: Path, seconds: float) -> Patient:
    """A lock on a file that is made for it, to wait for at most so long."""
    return Patient(path, seconds)
