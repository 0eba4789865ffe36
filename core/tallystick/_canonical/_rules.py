"""One rule per type: the JSON text that a value of it has, and no other value."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from json.encoder import encode_basestring
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, Final, NoReturn, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from tallystick._canonical._walk import Walk

Rule = Callable[[Walk, Any], str]

# Less than 640 digits, where the interpreter's limit on converting integers to text cannot apply.
_MOST_BITS: Final = 2048
_LEAST_DECIMAL_POWER: Final = -6
_MICROSECOND: Final = timedelta(microseconds=1)


def rule_for(value: object) -> Rule:
    """The rule that writes *value*; one that refuses it where there is none."""
    exact = _RULES.get(type(value))
    if exact is not None:
        return exact
    if isinstance(value, Enum):
        return _enum
    # A value can only be a model if pydantic is loaded; nothing here loads it.
    model = getattr(sys.modules.get("pydantic.main"), "BaseModel", None)
    if model is not None and isinstance(value, model):
        return _model
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _dataclass
    for base in _BASES:
        if isinstance(value, base):
            return _RULES[base]
    return _unknown


def _tag(kind: str, text: str) -> str:
    return f'{{"$":"{kind}","v":{text}}}'


def _int(_: Walk, value: int) -> str:
    number = int.__index__(value)
    return str(number) if number.bit_length() <= _MOST_BITS else _tag("int", f'"{number:x}"')


def _float(walk: Walk, value: float) -> str:
    if not math.isfinite(value):
        walk.refuse(f"is {float.__repr__(value)}", "send a finite number, or null")
    if float.is_integer(value):
        return str(int(value))
    # It has a fraction, so it is less than 2**53: of the powers only negative ones are left.
    mantissa, _, power = float.__repr__(value).partition("e")
    if not power:
        return mantissa
    if int(power) < _LEAST_DECIMAL_POWER:
        return f"{mantissa}e{int(power)}"
    sign = "-" if mantissa.startswith("-") else ""
    return f"{sign}0.{'0' * (-int(power) - 1)}{mantissa.lstrip('-').replace('.', '')}"


def _decimal(walk: Walk, value: Decimal) -> str:
    if not value.is_finite():
        walk.refuse(f"is Decimal('{value}')", "send a finite number, or null")
    sign, digits, exponent = value.as_tuple()
    kept = "".join(map(str, digits)).rstrip("0")
    if not kept:
        return _tag("decimal", '"0"')
    power = int(exponent) + len(digits) - len(kept)
    return _tag("decimal", f'"{"-" if sign else ""}{kept}e{power}"')


def _str(_: Walk, value: str) -> str:
    return encode_basestring(str.__str__(value))


def _sequence(walk: Walk, value: Iterable[object]) -> str:
    texts: list[str] = []
    for position, item in enumerate(value):
        texts.append(walk.child(position, item))
    return f"[{','.join(texts)}]"


def _set(walk: Walk, value: Iterable[object]) -> str:
    return _tag("set", f"[{','.join(sorted({walk.child(..., item) for item in value}))}]")


def _dict(walk: Walk, value: dict[object, object]) -> str:
    texts: dict[str, str] = {}
    names: list[str] = []
    for key, item in value.items():
        name = _name(key)
        text = walk.child(key, name)
        if text in texts:
            walk.refuse(f"has two keys that are both {text}", "rename one of them")
        texts[text] = walk.child(key, item)
        if isinstance(name, str):
            names.append(name)
    if len(names) < len(texts) or "$" in names:
        pairs = sorted(f"[{key},{item}]" for key, item in texts.items())
        return _tag("dict", f"[{','.join(pairs)}]")
    # By UTF-16 code units, in which two halves of a pair tie with the character they would make.
    names.sort(key=lambda name: (name.encode("utf-16-be", "surrogatepass"), name))
    return f"{{{','.join([f'{key}:{texts[key]}' for key in map(encode_basestring, names)])}}}"


def _name(key: object) -> object:
    while isinstance(key, Enum):
        key = key.value
    return str.__str__(key) if isinstance(key, str) else key


def _enum(walk: Walk, value: Enum) -> str:
    return walk.same(value.value)


def _dataclass(walk: Walk, value: Any) -> str:
    return _fields(walk, value, [field.name for field in dataclasses.fields(value)])


def _model(walk: Walk, value: Any) -> str:
    if getattr(value, "__pydantic_root_model__", False):
        return walk.same(value.root)
    return _fields(walk, value, [*value.__class__.model_fields, *(value.model_extra or ())])


def _fields(walk: Walk, value: object, names: list[str]) -> str:
    fields: dict[object, object] = {}
    for name in names:
        try:
            fields[name] = getattr(value, name)
        except AttributeError:
            walk.refuse(f"is a {type(value).__qualname__} without a value for {name}", "set it")
    return _dict(walk, fields)


def _datetime(walk: Walk, value: datetime) -> str:
    if value.utcoffset() is None:
        return _tag("datetime", f'"{value.replace(tzinfo=None).isoformat()}"')
    try:
        return _tag("datetime", f'"{value.astimezone(UTC).isoformat()}"')
    except OverflowError:
        walk.refuse("is a datetime outside the years 1 to 9999 of UTC", "send one inside them")


def _time(walk: Walk, value: time) -> str:
    wall = f'"{value.replace(tzinfo=None).isoformat()}"'
    if value.tzinfo is None:
        return _tag("time", wall)
    offset = value.utcoffset()
    zone = value.tzinfo if offset is None else timezone(offset)
    return _tag("time", f"[{wall},{walk.same(zone)}]")


def _zone(walk: Walk, value: ZoneInfo) -> str:
    name = cast("str | None", value.key)  # from_file() may leave it out
    if name is None:
        walk.refuse("is a time zone without a name", "use ZoneInfo(name)")
    return _tag("zone", encode_basestring(name))


def _unknown(walk: Walk, value: object) -> NoReturn:
    kind = type(value)
    walk.refuse(f"is a {kind.__module__}.{kind.__qualname__}, which has no canonical form")


#: A subclass of these is its contents. A subclass of a date or time may know more than they do.
_BASES: Final[tuple[type, ...]] = (
    *(str, int, float, dict, list, tuple, set, frozenset),
    *(bytes, bytearray, Decimal, UUID, PurePath),
)
_RULES: Final[dict[type, Rule]] = {
    type(None): lambda _, __: "null",
    bool: lambda _, value: "true" if value else "false",
    int: _int,
    float: _float,
    str: _str,
    list: _sequence,
    tuple: _sequence,
    dict: _dict,
    MappingProxyType: _dict,
    set: _set,
    frozenset: _set,
    Decimal: _decimal,
    datetime: _datetime,
    date: lambda _, value: _tag("date", f'"{value.isoformat()}"'),
    time: _time,
    timedelta: lambda _, value: _tag("timedelta", str(value // _MICROSECOND)),
    timezone: lambda _, value: _tag("zone", str(value.utcoffset(None) // _MICROSECOND)),
    ZoneInfo: _zone,
    UUID: lambda _, value: _tag("uuid", f'"{value}"'),
    bytes: lambda _, value: _tag("bytes", f'"{value.hex()}"'),
    bytearray: lambda _, value: _tag("bytes", f'"{value.hex()}"'),
    PurePath: lambda walk, value: walk.same(str(value)),
}
