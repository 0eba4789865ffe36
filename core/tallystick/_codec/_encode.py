"""From a value to its text."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Callable, Iterable
from typing import Any, Final

from tallystick._canonical._text import writer
from tallystick._codec._builtins import KINDS
from tallystick._codec._classes import Unfit, find, name_of
from tallystick._codec._records import record_for
from tallystick._codec._registry import codec_for
from tallystick.errors import NotSerializable

#: levels of nesting; anything deeper is taken to be nested in itself
DEEPEST: Final = 200

_SAFE: Final = 2**53
_SHOWN: Final = 6
_REMEDY: Final = "convert it to plain data, a dataclass or a pydantic model"
_HALVES: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")

#: the JSON of plain data, in ASCII
compact: Final = writer(ascii_only=True, sort_keys=False)


def to_text(value: object, where: str) -> tuple[str, str | None]:
    """
    The text of *value*; and, where a class in it cannot be found by its name, a message saying so.

    Raises NotSerializable for what has no text, naming its path below *where*.
    """
    walk = _Walk(where)
    try:
        return compact(walk.same(value)), walk.nameless
    except Unfit as unfit:
        raise NotSerializable(walk.message(str(unfit))) from unfit.__cause__
    except RecursionError:
        # The caller's stack had fewer levels left than we allow.
        raise NotSerializable(f"{where} is nested too deeply: {_REMEDY}") from None


class _Walk:
    """Turns the parts of a value into plain data; its path is where it is, or where it failed."""

    __slots__ = ("_path", "_where", "nameless")

    def __init__(self, where: str) -> None:
        self._where = where
        self._path: list[object] = []
        self.nameless: str | None = None

    def same(self, value: object) -> object:
        return _RULES.get(type(value), _foreign)(self, value)

    def child(self, step: object, value: object) -> object:
        self._path.append(step)
        if len(self._path) > DEEPEST:
            raise Unfit(f"is nested more than {DEEPEST} levels deep, or in itself")
        data = _RULES.get(type(value), _foreign)(self, value)
        self._path.pop()
        return data

    def message(self, reason: str, remedy: str = _REMEDY) -> str:
        steps = [_shown(step) for step in self._path]
        if len(steps) > 2 * _SHOWN:
            steps[_SHOWN:-_SHOWN] = ["…"]
        return f"{self._where}{''.join(steps)} {reason}: {remedy}"


def _shown(step: object) -> str:
    if isinstance(step, str) and step.isidentifier():
        return f".{step}"
    if step is ...:
        return "{…}"
    try:
        return f"[{reprlib.repr(step)}]"
    except ValueError:  # an integer of more digits than the interpreter cares to write
        return f"[{type(step).__name__}]"


def _foreign(walk: _Walk, value: object) -> object:
    cls = type(value)
    codec = codec_for(value)
    if codec is not None:
        return {"$": "codec", "t": codec.kind, "v": walk.same(codec.encode(value))}
    record = record_for(cls)
    if record is None:
        raise Unfit(f"is a {cls.__module__}.{cls.__qualname__}, which cannot be kept")
    name = name_of(cls)
    found = find(name)
    if found is None and walk.nameless is None:
        walk.nameless = walk.message(
            f"is a {cls.__qualname__}, which cannot be found again in {cls.__module__}",
            "define the class at the top of its module",
        )
    if found is not None and found is not cls:
        raise Unfit(f"is of a class whose name, {name}, belongs to another one by now")
    tag: dict[str, object] = {"$": record.kind, "t": name}
    for key, part in record.read(value).items():
        tag[key] = walk.same(part)
    return tag


def _tag(kind: str, data: object) -> dict[str, object]:
    return {"$": kind, "v": data}


def _int(_: _Walk, value: int) -> object:
    # In hexadecimal, which is exact everywhere and has no limit of digits.
    return value if -_SAFE < value < _SAFE else _tag("int", hex(value))


def _float(_: _Walk, value: float) -> object:
    return value if math.isfinite(value) else _tag("float", repr(value))


def _str(_: _Walk, value: str) -> object:
    if value.isascii() or _HALVES.search(value) is None:
        return value
    return _tag("str", value.encode("utf-8", "surrogatepass").hex())


def _list(walk: _Walk, value: Iterable[object]) -> list[object]:
    items: list[object] = []
    for position, item in enumerate(value):
        items.append(walk.child(position, item))
    return items


def _tuple(walk: _Walk, value: Iterable[object]) -> object:
    return _tag("tuple", _list(walk, value))


def _set(walk: _Walk, value: set[object] | frozenset[object]) -> object:
    # Sorted, so that equal sets have equal texts.
    items = sorted((walk.child(..., item) for item in value), key=compact)
    return _tag(type(value).__name__, items)


def _dict(walk: _Walk, value: dict[object, object]) -> object:
    if "$" in value or not all(type(key) is str and _str(walk, key) is key for key in value):
        pairs: list[object] = []
        for key, item in value.items():
            pairs += (walk.child(key, key), walk.child(key, item))
        return _tag("dict", pairs)
    entries: dict[object, object] = {}
    for key, item in value.items():
        entries[key] = walk.child(key, item)
    return entries


def _builtin(name: str, encode: Callable[[Any], object]) -> Callable[[_Walk, Any], object]:
    return lambda walk, value: _tag(name, walk.same(encode(value)))


_RULES: Final[dict[type, Callable[[_Walk, Any], object]]] = {
    type(None): lambda _, value: value,
    bool: lambda _, value: value,
    int: _int,
    float: _float,
    str: _str,
    list: _list,
    tuple: _tuple,
    dict: _dict,
    set: _set,
    frozenset: _set,
    **{kind.type: _builtin(kind.name, kind.encode) for kind in KINDS},
}
