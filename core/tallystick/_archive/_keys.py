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
        for line, key in keys:
            self._parts[key[0] % _PARTS].write(key + line.to_bytes(_NUMBER, "big"))

    def repeated(self) -> tuple[int, int] | None:
        """The lines of a key that comes twice, if one does."""
        for part in self._parts:
            part.seek(0)
            seen: dict[bytes, int] = {}
            while entry := part.read(_ENTRY):
                key, line = entry[:_KEY], int.from_bytes(entry[_KEY:], "big")
                if key in seen:
                    return seen[key], line
                seen[key] = line
        return None


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
