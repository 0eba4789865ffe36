"""Whether a key comes twice among very many, in memory that does not grow with them."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO

#: how many parts a multitude is divided into; one is looked at after the other
_PARTS = 64
#: bytes of each that stay in memory
_SMALL = 1 << 16
_KEY, _NUMBER = 32, 8
_ENTRY = _KEY + _NUMBER


class KeysSeen:
    """The keys of an archive, each with the number of its line."""

    def __init__(self, parts: Sequence[IO[bytes]]) -> None:
        self._parts = parts

    def add(self, keys: Iterable[tuple[int, bytes]]) -> None:
        """Remember some."""
        sorted_: dict[int, list[bytes]] = {}
        for line, key in keys:
            sorted_.setdefault(key[0] % _PARTS, []).append(key + line.to_bytes(_NUMBER, "big"))
        for part, entries in sorted_.items():
            self._parts[part].write(b"".join(entries))

    def repeated(self) -> tuple[int, int] | None:
        """The lines of a key that comes twice, if one does."""
        for part in self._parts:
            part.seek(0)
            entries = part.read()
            keys = [entries[n : n + _KEY] for n in range(0, len(entries), _ENTRY)]
            if len({*keys}) != len(keys):
                return _twice(entries)
        return None


def _twice(entries: bytes) -> tuple[int, int]:
    seen: dict[bytes, int] = {}
    for n in range(0, len(entries), _ENTRY):
        key, line = entries[n : n + _KEY], int.from_bytes(entries[n + _KEY : n + _ENTRY], "big")
        if key in seen:
            return seen[key], line
        seen[key] = line
    raise AssertionError("some key is there twice")


@contextmanager
def keys_seen() -> Generator[KeysSeen]:
    """A place for keys, on the disk once they are many."""
    with ExitStack() as stack:
        yield KeysSeen(
            [
                stack.enter_context(tempfile.SpooledTemporaryFile(max_size=_SMALL))
                for _ in range(_PARTS)
            ]
        )
