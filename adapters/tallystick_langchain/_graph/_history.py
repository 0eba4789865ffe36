"""What a thread's checkpoints say, where they are kept by another saver than the ledger's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from tallystick._checkpoints import Step
from tallystick._ports import Ports
from tallystick.errors import CheckpointLate

#: seconds to wait for a checkpoint, and for one of a nested graph that may keep none
_PATIENCE, _NESTED = 30.0, 0.5
_PAUSE = 0.002
#: ancestors that are walked
_FAR = 10_000


class History(Protocol):
    """The lineage of threads, and when a checkpoint is durable."""

    def persists(self, thread: str, ns: str) -> bool:
        """Whether the checkpoints of the graph in this namespace are kept."""
        ...

    def attempt(self, thread: str, ns: str) -> int | None:
        """In which attempt of its node the graph in this namespace runs, where that is known."""
        ...

    async def durable(self, p: Ports, thread: str, places: Mapping[str, str]) -> None:
        """Wait until these checkpoints are kept; CheckpointLate when it takes too long."""
        ...

    async def turn(self, p: Ports, thread: str, root: str) -> tuple[str, str] | None:
        """The thread in which the turn of a root checkpoint began, and its name."""
        ...

    async def head(self, p: Ports, thread: str, ns: str) -> Step | None:
        """The newest checkpoint of a namespace."""
        ...

    async def parent(self, p: Ports, thread: str, id_: str) -> Step | None:
        """A root checkpoint that is kept, with its parent's id."""
        ...

    async def lineage(
        self, p: Ports, thread: str, ns: str, id_: str, *, bounded: bool
    ) -> list[Step]:
        """A checkpoint and its ancestors, the nearest first; *bounded* to its turn."""
        ...

    async def branched(self, p: Ports, thread: str, step: Step) -> bool:
        """Whether the root graph had gone on from the parent of *step* before, another way."""
        ...

    async def finished(self, p: Ports, thread: str, ns: str) -> bool | None:
        """Whether a graph came to its end in this namespace; ``None`` if nothing is known."""
        ...


class Foreign:
    """
    A history that is read step by step, through any checkpointer's ``get_tuple``.

    Nobody announces what is durable: it is looked for until it is there.
    """

    def __init__(self, saver: Any, *, awaiting: bool) -> None:
        self._saver = saver
        self._awaiting = awaiting
        self._kept: set[str] = set()

    async def _get(self, thread: str, ns: str, id_: str | None) -> Any:
        conf: dict[str, Any] = {"thread_id": thread, "checkpoint_ns": ns}
        if id_ is not None:
            conf["checkpoint_id"] = id_
        config = {"configurable": conf}
        if self._awaiting:
            return await self._saver.aget_tuple(config)
        return self._saver.get_tuple(config)

    def persists(self, thread: str, ns: str) -> bool:
        return ns in self._kept

    def attempt(self, thread: str, ns: str) -> int | None:
        return None

    async def durable(self, p: Ports, thread: str, places: Mapping[str, str]) -> None:
        for ns, id_ in places.items():
            # the root's checkpoint has to come; a nested graph may have no checkpointer
            until = p.monotonic() + (_NESTED if ns else _PATIENCE)
            while await self._get(thread, ns, id_) is None:
                if p.monotonic() > until:
                    break
                await p.pause(_PAUSE)
            else:
                self._kept.add(ns)
                continue
            if not ns:
                raise CheckpointLate(
                    f"checkpoint {id_} of thread {thread!r}, which asked for this call, was not "
                    f"durable after {_PATIENCE:g} s; nothing was started. Look why "
                    f"{type(self._saver).__name__} is slow, and invoke the thread again with None",
                    thread=thread,
                )

    async def turn(self, p: Ports, thread: str, root: str) -> tuple[str, str] | None:
        steps = await self._walk(thread, "", root, bounded=True)
        if not steps or steps[-1][1] != "input":
            return None
        begin, _, run = steps[-1]
        return thread, f"run:{run}" if run else begin.id

    async def head(self, p: Ports, thread: str, ns: str) -> Step | None:
        found = await self._get(thread, ns, None)
        return None if found is None else _step(found)

    async def parent(self, p: Ports, thread: str, id_: str) -> Step | None:
        found = await self._get(thread, "", id_)
        return None if found is None else _step(found)

    async def lineage(
        self, p: Ports, thread: str, ns: str, id_: str, *, bounded: bool
    ) -> list[Step]:
        return [step for step, _, _ in await self._walk(thread, ns, id_, bounded=bounded)]

    async def _walk(
        self, thread: str, ns: str, id_: str | None, *, bounded: bool
    ) -> list[tuple[Step, str, str | None]]:
        found: list[tuple[Step, str, str | None]] = []
        while id_ is not None and len(found) < _FAR:
            given = await self._get(thread, ns, id_)
            if given is None:
                break
            step, source = _step(given), str(given.metadata.get("source"))
            run = given.metadata.get("run_id")
            found.append((step, source, run if isinstance(run, str) and run else None))
            id_ = None if bounded and source == "input" else step.parent
        return found

    async def branched(self, p: Ports, thread: str, step: Step) -> bool:
        config = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
        before = {"configurable": {"thread_id": thread, "checkpoint_id": step.id}}
        if self._awaiting:
            found = [f async for f in self._saver.alist(config, before=before)]
        else:
            found = list(self._saver.list(config, before=before))
        return any(_step(f).parent == step.parent for f in found)

    async def finished(self, p: Ports, thread: str, ns: str) -> bool | None:
        found = await self._get(thread, ns, None)
        if found is None:
            return None
        values: Mapping[str, Any] = found.checkpoint["channel_values"]
        return not any(
            name.startswith("branch:to:") or (name == "__pregel_tasks" and value)
            for name, value in values.items()
        )


def _step(found: Any) -> Step:
    config: dict[str, Any] = found.parent_config or {}
    parent = config.get("configurable", {}).get("checkpoint_id")
    metadata = {"source": found.metadata.get("source")}
    return Step(found.checkpoint["id"], parent, None, json.dumps(metadata))
