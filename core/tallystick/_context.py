"""What a tool, or code around it, can ask about where it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, NamedTuple


class CurrentEffect(NamedTuple):
    """The effect that is being performed around the caller; one is made for every attempt."""

    #: sha256 in hex
    key: str
    tool: str
    workflow: str
    #: 1 for the first attempt
    attempt: int
    #: the fencing token: grows at every change of holder
    epoch: int
    #: the arguments as the tool got them
    args: dict[str, Any]
    #: with ``TRANSACTIONAL``: write through this, and only through this
    connection: Any = None
    #: keys of the effects around this one, this one included
    within: frozenset[bytes] = frozenset()
    #: the plan of what is called in here, where this is part of undoing another effect
    undoing: str | None = None

    @property
    def idempotency_key(self) -> str:
        """What to pass to a downstream that deduplicates: the same for every attempt."""
        return self.key


class Around(NamedTuple):
    """What holds for everything inside: labels that budgets may ask for, and budgets that pay."""

    labels: Mapping[str, str] = MappingProxyType({})
    budgets: tuple[str, ...] = ()
    #: whether the run has its outcome, so that what is recorded replays and nothing begins
    closed: bool = False


AROUND: ContextVar[Around] = ContextVar("tallystick_around", default=Around())  # noqa: B039 - a read-only view
CURRENT: ContextVar[CurrentEffect | None] = ContextVar("tallystick_effect", default=None)
WORKFLOW: ContextVar[str | None] = ContextVar("tallystick_workflow", default=None)
#: the replays around the caller, the innermost last
REPLAYS: ContextVar[tuple[Any, ...]] = ContextVar("tallystick_replays", default=())


class Assumed(str):
    """The name of the workflow that a replay is of, for calls that nobody said one for."""

    __slots__ = ()


def stated() -> str | None:
    """The ambient workflow, if somebody said it and it is not only assumed by a replay."""
    name = WORKFLOW.get()
    return None if isinstance(name, Assumed) else name


#: ids of the runs that are open around here, the outermost first
RUNS: ContextVar[tuple[str, ...]] = ContextVar("tallystick_runs", default=())

#: who wants to know that a workflow is entered: called with its name in the context of whoever
#: enters it, returns what to call there when it is left
ENTERING: list[Callable[[str], Callable[[], object]]] = []


def current_effect() -> CurrentEffect:
    """
    The effect that the calling tool performs.

    Raises LookupError outside of a tool that the ledger runs.
    """
    current = CURRENT.get()
    if current is None:
        raise LookupError("no effect is being performed here; call the tool through the ledger")
    return current
