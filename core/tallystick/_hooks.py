"""
What happened, for whoever listens: one small door.

A hook is called with frozen :class:`Details`. For the moments that last (``claim``, ``call`` and
``settle``) it may return a context manager, which is entered before and left after. A hook cannot
break a call: whatever it raises is logged and dropped. One that needs longer than a call may wait
does its work elsewhere and raises :class:`NotYet`. A hook that has a ``close()`` is closed with the
last ledger that it was given to.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import field
from typing import Any, Protocol

from tallystick._model import Row
from tallystick._values import Value

_log = logging.getLogger("tallystick")

#: moments that are remembered because somebody did not take them
_REMEMBERED = 4096
#: what the open ledgers listen with
_OPEN: dict[int, tuple[Hook, ...]] = {}


class NotYet(Exception):
    """
    Raised by a hook: it has not told anybody so far.

    A request for approval is then told again, to this hook only, until it is taken; the hook must
    know it again and not begin twice. Nothing is logged.
    """


class Details(Value):
    """
    One moment in the life of an effect.

    ``kind`` is ``claim``, ``call`` or ``settle`` (moments that last), or ``replayed``,
    ``approval_required``, ``decided``, ``in_doubt``, ``resolved``, ``started``, ``fenced``,
    ``halted``, ``arguments_changed``, ``suspect``, ``compensating``, ``compensated``,
    ``compensation_failed``, ``budget_threshold``, ``budget_warned``,
    ``budget_overrun``, ``budget_bypassed``, ``runaway`` (facts). ``facts`` holds what else is
    known, never arguments that the policy redacts.
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
        self._missed: OrderedDict[tuple[str, str], tuple[Hook, ...]] = OrderedDict()
        if hooks:
            _OPEN[id(self)] = self._hooks

    def tell(self, details: Details) -> bool:
        """
        Call every hook; whether all of them took it.

        What is told ``again`` is told to those that did not take it before.
        """
        moment = (details.kind, details.key)
        before = self._missed.pop(moment, ())
        hooks = before if before and details.facts.get("again") else self._hooks
        missed = tuple([hook for hook in hooks if not _took(hook, details)])
        if missed:
            self._missed[moment] = missed
            if len(self._missed) > _REMEMBERED:
                self._missed.popitem(last=False)
        return not missed

    @property
    def owing(self) -> bool:
        """Whether any hook did not take something."""
        return bool(self._missed)

    def owes(self, kind: str, key: str) -> bool:
        """Whether a hook of this process did not take this moment when it was told of it."""
        return (kind, key) in self._missed

    def forked(self) -> None:
        """In a forked child: what was not taken is the parent's to tell again."""
        self._missed.clear()

    def close(self) -> None:
        """Close the hooks that want it, but for those that another open ledger has."""
        if _OPEN.pop(id(self), None) is None:
            return
        others = {id(hook) for hooks in list(_OPEN.values()) for hook in hooks}
        for hook in self._hooks:
            close: Any = getattr(hook, "close", None)
            if callable(close) and id(hook) not in others:
                try:
                    close()
                except Exception:  # noqa: BLE001 - a listener is a guest
                    _log.exception("a hook failed as it was closed")

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


def _took(hook: Hook, details: Details) -> bool:
    try:
        hook(details)
    except NotYet:
        return False
    except Exception:  # noqa: BLE001 - a listener is a guest
        _log.exception("a hook failed on %s of %s", details.kind, details.key)
        return False
    return True


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
        except NotYet:
            pass  # these moments are told once
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
