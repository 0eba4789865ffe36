"""Which values are left out, said once: by where they stand, or by how they look."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from functools import lru_cache
from typing import Any, TypeGuard

from tallystick._values import Value
from tallystick.errors import InvalidPolicy
from tallystick.redaction._detectors import DETECTORS, Detector

REDACTED = "[redacted]"
_SEGMENT = re.compile(r"[^.\[\]]+(?:\[\])*")

#: a path, as the names on the way; ``[]`` stands for each element
Path = tuple[str, ...]


@lru_cache(maxsize=4096)
def path_of(text: str) -> Path:
    """``"cards[].number"`` as its steps; InvalidPolicy where it is no path."""
    steps: list[str] = []
    for segment in text.split("."):
        if not _SEGMENT.fullmatch(segment):
            raise InvalidPolicy(
                f"{text!r} is no path; write it like 'token', 'customer.email' or 'cards[].number'"
            )
        name, bracket, _ = segment.partition("[")
        steps += [name, *["[]"] * (segment.count("[]") if bracket else 0)]
    return tuple(steps)


class Redact(Value):
    """
    What is left out of what is recorded about a tool.

    ``args``
        Arguments by name, or paths into them: ``"customer.email"``, ``"cards[].number"``. A name
        on the way to something goes for every element of a list, and ``*`` for every name.
    ``result``
        The same of the result; ``True`` for all of it.
    ``detect``
        ``True`` to look in arguments, results, facts and errors for what :data:`DETECTORS` find;
        or detectors of your own choice.

    >>> Redact(args=("card.number",), result=("receipt.email",), detect=True).args
    ('card.number',)
    """

    args: tuple[str, ...] = ()
    result: tuple[str, ...] | bool = ()
    detect: bool | tuple[Detector, ...] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "args", _paths(self.args, "Redact(args=…)"))
        if not isinstance(self.result, bool):
            object.__setattr__(self, "result", _paths(self.result, "Redact(result=…)"))
        if not isinstance(self.detect, bool):
            object.__setattr__(self, "detect", _detectors(self.detect))

    @property
    def detectors(self) -> tuple[Detector, ...]:
        """What is looked for."""
        if isinstance(self.detect, bool):
            return DETECTORS if self.detect else ()
        return self.detect

    def and_(self, other: Redact) -> Redact:
        """What this or *other* leaves out."""
        both = dict.fromkeys((*self.detectors, *other.detectors))
        whole = self.result is True or other.result is True
        return Redact(
            args=tuple(dict.fromkeys((*self.args, *other.args))),
            result=whole or tuple(dict.fromkeys((*_named(self.result), *_named(other.result)))),
            detect=tuple(both),
        )

    def __bool__(self) -> bool:
        return bool(self.args or self.result or self.detectors)


class Redaction(Value):
    """
    What a whole ledger leaves out: ``Ledger(…, redact=Redaction(detect=True))``.

    The fields are those of :class:`Redact`, and go for every tool; ``tools`` adds more for some of
    them, and ``Policy(redact=…)`` for one. Nothing takes away what another rule leaves out.
    """

    args: tuple[str, ...] = ()
    result: tuple[str, ...] | bool = ()
    detect: bool | tuple[Detector, ...] = True
    tools: Mapping[str, Redact] = field(default_factory=dict[str, Redact])

    def __post_init__(self) -> None:
        given: Any = self.tools
        if not (isinstance(given, Mapping) and all(map(_is_redact, self.tools.values()))):
            raise InvalidPolicy("Redaction(tools=…): give a mapping of tools to Redact(…)")
        object.__setattr__(self, "tools", dict(self.tools))
        self.of("")

    def of(self, tool: str) -> Redact:
        """What is left out of what is recorded about *tool*."""
        every = Redact(args=self.args, result=self.result, detect=self.detect)
        return every.and_(self.tools[tool]) if tool in self.tools else every


def redact_of(value: Any, where: str) -> Redact:
    """*value* as it may be given where rules for one tool are wanted."""
    if isinstance(value, Redact):
        return value
    if not _is_sequence(value):
        raise InvalidPolicy(f"{where}: give a tuple of argument names, or Redact(…), not {value!r}")
    return Redact(args=tuple(value))


def redaction_of(value: Any) -> Redaction:
    """*value* as it may be given to a ledger; InvalidPolicy for what says nothing."""
    if isinstance(value, Redaction):
        return value
    if isinstance(value, bool):
        return Redaction(detect=value)
    rules = redact_of(() if value is None else value, "Ledger(redact=…)")
    return Redaction(args=rules.args, result=rules.result, detect=rules.detect)


def _named(paths: tuple[str, ...] | bool) -> tuple[str, ...]:
    return () if isinstance(paths, bool) else paths


def _is_redact(value: object) -> bool:
    return isinstance(value, Redact)


def _is_sequence(value: object) -> TypeGuard[tuple[Any, ...] | list[Any]]:
    return isinstance(value, tuple | list)


def _paths(value: Any, where: str) -> tuple[str, ...]:
    if not _is_sequence(value):
        raise InvalidPolicy(f"{where}: give a tuple of paths, not {value!r}")
    if not all(isinstance(name, str) and name for name in value):
        raise InvalidPolicy(f"{where}: every path is a non-empty string; got {value!r}")
    for name in value:
        path_of(name)
    return tuple(value)


def _detectors(value: Any) -> tuple[Detector, ...]:
    if not _is_sequence(value) or not all(isinstance(each, Detector) for each in value):
        raise InvalidPolicy(f"Redact(detect=…): give True, False or Detectors, not {value!r}")
    return tuple(value)
