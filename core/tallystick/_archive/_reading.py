"""Archives on their way in, line by line, once."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from tallystick._archive._acts import Record
from tallystick._archive._rim import READERS, SEALED, Header, Seal, header_of, seal_of
from tallystick._archive._shapes import Unfit
from tallystick._keys import is_a
from tallystick.errors import ArchiveDamaged, InvalidCall

#: a path, or something open for reading
Source = str | os.PathLike[str] | IO[bytes] | IO[str]
#: effects, each with the number of its line
Batch = list[tuple[int, Record]]

#: bytes that one line may have
LONGEST = 1 << 28
#: effects, and bytes, that are looked at together: few, so that the garbage collector sees few
EFFECTS, BYTES = 100, 1 << 22


class Reader:
    """
    The lines of an archive.

    ``open`` reads the header, ``batch`` the next effects, and after the last one the seal, which
    must fit. Both raise ArchiveDamaged or ArchiveUnknown, naming the line.
    """

    def __init__(self, readline: Callable[[int], bytes]) -> None:
        self._readline = readline
        self._hash = hashlib.sha256()
        self._line = self._events = 0
        self._header = Header("", 0)
        self._sealed = False

    def open(self) -> Header:
        """The header; after it the effects come."""
        line = self._next()
        self._header = header_of(line)
        self._hash.update(line)
        return self._header

    def batch(self) -> Batch:
        """The next effects; none after the last one."""
        read, tenant = READERS[self._header.schema], self._header.tenant
        found, hashed, size = Batch(), self._hash.update, 0
        while not self._sealed and len(found) < EFFECTS and size < BYTES:
            line = self._next()
            if line.startswith(SEALED):
                self._end(seal_of(line))
                break
            try:
                record = read(line, self._line - 1, tenant)
            except Unfit as unfit:
                raise damaged(self._line, str(unfit)) from unfit
            found.append((self._line, record))
            hashed(line)
            size += len(line)
            self._events += len(record.events)
        return found

    def _next(self) -> bytes:
        line = self._readline(LONGEST)
        self._line += 1
        if not line.endswith(b"\n"):
            what = "the archive ends before its seal: it was cut off"
            if len(line) >= LONGEST:
                what = "it is longer than any line of an archive"
            raise damaged(self._line, what)
        return line

    def _end(self, seal: Seal | None) -> None:
        if seal != Seal(self._line - 2, self._events, self._hash.hexdigest()):
            what = "the seal is not of what comes before it: lines are not what was sealed"
            raise damaged(self._line, what)
        if self._readline(1):
            raise damaged(self._line + 1, "something follows the seal")
        self._sealed = True


def damaged(line: int, what: str) -> ArchiveDamaged:
    """The refusal of a whole archive because of one line."""
    return ArchiveDamaged(
        f"line {line}: {what}; nothing of the archive was imported. Export it again", line=line
    )


@contextmanager
def source(file: Source) -> Generator[Reader]:
    """A reader of *file*; InvalidCall where nothing can be read."""
    if is_a(file, (str, os.PathLike)):
        path = Path(os.fspath(cast("str", file)))
        try:
            stream = path.open("rb")
        except OSError as error:
            raise InvalidCall(f"{path} cannot be read: {error}") from error
        with stream:
            yield Reader(stream.readline)
        return
    given: Any = file
    if not callable(getattr(given, "readline", None)):
        raise InvalidCall(f"file={file!r}: give a path, or a file that is open for reading")
    if isinstance(file, io.TextIOBase):
        # what is not ASCII was not written by an export, and makes its line unfit
        yield Reader(lambda size: given.readline(size).encode("utf-8", "replace"))
    else:
        yield Reader(given.readline)
