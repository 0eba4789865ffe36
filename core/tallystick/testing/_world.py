"""Death, and somebody who counts what really happened."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from tallystick.ledger import Ledger


def crash(ledger: Ledger) -> None:
    """
    End *ledger* as a killed process ends: nothing that waits is written, nothing is said.

    Its locks are gone at once; on a server it counts as dead when its lease has run out (turn
    another ledger's clock). The ledger cannot be used afterwards.
    """
    ledger._keeper.close()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    ledger._engine.store.close()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    ledger.close()


class Witness:
    """
    Counts what really happened, outside of the ledger and of its database.

    Each :meth:`saw` appends one line to a file in one write, from any process; a process killed
    right after it has left its line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def saw(self, what: str) -> None:
        """Something happened, now and for good."""
        line = what.encode("unicode_escape") + b"\n"
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(fd, line)
        finally:
            os.close(fd)

    def counts(self) -> Counter[str]:
        """How often each thing happened."""
        lines = self.path.read_bytes().splitlines()
        return Counter(line.decode("unicode_escape") for line in lines)

    def times(self, what: str) -> int:
        """How often *what* happened."""
        return self.counts()[what]
