"""The world before and after, and what may differ."""

from __future__ import annotations

import copy
import difflib
import json
from collections.abc import Callable, Iterable
from pprint import pformat
from typing import Any

from tallystick.errors import InvalidCall

Allow = Callable[[Any, Any], bool] | str | Iterable[str]

#: lines and characters of a difference that are shown
_LINES, _WIDTH = 60, 200


class Allowed:
    """What of the world may be another one after all is undone."""

    def __init__(self, allow: Allow | None) -> None:
        self._judge = allow if callable(allow) else None
        given: Any = () if allow is None or callable(allow) else allow
        paths: list[Any] = [given] if isinstance(given, str) else list(given)
        if not all(isinstance(path, str) and path for path in paths):
            raise InvalidCall(
                f"allow={allow!r}: give a function of the world before and after, or paths into "
                "it: 'mails', 'orders.*.history'"
            )
        self._paths = [path.split(".") for path in paths]

    def difference(self, before: Any, after: Any) -> str:
        """What differs and may not, line by line; nothing where all is as it was."""
        for path in self._paths:
            before, after = _without(before, path), _without(after, path)
        if before == after or (self._judge is not None and self._judge(before, after)):
            return ""
        return _diff(before, after)


def taken(world: Any) -> Any:
    """The world as it is now, which does not change any more."""
    try:
        return copy.deepcopy(world)
    except Exception as error:
        raise InvalidCall(
            f"world() returned a {type(world).__name__} that cannot be copied ({error}); return "
            "plain data, like a dict of what is there"
        ) from error


def _without(value: Any, path: list[str]) -> Any:
    """*value* without what is at *path*; ``*`` is every key and every place in a list."""
    name, *rest = path
    items = _items(value)
    if items is None:
        return value
    left = [
        (key, _without(each, rest) if name in {"*", str(key)} else each)
        for key, each in items
        if rest or name not in {"*", str(key)}
    ]
    return dict(left) if isinstance(value, dict) else [each for _, each in left]


def _items(value: Any) -> list[tuple[Any, Any]] | None:
    """What a value consists of, by key or place; ``None`` where it has no parts."""
    parts: Any = value
    if isinstance(value, dict):
        return list(parts.items())
    if isinstance(value, list | tuple):
        return [(place, parts[place]) for place in range(len(parts))]
    return None


def _diff(before: Any, after: Any) -> str:
    ours, theirs = _lines(before), _lines(after)
    if ours == theirs:
        return f"(before and after are not equal, though they look alike)\n{before!r}"[:_WIDTH]
    lines = list(difflib.unified_diff(ours, theirs, "before", "after", lineterm=""))
    shown = [line if len(line) <= _WIDTH else f"{line[:_WIDTH]}…" for line in lines[:_LINES]]
    if len(lines) > _LINES:
        shown.append(f"… and {len(lines) - _LINES} lines more")
    return "\n".join(shown)


def _lines(value: Any) -> list[str]:
    if isinstance(value, str):
        return value.splitlines()
    try:
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, default=pformat)
    except (TypeError, ValueError):  # keys that JSON has no word for
        text = pformat(value, width=100)
    return text.splitlines()
