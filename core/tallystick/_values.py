"""
Frozen values whose code is written when the first of a kind is made.

``@dataclass`` compiles half a dozen functions for each class while its module is imported. Over a
hundred kinds of values that is most of what the import takes, and hardly a process makes one of
each. A :class:`Value` is a dataclass (frozen, slotted, keyword-only) that has this done later.
"""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, dataclass_transform

#: what a dataclass has written for it; ``__init__`` at the end, as all is there once it is
_WRITTEN = (
    "__repr__", "__eq__", "__hash__", "__match_args__", "__replace__", "__dataclass_params__",
    "__dataclass_fields__", "__init__",
)  # fmt: skip
_writing = threading.RLock()


class _Fields:
    """Stands for the fields of a class that nobody has asked for yet."""

    def __get__(self, value: object, kind: Kind) -> Any:
        write(kind)
        return vars(kind)["__dataclass_fields__"]


_FIELDS = _Fields()


def _first(self: Any, **given: Any) -> None:
    """Stands for the ``__init__`` of a class that has no value yet."""
    kind: Any = self.__class__
    write(kind)
    self.__init__(**given)


@dataclass_transform(
    kw_only_default=True, frozen_default=True, field_specifiers=(dataclasses.field,)
)
class Kind(type):
    """The class of the classes: gives them slots, and keeps their defaults for later."""

    __said__: tuple[dict[str, Any], dict[str, Any]]

    def __new__(cls, name: str, bases: tuple[type, ...], space: dict[str, Any]) -> Kind:
        """A class as it stands in the source."""
        types = dict(space.get("__annotations__", {}))
        defaults = {field: space.pop(field) for field in types if field in space}
        space |= {"__slots__": tuple(types), "__init__": _first, "__dataclass_fields__": _FIELDS}
        made = super().__new__(cls, name, bases, space)
        made.__said__ = types, defaults
        return made


def write(kind: Kind) -> None:
    """Give *kind* what ``@dataclass`` gives, unless it has it."""
    with _writing:
        if vars(kind)["__init__"] is not _first:
            return
        space: dict[str, Any] = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
        types: dict[str, Any] = {}
        for base in reversed(kind.__mro__):
            if isinstance(base, Kind):
                types |= base.__said__[0]
                space |= base.__said__[1]
        after = getattr(kind, "__post_init__", None)
        if after is not None:
            space["__post_init__"] = after
        plain = type(kind.__name__, (), {**space, "__annotations__": types})
        written = vars(dataclasses.dataclass(frozen=True, kw_only=True)(plain))
        for name in _WRITTEN:
            mine = vars(kind).get(name, _FIELDS)
            if name in written and (mine is _FIELDS or mine is _first):
                setattr(kind, name, written[name])


class Value(metaclass=Kind):
    """A frozen dataclass, slotted and keyword-only; its fields are the annotations of its class."""

    if TYPE_CHECKING:
        __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        names = [field.name for field in dataclasses.fields(self)]
        return _again, (type(self), {name: getattr(self, name) for name in names})


def _again(kind: type[Any], fields: dict[str, Any]) -> Any:
    return kind(**fields)
