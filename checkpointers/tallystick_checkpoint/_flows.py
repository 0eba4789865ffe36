"""What the saver does, each thing once, over the ledger's ports."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    Checkpoint,
    CheckpointTuple,
)
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.types import Command

from tallystick._checkpoints import (
    Blob,
    CopyThread,
    DropThread,
    PutCheckpoint,
    PutWrites,
    ReadBlobs,
    ReadCheckpoint,
    ReadCheckpoints,
    ReadWrites,
    Saved,
    Written,
    thread_key,
)
from tallystick._ports import Ports
from tallystick.errors import CheckpointDamaged, InvalidCall, ThreadDeleted, UnknownThread
from tallystick_checkpoint._memory import Known, Memory
from tallystick_checkpoint._pruning import drop
from tallystick_checkpoint._values import (
    Entry,
    MissingPiece,
    Pieces,
    names_of,
    put_together,
    sound,
    taken_apart,
)

#: checkpoints that are read in one go
_PAGE = 200


@dataclass(frozen=True, slots=True)
class Place:
    """Where a config points to."""

    tenant: str
    thread: str
    ns: str
    id: str | None
    #: the root's checkpoint, where this is a subgraph's
    root: str | None

    @property
    def key(self) -> bytes:
        """The thread, for the store."""
        return thread_key(self.tenant, self.thread)

    def config(self, id_: str) -> RunnableConfig:
        """The config of a checkpoint here."""
        return {
            "configurable": {
                "thread_id": self.thread,
                "checkpoint_ns": self.ns,
                "checkpoint_id": id_,
            }
        }


def place_of(tenant: str, config: RunnableConfig) -> Place:
    """Where *config* points to; InvalidCall without a thread."""
    conf: dict[str, Any] = config.get("configurable") or {}
    if conf.get("thread_id") is None:
        raise InvalidCall(
            "a checkpoint belongs to a thread: give config={'configurable': {'thread_id': …}}"
        )
    roots: dict[str, str] = conf.get("checkpoint_map") or {}
    return Place(
        tenant,
        str(conf["thread_id"]),
        str(conf.get("checkpoint_ns") or ""),
        conf.get("checkpoint_id"),
        roots.get(""),
    )


async def get(
    p: Ports, memory: Memory, serde: SerializerProtocol, place: Place
) -> CheckpointTuple | None:
    """The checkpoint at *place*, or the newest one there."""
    found = await p.read(ReadCheckpoint(key=place.key, ns=place.ns, id=place.id))
    if found is None:
        return None
    saved, written = found
    return (await _tuples(p, memory, serde, [saved], {saved.thread: written}))[0]


async def find(
    p: Ports,
    memory: Memory,
    serde: SerializerProtocol,
    asked: ReadCheckpoints,
    wanted: Mapping[str, Any],
    limit: int | None,
) -> list[CheckpointTuple]:
    """Checkpoints whose metadata say what is *wanted*, newest first."""
    rows: list[Saved] = []
    before = asked.before
    while limit is None or len(rows) < limit:
        # several threads may hold copies with one id, where a page cannot end
        page = limit if not wanted else _PAGE if asked.key is not None else None
        some = await p.read(replace(asked, before=before, limit=page))
        rows += [row for row in some if _fits(row, wanted)]
        if not wanted or page is None or len(some) < page:
            break
        before = some[-1].id
    rows = rows[:limit]
    written: dict[bytes, list[Written]] = {}
    for key, ns in {(row.thread, row.ns) for row in rows}:
        ids = tuple(row.id for row in rows if (row.thread, row.ns) == (key, ns))
        found = await p.read(ReadWrites(key=key, ns=ns, ids=ids))
        written[key] = written.get(key, []) + found
    return await _tuples(p, memory, serde, rows, written)


def _fits(row: Saved, wanted: Mapping[str, Any]) -> bool:
    if not wanted:
        return True
    metadata = json.loads(row.metadata)
    return all(name in metadata and metadata[name] == value for name, value in wanted.items())


async def _tuples(
    p: Ports,
    memory: Memory,
    serde: SerializerProtocol,
    rows: Sequence[Saved],
    written: Mapping[bytes, Sequence[Written]],
) -> list[CheckpointTuple]:
    entries = [json.loads(row.vals) for row in rows]
    blobs = await _blobs(p, memory.pieces, rows, entries)
    writes: dict[tuple[bytes, str, str], list[tuple[str, str, Any]]] = {}
    for key, some in written.items():  # a copied thread has the ids of the first
        for w in some:
            value = serde.loads_typed((w.kind, w.data))
            place = (key, w.ns, w.checkpoint)
            writes.setdefault(place, []).append((w.task, w.channel, value))
    found: list[CheckpointTuple] = []
    for row, parts in zip(rows, entries, strict=True):
        place = (row.thread, row.ns, row.id)
        memory.remember(place, Known(parts, row.turn))
        found.append(_tuple(serde, row, parts, blobs, writes.get(place, [])))
    return found


async def _blobs(
    p: Ports, pieces: Pieces, rows: Sequence[Saved], entries: Sequence[Mapping[str, Entry]]
) -> dict[bytes, Blob]:
    blobs: dict[bytes, Blob] = {}
    missing: dict[bytes, set[bytes]] = {}
    for row, parts in zip(rows, entries, strict=True):
        names = names_of(parts.values())
        known = pieces.known(names)
        blobs |= known
        if len(known) < len(names):
            missing.setdefault(row.thread, set()).update(names - known.keys())
    for key, ids in missing.items():
        for blob in await p.read(ReadBlobs(key=key, ids=tuple(ids))):
            if sound(blob):  # a damaged piece is as good as none
                pieces.keep(blob)
                blobs[blob.id] = blob
    return blobs


def _tuple(
    serde: SerializerProtocol,
    row: Saved,
    parts: Mapping[str, Entry],
    blobs: Mapping[bytes, Blob],
    writes: list[tuple[str, str, Any]],
) -> CheckpointTuple:
    place = Place(row.tenant, row.name, row.ns, row.id, None)
    checkpoint: Checkpoint = serde.loads_typed((row.kind, row.data))
    try:
        checkpoint["channel_values"] = put_together(serde, parts, blobs)
    except MissingPiece as missing:
        raise CheckpointDamaged(
            f"checkpoint {row.id} of thread {row.name!r} is damaged: the value of {missing} is "
            "not what was stored; restore it from a backup, or go on from an earlier checkpoint",
            thread=row.name,
        ) from None
    return CheckpointTuple(
        config=place.config(row.id),
        checkpoint=checkpoint,
        metadata=json.loads(row.metadata),
        parent_config=place.config(row.parent) if row.parent is not None else None,
        pending_writes=writes,
    )


class Draft(NamedTuple):
    """A checkpoint that is to be kept."""

    place: Place
    checkpoint: Checkpoint
    #: what the config says of the run is merged into it
    metadata: Mapping[str, Any]
    new: Mapping[str, Any]


async def put(p: Ports, memory: Memory, serde: SerializerProtocol, draft: Draft) -> RunnableConfig:
    """Keep a checkpoint; when this returns it is durable. ThreadDeleted if its thread is gone."""
    place = draft.place
    try:
        return await _put(p, memory, serde, draft)
    except BaseException as error:
        memory.failed((place.key, place.ns, draft.checkpoint["id"]), error)
        raise


async def _put(p: Ports, memory: Memory, serde: SerializerProtocol, draft: Draft) -> RunnableConfig:
    place, checkpoint = draft.place, draft.checkpoint
    _begun(draft)
    parent = await _known(p, memory, place.key, place.ns, place.id)
    turn = await _turn(p, memory, draft, parent)
    act, entries, names = _act(memory, serde, draft, parent, turn)
    kept = await p.do(act)
    if kept == "incomplete":  # its parent was pruned meanwhile: everything is sent
        act, entries, names = _act(memory, serde, draft, None, turn)
        kept = await p.do(act)
    if kept == "deleted":
        raise ThreadDeleted(
            f"thread {place.thread!r} was deleted while something ran in it; its checkpoint "
            f"{checkpoint['id']} was not kept. Start anew without a checkpoint_id",
            thread=place.thread,
        )
    for blob in act.blobs:
        memory.pieces.keep(blob)
    memory.remember((place.key, place.ns, checkpoint["id"]), Known(entries, turn, names))
    return place.config(checkpoint["id"])


def _begun(draft: Draft) -> None:
    """LangGraph lets a thread be resumed that never began; whoever did that meant another one."""
    given = draft.checkpoint["channel_values"].get("__start__")
    first = draft.metadata.get("source") == "input" and draft.place.id is None
    if first and isinstance(given, Command) and given.resume is not None:
        raise UnknownThread(
            f"thread {draft.place.thread!r} was resumed and never began: the ledger has nothing of "
            "it, and keeps nothing. Look for the right thread_id, or begin it with an input",
            thread=draft.place.thread,
        )


def _act(
    memory: Memory,
    serde: SerializerProtocol,
    draft: Draft,
    parent: Known | None,
    turn: str | None,
) -> tuple[PutCheckpoint, dict[str, Entry], frozenset[bytes]]:
    place, checkpoint = draft.place, draft.checkpoint
    values = checkpoint["channel_values"]
    old: Mapping[str, Entry] = parent.entries if parent else {}
    entries: dict[str, Entry] = {}
    blobs: list[Blob] = []
    for channel, version in checkpoint["channel_versions"].items():
        entry = old.get(channel)
        same = entry is not None and entry["v"] == version and channel not in draft.new
        if entry is not None and same:
            entries[channel] = entry
        elif channel in values:
            entries[channel], more = taken_apart(serde, memory.pieces, version, values[channel])
            blobs += more
    there = _names(parent)
    names = names_of(entries.values())
    relied = not there.isdisjoint(names)
    bare: Any = {**checkpoint, "channel_values": {}}
    kind, data = serde.dumps_typed(bare)
    run = draft.metadata.get("run_id")
    saved = Saved(
        place.key,
        place.ns,
        checkpoint["id"],
        place.tenant,
        place.thread,
        place.id,
        turn,
        run if isinstance(run, str) else None,
        kind,
        data,
        json.dumps(draft.metadata),
        json.dumps(entries, separators=(",", ":")),
        0,
    )
    brought = {blob.id: blob for blob in blobs if blob.id not in there}
    since = place.id or (place.root if place.ns and place.root else checkpoint["id"])
    act = PutCheckpoint(
        key=place.key,
        saved=saved,
        blobs=tuple(brought.values()),
        needs=place.id if relied else None,
        since=since,
    )
    return act, entries, names


def _names(known: Known | None) -> frozenset[bytes]:
    if known is None:
        return frozenset()
    return known.names if known.names is not None else names_of(known.entries.values())


async def _known(p: Ports, memory: Memory, key: bytes, ns: str, id_: str | None) -> Known | None:
    if id_ is None:
        return None
    known = memory.known((key, ns, id_))
    if known is None:
        found = await p.read(ReadCheckpoint(key=key, ns=ns, id=id_))
        if found is not None:
            known = Known(json.loads(found[0].vals), found[0].turn)
            memory.remember((key, ns, id_), known)
    return known


async def _turn(p: Ports, memory: Memory, draft: Draft, parent: Known | None) -> str | None:
    """The turn that a checkpoint belongs to: the input that the root graph is at work on."""
    place = draft.place
    if not place.ns:
        if draft.metadata.get("source") == "input":
            run = draft.metadata.get("run_id")
            named = isinstance(run, str) and bool(run)
            # under a run's name an input that is sent twice begins one turn
            return json.dumps([place.thread, f"run:{run}" if named else draft.checkpoint["id"]])
        return parent.turn if parent else None
    if parent is not None and parent.turn is not None:
        return parent.turn
    root = await _known(p, memory, place.key, "", place.root)
    return root.turn if root else None


async def put_writes(
    p: Ports,
    serde: SerializerProtocol,
    place: Place,
    writes: Sequence[tuple[str, Any]],
    task: str,
    path: str,
) -> None:
    """Keep what a task wrote; what only says how it ended replaces what was said before."""
    assert place.id is not None, "LangGraph names the checkpoint"
    rows: list[Written] = []
    for position, (channel, value) in enumerate(writes):
        kind, data = serde.dumps_typed(value)
        idx = WRITES_IDX_MAP.get(channel, position)
        rows.append(Written(place.ns, place.id, task, idx, channel, path, kind, data))
    control = all(channel in WRITES_IDX_MAP for channel, _ in writes)
    await p.do(PutWrites(key=place.key, writes=tuple(rows), replace=control))


async def delete(p: Ports, tenant: str, thread: str) -> int:
    """Forget a thread for good."""
    return await p.do(DropThread(key=thread_key(tenant, thread), tenant=tenant, name=thread))


async def copy(p: Ports, tenant: str, source: str, target: str) -> int:
    """Copy a thread; what stood under the target's name goes."""
    if source == target:
        raise InvalidCall(f"thread {source!r} cannot be copied to itself")
    return await p.do(
        CopyThread(
            key=thread_key(tenant, target),
            source=thread_key(tenant, source),
            tenant=tenant,
            name=target,
        )
    )


async def delete_runs(p: Ports, tenant: str, runs: Sequence[str]) -> None:
    """Forget the checkpoints that some runs made."""
    rows: list[Saved] = []
    for run in runs:
        made = await p.read(ReadCheckpoints(tenant=tenant, run=run))
        rows += made
    await drop(p, tenant, rows)
