"""The acts on checkpoints, each a function of a transaction, like those of ``_scripts``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from tallystick._checkpoints import (
    Blob,
    CopyThread,
    DropCheckpoints,
    DropThread,
    Kept,
    PutCheckpoint,
    PutWrites,
    ReadBlobs,
    ReadCheckpoint,
    ReadCheckpoints,
    ReadGrave,
    ReadLineage,
    ReadThreads,
    ReadWrites,
    Saved,
    Step,
    Written,
    parts_of,
)


class CheckpointTx(Protocol):
    """What a transaction must offer for checkpoints; a store without it keeps effects only."""

    def put_checkpoint(self, act: PutCheckpoint) -> Kept:
        """Insert or replace under the conditions that ``PutCheckpoint`` names."""
        ...

    def put_writes(self, act: PutWrites) -> None:
        """Insert, or replace where the act says so, unless the thread was deleted since."""
        ...

    def checkpoint(self, key: bytes, ns: str, id_: str | None) -> Saved | None:
        """Read one checkpoint, by default the one with the greatest id."""
        ...

    def now(self) -> int:
        """Microseconds since 1970 by the database's clock."""
        ...

    def checkpoints(self, act: ReadCheckpoints) -> list[Saved]:
        """Read checkpoints, greatest id first."""
        ...

    def threads(self, tenant: str, after: bytes, limit: int) -> list[tuple[bytes, str]]:
        """Read keys and names of threads whose key is greater than *after*, smallest first."""
        ...

    def grave(self, key: bytes) -> str | None:
        """Read up to which checkpoint a thread was deleted."""
        ...

    def lineage(self, act: ReadLineage) -> list[Step]:
        """Read a checkpoint and its ancestors, the nearest first."""
        ...

    def writes(self, key: bytes, ns: str, ids: tuple[str, ...]) -> list[Written]:
        """Read writes, ordered by path, task and index."""
        ...

    def blobs(self, key: bytes, ids: tuple[bytes, ...]) -> list[Blob]:
        """Read blobs."""
        ...

    def drop_checkpoint(self, key: bytes, ns: str, id_: str) -> int:
        """Delete a checkpoint and its writes; how many there were."""
        ...

    def orphan(self, key: bytes, ns: str, ids: tuple[str, ...]) -> None:
        """Leave the children of some checkpoints without parent."""
        ...

    def drop_blobs(self, key: bytes, ids: tuple[bytes, ...], before: int) -> None:
        """Delete blobs, except those that somebody sent again since *before*."""
        ...

    def drop_thread(self, key: bytes) -> int:
        """Delete a thread with all that it has; how many checkpoints there were."""
        ...

    def bury_thread(self, key: bytes, tenant: str, name: str, through: str, at: int) -> None:
        """Remember that a thread was deleted, with all checkpoints up to *through*."""
        ...

    def raise_thread(self, key: bytes) -> None:
        """Forget that a thread was deleted."""
        ...

    def copy_thread(self, source: bytes, target: bytes, name: str) -> int:
        """Copy checkpoints, writes and blobs under another name; how many checkpoints."""
        ...


def put_checkpoint(tx: CheckpointTx, act: PutCheckpoint, _: Any) -> Kept:
    return tx.put_checkpoint(act)


def put_writes(tx: CheckpointTx, act: PutWrites, _: Any) -> None:
    tx.put_writes(act)


def drop_thread(tx: CheckpointTx, act: DropThread, _: Any) -> int:
    newest = tx.checkpoints(ReadCheckpoints(tenant=act.tenant, key=act.key, limit=1))
    if newest:
        tx.bury_thread(act.key, act.tenant, act.name, newest[0].id, tx.now())
    return tx.drop_thread(act.key)


def copy_thread(tx: CheckpointTx, act: CopyThread, _: Any) -> int:
    tx.drop_thread(act.key)
    tx.raise_thread(act.key)
    return tx.copy_thread(act.source, act.key, act.name)


def drop_checkpoints(tx: CheckpointTx, act: DropCheckpoints, _: Any) -> int:
    began, count, named = tx.now(), 0, set[bytes]()
    gone: dict[str, list[str]] = {}
    for ns, id_ in act.places:
        saved = tx.checkpoint(act.key, ns, id_)
        if saved is not None:
            named |= parts_of(saved.vals)
            count += tx.drop_checkpoint(act.key, ns, id_)
            gone.setdefault(ns, []).append(id_)
    for ns, ids in gone.items():  # once for all of them: no index finds children
        tx.orphan(act.key, ns, tuple(ids))
    for saved in tx.checkpoints(ReadCheckpoints(tenant=act.tenant, key=act.key)):
        named -= parts_of(saved.vals)
    tx.drop_blobs(act.key, tuple(sorted(named)), began)
    return count


def read_checkpoint(tx: CheckpointTx, act: ReadCheckpoint) -> tuple[Saved, list[Written]] | None:
    saved = tx.checkpoint(act.key, act.ns, act.id)
    return None if saved is None else (saved, tx.writes(act.key, act.ns, (saved.id,)))


SCRIPTS: dict[type, Callable[[Any, Any, Any], Any]] = {
    PutCheckpoint: put_checkpoint,
    PutWrites: put_writes,
    DropThread: drop_thread,
    CopyThread: copy_thread,
    DropCheckpoints: drop_checkpoints,
}

READS: dict[type, Callable[[Any, Any], Any]] = {
    ReadCheckpoint: read_checkpoint,
    ReadCheckpoints: lambda tx, act: tx.checkpoints(act),
    ReadLineage: lambda tx, act: tx.lineage(act),
    ReadThreads: lambda tx, act: tx.threads(act.tenant, act.after, act.limit),
    ReadGrave: lambda tx, act: tx.grave(act.key),
    ReadWrites: lambda tx, act: tx.writes(act.key, act.ns, act.ids),
    ReadBlobs: lambda tx, act: tx.blobs(act.key, act.ids),
}
