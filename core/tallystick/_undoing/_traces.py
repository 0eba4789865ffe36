"""
What an effect leaves in the world that a later one can be recognised by.

A later effect depends on an earlier one if its arguments hold a value that the earlier one brought
forth. Only values that nobody would have without it count: the name of what was made, and not a
word, a price or a day that many effects have in common.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, cast

from tallystick._model import Row

#: letters and digits, held together by hyphens and underscores
_WORD: Final = re.compile(r"[^\W_](?:[\w-]*[^\W_])?")
#: what stands around an address or a path in a sentence
_AROUND: Final = ".,;:!?\"'`()[]{}<>"
#: the beginning of a moment: many effects of one day have it in common
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d(?:\D|\Z)")

#: a word with a digit in it is a name from here on: shorter ones are versions, sizes, counts
_NAME: Final = 6
#: a word without a digit is one from here on: no language has such words
_LONG: Final = 24
#: an address or a path from here on: shorter ones are kinds, like ``a/b``
_PATH: Final = 12
#: a whole number from here on: smaller ones are counts and prices
_NUMBER: Final = 100_000
#: tagged values that are no names: moments, amounts, words of a program
_UNNAMED: Final = frozenset(
    {"date", "datetime", "time", "timedelta", "timezone", "ZoneInfo", "Decimal", "Fraction"}
    | {"bytes", "enum"}
)


def traces(text: str | None) -> frozenset[str]:
    """The distinctive values in what is stored of arguments or of a result."""
    if text is None:
        return frozenset()
    try:
        value: object = json.loads(text)
    except ValueError:
        return frozenset()  # sealed, and the key is gone: nothing is known of it
    return frozenset(name for leaf in _leaves(value) for name in _names(leaf))


def takes(row: Row) -> frozenset[str]:
    """What the effect's arguments hold."""
    return traces(row.args) | traces(row.edited)


def brought(row: Row) -> frozenset[str]:
    """What the effect brought forth: what its result holds, and nothing that called it held."""
    found = traces(row.result)
    if not found:
        return found
    said = " ".join((row.workflow, row.tool, row.call_id or ""))
    return found - takes(row) - frozenset(_names(said))


def _leaves(value: object) -> Iterator[object]:
    """The values, not the names of their fields."""
    stack = [value]
    while stack:
        here = stack.pop()
        if isinstance(here, list):
            stack += cast("list[object]", here)
        elif isinstance(here, dict):
            fields = cast("dict[str, Any]", here)
            if "$" not in fields:
                stack += fields.values()
            elif fields["$"] not in _UNNAMED:
                stack.append(fields.get("v"))
        else:
            yield here


def _names(leaf: object) -> Iterator[str]:
    if isinstance(leaf, str):
        yield from filter(_is_name, _WORD.findall(leaf))
        for part in leaf.split():
            whole = part.strip(_AROUND)
            if len(whole) >= _PATH and not _WORD.fullmatch(whole) and not _DAY.match(whole):
                yield whole
    elif isinstance(leaf, int) and not isinstance(leaf, bool) and abs(leaf) >= _NUMBER:
        yield str(abs(leaf))


def _is_name(word: str) -> bool:
    if len(word) >= _LONG:
        return True
    return len(word) >= _NAME and any(map(str.isdigit, word)) and not _DAY.match(word)
