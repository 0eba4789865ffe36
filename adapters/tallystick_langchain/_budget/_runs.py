"""
The calls that are under way, and the runs around them.

Bounded: what nothing ends is given up, the oldest first, and its reservation with it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tallystick.metering import Metered, ModelRequest

#: calls that one callback has under way at once, and runs around them
_CALLS = 4096
_RUNS = 65_536


@dataclass(slots=True, eq=False)
class Call:
    """One model call that is under way."""

    metered: Metered
    request: ModelRequest
    parent: UUID | None
    #: the parameters of the request; all calls of one ``generate`` have the same object
    params: Any
    #: forgets the task that makes the call
    detach: Callable[[], object]
    #: whether it is the only call of its ``generate``
    alone: bool = True
    #: whether the calls of that are made one after the other
    in_turn: bool = False
    #: whether anything of an answer arrived
    begun: bool = False
    #: what a stream said of its usage, so far
    streamed: Any = None


class Runs:
    """
    Which calls are under way, and inside which runs of chains, tools and retrievers.

    There is no lock: the collector may close a stream in the middle of anything, also of this.
    Each step is one that the interpreter does not interrupt.
    """

    def __init__(self) -> None:
        self._calls: dict[UUID, Call] = {}
        self._parents: dict[UUID, UUID | None] = {}

    @property
    def calls(self) -> int:
        """How many calls are under way."""
        return len(self._calls)

    @property
    def runs(self) -> int:
        """How many runs around them are."""
        return len(self._parents)

    def add(self, run: UUID, call: Call) -> list[Call]:
        """Remember a call; those that had to be given up for it."""
        self._calls[run] = call
        over = self._oldest(self._calls, len(self._calls) - _CALLS)
        return [lost for one in over if (lost := self.take(one)) is not None]

    def get(self, run: UUID) -> Call | None:
        """The call, if it is under way."""
        return self._calls.get(run)

    def take(self, run: UUID) -> Call | None:
        """The call, which is not under way any more."""
        call = self._calls.pop(run, None)
        if call is not None:
            call.detach()
        return call

    def batch(self, params: Any) -> list[UUID]:
        """The calls of one ``generate`` of several, in their order."""
        calls = self._under_way()
        return [run for run, call in calls if call.params is params and not call.alone]

    def entered(self, run: UUID, parent: UUID | None) -> None:
        """A run began inside another one."""
        self._parents[run] = parent
        for one in self._oldest(self._parents, len(self._parents) - _RUNS):
            self._parents.pop(one, None)

    def left(self, run: UUID) -> None:
        """A run is over, in whatever way."""
        self._parents.pop(run, None)

    def inside(self, run: UUID) -> list[UUID]:
        """The calls that are under way somewhere inside *run*."""
        return [one for one, call in self._under_way() if run in self._around(call)]

    def _around(self, call: Call) -> Iterator[UUID]:
        above = call.parent
        while above is not None:
            yield above
            above = self._parents.get(above)

    def _under_way(self) -> list[tuple[UUID, Call]]:
        while True:
            try:
                return list(self._calls.items())
            except RuntimeError:  # it changed meanwhile
                continue

    def _oldest(self, runs: dict[UUID, Any], count: int) -> list[UUID]:
        if count <= 0:
            return []
        while True:
            try:
                return list(itertools.islice(runs, count))
            except RuntimeError:  # it changed meanwhile
                continue
