"""
Checkpoints of threads: deeds that keep them beside the effects, and what they leave.

The ledger does not look into a checkpoint. It keeps what a framework gave it, each value once, and
knows of each checkpoint its parent and the *turn* that it belongs to: the checkpoint with which the
work began that it is a step of.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from tallystick._acts import Act
from tallystick._keys import VERSION, hashed

Kept = Literal["kept", "incomplete", "deleted"]

#: bytes of a blob's id
BLOB_ID = 16


def thread_key(tenant: str, name: str) -> bytes:
    """Sixteen bytes that stand for a tenant's thread in an index."""
    return hashed(VERSION, b"thread", tenant.encode(), name.encode())[:16]


class Blob(NamedTuple):
    """A piece of a value, once per thread and content."""

    id: bytes
    kind: str
    data: bytes


class Saved(NamedTuple):
    """
    One checkpoint as it is stored.

    ``vals`` is a JSON object: for each channel what its value is made of, in the framework's own
    words, and under ``"blobs"`` the concatenated ids of its blobs in base64.
    """

    thread: bytes
    ns: str
    id: str
    tenant: str
    name: str
    parent: str | None
    turn: str | None
    run: str | None
    kind: str
    data: bytes
    metadata: str
    vals: str
    at: int


class Written(NamedTuple):
    """What a task of a checkpoint's next step has written."""

    ns: str
    checkpoint: str
    task: str
    idx: int
    channel: str
    path: str
    kind: str
    data: bytes


class PutCheckpoint(Act[Kept]):
    """
    Keep a checkpoint and its new blobs, or replace the one of the same id.

    ``needs``: the checkpoint whose blobs it names without bringing them; ``"incomplete"`` when that
    is not there any more. ``since``: the newest checkpoint it comes from; ``"deleted"`` when the
    thread was deleted after that.
    """

    key: bytes
    saved: Saved
    blobs: tuple[Blob, ...]
    needs: str | None
    since: str


class PutWrites(Act[None]):
    """
    Keep what a task wrote; ``replace``: instead of what it wrote before, else beside it.

    What comes after its thread was deleted is dropped.
    """

    key: bytes
    writes: tuple[Written, ...]
    replace: bool


class DropThread(Act[int]):
    """Forget a thread, and refuse what its runs still send; how many checkpoints it had."""

    key: bytes
    tenant: str
    name: str


class CopyThread(Act[int]):
    """Copy all of a thread to a name, instead of what stood there; how many checkpoints."""

    key: bytes
    source: bytes
    tenant: str
    name: str


class DropCheckpoints(Act[int]):
    """Forget some checkpoints of a thread, their writes, and the blobs that only they named."""

    key: bytes
    tenant: str
    places: tuple[tuple[str, str], ...]


class ReadCheckpoint(Act["tuple[Saved, list[Written]] | None"]):
    """Read one checkpoint, the newest of its namespace without ``id``, and its writes in order."""

    key: bytes
    ns: str
    id: str | None = None


class ReadCheckpoints(Act["list[Saved]"]):
    """
    Read checkpoints, newest first: of a thread, of a run, or all of a tenant.

    ``before``: only ids smaller than this.
    """

    tenant: str
    key: bytes | None = None
    ns: str | None = None
    run: str | None = None
    id: str | None = None
    before: str | None = None
    limit: int | None = None


class ReadThreads(Act["list[tuple[bytes, str]]"]):
    """Read the keys and names of a tenant's threads that have checkpoints, in pages, by key."""

    tenant: str
    after: bytes = b""
    limit: int = 1000


class ReadGrave(Act["str | None"]):
    """Read up to which checkpoint a thread was deleted; ``None`` where it was not."""

    key: bytes


class ReadWrites(Act["list[Written]"]):
    """Read the writes of some checkpoints of one namespace, in the order they count."""

    key: bytes
    ns: str
    ids: tuple[str, ...]


class ReadBlobs(Act["list[Blob]"]):
    """Read pieces of values."""

    key: bytes
    ids: tuple[bytes, ...]


class Step(NamedTuple):
    """A checkpoint of a lineage."""

    id: str
    parent: str | None
    turn: str | None
    metadata: str


class ReadLineage(Act["list[Step]"]):
    """
    Read a checkpoint and its ancestors in one namespace, the nearest first.

    ``bounded``: only those of its own turn.
    """

    key: bytes
    ns: str
    id: str
    bounded: bool = True
    limit: int = 10_000


def parts_of(vals: str) -> set[bytes]:
    """The ids of the blobs that a checkpoint's ``vals`` name."""
    return {id_ for value in json.loads(vals).values() for id_ in blob_ids(value)}


def named(ids: Iterable[bytes]) -> str:
    """How ``vals`` name blobs; :func:`blob_ids` reads it."""
    return base64.b64encode(b"".join(ids)).decode()


def blob_ids(value: Mapping[str, Any]) -> list[bytes]:
    """The ids of the blobs that one of the ``vals`` names, in order."""
    raw = base64.b64decode(value.get("blobs", ""))
    return [raw[at : at + BLOB_ID] for at in range(0, len(raw), BLOB_ID)]
