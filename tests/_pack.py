"""A pack of forked workers that are killed or stopped at random, and replaced."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from typing import NoReturn

from tests._storms import StoreName, kill
from tests._urls import LEASED


class Pack:
    """
    Some workers at a time; of those that are struck a share of *stops* is stopped.

    Where workers hold leases they are stopped for longer than their *lease*.
    """

    def __init__(
        self,
        born: Callable[[], int],
        size: int,
        chance: random.Random,
        *,
        stops: float,
        store: StoreName,
        lease: float,
    ) -> None:
        self.kills = 0
        self.stops = 0
        self._born = born
        self._chance = chance
        self._share = stops
        self._past = lease + 0.2 if store in LEASED else 0.05
        self._workers = [born() for _ in range(size)]
        self._stopped: dict[int, float] = {}

    def strike(self) -> None:
        """Let those go on whose time is over; then kill one and replace it, or stop it."""
        self._wake()
        j = self._chance.randrange(len(self._workers))
        pid = self._workers[j]
        if self._chance.random() < self._share and pid not in self._stopped:
            os.kill(pid, signal.SIGSTOP)
            self.stops += 1
            self._stopped[pid] = time.monotonic() + self._past + self._chance.random() * 0.4
            return
        self._stopped.pop(pid, None)
        kill(pid)
        self.kills += 1
        self._workers[j] = self._born()

    def end(self) -> None:
        """Kill all of them."""
        for pid in self._workers:
            kill(pid)
        self.kills += len(self._workers)

    def _wake(self) -> None:
        for pid, due in list(self._stopped.items()):
            if time.monotonic() >= due:
                os.kill(pid, signal.SIGCONT)
                del self._stopped[pid]


def forked(live: Callable[[], None], tell: Callable[[BaseException], None]) -> int:
    """A child that lives, and ends with 0; what ends it otherwise is told, and it ends with 1."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        _live(live, tell)
    return pid


def _live(live: Callable[[], None], tell: Callable[[BaseException], None]) -> NoReturn:
    try:
        live()
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - nothing may return into the storm
        tell(error)
    os._exit(1)
