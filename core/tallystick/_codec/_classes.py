"""Classes by their names, and whether a value of one is no more than its fields."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Collection, Iterable, Mapping


class Unfit(Exception):
    """A value cannot be kept, or the class at hand does not fit the data; the message says why."""


def name_of(cls: type[object]) -> str:
    """What a class is stored as."""
    return f"{cls.__module__}:{cls.__qualname__}"


def find(name: str) -> type[object] | None:
    """The class of that name, if its module is imported and still has it."""
    module, _, qualname = name.partition(":")
    # Dictionaries, not getattr: a module may import things for whoever asks.
    space: Mapping[str, object] = getattr(sys.modules.get(module), "__dict__", {})
    found = space.get(qualname)  # a parametrised model has dots and brackets in its name
    if found is None:
        for part in qualname.split("."):
            found = space.get(part)
            space = vars(found) if isinstance(found, type) else {}
    return found if isinstance(found, type) else None


def nothing_else(value: object, held: Iterable[str], fields: Collection[str]) -> None:
    """Raise Unfit if *value* holds something that is no field and would be lost."""
    cls = type(value)
    for name in held:
        # A cached property is computed again; typing leaves the other one on generic values.
        if name in fields or name == "__orig_class__":
            continue
        if not isinstance(inspect.getattr_static(cls, name, None), functools.cached_property):
            raise Unfit(f"is a {cls.__qualname__} with {name!r}, which is no field of it")


def nothing_gone(cls: type[object], stored: Iterable[str], fields: Collection[str]) -> None:
    """Raise Unfit if something was *stored* that *cls* has no field for any more."""
    gone = [name for name in stored if name not in fields]
    if gone:
        raise Unfit(f"{cls.__qualname__} has no {', '.join(gone)} any more")


def not_recorded(cls: type[object], name: str) -> Unfit:
    """What to raise where *cls* needs a field that nobody knew of when the value was stored."""
    return Unfit(f"{cls.__qualname__} needs {name}, which was not recorded")
