"""
One text for one intent: equal arguments give equal bytes, different ones never do.

RFC 8785 (sorted keys, shortest numbers, fewest escapes) with these extensions:

* a number is its exact value: ``1`` and ``1.0`` are equal, ``2**53`` and ``2**53 + 1`` are not;
* half a surrogate pair is kept as it is (``surrogatepass``), and no text is normalised;
* what a JSON-speaking model sends equals what a framework made of it: an Enum member is its value,
  a path its string, a dataclass or a pydantic model the object of its fields;
* every other type is ``{"$": kind, "v": …}``, and so is a dict that has the key ``"$"`` or keys
  that are not strings: no value looks like another.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from tallystick._canonical._rules import rule_for
from tallystick._canonical._text import writer
from tallystick._canonical._walk import Walk

__all__ = ["canonical", "digest"]

_SAFE: Final = 2**53
# Python writes smaller fractions with a power of ten; ECMAScript does from a smaller one on.
_LEAST: Final = 1e-4
# Deeper trees take the slow way, which counts levels.
_SHALLOW: Final = 20

_encode = writer(ascii_only=False, sort_keys=True)


def canonical(value: object) -> bytes:
    """
    The canonical bytes of *value*.

    Raises NotSerializable, naming the path and what to do, for a value that has none: NaN, a type
    that the ledger does not know, something nested in itself.
    """
    text = _encode(value) if _is_plain(value, 0) else Walk(rule_for).root(value)
    return text.encode("utf-8", "surrogatepass")


def digest(value: object) -> bytes:
    """Sha256 over the canonical bytes of *value*."""
    return hashlib.sha256(canonical(value)).digest()


def _is_plain(value: object, depth: int) -> bool:
    """Whether the C encoder of the standard library writes *value* exactly as the rules would."""
    if type(value) is str or type(value) is bool or value is None:
        return True
    if type(value) is int:
        return -_SAFE < value < _SAFE
    if type(value) is float:
        return _LEAST <= abs(value) < _SAFE and not value.is_integer()
    return depth < _SHALLOW and _holds_plain(type(value), value, depth + 1)


def _holds_plain(kind: type[object], value: Any, depth: int) -> bool:
    if kind is dict:
        for key, item in value.items():
            # Among ASCII keys code points and UTF-16 code units sort alike.
            if type(key) is not str or not key.isascii():
                return False
            if type(item) is not str and not _is_plain(item, depth):
                return False
        return "$" not in value
    return (kind is list or kind is tuple) and all(_is_plain(item, depth) for item in value)
