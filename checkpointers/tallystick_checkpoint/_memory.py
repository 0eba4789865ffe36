"""What this process knows of its threads without asking; shared by all copies of a saver."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple

from tallystick_checkpoint._values import Entry, Pieces

#: checkpoints whose parts are remembered, to name them again without reading them
_KNOWN = 2000
#: checkpoints that are remembered to be durable, and namespaces in which a graph runs
_DURABLE = 10_000

Where = tuple[bytes, str, str]


class Known(NamedTuple):
    """What the next checkpoint needs to know of this one."""

    entries: Mapping[str, Entry]
    turn: str | None
    #: the ids of the pieces that its values are made of
    names: frozenset[bytes] | None = None


class Memory:
    """
    The newest checkpoints, which of them are durable, and which graphs run here.

    A graph *runs* in a namespace once it asked for its newest checkpoint there: whatever it does
    will be put. A subgraph without a checkpointer never asks.
    """

    def __init__(self) -> None:
        self.pieces = Pieces()
        self._lock = threading.Lock()
        self._known: OrderedDict[Where, Known] = OrderedDict()
        self._durable: OrderedDict[tuple[bytes, str], None] = OrderedDict()
        self._awaited: dict[tuple[bytes, str], Future[None]] = {}
        self._runs: OrderedDict[tuple[bytes, str], int | None] = OrderedDict()
        #: threads of which a put failed, until a graph begins anew there
        self._broken: OrderedDict[bytes, Exception] = OrderedDict()

    def remember(self, place: Where, known: Known) -> None:
        """A checkpoint that is durable."""
        key, _, id_ = place
        with self._lock:
            _keep(self._known, place, known, _KNOWN)
            _keep(self._durable, (key, id_), None, _DURABLE)
            done = self._awaited.pop((key, id_), None)
        if done is not None and not done.done():
            done.set_result(None)

    def failed(self, place: Where, error: BaseException) -> None:
        """
        A checkpoint that will not be durable; whoever waits for it need not wait longer.

        Nor for those that come after it, which LangGraph does not put any more.
        """
        key, _, id_ = place
        with self._lock:
            if isinstance(error, Exception):
                _keep(self._broken, key, error, _KNOWN)
                lost = [which for which in self._awaited if which[0] == key]
            else:  # whoever put it was cancelled; others may be at this thread as well
                lost = [(key, id_)] if (key, id_) in self._awaited else []
                error = RuntimeError(f"its put ended: {error!r}")
            ended = [self._awaited.pop(which) for which in lost]
        for done in ended:
            if not done.done():
                done.set_exception(error)

    def known(self, place: Where) -> Known | None:
        """What is remembered of a checkpoint."""
        with self._lock:
            return self._known.get(place)

    def awaited(self, key: bytes, id_: str) -> Future[None] | None:
        """What is done once the checkpoint is durable, or fails; ``None`` when it is."""
        with self._lock:
            if (key, id_) in self._durable:
                return None
            if key in self._broken:
                never = Future[None]()
                never.set_exception(self._broken[key])
                return never
            return self._awaited.setdefault((key, id_), Future())

    def give_up(self, key: bytes, id_: str) -> None:
        """Nobody waits for it any more."""
        with self._lock:
            self._awaited.pop((key, id_), None)

    def runs(self, key: bytes, ns: str, attempt: int | None) -> None:
        """A graph begins to run in a namespace, in this attempt of the node that holds it."""
        with self._lock:
            _keep(self._runs, (key, ns), attempt, _DURABLE)
            if not ns:
                self._broken.pop(key, None)

    def running(self, key: bytes, ns: str) -> bool:
        """Whether a graph of this process runs, or ran, in the namespace."""
        return (key, ns) in self._runs

    def attempt(self, key: bytes, ns: str) -> int | None:
        """In which attempt of the node that holds it the graph runs."""
        return self._runs.get((key, ns))


def _keep(place: OrderedDict[Any, Any], key: Any, value: Any, most: int) -> None:
    place[key] = value
    place.move_to_end(key)
    if len(place) > most:
        place.popitem(last=False)
