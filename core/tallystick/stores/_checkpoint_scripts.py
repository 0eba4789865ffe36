"""The acts on checkpoints, each a function of a transaction, like those of ``_scripts``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tallystick._checkpoints import (
    CheckpointTx,
    CopyThread,
    DropCheckpoints,
    DropThread,
    Kept,
    PutCheckpoint,
    PutWrites,
    ReadBlobs,
    ReadCheckpoint,
    ReadCheckpoints,
    ReadLineage,
    ReadWrites,
    Saved,
    Written,
    parts_of,
)


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
    for ns, id_ in act.places:
        saved = tx.checkpoint(act.key, ns, id_)
        if saved is not None:
            named |= parts_of(saved.vals)
            count += tx.drop_checkpoint(act.key, ns, id_)
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
    ReadWrites: lambda tx, act: tx.writes(act.key, act.ns, act.ids),
    ReadBlobs: lambda tx, act: tx.blobs(act.key, act.ids),
}
