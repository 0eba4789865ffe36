"""Pydantic models as parts, and back, without importing pydantic."""

from __future__ import annotations

import sys
from typing import Any

from tallystick._codec._classes import Unfit, not_recorded, nothing_else, nothing_gone


def is_model(cls: type[Any]) -> bool:
    """Whether *cls* is a pydantic model; it can only be one if pydantic is loaded."""
    model = getattr(sys.modules.get("pydantic.main"), "BaseModel", None)
    return model is not None and issubclass(cls, model)


def read_model(value: Any) -> dict[str, Any]:
    """
    The fields of a model, what it was given beyond them, and which of them were left unset.

    Private attributes are not part of it.
    """
    fields: list[str] = list(value.__class__.model_fields)
    held: dict[str, Any] = value.__dict__
    nothing_else(value, held, fields)
    for name in fields:
        if name not in held:
            raise Unfit(f"is a {type(value).__qualname__} without a value for {name}")
    parts: dict[str, Any] = {"v": {name: held[name] for name in fields}}
    if value.model_extra:
        parts["x"] = dict(value.model_extra)
    unset = [name for name in fields if name not in value.model_fields_set]
    if unset:
        parts["u"] = unset
    return parts


def build_model(cls: type[Any], parts: dict[str, Any]) -> object:
    """The model again: no validator runs, ``model_post_init`` sets the private attributes."""
    stored: dict[str, Any] = parts["v"]
    extra: dict[str, Any] = parts.get("x", {})
    nothing_gone(cls, stored, cls.model_fields)
    if cls.model_config.get("extra") != "allow":
        nothing_gone(cls, extra, cls.model_fields)
    for name, field in cls.model_fields.items():
        if name not in stored and field.is_required():
            raise not_recorded(cls, name)
    given = (stored.keys() | extra.keys()) - set(parts.get("u", ()))
    made = cls.model_construct(_fields_set=given, **stored, **extra)
    # One field's alias may be the name of another, and the hook may have touched either.
    made.__dict__.update(stored)
    if extra:
        object.__setattr__(made, "__pydantic_extra__", extra)
    return made


def plain_model(parts: dict[str, Any]) -> dict[str, Any]:
    """What pydantic can validate to the class, wherever it is now."""
    return {**parts["v"], **parts.get("x", {})}


def is_root(cls: type[Any]) -> bool:
    """Whether *cls* is a model of one value without a name."""
    return is_model(cls) and cls.__pydantic_root_model__


def read_root(value: Any) -> dict[str, Any]:
    """The one value of a RootModel."""
    return {"v": read_model(value)["v"]["root"]}


def build_root(cls: type[Any], parts: dict[str, Any]) -> object:
    """The RootModel again; no validator runs."""
    return build_model(cls, {"v": {"root": parts["v"]}})
