"""What the processes of the keepers' storm share, what they do to the world, and what is told."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tallystick import current_effect
from tests._storms import StoreName

LEASE = 1.0
#: what is done by somebody who knows a key again
KNOWING = ("i", "hotel", "un-hotel")


class Camp(NamedTuple):
    """Where a storm takes place: a ledger, a second one, and a folder for all that is outside."""

    store: StoreName
    url: str
    second: str
    folder: Path
    began: float
    #: moment at which processes end by themselves, should nobody kill them
    until: float


class World:
    """What really happens, and what is said of it: files of whole lines, shared by all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def saw(self, name: str, *words: Any) -> None:
        """One line in one write; it stays when the process is killed right after."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        file = os.open(self.folder / f"seen-{name}", flags, 0o600)
        os.write(file, (json.dumps(words) + "\n").encode())
        os.close(file)

    def lines(self, name: str) -> Iterator[list[Any]]:
        """All lines of a file."""
        with contextlib.suppress(FileNotFoundError):
            for line in (self.folder / f"seen-{name}").read_text().splitlines():
                yield json.loads(line)

    def did(self, kind: str, about: Any) -> str:
        """It happens, for good; the receipt. Whoever knows keys gives the same one again."""
        key = current_effect().key
        receipt = f"{kind}-{key[:16] if kind in KNOWING else os.urandom(8).hex()}"
        self.saw("did", kind, about, key, receipt)
        return receipt

    def receipts(self) -> dict[str, str]:
        """What happened, by the key of its effect."""
        return {key: receipt for _, _, key, receipt in self.lines("did")}


@dataclass(slots=True, kw_only=True)
class Report:
    """What a storm did, and what is true afterwards."""

    store: StoreName
    kills: int = 0
    stops: int = 0
    effects: int = 0
    happened: int = 0
    results: int = 0
    trips: int = 0
    undone: int = 0
    retained: int = 0
    forgotten: int = 0
    asked: int = 0
    exports: int = 0
    imports: int = 0
    carried: int = 0
    import_kills: int = 0
    cut_off: int = 0
    seals: int = 0
    seconds: float = 0.0
    busy: int = 0
    flaws: list[str] = field(default_factory=list[str])
