"""The checkpoints of a transaction in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tallystick._checkpoints import (
    Blob,
    Kept,
    PutCheckpoint,
    PutWrites,
    ReadCheckpoints,
    ReadLineage,
    Saved,
    Step,
    Written,
)

WritePlace = tuple[str, str, str, int]


@dataclass(slots=True)
class Threads:
    """The checkpoints that several ledgers of one process may share."""

    #: by thread and namespace, by id
    saved: dict[bytes, dict[tuple[str, str], Saved]] = field(
        default_factory=dict[bytes, dict[tuple[str, str], Saved]]
    )
    #: by thread, by checkpoint, task and index
    writes: dict[bytes, dict[WritePlace, Written]] = field(
        default_factory=dict[bytes, dict[WritePlace, Written]]
    )
    blobs: dict[bytes, dict[bytes, Blob]] = field(default_factory=dict[bytes, dict[bytes, Blob]])
    #: up to which checkpoint a thread was deleted
    buried: dict[bytes, str] = field(default_factory=dict[bytes, str])


class MemoryCheckpoints:
    """What the scripts of checkpoints need, on a shelf; half of :class:`MemoryTx`."""

    _threads: Threads

    def now(self) -> int:
        """Microseconds since 1970."""
        raise NotImplementedError

    def _put(self, place: dict[Any, Any], key: Any, value: Any) -> None:
        raise NotImplementedError

    def _drop(self, place: dict[Any, Any], key: Any) -> bool:
        raise NotImplementedError

    def put_checkpoint(self, act: PutCheckpoint) -> Kept:
        saved = self._threads.saved.setdefault(act.key, {})
        if self._threads.buried.get(act.key, "") >= act.since:
            return "deleted"
        if act.needs is not None and (act.saved.ns, act.needs) not in saved:
            return "incomplete"
        blobs = self._threads.blobs.setdefault(act.key, {})
        for blob in act.blobs:
            self._put(blobs, blob.id, blob)
        self._put(saved, (act.saved.ns, act.saved.id), act.saved._replace(at=self.now()))
        return "kept"

    def put_writes(self, act: PutWrites) -> None:
        writes = self._threads.writes.setdefault(act.key, {})
        for w in act.writes:
            place = (w.ns, w.checkpoint, w.task, w.idx)
            late = self._threads.buried.get(act.key, "") >= w.checkpoint
            if not late and (act.replace or place not in writes):
                self._put(writes, place, w)

    def checkpoint(self, key: bytes, ns: str, id_: str | None) -> Saved | None:
        saved = self._threads.saved.get(key, {})
        if id_ is None:
            id_ = max((i for n, i in saved if n == ns), default=None)
        return None if id_ is None else saved.get((ns, id_))

    def lineage(self, act: ReadLineage) -> list[Step]:
        found: list[Step] = []
        saved = self.checkpoint(act.key, act.ns, act.id)
        while saved is not None and len(found) < act.limit:
            found.append(Step(saved.id, saved.parent, saved.turn, saved.metadata))
            parent = self.checkpoint(act.key, act.ns, saved.parent) if saved.parent else None
            mine = parent is not None and saved.turn is not None and parent.turn == saved.turn
            saved = parent if mine or not act.bounded else None
        return found

    def checkpoints(self, act: ReadCheckpoints) -> list[Saved]:
        threads = self._threads.saved
        places = [threads.get(act.key, {})] if act.key is not None else list(threads.values())
        found = [
            s
            for place in places
            for s in place.values()
            if s.tenant == act.tenant
            and act.ns in (None, s.ns)
            and act.run in (None, s.run)
            and act.id in (None, s.id)
            and (act.before is None or s.id < act.before)
        ]
        found.sort(key=lambda s: (s.thread, s.ns))
        return sorted(found, key=lambda s: s.id, reverse=True)[: act.limit]

    def threads(self, tenant: str, after: bytes, limit: int) -> list[tuple[bytes, str]]:
        found = {
            (key, next(iter(saved.values())).name)
            for key, saved in self._threads.saved.items()
            if key > after and any(s.tenant == tenant for s in saved.values())
        }
        return sorted(found)[:limit]

    def grave(self, key: bytes) -> str | None:
        return self._threads.buried.get(key)

    def writes(self, key: bytes, ns: str, ids: tuple[str, ...]) -> list[Written]:
        wanted = set(ids)
        found = [
            w
            for w in self._threads.writes.get(key, {}).values()
            if w.ns == ns and w.checkpoint in wanted
        ]
        return sorted(found, key=lambda w: (w.checkpoint, w.path, w.task, w.idx))

    def blobs(self, key: bytes, ids: tuple[bytes, ...]) -> list[Blob]:
        blobs = self._threads.blobs.get(key, {})
        return [blobs[id_] for id_ in ids if id_ in blobs]

    def drop_checkpoint(self, key: bytes, ns: str, id_: str) -> int:
        saved = self._threads.saved.get(key, {})
        writes = self._threads.writes.get(key, {})
        for place in [p for p in writes if p[:2] == (ns, id_)]:
            self._drop(writes, place)
        return int(self._drop(saved, (ns, id_)))

    def orphan(self, key: bytes, ns: str, ids: tuple[str, ...]) -> None:
        saved, gone = self._threads.saved.get(key, {}), set(ids)
        for child in [s for s in saved.values() if s.ns == ns and s.parent in gone]:
            self._put(saved, (ns, child.id), child._replace(parent=None))

    def drop_blobs(self, key: bytes, ids: tuple[bytes, ...], before: int) -> None:
        blobs = self._threads.blobs.get(key, {})
        for id_ in ids:  # nobody sends anything while this transaction has the shelf
            self._drop(blobs, id_)

    def drop_thread(self, key: bytes) -> int:
        count = len(self._threads.saved.get(key, {}))
        for place in (self._threads.saved, self._threads.writes, self._threads.blobs):
            self._drop(place, key)
        return count

    def bury_thread(self, key: bytes, tenant: str, name: str, through: str, at: int) -> None:
        self._put(self._threads.buried, key, through)

    def raise_thread(self, key: bytes) -> None:
        self._drop(self._threads.buried, key)

    def copy_thread(self, source: bytes, target: bytes, name: str) -> int:
        t = self._threads
        saved = {
            place: s._replace(thread=target, name=name)
            for place, s in t.saved.get(source, {}).items()
        }
        self._put(t.saved, target, saved)
        self._put(t.writes, target, dict(t.writes.get(source, {})))
        self._put(t.blobs, target, dict(t.blobs.get(source, {})))
        return len(saved)
