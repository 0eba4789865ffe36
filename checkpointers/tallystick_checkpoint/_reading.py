"""Somebody else's saver, read piece by piece, with what its tuples do not say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import ormsgpack
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import WRITES_IDX_MAP, BaseCheckpointSaver, CheckpointTuple
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

#: checkpoints that are read in one go
_PAGE = 50

#: Makes nothing of what it reads: objects stay the bytes that they are stored as, and are written
#: as the same bytes. So nothing of a class that is not allowed gets lost, and none is imported.
SEALED = JsonPlusSerializer(allowed_msgpack_modules=None, __unpack_ext_hook__=ormsgpack.Ext)


class Head(NamedTuple):
    """Where a checkpoint is, and what it comes from."""

    ns: str
    id: str
    parent: str | None
    #: the root graph's checkpoint, where this is a subgraph's
    root: str | None


class Mark(NamedTuple):
    """What a pending write is called beside its task and channel."""

    task: str
    channel: str
    idx: int
    path: str


def place(thread: str, ns: str, id_: str | None, **more: Any) -> RunnableConfig:
    """The config of a checkpoint."""
    return {
        "configurable": {
            "thread_id": thread,
            "checkpoint_ns": ns,
            **({} if id_ is None else {"checkpoint_id": id_}),
            **more,
        }
    }


def pages(
    source: BaseCheckpointSaver[Any], config: RunnableConfig | None
) -> Iterator[list[CheckpointTuple]]:
    """All checkpoints there, newest first, some at a time."""
    limit, before = _PAGE, None
    while True:
        found = list(source.list(config, before=before, limit=limit))
        if len(found) < limit:
            yield found
            return
        # others may have the id of the last one: it is left to the next page
        whole = [one for one in found if _id(one) != _id(found[-1])]
        if not whole:
            limit *= 2
            continue
        yield whole
        limit, before = _PAGE, whole[-1].config


def _id(found: CheckpointTuple) -> str:
    return str(found.config.get("configurable", {})["checkpoint_id"])


def threads_of(source: BaseCheckpointSaver[Any]) -> list[str]:
    """The ids of all threads, by name."""
    rows = _rows_of(source)
    if rows is not None:
        return [
            str(row[0]) for row in rows("SELECT DISTINCT thread_id FROM checkpoints ORDER BY 1")
        ]
    found = {
        str(one.config.get("configurable", {})["thread_id"])
        for page in pages(source, None)
        for one in page
    }
    return sorted(found)


def outline(source: BaseCheckpointSaver[Any], thread: str) -> list[Head]:
    """A thread's checkpoints, oldest first, and each after those that it comes from."""
    heads: dict[tuple[str, str], Head] = {}
    for page in pages(source, {"configurable": {"thread_id": thread}}):
        for found in page:
            head = head_of(found)
            heads[head.ns, head.id] = head
    ordered: dict[Head, None] = {}
    for head in sorted(heads.values(), key=lambda h: h.id):
        line: list[Head] = []
        one: Head | None = head
        while one is not None and one not in ordered and one not in line:
            line.append(one)
            origin = (one.ns, one.parent) if one.parent else ("", one.root or "")
            one = heads.get(origin)
        ordered.update(dict.fromkeys(reversed(line)))
    return list(ordered)


def head_of(found: CheckpointTuple) -> Head:
    """Where *found* is."""
    conf: dict[str, Any] = found.config.get("configurable", {})
    above: dict[str, Any] = (found.parent_config or {}).get("configurable", {})
    ns = str(conf.get("checkpoint_ns") or "")
    metadata: dict[str, Any] = cast("dict[str, Any]", found.metadata or {})
    parents: dict[str, str] = metadata.get("parents") or {}
    root = parents.get("") if ns else None
    return Head(ns, str(conf["checkpoint_id"]), above.get("checkpoint_id"), root)


def marks_of(
    source: BaseCheckpointSaver[Any],
    thread: str,
    head: Head,
    writes: Sequence[tuple[str, str, Any]],
) -> list[Mark]:
    """
    What the pending *writes* of a checkpoint are called.

    LangGraph's own savers are asked for it; of others, the order is all that one can know.
    """
    rows = _rows_of(source)
    if rows is None:
        return _made_up(writes)
    table, path, mark = _dialect(source)
    found = rows(
        f"SELECT task_id, channel, idx, {path} FROM {table} "  # noqa: S608 - names of theirs
        f"WHERE thread_id = {mark} AND checkpoint_ns = {mark} AND checkpoint_id = {mark}",
        (thread, head.ns, head.id),
    )
    marks = sorted((Mark(*row) for row in found), key=lambda m: (m.path, m.task, m.idx))
    named = [(task, channel) for task, channel, _ in writes]
    # somebody may have written in between, where a caller's saver does not read from a snapshot
    return marks if [(m.task, m.channel) for m in marks] == named else _made_up(writes)


def _made_up(writes: Sequence[tuple[str, str, Any]]) -> list[Mark]:
    counted: Counter[str] = Counter()
    marks: list[Mark] = []
    for task, channel, _ in writes:
        idx = WRITES_IDX_MAP.get(channel, counted[task])
        counted[task] += channel not in WRITES_IDX_MAP
        marks.append(Mark(task, channel, idx, ""))
    if marks == sorted(marks, key=lambda m: (m.task, m.idx)):
        return marks
    return [mark._replace(path=f"{n:08}") for n, mark in enumerate(marks)]


Rows = Callable[..., list[tuple[Any, ...]]]


def _dialect(source: BaseCheckpointSaver[Any]) -> tuple[str, str, str]:
    if _is_sqlite(source):
        dated = getattr(source, "_has_task_path", True)
        return "writes", "task_path" if dated else "''", "?"
    return "checkpoint_writes", "task_path", "%s"


def _is_sqlite(source: BaseCheckpointSaver[Any]) -> bool:
    return _made_by(source, "langgraph.checkpoint.sqlite")


def _made_by(source: BaseCheckpointSaver[Any], module: str) -> bool:
    return any(kind.__module__ == module for kind in type(source).__mro__)


def _rows_of(source: BaseCheckpointSaver[Any]) -> Rows | None:
    """How to ask the database of one of LangGraph's own savers; ``None`` for another."""
    stock: Any = source
    if _is_sqlite(source):
        asking: Callable[[], Any] = lambda: stock.cursor(transaction=False)  # noqa: E731
    elif _made_by(source, "langgraph.checkpoint.postgres"):
        asking = stock._cursor  # noqa: SLF001
    else:
        return None

    def rows(sql: str, params: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with asking() as cursor:
            cursor.execute(sql, params)
            found: list[Any] = cursor.fetchall()
        return [values_of(row) for row in found]

    return rows


def values_of(row: Any) -> tuple[Any, ...]:
    """A row as PostgresSaver's dictionaries or as SQLite's tuples have it."""
    return tuple(row.values()) if hasattr(row, "values") else tuple(row)
