"""Archives as somebody would forge them: every sum and the seal are right again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from tallystick._archive._lines import compact

Lines = list[dict[str, Any]]


def parsed(archive: bytes) -> Lines:
    """The effects of an archive, as JSON."""
    return [json.loads(line) for line in archive.splitlines()[1:-1]]


def forged(archive: bytes, effects: Sequence[dict[str, Any]], **header: Any) -> bytes:
    """An archive with the header of another one, which says something else, and these effects."""
    head = json.loads(archive.splitlines()[0])
    head["header"] |= header
    text = compact(head).encode() + b"\n"
    for n, effect in enumerate(effects, 1):
        body = compact({k: v for k, v in effect.items() if k not in {"n", "sum"}})[1:].encode()
        beginning = hashlib.sha256(body).hexdigest()[:16].encode()
        text += b'{"n":%d,"sum":"%s",%s\n' % (n, beginning, body)
    events = sum(len(effect.get("events", ())) for effect in effects)
    seal = {"effects": len(effects), "events": events, "sha256": hashlib.sha256(text).hexdigest()}
    return text + compact({"seal": seal}).encode() + b"\n"


def edited(archive: bytes, n: int, edit: Callable[[dict[str, Any]], Any]) -> bytes:
    """The same archive, where something was done to its *n*th effect."""
    effects = parsed(archive)
    edit(effects[n - 1])
    return forged(archive, effects)
