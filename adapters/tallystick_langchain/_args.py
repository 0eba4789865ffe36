"""
The arguments of a call: what the model chose, apart from what the framework injects.

Only the former are shown to the ledger, as plain data. They come back unchanged, and then the tool
gets the very objects that LangChain validated; or edited by an approver, and are validated again.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import typing
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, cast
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import FILTERED_ARGS, BaseTool, InjectedToolArg
from langchain_core.tools import base as _base
from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic_core import PydanticSerializationError, to_jsonable_python

from tallystick import NotApplied
from tallystick._canonical import canonical

_ATOMS: frozenset[type] = frozenset(
    {str, int, float, bool, type(None), bytes, bytearray, Decimal, UUID}
    | {datetime, date, time, timedelta}
)
_DIRECT: type = getattr(_base, "_DirectlyInjectedToolArg", InjectedToolArg)  # ToolRuntime is one
_CONTAINERS = (list, dict, set, frozenset, tuple)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What is known of a tool's arguments before it is called."""

    schema: Any
    #: names that never enter a key
    injected: frozenset[str]
    #: fields that validation fills with something new each time, by all their names
    minted: Mapping[str, frozenset[str]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The arguments of one call."""

    schema: Any
    #: for each positional argument the name it goes by
    positional: tuple[str, ...]
    chosen: dict[str, Any]
    injected: dict[str, Any]
    #: ``chosen`` as the ledger sees it
    shown: dict[str, Any]

    def back(self, recorded: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments for ``_run`` when the ledger says *recorded* is what runs."""
        chosen = dict(self.chosen)
        changed = [name for name in {**self.shown, **recorded} if self._differs(name, recorded)]
        if changed:
            values = self._validated(recorded)
            for name in changed:
                chosen.pop(name, None)
                if name in values:
                    chosen[name] = values[name]
        given = tuple(chosen.pop(name) for name in self.positional)
        return given, {**chosen, **self.injected}

    def _differs(self, name: str, recorded: Mapping[str, Any]) -> bool:
        if name not in recorded or name not in self.shown:
            return True
        now, then = recorded[name], self.shown[name]
        return now is not then and canonical(now) != canonical(then)

    def _validated(self, recorded: Mapping[str, Any]) -> Mapping[str, Any]:
        if not (isinstance(self.schema, type) and hasattr(self.schema, "parse_obj")):
            return recorded
        schema: Any = self.schema
        try:
            if issubclass(self.schema, BaseModel):
                known, parse = schema.model_fields, _by_any_name(schema)
            else:
                known, parse = schema.__fields__, schema.parse_obj
            made = parse({n: v for n, v in self.injected.items() if n in known} | dict(recorded))
        except Exception as error:
            raise NotApplied(f"the edited arguments do not fit the tool: {error}") from error
        missing = [name for name in recorded if not hasattr(made, name)]
        if missing:
            raise NotApplied(f"the tool has no argument {', '.join(missing)}; it was not called")
        return {name: getattr(made, name) for name in {**known, **recorded}}


def _by_any_name(schema: type[BaseModel]) -> Callable[[Any], BaseModel]:
    return functools.partial(schema.model_validate, by_alias=True, by_name=True)


def shape_of(tool: BaseTool, methods: Iterable[Callable[..., Any] | None]) -> Shape:
    """What is known of the arguments of *tool*, whose bodies are *methods*."""
    schema: Any = tool.args_schema
    names = {*FILTERED_ARGS, *getattr(tool, "_injected_args_keys", ())}
    for source in (schema, *methods):
        for name, annotation in _annotations(source).items():
            if annotation is RunnableConfig or _is_injected(annotation):
                names.add(name)
    return Shape(schema=schema, injected=frozenset(names), minted=_minted(schema))


def arguments(
    tool: BaseTool, shape: Shape, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Arguments:
    """Take the call ``_run(*args, **kwargs)`` apart."""
    names = list(tool.args) if args else []
    positional = tuple([*names, *(f"arg{n}" for n in range(len(names), len(args)))][: len(args)])
    chosen = dict(zip(positional, args, strict=True))
    injected: dict[str, Any] = {}
    for name, value in kwargs.items():
        where = injected if name in shape.injected or isinstance(value, _DIRECT) else chosen
        where[name] = value
    return Arguments(
        schema=shape.schema,
        positional=positional,
        chosen=chosen,
        injected=injected,
        shown={name: plain(value) for name, value in chosen.items()},
    )


def plain(value: Any) -> Any:
    """
    *value* as data that can be kept and shown: models become dicts, secrets their hash.

    What has no such form stays as it is; the ledger refuses it with the path to it.
    """
    kind = cast("Any", type(value))
    if kind in _ATOMS or isinstance(value, PurePath):
        return value
    if isinstance(value, Enum):
        return plain(value.value) if "<locals>" in kind.__qualname__ else value
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in cast("Any", value).items()}
    if kind in _CONTAINERS:
        return cast("Any", kind)(plain(item) for item in value)
    fields = _fields(value)
    if fields is not None:
        return {name: plain(item) for name, item in fields.items()}
    return _other(value)


def _other(value: Any) -> Any:
    if isinstance(value, SecretStr | SecretBytes):
        secret = value.get_secret_value()
        data = secret.encode() if isinstance(secret, str) else secret
        return f"secret, sha256 {hashlib.sha256(data).hexdigest()}"
    try:
        return to_jsonable_python(value)
    except PydanticSerializationError:
        return value


def _fields(value: Any) -> dict[str, Any] | None:
    kind = cast("Any", type(value))
    if isinstance(value, BaseModel):
        return {
            name: getattr(value, name) for name in [*kind.model_fields, *(value.model_extra or ())]
        }
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(kind, "__fields__") and hasattr(kind, "parse_obj"):  # pydantic 1
        return {name: getattr(value, name) for name in kind.__fields__}
    return None


def _annotations(source: Any) -> Mapping[str, Any]:
    if source is None or isinstance(source, Mapping):
        return {}
    if isinstance(source, functools.partial):
        source = cast("Any", source).func
    try:
        if isinstance(source, type):
            return _base.get_all_basemodel_annotations(cast("Any", source))
        return typing.get_type_hints(source, include_extras=True)
    except Exception:  # noqa: BLE001 - annotations of others, which may name anything
        return {}


def _is_injected(annotation: Any) -> bool:
    candidates = (annotation, typing.get_origin(annotation), *typing.get_args(annotation)[1:])
    for candidate in candidates:
        kind = candidate if isinstance(candidate, type) else type(candidate)
        if issubclass(kind, InjectedToolArg | _DIRECT):
            return True
    return False


def _minted(schema: Any) -> dict[str, frozenset[str]]:
    fields: Mapping[str, Any] = getattr(schema, "model_fields", {})
    found: dict[str, frozenset[str]] = {}
    for name, field in fields.items():
        if field.default_factory is not None and field.default_factory not in _CONTAINERS:
            aliases = (name, field.alias, field.validation_alias)
            found[name] = frozenset(alias for alias in aliases if isinstance(alias, str))
    return found
