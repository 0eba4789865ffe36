"""The values of a line: which there are, of what type, and which may be missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple, NoReturn, get_args, get_type_hints

_INT64: Final = 1 << 63
#: lines have few combinations of columns; a file that has more was not written by an export
_PLANS: Final = 64


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


Pick = Callable[[list[Any]], tuple[Any, ...]]


class Plan(NamedTuple):
    """How an object with certain names in a certain order is read: what is where."""

    kinds: list[type[Any]]
    hexes: Pick
    texts: Pick
    numbers: Pick
    #: out of the values, the bytes of the hex ones, and one ``None``
    columns: Pick


class Shape:
    """
    Columns as a JSON object: bytes are hex, and what has no value is left out.

    Reading is most of what an import costs, so there is a plan for each combination of names: the
    values are looked at all at once, and one by one only to say what is wrong.
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
        self._plans: dict[tuple[str, ...], Plan | None] = {}

    def said(self, values: Iterable[Any]) -> dict[str, Any]:
        """The object that says *values*."""
        return {
            name: value.hex() if type(value) is bytes else value
            for name, value in zip(self._names, values, strict=True)
            if value is not None
        }

    def read(self, given: Mapping[str, Any]) -> Sequence[Any]:
        """The values that an object says; Unfit where they are not these."""
        names = tuple(given)
        plan = self._plans.get(names)
        if plan is None:
            plan = self._planned(names)
        values = [*given.values()]
        if plan is None or [*map(type, values)] != plan.kinds:
            return self._read(given)
        try:
            found = [*map(bytes.fromhex, said := plan.hexes(values))]
        except ValueError:
            return self._read(given)
        text, numbers = "".join(plan.texts(values)), plan.numbers(values)
        if (
            len(b"".join(found)) * 2 != len("".join(said))
            or not text.isascii()
            or "\0" in text
            or not (-_INT64 <= min(numbers) <= max(numbers) < _INT64)
        ):
            return self._read(given)
        return plan.columns([*values, *found, None])

    def _planned(self, names: tuple[str, ...]) -> Plan | None:
        """How an object with these names is read; ``None`` where it is not one of these."""
        if len(self._plans) >= _PLANS:
            self._plans.clear()
        self._plans[names] = plan = self._plan(names)
        return plan

    def _plan(self, names: tuple[str, ...]) -> Plan | None:
        place = {name: n for n, name in enumerate(names)}
        there = {column.name: column for column in self._columns if column.name in place}
        needed = {column.name for column in self._columns if not column.optional}
        if len(there) != len(names) or not needed <= {*there}:
            return None
        kinds = [there[name].kind for name in names]
        of = {kind: [n for n, k in enumerate(kinds) if k is kind] for kind in (bytes, str, int)}
        # a hex column's value is its bytes, which stand behind all that was said
        behind = {n: len(names) + i for i, n in enumerate(of[bytes])}
        where = [place.get(name, -1) for name in self._names]
        return Plan(
            [int if kind is int else str for kind in kinds],
            _pick(of[bytes]),
            _pick(of[str]),
            _pick(of[int]) if of[int] else _no_number,
            _pick([behind.get(n, n) for n in where]),
        )

    def _read(self, given: Mapping[str, Any]) -> list[Any]:
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


def _pick(places: Sequence[int]) -> Pick:
    """The values at these places."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda values: tuple([values[n] for n in places])


def _no_number(values: Sequence[Any]) -> tuple[int]:
    return (0,)


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
