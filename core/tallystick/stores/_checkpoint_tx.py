"""The checkpoints of a transaction on a SQL database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from tallystick.stores._checkpoint_sql import CHECKPOINT_STATEMENTS
from tallystick.stores._sql import Dialect

#: how many things one statement may name
_AMONG = 500


class SqlCheckpoints:
    """What the scripts of checkpoints need, said in SQL; half of :class:`SqlTx`."""

    dialect: Dialect
    _execute: Callable[..., Any]

    def run(self, name: str, /, **params: Any) -> Any:
        """Execute a statement by its name."""
        raise NotImplementedError

    def now(self) -> int:
        """Microseconds since 1970 by the database's clock."""
        raise NotImplementedError

    def put_checkpoint(self, act: PutCheckpoint) -> Kept:
        place = {"thread": act.key, "ns": act.saved.ns}
        if self._buried(act.key, act.since):
            return "deleted"
        if act.needs is not None and not self.run("standing", id=act.needs, **place).fetchone():
            return "incomplete"
        for blob in act.blobs:
            self.run("put_blob", thread=act.key, **blob._asdict())
        self.run("put_checkpoint", **act.saved._replace(at=self.now())._asdict())
        return "kept"

    def put_writes(self, act: PutWrites) -> None:
        name = "replace_write" if act.replace else "put_write"
        ids = {written.checkpoint for written in act.writes}
        live = {id_ for id_ in ids if not self._buried(act.key, id_)}
        for written in act.writes:
            if written.checkpoint in live:
                self.run(name, thread=act.key, **written._asdict())

    def _buried(self, key: bytes, since: str) -> bool:
        return bool(self.run("buried", thread=key, since=since).fetchone()[0])

    def checkpoint(self, key: bytes, ns: str, id_: str | None) -> Saved | None:
        if id_ is None:
            found = self.run("head", thread=key, ns=ns).fetchone()
        else:
            found = self.run("checkpoint", thread=key, ns=ns, id=id_).fetchone()
        return None if found is None else Saved._make(found)

    def checkpoints(self, act: ReadCheckpoints) -> list[Saved]:
        # a thread's key is made with its tenant
        where = "c.tenant = :whose" if act.key is None else "c.thread = :whose"
        params: dict[str, Any] = {"whose": act.key or act.tenant}
        for name in ("ns", "run", "id"):
            if getattr(act, name) is not None:
                where += f" AND c.{name} = :{name}"
                params[name] = getattr(act, name)
        if act.before is not None:
            where += " AND c.id < :before"
            params["before"] = act.before
        # no limit is a number that no thread reaches
        params["limit"] = 1 << 62 if act.limit is None else act.limit
        text = CHECKPOINT_STATEMENTS["checkpoints"]
        sql = self.dialect.say(text, where=where)
        return [Saved._make(row) for row in self._execute(sql, params).fetchall()]

    def lineage(self, act: ReadLineage) -> list[Step]:
        place = {"thread": act.key, "ns": act.ns, "id": act.id}
        found = self.run("lineage", bounded=act.bounded, limit=act.limit, **place).fetchall()
        return [Step._make(row) for row in found]

    def threads(self, tenant: str, after: bytes, limit: int) -> list[tuple[bytes, str]]:
        found = self.run("threads", tenant=tenant, after=after, limit=limit).fetchall()
        return [(bytes(key), str(name)) for key, name in found]

    def grave(self, key: bytes) -> str | None:
        found = self.run("grave", thread=key).fetchone()
        return None if found is None else str(found[0])

    def writes(self, key: bytes, ns: str, ids: tuple[str, ...]) -> list[Written]:
        place = {"thread": key, "ns": ns}
        found = [Written._make(row) for row in self._among("writes", ids, **place)]
        return sorted(found, key=lambda w: (w.checkpoint, w.path, w.task, w.idx))

    def blobs(self, key: bytes, ids: tuple[bytes, ...]) -> list[Blob]:
        return [Blob._make(row) for row in self._among("blobs", ids, thread=key)]

    def _among(self, name: str, ids: tuple[Any, ...], **place: Any) -> list[Any]:
        return [row for some in self._some(name, ids, **place) for row in some.fetchall()]

    def _some(self, name: str, ids: tuple[Any, ...], **place: Any) -> Iterator[Any]:
        """Execute a statement about so many at a time as it may name."""
        for first in range(0, len(ids), _AMONG):
            some = {f"id{n}": value for n, value in enumerate(ids[first : first + _AMONG])}
            among = f"IN ({', '.join(f':{n}' for n in some)})"
            text = self.dialect.say(CHECKPOINT_STATEMENTS[name], among=among)
            yield self._execute(text, {**some, **place})

    def drop_checkpoint(self, key: bytes, ns: str, id_: str) -> int:
        place = {"thread": key, "ns": ns, "id": id_}
        self.run("drop_writes", **place)
        return int(self.run("drop_checkpoint", **place).rowcount)

    def orphan(self, key: bytes, ns: str, ids: tuple[str, ...]) -> None:
        for _ in self._some("orphan", ids, thread=key, ns=ns):
            pass

    def drop_blobs(self, key: bytes, ids: tuple[bytes, ...], before: int) -> None:
        for id_ in ids:
            self.run("drop_blob", thread=key, id=id_, before=before)

    def drop_thread(self, key: bytes) -> int:
        self.run("drop_thread_writes", thread=key)
        self.run("drop_thread_blobs", thread=key)
        return int(self.run("drop_thread_checkpoints", thread=key).rowcount)

    def bury_thread(self, key: bytes, tenant: str, name: str, through: str, at: int) -> None:
        self.run("bury_thread", thread=key, tenant=tenant, name=name, through=through, at=at)

    def raise_thread(self, key: bytes) -> None:
        self.run("raise_thread", thread=key)

    def copy_thread(self, source: bytes, target: bytes, name: str) -> int:
        self.run("copy_blobs", thread=source, target=target)
        self.run("copy_writes", thread=source, target=target)
        return int(self.run("copy_checkpoints", thread=source, target=target, name=name).rowcount)
