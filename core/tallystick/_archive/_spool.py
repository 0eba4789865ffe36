"""What was looked through and is not written yet, in a temporary file that is nobody else's."""

from __future__ import annotations

import marshal
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO, Any

from tallystick._acts import EventRow
from tallystick._archive._acts import Ballot, Item, Record
from tallystick._archive._reading import Batch
from tallystick._model import Row

#: bytes that stay in memory
_SMALL = 1 << 22
_LENGTH = 8


class Spool:
    """Batches of effects, first in, first out."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def put(self, batch: Batch) -> None:
        """Keep a batch; an empty one would be the end."""
        if not batch:
            return
        text = marshal.dumps([(line, *_bare(record)) for line, record in batch])
        self._file.write(len(text).to_bytes(_LENGTH, "big"))
        self._file.write(text)

    def turn(self) -> None:
        """From now on the batches come back."""
        self._file.seek(0)

    def next(self) -> Batch:
        """The next batch; an empty one after the last."""
        length = self._file.read(_LENGTH)
        if not length:
            return []
        text = self._file.read(int.from_bytes(length, "big"))
        found: list[Any] = marshal.loads(text)  # noqa: S302 - nobody else can open the file
        return [(line, _dressed(*parts)) for line, *parts in found]


def _bare(record: Record) -> tuple[Any, ...]:
    """The same in plain tuples, which is all that marshal takes."""
    row, twin, place, undo, events, votes, items = record
    if not (events or votes or items):
        return tuple(row), twin, place, undo
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
