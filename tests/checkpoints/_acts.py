"""Checkpoints as the store sees them, for tests that know no framework."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from tallystick import Ledger
from tallystick._checkpoints import (
    Blob,
    CopyThread,
    DropCheckpoints,
    DropThread,
    PutCheckpoint,
    PutWrites,
    ReadBlobs,
    ReadCheckpoint,
    ReadCheckpoints,
    ReadLineage,
    ReadWrites,
    Saved,
    Written,
    named,
    thread_key,
)


def blob(n: int) -> Blob:
    """A piece of a value."""
    return Blob(bytes([n]) * 16, "msgpack", f"piece {n}".encode())


class Thread:
    """The acts on one thread of one tenant."""

    def __init__(self, name: str, tenant: str = "default") -> None:
        self.name = name
        self.tenant = tenant
        self.key = thread_key(tenant, name)

    def saved(self, id_: str, parent: str | None = None, **other: Any) -> Saved:
        """A checkpoint whose value is made of the pieces *names*."""
        names: Sequence[int] = other.pop("names", ())
        vals = {"c": {"v": 1, "blobs": named(blob(n).id for n in names)}}
        fields: dict[str, Any] = {
            "thread": self.key,
            "ns": "",
            "id": id_,
            "tenant": self.tenant,
            "name": self.name,
            "parent": parent,
            "turn": None,
            "run": None,
            "kind": "msgpack",
            "data": b"data",
            "metadata": "{}",
            "vals": json.dumps(vals),
            "at": 0,
        }
        return Saved(**fields | other)

    def put(self, id_: str, parent: str | None = None, **other: Any) -> PutCheckpoint:
        """Keep a checkpoint; *brings*: the pieces that come with it."""
        brings: Sequence[int] = other.pop("brings", other.get("names", ()))
        needs, since = other.pop("needs", None), other.pop("since", parent or id_)
        saved = self.saved(id_, parent, **other)
        pieces = tuple(blob(n) for n in brings)
        return PutCheckpoint(key=self.key, saved=saved, blobs=pieces, needs=needs, since=since)

    def write(
        self, checkpoint: str, task: str, *what: str, replace: bool = False, **other: Any
    ) -> PutWrites:
        """Keep what a task wrote."""
        fields: dict[str, Any] = {"ns": "", "path": "", **other}
        writes = tuple(
            Written(
                fields["ns"], checkpoint, task, n, "c", fields["path"], "msgpack", text.encode()
            )
            for n, text in enumerate(what)
        )
        return PutWrites(key=self.key, writes=writes, replace=replace)

    def read(self, id_: str | None = None, ns: str = "") -> ReadCheckpoint:
        """Read one checkpoint."""
        return ReadCheckpoint(key=self.key, ns=ns, id=id_)

    def all(self, **asked: Any) -> ReadCheckpoints:
        """Read all of them."""
        return ReadCheckpoints(tenant=self.tenant, key=self.key, **asked)

    def lineage(
        self, id_: str, ns: str = "", *, bounded: bool = True, limit: int = 4
    ) -> ReadLineage:
        """Read a checkpoint and a few of its ancestors."""
        return ReadLineage(key=self.key, ns=ns, id=id_, bounded=bounded, limit=limit)

    def writes(self, *ids: str, ns: str = "") -> ReadWrites:
        """Read what was written."""
        return ReadWrites(key=self.key, ns=ns, ids=ids)

    def blobs(self, *names: int) -> ReadBlobs:
        """Read pieces."""
        return ReadBlobs(key=self.key, ids=tuple(blob(n).id for n in names))

    def drop(self, *ids: str, ns: str = "") -> DropCheckpoints:
        """Forget some checkpoints."""
        places = tuple((ns, id_) for id_ in ids)
        return DropCheckpoints(key=self.key, tenant=self.tenant, places=places)

    def delete(self) -> DropThread:
        """Forget the thread."""
        return DropThread(key=self.key, tenant=self.tenant, name=self.name)

    def copy(self, source: Thread) -> CopyThread:
        """Become a copy of another thread."""
        return CopyThread(key=self.key, source=source.key, tenant=self.tenant, name=self.name)


def told(answer: Any) -> Any:
    """An answer without the moments in it, and without an order where there is none."""
    if isinstance(answer, Saved):
        return answer._replace(at=0)
    if isinstance(answer, Blob | Written) or not isinstance(answer, list | tuple):
        return answer
    items = [told(item) for item in cast("list[Any]", answer)]
    return sorted(items) if items and isinstance(items[0], Blob) else items


def store_of(ledger: Ledger) -> Any:
    """Where a ledger keeps things."""
    return ledger._engine.store  # pyright: ignore[reportPrivateUsage]
