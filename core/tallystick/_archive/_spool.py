"""What was looked through and is not written yet, in a temporary file that is nobody else's."""

from __future__ import annotations

import marshal
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO, Any

from tallystick._acts import EventRow
from tallystick._archive._acts import Ballot, Item, Record
from tallystick._archive._reading import BYTES, Batch
from tallystick._model import Row

#: bytes that stay in memory
_SMALL = 1 << 22
_LENGTH = 8
#: effects that are written in one transaction, unless they are large
TOGETHER = 1000
#: a version of marshal that does not look for what is there twice
_PLAIN = 2


class Spool:
    """Batches of effects, first in, first out."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def put(self, batch: Batch) -> None:
        """Keep a batch; an empty one would be the end."""
        if not batch:
            return
        text = marshal.dumps([(line, *_bare(record)) for line, record in batch], _PLAIN)
        self._file.write(len(text).to_bytes(_LENGTH, "big"))
        self._file.write(text)

    def turn(self) -> None:
        """From now on the batches come back."""
        self._file.seek(0)

    def next(self) -> Batch:
        """The next effects, about as many as go into one transaction; none after the last."""
        found, size = Batch(), 0
        while len(found) < TOGETHER and size < BYTES:
            length = int.from_bytes(self._file.read(_LENGTH), "big")
            if not length:
                break
            size += length
            text = self._file.read(length)
            parts: list[Any] = marshal.loads(text)  # noqa: S302 - nobody else can open the file
            found += [(line, _dressed(*part)) for line, *part in parts]
        return found


def _bare(record: Record) -> tuple[Any, ...]:
    """The same in plain tuples, which is all that marshal takes."""
    row, twin, place, undo, events, votes, items = record
    if not (events or votes or items):
        return (*row,), twin, place, undo
    return (
        tuple(row),
        twin,
        place,
        undo,
        *(list(map(tuple, part)) for part in (events, votes, items)),
    )


def _dressed(
    row: Any,
    twin: bytes,
    place: str | None,
    undo: str | None,
    events: Any = (),
    votes: Any = (),
    items: Any = (),
) -> Record:
    if not (events or votes or items):
        return Record(Row._make(row), twin, place, undo)
    return Record(
        Row._make(row),
        twin,
        place,
        undo,
        tuple([EventRow._make(event) for event in events]),
        tuple([Ballot._make(vote) for vote in votes]),
        tuple([Item._make(item) for item in items]),
    )


@contextmanager
def spool() -> Generator[Spool]:
    """An empty one, gone afterwards."""
    with tempfile.SpooledTemporaryFile(max_size=_SMALL) as file:
        yield Spool(file)
