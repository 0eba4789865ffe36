"""Dying at a named point, within one process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

from tallystick import _points
from tallystick._acts import Claim, Clock, Settle
from tallystick._journal import Ticket
from tallystick.errors import LedgerError
from tallystick.ledger import _OPEN, Ledger  # pyright: ignore[reportPrivateUsage]
from tallystick.stores import _scripts


class Crashed(BaseException):
    """The process died here, as far as its ledgers can tell; no ``Exception`` that is caught."""


def points() -> list[str]:
    """
    Every point at which a process can die.

    Three for each act of the journal, ``<Act>.before``, ``.applied`` (not committed) and
    ``.committed`` (not answered), and ``tool.before``, ``tool.after`` and ``tool.recorded`` (its
    caller has not got it). A new act brings its own.
    """
    acts = [Claim, Settle, *_scripts._SCRIPTS]  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    moments = ("before", "applied", "committed")
    return [f"{act.__name__}.{moment}" for act in acts for moment in moments] + [
        "tool.before",
        "tool.after",
        "tool.recorded",
    ]


class Crash:
    """A death that waits at a point; ``fired`` says whether it came."""

    def __init__(self, point: str, nth: int) -> None:
        self.point = point
        self.fired = False
        self._left = nth
        self._lock = threading.Lock()

    def _reached(self, name: str) -> None:
        with self._lock:
            if self.fired:
                here = name.endswith(".before")
            else:
                self._left -= name == self.point
                here = self.fired = self._left == 0
        if here:
            raise Crashed(f"{name} (died at {self.point})")


@contextmanager
def crash_at(point: str, *, nth: int = 1) -> Generator[Crash]:
    """
    Raise :class:`Crashed` where *point* is reached the *nth* time, in whichever ledger and thread.

    From then on every point before an act or a tool raises it too, so that nothing of this process
    is written or done any more, whatever its ``finally`` blocks try. At the end of the block the
    world goes on: end the dead ledger with :func:`crash` and open another one.

    >>> from tallystick import Ledger
    >>> ledger = Ledger("memory://")
    >>> with crash_at("tool.after") as death:
    ...     try:
    ...         ledger.call("charge", lambda: "charged", workflow="A-1")
    ...     except Crashed:
    ...         print("died")
    died
    >>> death.fired, [str(effect.status) for effect in ledger.effects()]
    (True, ['running'])
    >>> ledger.close()
    """
    if point not in points():
        raise ValueError(f"{point!r} is no point; points() lists them")
    death = Crash(point, nth)
    hook = threading.excepthook
    threading.excepthook = quietly(hook)
    _points.arm(death._reached)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    try:
        yield death
    finally:
        if death.fired:
            _let_queues_die()
        _points.arm(None)
        threading.excepthook = hook


def _let_queues_die() -> None:
    for ledger in list(_OPEN):
        let_queue_die(ledger)


def let_queue_die(ledger: Ledger) -> None:
    """Wait until every act that was queued before has been refused."""
    journal = ledger._engine.journal  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    if journal._thread is not None:  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        last = Ticket(Clock())
        with suppress(LedgerError):
            journal._enqueue(last)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
            last.lock.acquire(timeout=30)


def quietly(hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A hook for threads that end by an exception; a ledger's own thread may die of a crash."""

    def quiet(args: threading.ExceptHookArgs) -> None:
        if args.exc_type is not Crashed:
            hook(args)

    return quiet
