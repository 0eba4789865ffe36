"""Functions by name, so that another process can undo what this one did."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from tallystick._policy import Policy
from tallystick.errors import InvalidCall, InvalidPolicy

_NO_NAME = "register it under a name, @ledger.compensation('refund'), or move it to a module"
_SCRIPT = ", which is another program: run the one that recorded it, or register a name there"


class Unfindable(Exception):
    """Nothing in this process has the name."""


class Registered(NamedTuple):
    """A compensation that was registered, and the policy that comes with it."""

    fn: Callable[..., Any]
    policy: Policy | None = None


class Names:
    """The compensations that are known to a ledger by a name of their own."""

    def __init__(self) -> None:
        self._known: dict[str, Registered] = {}

    def register(self, name: str, fn: Any, policy: Policy | None = None) -> None:
        """Let *name* mean *fn* here; the last one who says so counts."""
        if not callable(fn):
            raise InvalidCall(f"compensation {name}: give a function, not {fn!r}")
        self._known[name] = Registered(fn, policy)

    def adopt(self, other: Names) -> None:
        """Learn what another ledger of this process knows."""
        self._known = {**other._known, **self._known}

    def name_of(self, step: Callable[..., Any] | str) -> str:
        """The name to record for *step*; InvalidPolicy where no process could go by it."""
        if isinstance(step, str):
            return step
        for name, known in self._known.items():
            if known.fn is step:
                return name
        return importable(step)

    def find(self, name: str) -> Registered:
        """What *name* means here; Unfindable where it means nothing."""
        known = self._known.get(name)
        if known is not None:
            return known
        module, colon, path = name.partition(":")
        if not colon:
            raise Unfindable(f"no compensation is registered as {name} in this process")
        return Registered(_present(name, module, path))


def importable(fn: Any) -> str:
    """``module:qualname`` of a function that can be imported; InvalidPolicy for any other."""
    module, path = getattr(fn, "__module__", None), getattr(fn, "__qualname__", None)
    if not (isinstance(module, str) and isinstance(path, str)) or "<" in path:
        raise InvalidPolicy(f"{fn!r} could not be found again by another process; {_NO_NAME}")
    name = f"{module}:{path}"
    if _walk(sys.modules.get(module), path) is not fn:
        raise InvalidPolicy(f"{name} is not the function that was given; {_NO_NAME}")
    return name


def _present(name: str, module: str, path: str) -> Callable[..., Any]:
    """What the program has imported itself; a record is no reason to import, and so run, more."""
    if module.partition(".")[0] in sys.stdlib_module_names - {"__main__"}:
        raise Unfindable(f"{name} is of Python's own library; nothing there is a compensation")
    if module not in sys.modules:
        raise Unfindable(
            f"{name} is not here: this process has not imported {module}; do so first, on the "
            f"command line with --import {module}"
        )
    found = _walk(sys.modules[module], path)
    if not callable(found):
        raise Unfindable(f"{module} has no function {path} here{_SCRIPT * (module == '__main__')}")
    return cast("Callable[..., Any]", found)


def _walk(place: Any, path: str) -> Any:
    for part in path.split("."):
        place = getattr(place, part, None)
    return place
