"""What a tool, or code around it, can ask about where it is."""

from __future__ import annotations

from contextvars import ContextVar
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

    @property
    def idempotency_key(self) -> str:
        """What to pass to a downstream that deduplicates: the same for every attempt."""
        return self.key


CURRENT: ContextVar[CurrentEffect | None] = ContextVar("tallystick_effect", default=None)
WORKFLOW: ContextVar[str | None] = ContextVar("tallystick_workflow", default=None)


def current_effect() -> CurrentEffect:
    """
    The effect that the calling tool performs.

    Raises LookupError outside of a tool that the ledger runs.
    """
    current = CURRENT.get()
    if current is None:
        raise LookupError("no effect is being performed here; call the tool through the ledger")
    return current
