"""What a replay did otherwise than the record, in words."""

from __future__ import annotations

import difflib
import json
from typing import Any

from tallystick._model import Row
from tallystick._replay._records import Asked, Record
from tallystick.errors import Divergence

#: lines and characters of a difference that are shown
_LINES, _WIDTH = 60, 200
_NEXT = "Nothing was executed. Make the run say the same each time"


def other_arguments(step: int, asked: Asked, record: Record) -> Divergence:
    """A call of the same tool as recorded, with other arguments."""
    diff = difference(record.row.args, asked.shown())
    return _divergence(
        "arguments",
        step,
        asked,
        record.row.key,
        f"step {step}: {asked.tool} in {asked.workflow} is recorded as {record.row.key.hex()[:12]} "
        f"with other arguments. {_NEXT}, or replay it with mode='lenient'.\n{diff}",
        diff,
    )


def extra_call(step: int, asked: Asked) -> Divergence:
    """A call for which nothing is recorded, or nothing is left."""
    diff = difference(None, asked.shown())
    return _divergence(
        "extra",
        step,
        asked,
        asked.key,
        f"step {step}: {asked.tool} in {asked.workflow} is called, and the record has no such call "
        f"(any more). {_NEXT}.\n{diff}",
        diff,
    )


def missing_call(step: int, record: Record) -> Divergence:
    """A recorded call that was not made."""
    row = record.row
    diff = difference(row.args, None)
    return _divergence(
        "missing",
        step,
        row,
        row.key,
        f"step {step} of the record: {row.tool} in {row.workflow}, {row.key.hex()[:12]}, was not "
        f"called. {_NEXT}, or replay it with mode='lenient'.\n{diff}",
        diff,
    )


def _divergence(
    kind: str, step: int, what: Asked | Row, key: bytes, message: str, diff: str
) -> Divergence:
    error = Divergence(message, key=key.hex(), tool=what.tool, workflow=what.workflow)
    error.kind, error.step, error.difference = kind, step, diff
    return error


def difference(recorded: str | None, given: str | None) -> str:
    """How the arguments of two calls differ, line by line; of one call, all of them."""
    before, after = _lines(recorded), _lines(given)
    if recorded is not None and before == after:
        return "(what differs is redacted in both)"
    whole = len(before) + len(after)
    lines = list(difflib.unified_diff(before, after, "recorded", "given", lineterm="", n=whole))
    shown = [line if len(line) <= _WIDTH else f"{line[:_WIDTH]}…" for line in lines[:_LINES]]
    if len(lines) > _LINES:
        shown.append(f"… and {len(lines) - _LINES} lines more")
    return "\n".join(shown)


def _lines(text: str | None) -> list[str]:
    if text is None:
        return []
    value: Any = json.loads(text)
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).splitlines()
