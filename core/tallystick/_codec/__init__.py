"""
Values as text that can be kept, and back: equal, and of the same type.

Plain JSON is itself, in ASCII. Everything else is ``{"$": kind, "v": data}``, with the name of a
class in ``"t"``; a dict that has the key ``"$"`` is written as pairs, so that no data looks like a
tag. Reading never imports anything and calls no constructor of a stored class.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from tallystick._codec._decode import from_text
from tallystick._codec._encode import compact, to_text
from tallystick._codec._registry import Codec, register
from tallystick._codec._revalidate import revalidated
from tallystick.errors import NotSerializable, ResultTypeUnknown

__all__ = ["Codec", "decode", "encode", "frozen_copy", "register"]

_SAFE: Final = 2**53
# Deeper trees take the slow way, which counts levels.
_SHALLOW: Final = 20
_ATOMS: Final = frozenset(
    (str, int, float, bool, type(None), bytes, complex, Decimal, UUID, date, timedelta)
)


def encode(value: object, *, annotation: object = None, where: str = "result") -> str:
    """
    The ASCII text from which ``decode`` makes an equal value of the same type.

    Raises NotSerializable, naming the path below *where* and the type, for a value that would come
    back as something else. A class that cannot be found by its name (one defined inside a
    function) is accepted only if validating to *annotation* restores the value.
    """
    if _is_plain(value, 0):
        text = compact(value)
        # The two escapes of half a pair each, side by side, read as one character.
        if "\\ud" not in text or json.loads(text) == value:
            return text
    text, nameless = to_text(value, where)
    if nameless is not None:
        try:
            decode(text, annotation=annotation)
        except ResultTypeUnknown as unknown:
            raise NotSerializable(nameless) from unknown
    return text


def decode(text: str, *, annotation: object = None) -> object:
    """
    The value that was encoded.

    A class is looked up among the imported modules only. When it is not there, the data is
    validated to *annotation*, the return annotation of the tool, and must come out unchanged;
    otherwise ResultTypeUnknown names the class. Raises DamagedRecord for text that nobody encoded.
    """
    value, unknown = from_text(text)
    return value if unknown is None else revalidated(value, text, annotation, unknown)


def frozen_copy(args: Mapping[str, object]) -> dict[str, object]:
    """
    The arguments as they are now, sharing nothing with the caller that the caller could change.

    Raises NotSerializable for an argument that cannot be encoded.
    """
    for value in args.values():
        if type(value) not in _ATOMS:
            break
    else:
        return dict(args)
    try:
        return {name: _copy(value, 0) for name, value in args.items()}
    except _NotPlainError:
        text = encode(dict(args), where="args")
    copied: Any = decode(text)
    return dict(copied)


class _NotPlainError(Exception):
    """Something is neither an atom nor a plain container."""


def _copy(value: object, depth: int) -> object:
    if type(value) in _ATOMS:
        return value
    if depth == _SHALLOW:
        raise _NotPlainError
    return _copy_held(type(value), value, depth + 1)


def _copy_held(kind: type[object], value: Any, depth: int) -> object:
    if kind is list:
        return [_copy(item, depth) for item in value]
    if kind is tuple:
        return tuple([_copy(item, depth) for item in value])
    if kind is dict and all(type(key) in _ATOMS for key in value):
        return {key: _copy(item, depth) for key, item in value.items()}
    raise _NotPlainError


def _is_plain(value: object, depth: int) -> bool:
    """Whether the JSON of *value* says all about it, but for pairs of halves in a string."""
    if type(value) is str or type(value) is bool or value is None:
        return True
    if type(value) is int:
        return -_SAFE < value < _SAFE
    if type(value) is float:
        return math.isfinite(value)
    return depth < _SHALLOW and _holds_plain(type(value), value, depth + 1)


def _holds_plain(kind: type[object], value: Any, depth: int) -> bool:
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str or not (type(item) is str or _is_plain(item, depth)):
                return False
        return "$" not in value
    return kind is list and all(_is_plain(item, depth) for item in value)
