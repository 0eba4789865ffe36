"""A pack of forked workers that are killed or stopped at random, and replaced."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from typing import NoReturn

from tests._storms import kill


class Pack:
    """Some workers at a time; of those that are struck *stops* are stopped, for *past* seconds."""

    def __init__(
        self,
        born: Callable[[], int],
        size: int,
        chance: random.Random,
        *,
        stops: float,
        past: float,
    ) -> None:
        self.kills = 0
        self.stops = 0
        self._born = born
        self._chance = chance
        self._share = stops
        self._past = past
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


def forked(live: Callable[[], None], saw: Callable[..., None]) -> int:
    """A child that lives until it is killed; what it dies of otherwise is told to *saw*."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        _live(live, saw)
    return pid


def _live(live: Callable[[], None], saw: Callable[..., None]) -> NoReturn:
    try:
        live()
    except BaseException as error:  # noqa: BLE001 - nothing may return into the storm
        saw("odd", "process", type(error).__name__, *str(error).split()[:25])
    os._exit(1)
