"""Arguments by their names: ``f(1)``, ``f(x=1)`` and ``f(x=1, y=default)`` are one call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from tallystick._canonical import canonical
from tallystick.errors import InvalidCall, NotSerializable

_EMPTY = inspect.Parameter.empty


class Shape(NamedTuple):
    """The parameters of a tool, read once."""

    required: frozenset[str]
    defaults: dict[str, Any]
    names: frozenset[str]
    open: bool
    is_async: bool


_by_code: dict[CodeType, Shape] = {}
_by_function: WeakKeyDictionary[Any, Shape] = WeakKeyDictionary()
_LIMIT = 4096


def shape_of(fn: Callable[..., Any]) -> Shape:
    """The parameters of *fn*; an *open* shape takes any names."""
    if type(fn) is not FunctionType or hasattr(fn, "__wrapped__"):
        return _read(fn)
    if fn.__defaults__ is None and fn.__kwdefaults__ is None:
        # a closure that is made anew for each call still has the same code
        shape = _by_code.get(fn.__code__)
        if shape is None:
            if len(_by_code) >= _LIMIT:
                _by_code.clear()
            shape = _by_code[fn.__code__] = _read(fn)
        return shape
    shape = _by_function.get(fn)
    if shape is None:
        shape = _by_function[fn] = _read(fn)
    return shape


def _is_async(fn: Callable[..., Any]) -> bool:
    """Whether calling *fn* makes a coroutine: a function, or an object whose call is one."""
    if inspect.iscoroutinefunction(fn):
        return True
    return not isinstance(fn, FunctionType) and inspect.iscoroutinefunction(type(fn).__call__)


def _read(fn: Callable[..., Any]) -> Shape:
    is_async = _is_async(fn)
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise InvalidCall(f"{fn!r} is a generator, which does nothing when it is called; return")
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        return Shape(frozenset(), {}, frozenset(), True, is_async)
    required, defaults, names, is_open = set[str](), dict[str, Any](), set[str](), False
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            is_open = True
        elif parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            if parameter.kind is parameter.POSITIONAL_ONLY:
                raise InvalidCall(
                    f"{fn!r} has the positional-only parameter {name!r}; tools are called by name"
                )
        else:
            names.add(name)
            if parameter.default is _EMPTY:
                required.add(name)
            elif _nameable(parameter.default):
                defaults[name] = parameter.default
    return Shape(frozenset(required), defaults, frozenset(names), is_open, is_async)


@functools.lru_cache(maxsize=1024)
def _nameable_once(value: Any, kind: str) -> bool:
    try:
        canonical(value)
    except NotSerializable:
        return False
    return True


def _nameable(value: Any) -> bool:
    """Whether a default can be part of an identity; a client object cannot, and stays out."""
    try:
        return _nameable_once(value, type(value).__name__)
    except TypeError:
        try:
            canonical(value)
        except NotSerializable:
            return False
        return True


def bind(fn: Callable[..., Any], shape: Shape, args: Mapping[str, Any]) -> Mapping[str, Any]:
    """*args* completed by the defaults of *fn*; InvalidCall where they do not fit."""
    if shape.open and not shape.required and not shape.defaults:
        return args
    given = args.keys()
    missing = shape.required - given
    unknown = () if shape.open else given - shape.names
    if missing or unknown:
        raise InvalidCall(
            f"{getattr(fn, '__name__', fn)} does not take these arguments: "
            + "; ".join(
                f"{what} {', '.join(sorted(map(str, names)))}"
                for what, names in (("missing", missing), ("unknown", unknown))
                if names
            )
        )
    if len(shape.defaults) and not shape.defaults.keys() <= given:
        return {**shape.defaults, **args}
    return args


def bind_positional(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Positional and keyword arguments by their names."""
    if not args:
        return kwargs
    signature = inspect.signature(fn)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise InvalidCall(f"{getattr(fn, '__name__', fn)}: {error}") from error
    named = dict(bound.arguments)
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            named |= named.pop(name, {})
        elif parameter.kind is parameter.VAR_POSITIONAL and named.pop(name, ()):
            raise InvalidCall(f"{fn!r} was given *{name}; tools are called by name")
    return named
