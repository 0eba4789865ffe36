"""Server-sent events, cut out of a stream of bytes as they arrive."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from tallystick.clients._json import is_object

_END: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r")

#: the end of a stream of OpenAI's chunks
DONE: Final = {"done": True}


class Splitter:
    """Whole events out of pieces of any size."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The events that *data* completes, with the empty line that ends each."""
        # an event may be long: look again only where its end can be
        at = max(0, len(self._rest) - 3)
        self._rest += data
        while found := _END.search(self._rest, at):
            event, self._rest = self._rest[: found.end()], self._rest[found.end() :]
            at = 0
            yield event

    def rest(self) -> bytes:
        """What came after the last empty line."""
        rest, self._rest = self._rest, b""
        return rest


def data_of(event: bytes) -> dict[str, Any] | None:
    """The JSON object in an event; None for comments, and for what is not understood."""
    lines = (line for line in event.splitlines() if line.startswith(b"data:"))
    text = b"\n".join(line[5:].removeprefix(b" ") for line in lines)
    if text == b"[DONE]":
        return DONE
    try:
        data: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return data if is_object(data) else None


def reader_of(encoding: str) -> Callable[[bytes], bytes] | None:
    """What undoes a content encoding, piece by piece; None where nothing here can."""
    if encoding in {"", "identity"}:
        return lambda data: data
    if encoding in {"gzip", "deflate"}:
        # both, by the header of what comes
        return zlib.decompressobj(wbits=47).decompress
    return None
