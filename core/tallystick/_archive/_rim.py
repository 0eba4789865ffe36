"""The first and the last line of an archive, and which versions of it can be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from tallystick._archive._acts import Record
from tallystick._archive._lines import compact, json_of, record_of
from tallystick._archive._shapes import Unfit
from tallystick.errors import ArchiveUnknown

FORMAT: Final = "tallystick archive"
#: of the lines; another number for whatever an older reader would misread
SCHEMA: Final = 1
#: how the last line begins
SEALED: Final = b'{"seal":'

#: how the lines of each version that was ever written are read
READERS: Final[dict[int, Callable[[bytes, int, str], Record]]] = {1: record_of}


class Header(NamedTuple):
    """Whose records an archive holds, which of them, and when they were read."""

    tenant: str
    #: of the exporting ledger's database, in microseconds
    at: int
    workflow: str | None = None
    since: int | None = None
    schema: int = SCHEMA
    #: whether the ledger is encrypted, and the archive is not: keep it as you keep the key
    opened: bool = False


class Seal(NamedTuple):
    """The end of an archive: how much there is, and the sha256 of all bytes before it."""

    effects: int
    events: int
    sha256: str


def header_line(header: Header) -> bytes:
    """The first line."""
    from importlib.metadata import version  # slow, and only needed here

    said = {name: value for name, value in header._asdict().items() if value is not None}
    if not header.opened:
        del said["opened"]
    parts = {"format": FORMAT, "schema": header.schema, "tallystick": version("tallystick")}
    return (compact({"header": parts | said}) + "\n").encode()


def seal_line(seal: Seal) -> bytes:
    """The last line."""
    return (compact({"seal": seal._asdict()}) + "\n").encode()


def header_of(line: bytes) -> Header:
    """What the first line says; ArchiveUnknown where it begins no archive that can be read here."""
    said: dict[str, Any] = {}
    try:
        said = json_of(line)["header"]
        name, schema = said["format"], said["schema"]
    except (Unfit, KeyError, TypeError):
        name, schema = None, None
    if name != FORMAT or type(schema) is not int:
        raise ArchiveUnknown(
            "line 1 begins no archive of tallystick; give a file that `tallystick export` or "
            "ledger.export(…) wrote",
            line=1,
        )
    if schema not in READERS:
        raise ArchiveUnknown(
            f"line 1: the archive was written by tallystick {said.get('tallystick', '?')} in "
            f"schema {schema}; this version reads {', '.join(map(str, READERS))}: upgrade the "
            "package",
            line=1,
        )
    return _header(said, schema)


def _header(said: dict[str, Any], schema: int) -> Header:
    header = Header(
        said.get("tenant", ""),
        said.get("at", 0),
        said.get("workflow"),
        said.get("since"),
        schema,
        said.get("opened", False),
    )
    kinds = (str, int, str | None, int | None, int, bool)
    if not all(isinstance(value, kind) for value, kind in zip(header, kinds, strict=False)):
        raise ArchiveUnknown("line 1: the header is none that tallystick writes", line=1)
    return header


def seal_of(line: bytes) -> Seal | None:
    """What the last line says; ``None`` where it says nothing."""
    try:
        said = json_of(line)["seal"]
        return Seal(int(said["effects"]), int(said["events"]), str(said["sha256"]))
    except (Unfit, KeyError, TypeError, ValueError):
        return None
