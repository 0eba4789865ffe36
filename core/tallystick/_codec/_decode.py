"""From a text to its value."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, NoReturn
from zoneinfo import ZoneInfoNotFoundError

from tallystick._canonical._text import reader
from tallystick._codec._builtins import KINDS
from tallystick._codec._classes import Unfit, find
from tallystick._codec._records import RECORDS
from tallystick._codec._registry import codec_of
from tallystick.errors import DamagedRecord, ResultTypeUnknown

_UNREADABLE: Final = (
    *(ValueError, LookupError, TypeError, AttributeError, ArithmeticError),
    NotImplementedError,  # a path of another operating system
)


def from_text(text: str) -> tuple[Any, str | None]:
    """
    The value of *text*; and, where a class in it is unknown, a message saying so.

    The values of unknown classes are what pydantic can validate: their fields in a dict.
    """
    reader = _Reader()
    try:
        return (reader.read(text) if '"$"' in text else _plain(text)), reader.unknown
    except ZoneInfoNotFoundError as error:
        raise ResultTypeUnknown(f"{error.args[0]} on this machine: install tzdata") from error
    except _UNREADABLE as error:
        if reader.unknown is not None:
            raise ResultTypeUnknown(reader.unknown) from error
        raise DamagedRecord(
            f"what is stored was not written by the ledger, or changed since ({error}): "
            "restore it from a backup"
        ) from error


class _Reader:
    """Reads from the inside out: every object that ``tag`` is given holds values already."""

    __slots__ = ("unknown",)

    def __init__(self) -> None:
        self.unknown: str | None = None

    def read(self, text: str) -> object:
        return json.loads(text, object_hook=self.tag, parse_constant=_no_constant)

    def tag(self, found: dict[str, Any]) -> object:
        if "$" not in found:
            return found
        kind = found.pop("$")
        builtin = _BUILTINS.get(kind)
        if builtin is not None:
            return builtin(found["v"])
        if kind == "codec":
            return self._registered(found["t"], found["v"])
        return self._record(kind, found.pop("t"), found)

    def _registered(self, kind: str, data: object) -> object:
        codec = codec_of(kind)
        if codec is not None:
            return codec.decode(data)
        self._note(
            f"a value of kind {kind!r}, which no codec is registered for", "import its adapter"
        )
        return data

    def _record(self, kind: str, name: str, parts: dict[str, Any]) -> object:
        record = RECORDS[kind]
        cls = find(name)
        if cls is None or not record.matches(cls):
            module = name.partition(":")[0]
            remedy = f"import {module}"
            if module == "__main__":
                remedy = "move the class from the script to a module that is imported"
            self._note(f"a {name}, which is not known in this process", remedy)
            return record.plain(parts)
        try:
            return record.build(cls, parts)
        except Unfit as unfit:
            self._note(f"a {name} of another shape ({unfit})", "load the code that recorded it")
            return record.plain(parts)

    def _note(self, what: str, remedy: str) -> None:
        if self.unknown is None:
            self.unknown = f"the result holds {what}: {remedy} before the replay"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _dict(pairs: list[Any]) -> dict[Any, Any]:
    return dict(zip(pairs[::2], pairs[1::2], strict=True))


_plain: Final = reader(_no_constant)

_BUILTINS: Final[dict[str, Callable[[Any], object]]] = {
    "int": lambda data: int(data, 16),
    "float": float,
    "str": lambda data: bytes.fromhex(data).decode("utf-8", "surrogatepass"),
    "tuple": tuple,
    "dict": _dict,
    "set": set,
    "frozenset": frozenset,
    **{kind.name: kind.decode for kind in KINDS},
}
