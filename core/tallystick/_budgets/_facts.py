"""Facts about a call, by which budgets know whether they are concerned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from tallystick._values import Value

#: how a fact among the arguments begins
ARGS = "args."


class Facts(Value):
    """
    What is known of a call: ``tool``, ``risk``, ``workflow``, ``session``, ``model``,
    ``provider``, the labels around it, and as ``args.…`` its arguments, by a path of dots.
    """

    #: how messages call it
    what: str
    said: Mapping[str, str]
    args: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def value(self, name: str) -> Any:
        """The fact *name*, or ``None``."""
        if not name.startswith(ARGS):
            return self.said.get(name)
        return at_path(self.args, name.removeprefix(ARGS))

    def text(self, name: str) -> str | None:
        """The fact *name* as text, or ``None``."""
        value = self.value(name)
        return None if value is None else as_text(value)


def at_path(value: Any, path: str) -> Any:
    """What lies at a path like ``order.lines.0.price``; ``None`` where there is nothing."""
    for step in path.split("."):
        value = _inside(value, step)
        if value is None:
            return None
    return value


def _inside(value: Any, step: str) -> Any:
    given: Any = value
    if isinstance(value, Mapping):
        return given.get(step)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and step.isdigit():
        return given[int(step)] if int(step) < len(given) else None
    return None if step.startswith("_") else getattr(given, step, None)


def as_text(value: Any) -> str:
    """One text for values that are equal: ``1`` and ``1.0``, an enum and its value."""
    value = getattr(value, "value", value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)
