"""
What happened, for whoever listens: one small door.

A hook is called with frozen :class:`Details`. For the moments that last (``claim``, ``call`` and
``settle``) it may return a context manager, which is entered before and left after. A hook cannot
break a call: whatever it raises is logged and dropped.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from tallystick._model import Row

_log = logging.getLogger("tallystick")


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """
    One moment in the life of an effect.

    ``kind`` is ``claim``, ``call`` or ``settle`` (moments that last), or ``replayed``,
    ``approval_required``, ``decided``, ``in_doubt``, ``resolved``, ``started``, ``fenced``,
    ``halted``, ``arguments_changed``, ``suspect`` (facts). ``facts`` holds what else is known,
    never arguments that the policy redacts.
    """

    kind: str
    key: str
    tenant: str
    workflow: str
    tool: str
    status: str = ""
    attempt: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Hook(Protocol):
    """A listener: any callable of :class:`Details`; see the module for what it may return."""

    def __call__(self, details: Details, /) -> AbstractContextManager[Any] | None:
        """One moment in the life of an effect begins, or is a fact."""
        ...


class Hooks:
    """The listeners of one ledger."""

    def __init__(self, hooks: Sequence[Hook]) -> None:
        self.listening = bool(hooks)
        self._hooks = tuple(hooks)

    def tell(self, details: Details) -> bool:
        """Call every hook; whether all of them took it."""
        taken = True
        for hook in self._hooks:
            try:
                hook(details)
            except Exception:  # noqa: BLE001 - a listener is a guest
                _log.exception("a hook failed on %s of %s", details.kind, details.key)
                taken = False
        return taken

    @contextmanager
    def around(self, details: Details) -> Generator[None]:
        """Call every hook and keep what it returns open for the duration."""
        stack = _Guarded()
        for hook in self._hooks:
            stack.open(hook, details)
        try:
            yield
        finally:
            stack.shut(details)


class _Guarded:
    """Context managers of guests: their errors are logged, never raised."""

    def __init__(self) -> None:
        self._open: list[AbstractContextManager[Any]] = []

    def open(self, hook: Hook, details: Details) -> None:
        try:
            manager = hook(details)
            if manager is not None:
                manager.__enter__()
                self._open.append(manager)
        except Exception:  # noqa: BLE001 - a listener is a guest
            _log.exception("a hook failed on %s of %s", details.kind, details.key)

    def shut(self, details: Details) -> None:
        for manager in reversed(self._open):
            try:
                manager.__exit__(None, None, None)
            except Exception:  # noqa: BLE001 - a listener is a guest
                _log.exception("a hook failed after %s of %s", details.kind, details.key)


def details_of(kind: str, row: Row, facts: Mapping[str, Any]) -> Details:
    """The details of a moment in the life of the effect in *row*."""
    return Details(
        kind=kind,
        key=row.key.hex(),
        tenant=row.tenant,
        workflow=row.workflow,
        tool=row.tool,
        status=row.status,
        attempt=row.attempt,
        facts=facts,
    )
