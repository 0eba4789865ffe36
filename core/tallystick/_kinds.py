"""
Errors of the ledger that are of other libraries' kinds, too.

A framework lets through, or shows to a model, what is of a kind of its own. An error keeps its
class, attributes and traceback, and answers ``isinstance`` for that kind as well: of one, or, where
a run crosses frameworks, of several.
"""

from __future__ import annotations

import functools
from typing import Any, TypeVar

from tallystick.errors import LedgerError

E = TypeVar("E", bound=LedgerError)


def become(error: E, kind: type[Exception]) -> E:
    """*error* itself, now also of *kind*; copies and pickles of it are, too."""
    if not isinstance(error, kind):
        now: Any = type(error)
        plain, kinds = getattr(now, "_of", (now, ()))
        # The layout is the same: only the answer to isinstance changes.
        object.__setattr__(error, "__class__", _also(plain, (*kinds, kind)))
    return error


@functools.cache
def _also(cls: Any, kinds: tuple[type[Exception], ...]) -> Any:
    def reduce(self: LedgerError) -> tuple[Any, ...]:
        return _revive, (cls, kinds, self.args, self.__dict__)

    names = {name: getattr(cls, name) for name in ("__module__", "__qualname__", "__doc__")}
    own = {**names, "__reduce__": reduce, "_of": (cls, kinds)}
    return type(cls.__name__, (cls, *kinds), own)


def _revive(
    cls: type[LedgerError],
    kinds: tuple[type[Exception], ...],
    args: tuple[Any, ...],
    state: dict[str, Any],
) -> LedgerError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    for kind in kinds:
        error = become(error, kind)
    return error
