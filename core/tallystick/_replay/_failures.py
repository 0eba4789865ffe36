"""A recorded failure as an error of the class that the tool raised, where that is here."""

from __future__ import annotations

import functools
import json
from typing import Any

from tallystick._codec._classes import find
from tallystick._model import Row
from tallystick.errors import EffectFailed, LedgerError, NotApplied


def failure(row: Row) -> EffectFailed:
    """
    An EffectFailed with the recorded message that is of the recorded class, too.

    Like a recorded result it is looked up among the imported modules only. One that is not there,
    or that nothing can be made of without its constructor, leaves a plain EffectFailed.
    """
    said: dict[str, Any] = json.loads(row.error or "{}")
    name, message = str(said.get("type", "")), str(said.get("message", ""))
    kind = _class_of(name)
    error = None if kind is None else _made(kind, row, message)
    if error is None:
        error = EffectFailed(message, key=row.key.hex(), tool=row.tool, workflow=row.workflow)
    error.error_type, error.error_message = name, message
    error.error_traceback = str(said.get("traceback", ""))
    return error


def _class_of(name: str) -> type[Exception] | None:
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        found: Any = find(f"{'.'.join(parts[:cut])}:{'.'.join(parts[cut:])}")
        if found is not None:
            return found if issubclass(found, Exception) else None
    return None


def _made(kind: type[Exception], row: Row, message: str) -> EffectFailed | None:
    """No constructor of others runs: nobody knows what it was given."""
    try:
        error = _new(kind, (message,))
        if kind.__module__ == LedgerError.__module__:
            kind.__init__(error, message)
        error.key, error.tool, error.workflow = row.key.hex(), row.tool, row.workflow
        if isinstance(error, NotApplied):
            error.retryable = row.result_note == "retryable"
    except Exception:  # noqa: BLE001 - the class is a stranger's, and may refuse in any way
        return None
    return error


@functools.cache
def _also(kind: Any) -> type[EffectFailed]:
    """EffectFailed that is a *kind* and looks like one."""
    both: type[EffectFailed] = kind
    if issubclass(kind, EffectFailed):
        return both

    def reduce(self: EffectFailed) -> tuple[Any, ...]:
        return _revive, (kind, self.args, self.__dict__)

    own = {
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
        "__str__": BaseException.__str__,
        "__repr__": BaseException.__repr__,
        "__reduce__": reduce,
    }
    return type(kind.__name__, (EffectFailed, kind), own)


def _revive(kind: type[Exception], args: tuple[Any, ...], state: dict[str, Any]) -> EffectFailed:
    error = _new(kind, args)
    error.__dict__.update(state)
    return error


def _new(kind: Any, args: tuple[Any, ...]) -> EffectFailed:
    both = _also(kind)
    error = both.__new__(both)
    error.args = args
    return error
