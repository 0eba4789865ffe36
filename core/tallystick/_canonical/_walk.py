"""The way through a value, and the refusal that names the place in it."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import Any, Final, NoReturn

from tallystick.errors import NotSerializable

#: levels of nesting; anything deeper is taken to be nested in itself
DEEPEST: Final = 200

_SHOWN: Final = 6
_REMEDY: Final = (
    "convert it to plain data, leave it out of the arguments, "
    "or choose what identifies the call with Policy(identity=...)"
)


class Walk:
    """Writes the parts of a value, each by the rule for its type, and remembers the path."""

    __slots__ = ("_path", "_rule_for")

    def __init__(self, rule_for: Callable[[object], Callable[[Walk, Any], str]]) -> None:
        self._rule_for = rule_for
        self._path: list[object] = []

    def root(self, value: object) -> str:
        """The text of a whole value."""
        try:
            return self.same(value)
        except RecursionError:
            # The caller's stack had fewer levels left than we allow.
            raise NotSerializable(f"args is nested too deeply: {_REMEDY}") from None

    def same(self, value: object) -> str:
        """The text of what stands in the present place."""
        return self._rule_for(value)(self, value)

    def child(self, step: object, value: object) -> str:
        """The text of what stands one *step* further."""
        self._path.append(step)
        if len(self._path) > DEEPEST:
            self.refuse(f"is nested more than {DEEPEST} levels deep, or in itself")
        text = self._rule_for(value)(self, value)
        self._path.pop()
        return text

    def refuse(self, reason: str, remedy: str = _REMEDY) -> NoReturn:
        """Raise NotSerializable for the present place."""
        steps = [_shown(step) for step in self._path]
        if len(steps) > 2 * _SHOWN:
            steps[_SHOWN:-_SHOWN] = ["…"]
        raise NotSerializable(f"args{''.join(steps)} {reason}: {remedy}")


def _shown(step: object) -> str:
    if isinstance(step, str) and step.isidentifier():
        return f".{step}"
    if step is ...:
        return "{…}"
    try:
        return f"[{reprlib.repr(step)}]"
    except ValueError:  # an integer of more digits than the interpreter cares to write
        return f"[{type(step).__name__}]"
