"""What a transaction on a server can do: its clock judges, and a heartbeat is a row."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Any

from tallystick._acts import Claim, Found
from tallystick._model import Row
from tallystick.stores._tx import Execute, SqlTx


class ServerTx(SqlTx):
    """One transaction (or one statement) on a server."""

    def __init__(self, execute: Execute, lease: int, shift: int, worker: str) -> None:
        super().__init__(execute)
        self._worker = worker
        self._words = {"lease": lease, "shift": shift}
        self._moment: int | None = None

    def _facts(self) -> dict[str, Any]:
        return self._words

    def now(self) -> int:
        if self._moment is None:
            self._moment = int(self.run("clock").fetchone()[0])
        return self._moment

    def claim(self, claims: Sequence[Claim]) -> list[Found]:
        raise NotImplementedError

    def alive(self, holder: str | None) -> bool:
        if holder == self._worker:
            return True
        return holder is not None and bool(self.run("alive", worker=holder).fetchone()[0])

    def glance(self, tenant: str, key: bytes) -> Found:
        found = self.run("glance", key=key, tenant=tenant).fetchone()
        if found is None:
            return Found(False, None, False, self.now())
        now, alive, *columns = found
        row = Row._make(columns)
        mine = row.status == "running" and row.holder == self._worker
        return Found(False, row, mine or bool(alive), now)

    def beat(self, worker: str) -> None:
        self.register(worker, None)

    def register(self, worker: str, first: int | None) -> int:
        """A heartbeat; where the worker's rows begin, if need be (*first*) as it knows itself."""
        place = {"host": socket.gethostname(), "pid": os.getpid()}
        return self._first(worker, self.run("beat", worker=worker, first=first, **place))

    def _first(self, worker: str, beaten: Any) -> int:
        """Where the worker's rows begin, as the statement of the heartbeat says."""
        return int(beaten.fetchone()[0])

    def dead(self) -> list[str]:
        return [row[0] for row in self.run("dead").fetchall()]
