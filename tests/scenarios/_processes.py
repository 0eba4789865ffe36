"""Other processes, and how they end."""

from __future__ import annotations

import multiprocessing
import os
import signal
from types import TracebackType
from typing import Any, Self

import pytest

from tallystick.testing import Witness
from tests.conftest import Place
from tests.scenarios import child

#: forks from a process that has imported everything and done nothing
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.scenarios.child"])

#: stores that several processes can share
durable = pytest.mark.parametrize("place", ["sqlite", "postgres"], indirect=True)
on_postgres = pytest.mark.parametrize("place", ["postgres"], indirect=True)
on_sqlite = pytest.mark.parametrize("place", ["sqlite"], indirect=True)
on_memory = pytest.mark.parametrize("place", ["memory"], indirect=True)


class Child:
    """A process that does one thing of :mod:`tests.scenarios.child`; killed at the latest here."""

    def __init__(self, verb: str, place: Place, witness: Witness, **options: Any) -> None:
        place.open().close()  # the tables, and SQLite's file
        options.setdefault("lease", place.lease)
        self._pipe, theirs = _PROCESSES.Pipe()
        self._process = _PROCESSES.Process(
            target=child.main, args=(theirs, verb, place.url, witness.path, options)
        )
        self._process.start()
        theirs.close()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self._process.close()
        self._pipe.close()

    def hear(self) -> Any:
        """The next thing that it says."""
        assert self._pipe.poll(40), "the process says nothing"
        return self._pipe.recv()

    def go(self) -> None:
        """Let it start, or go on."""
        self._pipe.send("go")

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self._process.kill()
        self._process.join()

    def freeze(self) -> None:
        """Stop it, as a laptop that is closed."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def end(self) -> int | None:
        """Wait for it; how it ended."""
        self._process.join(40)
        return self._process.exitcode
