"""One row for each effect, in Parquet: for analysis, not for loading."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from tallystick._archive._acts import Record
from tallystick._archive._rim import FORMAT, Header
from tallystick._archive._shapes import columns_of
from tallystick._archive._values import Exported
from tallystick._model import Row
from tallystick.errors import DriverMissing

#: rows that are kept until they are written together
GROUP = 10_000
_TIMES = {"approval_until", "created_at", "started_at", "changed_at"}
_COLUMNS = columns_of(Row, "awaited")


class ParquetWriter:
    """
    A table of effects: keys and hashes in hex, moments in UTC, values as the JSON that is stored.

    ``history`` is the list of events as JSON. DriverMissing where pyarrow is not installed.
    """

    def __init__(self, stream: Any) -> None:
        try:
            self._pa: Any = import_module("pyarrow")
            self._parquet: Any = import_module("pyarrow.parquet")
        except ImportError as error:
            raise DriverMissing(
                'Parquet needs pyarrow, which is not installed: pip install "tallystick[parquet]"'
            ) from error
        self._stream = _Counted(stream)
        self._rows: list[Record] = []
        self._effects = self._events = 0

    def begin(self, header: Header) -> None:
        """Write the schema, with what an archive says of itself as metadata."""
        pa = self._pa
        kinds = {bytes: pa.string(), str: pa.string(), int: pa.int64()}
        fields = [
            (name, pa.timestamp("us", tz="UTC") if name in _TIMES else kinds[kind])
            for name, kind, _ in _COLUMNS
        ]
        about = {"format": FORMAT, **header._asdict()}
        self._schema = pa.schema(
            [*fields, ("history", pa.string())], metadata={"tallystick": json.dumps(about)}
        )
        self._writer = self._parquet.ParquetWriter(self._stream, self._schema, compression="zstd")

    def page(self, records: Sequence[Record]) -> None:
        """Take some more effects."""
        self._rows += records
        self._effects += len(records)
        self._events += sum(len(record.events) for record in records)
        if len(self._rows) >= GROUP:
            self._flush()

    def end(self) -> Exported:
        """Write the rest and the footer."""
        self._flush()
        self._writer.close()
        return Exported(
            effects=self._effects,
            events=self._events,
            bytes=self._stream.bytes,
            sha256=self._stream.hash.hexdigest(),
        )

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        arrays = {
            column.name: [_plain(record.row[n]) for record in rows]
            for n, column in enumerate(_COLUMNS)
        }
        history = [json.dumps([_told(event) for event in record.events]) for record in rows]
        table = self._pa.table(arrays | {"history": history}, schema=self._schema)
        self._writer.write_table(table)


def _plain(value: Any) -> Any:
    return value.hex() if type(value) is bytes else value


def _told(event: Any) -> dict[str, Any]:
    said = event._asdict()
    return {name: _plain(value) for name, value in said.items() if name not in {"key", "previous"}}


class _Counted:
    """A stream that only goes forward, and counts and hashes what it is given."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.bytes = 0
        self.hash = hashlib.sha256()
        self.closed = False

    def write(self, data: Any) -> int:
        """Write *data*."""
        text = bytes(data)
        self._stream.write(text)
        self.bytes += len(text)
        self.hash.update(text)
        return len(text)

    def tell(self) -> int:
        """How much was written."""
        return self.bytes

    def flush(self) -> None:
        """Let the file itself do so when it is closed."""

    def close(self) -> None:
        """The stream is its owner's to close."""
        self.closed = True

    def readable(self) -> bool:
        """It is not."""
        return False

    def writable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is not."""
        return False
