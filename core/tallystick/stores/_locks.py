"""
Locks on files: held by a process, and gone with it.

A door to portalocker, of which some versions say too little about their types.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any, cast

import portalocker

#: somebody else holds it
Locked: type[Exception] = portalocker.LockException

_portalocker = cast("Any", portalocker)
_EXCLUSIVE = portalocker.LOCK_EX
_AT_ONCE = portalocker.LOCK_EX | portalocker.LOCK_NB
_SHARED = portalocker.LOCK_SH | portalocker.LOCK_NB


def take(file: IO[Any], *, wait: bool = False) -> None:
    """Hold *file* alone; raises Locked at once where another process holds it, or waits for it."""
    _portalocker.lock(file, _EXCLUSIVE if wait else _AT_ONCE)


def share(file: IO[Any]) -> None:
    """Hold *file* beside others who do so; raises Locked where somebody holds it alone."""
    _portalocker.lock(file, _SHARED)


def leave(file: IO[Any]) -> None:
    """Let others have it."""
    _portalocker.unlock(file)


def patiently(path: Path, seconds: float) -> Any:
    """A lock on a file that is made for it, with ``acquire`` and ``release``."""
    return _portalocker.Lock(path, timeout=seconds, check_interval=0.02)
