"""What came of an export, an import, a sealing."""

from __future__ import annotations

from tallystick._values import Value


class Exported(Value):
    """What an archive holds."""

    effects: int
    events: int
    #: as the file has them
    bytes: int
    #: in hex, over the whole file: what it can be recognised by
    sha256: str


class Loaded(Value):
    """What became of the effects of an archive."""

    #: in the archive
    effects: int
    #: written by this very call
    imported: int
    #: were here already: equal, or moved on since
    known: int
    #: left out, since another record has their key
    skipped: int
    #: hex keys of the first hundred of those
    conflicts: tuple[str, ...]
    #: of the imported ones, how many wait for a person to decide …
    asked: int
    #: … and how many for a person to say what became of them
    in_doubt: int


class Sealed(Value):
    """One seal. Keep ``root`` elsewhere: it tells whether the last seals of a file were removed."""

    #: 1 for the first one in the file
    number: int
    #: effects and chains of halts that it covers
    leaves: int
    #: in hex
    root: str
