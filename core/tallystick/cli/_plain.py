"""Values as plain JSON, and as text that does nothing to a terminal but appear on it."""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, TypeGuard


def plain(value: Any) -> Any:
    """
    *value* as JSON has it: times in ISO 8601, bytes in base64, decimals as text in full, objects as
    their fields.

    What JSON has no word for becomes its text.
    """
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return f"{value:f}" if isinstance(value, Decimal) else _parts(value)


def _parts(value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        return b64encode(value).decode("ascii")
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    dumped: Any = getattr(value, "model_dump", None)
    if callable(dumped):
        return plain(dumped())
    if _is_mapping(value):
        return {k if isinstance(k, str) else str(plain(k)): plain(v) for k, v in value.items()}
    return [plain(item) for item in value] if _is_list(value) else str(value)


def _is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, Mapping)


def _is_list(value: object) -> TypeGuard[Iterable[Any]]:
    return isinstance(value, list | tuple | set | frozenset)


def document(value: Any) -> str:
    """*value* as a JSON document, in ASCII."""
    return json.dumps(plain(value), indent=2)


def pretty(value: Any) -> str:
    """*value* as JSON over several lines, for people; nothing is left out."""
    return visible(json.dumps(plain(value), indent=2, ensure_ascii=False))


def compact(value: Any) -> str:
    """*value* as JSON on one line, for people."""
    return visible(json.dumps(plain(value), ensure_ascii=False))


def visible(text: str) -> str:
    """
    *text* with every character that would not be seen as itself written out.

    Control sequences and characters that turn the direction of writing could make an approver see
    something else than what will run.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    if character == "\t":
        return "    "
    return json.dumps(character)[1:-1] if ord(character) < 0x20 else ascii(character)[1:-1]  # noqa: PLR2004


def ago(at: datetime | None) -> str:
    """How long ago that was, or how long it is till then; in one word."""
    if at is None:
        return ""
    left = (at - datetime.now(UTC)).total_seconds()
    for name, seconds in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if abs(left) >= 2 * seconds:
            return f"{abs(left) / seconds:.0f} {name}"
    return f"{abs(left):.0f} s"


def moment(at: datetime | None) -> str:
    """A time for people, to the second, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z" if at is not None else ""
