"""
The values of channels as pieces that are stored once.

A list is stored element by element, each under the hash of its content: of a conversation that
grows by two messages per turn, each turn stores two messages and not the conversation.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, cast

from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer

from tallystick._checkpoints import BLOB_ID, Blob, blob_ids, named

#: what one channel's value is made of: its version, and kind and data, or blobs
Entry = dict[str, Any]

#: bytes up to which a value stands in the checkpoint itself
INLINE = 200
#: bytes of pieces that are kept in memory
_CACHE = 32 << 20
#: plain texts whose pieces are remembered
_NAMES = 10_000
_SCALARS = (str, int, float, bool, bytes, type(None))


class Pieces:
    """Pieces that this process has seen, the last used ones; shared by all copies of a saver."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blobs: OrderedDict[bytes, Blob] = OrderedDict()
        #: the same, by their data: looking there costs less than a sha256
        self._same: dict[bytes, Blob] = {}
        self._size = 0
        #: under what id a plain text was stored, where what is stored is encrypted
        self._ids: OrderedDict[bytes, Blob] = OrderedDict()

    def keep(self, blob: Blob) -> None:
        """Remember a piece."""
        with self._lock:
            if blob.id not in self._blobs:
                self._size += len(blob.data)
            self._blobs[blob.id] = self._same[blob.data] = blob
            self._blobs.move_to_end(blob.id)
            while self._size > _CACHE:
                _, old = self._blobs.popitem(last=False)
                self._same.pop(old.data, None)
                self._size -= len(old.data)

    def known(self, ids: Iterable[bytes]) -> dict[bytes, Blob]:
        """Those of the pieces that are remembered."""
        with self._lock:
            blobs, found = self._blobs, dict[bytes, Blob]()
            for id_ in ids:
                blob = blobs.get(id_)
                if blob is not None:
                    blobs.move_to_end(id_)
                    found[id_] = blob
            return found

    def piece(self, serde: SerializerProtocol, value: Any) -> Blob:
        """
        *value* as a piece.

        What is encrypted differs each time; the same plain text gets the piece that it had before
        in this process, because a hash of it in the database would tell who can guess it.
        """
        # isinstance looks at each method of a protocol, which costs as much as a message
        if not hasattr(serde, "cipher"):
            kind, data = serde.dumps_typed(value)
            same = self._same.get(data)
            if same is not None and same.kind == kind:
                return same
            return Blob(_id(kind, data), kind, data)
        encrypting = cast("EncryptedSerializer", serde)
        plain, text = encrypting.serde.dumps_typed(value)
        digest = hashlib.sha256(plain.encode() + b"\0" + text).digest()
        with self._lock:
            known = self._ids.get(digest)
        if known is None:
            cipher, data = encrypting.cipher.encrypt(text)
            kind = f"{plain}+{cipher}"
            known = Blob(_id(kind, data), kind, data)
            with self._lock:
                self._ids[digest] = known
                if len(self._ids) > _NAMES:
                    self._ids.popitem(last=False)
        return known


def _id(kind: str, data: bytes) -> bytes:
    return hashlib.sha256(kind.encode() + b"\0" + data).digest()[:BLOB_ID]


def sound(blob: Blob) -> bool:
    """Whether a piece is what was stored."""
    return _id(blob.kind, blob.data) == blob.id


def taken_apart(
    serde: SerializerProtocol, pieces: Pieces, version: Any, value: Any
) -> tuple[Entry, list[Blob]]:
    """What a value is made of, and its pieces."""
    items = cast("list[Any]", value)
    if type(value) is list and _worth_it(items):
        blobs = [pieces.piece(serde, item) for item in items]
        return {"v": version, "list": True, "blobs": named(blob.id for blob in blobs)}, blobs
    blob = pieces.piece(serde, value)
    if len(blob.data) <= INLINE:
        data = base64.b64encode(blob.data).decode()
        return {"v": version, "kind": blob.kind, "data": data}, []
    return {"v": version, "blobs": named([blob.id])}, [blob]


def _worth_it(items: list[Any]) -> bool:
    return len(items) > 1 and any(type(item) not in _SCALARS for item in items)


def names_of(entries: Iterable[Entry]) -> frozenset[bytes]:
    """The ids of the pieces that values are made of."""
    return frozenset(id_ for entry in entries for id_ in blob_ids(entry))


class MissingPiece(Exception):
    """The channel whose value cannot be put together."""


def put_together(
    serde: SerializerProtocol, entries: Mapping[str, Entry], blobs: Mapping[bytes, Blob]
) -> dict[str, Any]:
    """The values of channels; MissingPiece where one is not there."""
    values: dict[str, Any] = {}
    for channel, entry in entries.items():
        if "data" in entry:
            raw = base64.b64decode(entry["data"])
            values[channel] = serde.loads_typed((entry["kind"], raw))
            continue
        pieces = [blobs.get(id_) for id_ in blob_ids(entry)]
        loaded = [serde.loads_typed((b.kind, b.data)) for b in pieces if b is not None]
        if len(loaded) != len(pieces):
            raise MissingPiece(channel)
        values[channel] = loaded if entry.get("list") else loaded[0]
    return values
