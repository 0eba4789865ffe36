"""
Values of the user's own classes: dataclasses, pydantic models, named tuples, Enum members.

A class is stored as ``module:qualname`` and looked up in what is imported already. A value is put
together field by field: no constructor and no validator runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from enum import Enum, Flag
from typing import Any, Final, cast

from tallystick._codec._classes import Unfit, not_recorded, nothing_else, nothing_gone
from tallystick._codec._models import (
    build_model,
    build_root,
    is_model,
    is_root,
    plain_model,
    read_model,
    read_root,
)
from tallystick._values import Value

Parts = dict[str, Any]


class Record(Value):
    """
    One kind of class: how its values come apart, and together again.

    ``plain`` makes of the parts what pydantic can validate where the class is unknown.
    """

    kind: str
    matches: Callable[[type[Any]], bool]
    read: Callable[[Any], Parts]
    build: Callable[[type[Any], Parts], object]
    plain: Callable[[Parts], object]


def record_for(cls: type[object]) -> Record | None:
    """The kind of record that instances of *cls* are."""
    return next((record for record in RECORDS.values() if record.matches(cls)), None)


def _values(parts: Parts) -> object:
    return parts["v"]


def _read_enum(value: Any) -> Parts:
    named = value.__class__.__members__.get(value.name) is value
    if not named and not isinstance(value, Flag):
        raise Unfit(f"is no named member of {type(value).__qualname__}")
    plain = value.value if type(value.value) in {str, int, float, bool} else None
    return {"n": value.name if named else None, "v": plain}


def _build_enum(cls: type[Any], parts: Parts) -> object:
    if parts["n"] is None:
        return cls(parts["v"])
    if parts["n"] not in cls.__members__:
        raise Unfit(f"{cls.__qualname__} has no {parts['n']} any more")
    return cls.__members__[parts["n"]]


def _is_namedtuple(cls: type[Any]) -> bool:
    return isinstance(getattr(cls, "_fields", None), tuple) and issubclass(cls, tuple)


def _read_namedtuple(value: Any) -> Parts:
    nothing_else(value, getattr(value, "__dict__", ()), ())
    return {"v": dict(zip(value._fields, value, strict=True))}


def _build_namedtuple(cls: type[Any], parts: Parts) -> object:
    nothing_gone(cls, parts["v"], cls._fields)
    values = {**cls._field_defaults, **parts["v"]}
    for name in cls._fields:
        if name not in values:
            raise not_recorded(cls, name)
    return cls._make(values[name] for name in cls._fields)


def _read_dataclass(value: Any) -> Parts:
    names = [field.name for field in dataclasses.fields(value)]
    # A dict, or a pair of one and of what is in slots; either may be None.
    state = object.__getstate__(value)
    places = cast(
        "tuple[dict[str, object] | None, ...]", state if isinstance(state, tuple) else (state,)
    )
    for held in places:
        nothing_else(value, held or (), names)
    try:
        parts = {"v": {name: getattr(value, name) for name in names}}
        # Where another base lays out the values, they cannot be put together by their fields.
        _build_dataclass(value.__class__, parts)
    except (AttributeError, TypeError) as error:
        raise Unfit(f"is a {type(value).__qualname__} beyond its fields ({error})") from error
    return parts


def _build_dataclass(cls: type[Any], parts: Parts) -> object:
    stored: Parts = parts["v"]
    fields = dataclasses.fields(cls)
    nothing_gone(cls, stored, [field.name for field in fields])
    made = object.__new__(cls)
    for field in fields:
        if field.name in stored:
            value = stored[field.name]
        elif field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        elif field.default is not dataclasses.MISSING:
            value = field.default
        else:
            raise not_recorded(cls, field.name)
        object.__setattr__(made, field.name, value)
    return made


RECORDS: Final[dict[str, Record]] = {
    record.kind: record
    for record in (
        Record(
            kind="enum",
            matches=lambda cls: issubclass(cls, Enum),
            read=_read_enum,
            build=_build_enum,
            plain=_values,
        ),
        Record(
            kind="namedtuple",
            matches=_is_namedtuple,
            read=_read_namedtuple,
            build=_build_namedtuple,
            plain=_values,
        ),
        Record(kind="root", matches=is_root, read=read_root, build=build_root, plain=_values),
        Record(
            kind="model", matches=is_model, read=read_model, build=build_model, plain=plain_model
        ),
        Record(
            kind="dataclass",
            matches=dataclasses.is_dataclass,
            read=_read_dataclass,
            build=_build_dataclass,
            plain=_values,
        ),
    )
}
