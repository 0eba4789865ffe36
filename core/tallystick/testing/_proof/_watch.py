"""Where a try is made to fail, and who sees what it does: a listener at the ledger's own points."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from tallystick import _points
from tallystick._codec import encode
from tallystick._context import CURRENT, CurrentEffect
from tallystick._undoing._plan import undoes
from tallystick.errors import NotApplied
from tallystick.testing._crash import Crashed, quietly
from tallystick.testing._proof._values import Point, UndoStep

#: the effect whose tool returned last, in this context
_LAST: ContextVar[CurrentEffect | None] = ContextVar("tallystick_proof_last", default=None)

#: at which moment of a forward step a try fails there
_FORWARD = {
    "before": "before",
    "after": "recorded",
    "lost": "after",
    "killed_before": "before",
    "killed_after": "recorded",
}
#: and at which moment of a compensation
_BACK = {"refused": "before", "stopped": "recorded"}
#: where it is the process that ends
DEADLY = ("killed_before", "killed_after", "stopped")


class Broken(Exception):
    """What a run is made to fail with right after a step, or instead of a step's answer."""


class Mark(NamedTuple):
    """Which call of a run it is, whatever its key."""

    tool: str
    args: str
    #: among the calls with these arguments, and among all of the tool
    nth: int
    nth_of_tool: int

    def is_like(self, other: Mark, *, loosely: bool) -> bool:
        """Whether it is that call of another run; *loosely*: whatever its arguments."""
        if loosely:
            return (self.tool, self.nth_of_tool) == (other.tool, other.nth_of_tool)
        return self[:3] == other[:3]


class Cue(NamedTuple):
    """Where a try is to fail: at a step that is known, or right after the nth that is done."""

    point: Point
    step: UndoStep | None = None
    mark: Mark | None = None
    nth: int = 0
    #: which of the step's compensations, from 0
    part: int = 0


class Acted(NamedTuple):
    """A compensation that acted."""

    name: str
    #: key of the effect that it undoes
    of: str


class Watch:
    """What is called in one try; and its end, where that comes."""

    def __init__(self, cue: Cue | None, *, loosely: bool = False) -> None:
        self.cue = cue
        #: the forward effects that began, by key, in their order
        self.calls: dict[str, Mark] = {}
        #: keys of those whose outcome is recorded, in the order of that
        self.recorded: list[str] = []
        self.acted: list[Acted] = []
        #: key of the effect that the cue is about
        self.cued = ""
        self.fired = False
        #: whether the process is dead, as far as its ledger can tell
        self.dead = False
        self._loosely = loosely
        self._counts: Counter[tuple[str, ...]] = Counter()
        self._parts: dict[str, list[str]] = {}
        self._lock = threading.Lock()

    def reached(self, name: str) -> None:
        """Listen at one of the points of :func:`tallystick.testing.points`."""
        part, _, moment = name.partition(".")
        if self.dead and moment == "before":
            raise Crashed(f"{name} (the process had stopped)")
        if part != "tool":
            return
        current = CURRENT.get()
        if moment == "after":
            _LAST.set(current)
        elif moment == "recorded":
            current = _LAST.get()
        if current is not None:
            with self._lock:
                self._met(moment, current)

    def _met(self, moment: str, current: CurrentEffect) -> None:
        of = undoes(current.undoing)
        if of is None:
            if moment == "before":
                self._began(current)
            if moment == "recorded":
                self._ended(current.key)
            if self.cued == current.key:
                self._fail_if(_FORWARD, moment, current.tool)
        elif len(current.within) == 1:  # not what a compensation calls in turn
            parts = self._parts.setdefault(of, [])
            if current.key not in parts:
                parts.append(current.key)
            if moment == "after":
                self.acted.append(Acted(current.tool, of))
            if self.cued == of and self.cue and parts.index(current.key) == self.cue.part:
                self._fail_if(_BACK, moment, current.tool)

    def _began(self, current: CurrentEffect) -> None:
        if current.key in self.calls:
            return
        args = encode(current.args, where="args")
        self._counts[current.tool, args] += 1
        self._counts[current.tool,] += 1
        counts = self._counts[current.tool, args], self._counts[current.tool,]
        mark = self.calls[current.key] = Mark(current.tool, args, *counts)
        wanted = self.cue.mark if self.cue and not self.cued else None
        if wanted is not None and mark.is_like(wanted, loosely=self._loosely):
            self.cued = current.key

    def _ended(self, key: str) -> None:
        if key not in self.recorded:
            self.recorded.append(key)
        if self.cue and not self.cued and self.cue.nth == len(self.recorded):
            self.cued = key

    def _fail_if(self, moments: dict[str, str], moment: str, tool: str) -> None:
        point = self.cue.point if self.cue and not self.fired else ""
        if moments.get(point) != moment:
            return
        self.fired = True
        if point in DEADLY:
            self.dead = True
            raise Crashed(f"prove_undo ends the process at {tool}, {point.replace('_', ' ')}")
        if moment == "before":
            raise NotApplied(f"prove_undo refuses {tool} once")
        raise Broken(f"prove_undo lets the run fail here: {tool} happened")


@contextmanager
def watched(watch: Watch) -> Generator[None]:
    """Let *watch* hear of every point that is reached in this process."""
    hook = threading.excepthook
    threading.excepthook = quietly(hook)
    _points.arm(watch.reached)
    try:
        yield
    finally:
        _points.arm(None)
        threading.excepthook = hook
