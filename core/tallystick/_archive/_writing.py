"""Archives on their way out: into a path, a binary or a text stream."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal, Protocol

from tallystick._archive._acts import Record
from tallystick._archive._lines import line_of
from tallystick._archive._rim import Header, Seal, header_line, seal_line
from tallystick._archive._values import Exported
from tallystick._keys import is_a
from tallystick.errors import InvalidCall

#: a path, or something open for writing
Target = str | os.PathLike[str] | IO[bytes] | IO[str]
Format = Literal["jsonl", "parquet"]


class Writer(Protocol):
    """Something that is made of records, page by page."""

    def begin(self, header: Header) -> None:
        """Write what comes first."""
        ...

    def page(self, records: Sequence[Record]) -> None:
        """Write some more effects."""
        ...

    def end(self) -> Exported:
        """Write what comes last; what there is now."""
        ...


class LineWriter:
    """JSON Lines, sealed with the sha256 of all that was written."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._hash = hashlib.sha256()
        self._effects = self._events = self._bytes = 0

    def begin(self, header: Header) -> None:
        """Write the header."""
        self._put(header_line(header))

    def page(self, records: Sequence[Record]) -> None:
        """Write one line for each effect."""
        before = self._effects
        self._put(b"".join([line_of(before + n, record) for n, record in enumerate(records, 1)]))
        self._effects += len(records)
        self._events += sum(len(record.events) for record in records)

    def end(self) -> Exported:
        """Write the seal."""
        self._put(seal_line(Seal(self._effects, self._events, self._hash.hexdigest())))
        return Exported(
            effects=self._effects,
            events=self._events,
            bytes=self._bytes,
            sha256=self._hash.hexdigest(),
        )

    def _put(self, text: bytes) -> None:
        self._write(text)
        self._hash.update(text)
        self._bytes += len(text)


@contextmanager
def written(file: Target, format_: Format) -> Generator[Writer]:
    """A writer of this format into *file*; InvalidCall where there is none."""
    if format_ not in {"jsonl", "parquet"}:
        raise InvalidCall(f"format={format_!r}: 'jsonl' or 'parquet'")
    with target(file) as stream:
        if format_ == "parquet":
            from tallystick._archive._parquet import ParquetWriter

            yield ParquetWriter(stream)
        else:
            yield LineWriter(stream.write)


@contextmanager
def target(file: Target) -> Generator[Sink]:
    """
    Something to write bytes to; a path is there only once all is written, and never in part.

    Raises InvalidCall where nothing can be written.
    """
    if is_a(file, (str, os.PathLike)):
        with _path(Path(os.fspath(file))) as stream:  # type: ignore[arg-type]
            yield stream
        return
    if not callable(getattr(file, "write", None)):
        raise InvalidCall(f"file={file!r}: give a path, or a file that is open for writing")
    given: Any = file
    yield _Encoded(given) if isinstance(file, io.TextIOBase) else given


@contextmanager
def _path(path: Path) -> Generator[IO[bytes]]:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        stream = partial.open("wb")
    except OSError as error:
        raise InvalidCall(f"{path} cannot be written: {error}; nothing was exported") from error
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()


class Sink(Protocol):
    """The part of a binary file that is used here."""

    def write(self, text: bytes, /) -> object:
        """Write *text*."""
        ...


class _Encoded:
    """A text stream that takes the bytes of ASCII text."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: bytes, /) -> object:
        """Write *text*; raises UnicodeDecodeError for what is no text, which Parquet is not."""
        return self._stream.write(text.decode("ascii"))
