"""The values of a line: which there are, of what type, and which may be missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, NoReturn, get_args, get_type_hints

_INT64: Final = 1 << 63


class Unfit(Exception):
    """A line is not what an export writes; the message says why, without naming the line."""


class Column(NamedTuple):
    """A value in a line: its name, its type, and whether it may be missing."""

    name: str
    kind: type[Any]
    optional: bool


def columns_of(values: type[Any], *leave: str) -> tuple[Column, ...]:
    """The columns of a NamedTuple, without those that a line does not say."""
    found: list[Column] = []
    for name, hint in get_type_hints(values).items():
        kinds = get_args(hint) or (hint,)
        if name not in leave:
            found.append(Column(name, kinds[0], type(None) in kinds))
    return tuple(found)


class Shape:
    """
    Columns as a JSON object: bytes are hex, and what has no value is left out.

    Reading is most of what an import costs, so the types are looked at all at once, and one by one
    only to say what is wrong.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._names = [column.name for column in columns]
        written = {bytes: str, str: str, int: int}
        nothing = type(None)
        self._kinds = [
            (written[c.kind], nothing) if c.optional else written[c.kind] for c in columns
        ]
        self._hex = [n for n, c in enumerate(columns) if c.kind is bytes]
        self._texts = [n for n, c in enumerate(columns) if c.kind is str]
        self._numbers = [n for n, c in enumerate(columns) if c.kind is int]

    def said(self, values: Iterable[Any]) -> dict[str, Any]:
        """The object that says *values*."""
        return {
            name: value.hex() if type(value) is bytes else value
            for name, value in zip(self._names, values, strict=True)
            if value is not None
        }

    def read(self, given: Mapping[str, Any]) -> list[Any]:
        """The values that an object says; Unfit where they are not these."""
        values = [given.get(name) for name in self._names]
        if len(given) != len(values) - values.count(None):
            known = {*self._names}
            unknown = sorted(n for n, value in given.items() if n not in known or value is None)
            raise Unfit(f"it holds what this version does not know: {', '.join(unknown)}")
        if not all(map(isinstance, values, self._kinds)):
            self._refuse(values)
        n = 0
        try:
            for n in self._hex:
                value = values[n]
                if value is not None:
                    values[n] = found = bytes.fromhex(value)
                    if len(found) * 2 != len(value):  # blanks are no hex here
                        raise ValueError
        except ValueError:
            raise Unfit(f"its {self._names[n]} is no hex") from None
        texts: list[Any] = [values[n] for n in self._texts if values[n] is not None]
        text = "".join(texts)
        if "\0" in text or not (text.isascii() or _encodable(text)):
            raise Unfit("it holds a NUL or half a surrogate pair, which no database keeps")
        numbers: list[Any] = [values[n] for n in self._numbers if values[n] is not None]
        if numbers and not (
            {*map(type, numbers)} == {int} and -_INT64 <= min(numbers) <= max(numbers) < _INT64
        ):
            raise Unfit("a number in it is none of 64 bits")
        return values

    def _refuse(self, values: Sequence[Any]) -> NoReturn:
        for (name, _, _), kind, value in zip(self._columns, self._kinds, values, strict=True):
            if not isinstance(value, kind):
                missing = value is None
                raise Unfit(f"it has no {name}" if missing else f"its {name} is of another kind")
        raise AssertionError("every value is of its kind")


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
