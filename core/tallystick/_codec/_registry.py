"""The door for types of others: an adapter registers how its framework's values are kept."""

from __future__ import annotations

import threading
from typing import Protocol


class Codec(Protocol):
    """
    How values of one kind become data, and come back.

    ``decode(encode(value))`` must be equal to the value and of its type: nobody checks.
    """

    @property
    def kind(self) -> str:
        """A name that is stored and stays, such as ``"langchain.message"``."""
        ...

    def matches(self, value: object, /) -> bool:
        """Whether *value* is of this kind; asked about every value of a type not built in."""
        ...

    def encode(self, value: object, /) -> object:
        """*value* as something that is plain data, or of other kinds."""
        ...

    def decode(self, data: object, /) -> object:
        """The value again, from what ``encode`` made of it."""
        ...


_lock = threading.Lock()
# Replaced, never changed: readers take no lock.
_codecs: dict[str, Codec] = {}


def register(codec: Codec) -> None:
    """Use *codec* from now on, in this process, in place of any other of its kind."""
    global _codecs  # noqa: PLW0603 - the registry of the process
    with _lock:
        _codecs = {**_codecs, codec.kind: codec}


def codec_for(value: object) -> Codec | None:
    """The registered codec for *value*."""
    for codec in _codecs.values():
        if codec.matches(value):
            return codec
    return None


def codec_of(kind: str) -> Codec | None:
    """The registered codec of that *kind*."""
    return _codecs.get(kind)
