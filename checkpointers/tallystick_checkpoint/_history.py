"""What a thread's checkpoints say about where a tool call stands."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tallystick import Ledger
from tallystick._checkpoints import ReadCheckpoint, ReadCheckpoints, ReadLineage, Step, thread_key
from tallystick._ports import Ports
from tallystick.errors import CheckpointLate, ThreadError
from tallystick_checkpoint._memory import Memory


class History:
    """The lineage of threads, and the *effect barrier*; for adapters that ledger tools."""

    def __init__(self, ledger: Ledger, memory: Memory, patience: float) -> None:
        self.ledger = ledger
        self._memory = memory
        self._patience = patience

    def _key(self, thread: str) -> bytes:
        return thread_key(self.ledger.tenant, thread)

    def persists(self, thread: str, ns: str) -> bool:
        """Whether the checkpoints of the graph in this namespace are kept."""
        return self._memory.running(self._key(thread), ns)

    def attempt(self, thread: str, ns: str) -> int | None:
        """In which attempt of its node the graph in this namespace runs."""
        return self._memory.attempt(self._key(thread), ns)

    async def durable(self, p: Ports, thread: str, places: Mapping[str, str]) -> None:
        """
        Wait until the checkpoints that asked for a call are on disk, one for each level.

        Bounded: CheckpointLate, and nothing was started.
        """
        key, until = self._key(thread), p.monotonic() + self._patience
        for ns, id_ in places.items():
            if not self._memory.running(key, ns):
                continue
            awaited = self._memory.awaited(key, id_)
            if awaited is None:
                continue
            why: BaseException | None = None
            try:
                await p.until(awaited, max(0.0, until - p.monotonic()))
            except TimeoutError as late:
                self._memory.give_up(key, id_)
                why = late
            except Exception as failed:  # noqa: BLE001 - whatever kept it from being durable
                why = failed
            if isinstance(why, ThreadError):
                raise why
            if why is not None and not await self._there(p, key, ns, id_):
                raise CheckpointLate(
                    f"checkpoint {id_} of thread {thread!r}, which asked for this call, "
                    f"was not durable after {self._patience:g} s ({type(why).__name__}: {why}); "
                    "nothing was started. Look why the database is slow, and invoke the thread "
                    "again with None",
                    thread=thread,
                ) from why

    async def _there(self, p: Ports, key: bytes, ns: str, id_: str) -> bool:
        """Whether another process, or another namespace, has it."""
        return await p.read(ReadCheckpoint(key=key, ns=ns, id=id_)) is not None

    async def turn(self, p: Ports, thread: str, root: str) -> tuple[str, str] | None:
        """The thread in which the turn of a root checkpoint began, and its name."""
        known = self._memory.known((self._key(thread), "", root))
        if known is not None:
            return _turn(known.turn)
        found = await p.read(ReadCheckpoint(key=self._key(thread), ns="", id=root))
        return None if found is None else _turn(found[0].turn)

    async def head(self, p: Ports, thread: str, ns: str) -> Step | None:
        """The newest checkpoint of a namespace."""
        found = await p.read(ReadCheckpoint(key=self._key(thread), ns=ns))
        if found is None:
            return None
        saved = found[0]
        return Step(saved.id, saved.parent, saved.turn, saved.metadata)

    async def parent(self, p: Ports, thread: str, id_: str) -> Step | None:
        """A root checkpoint that is kept, with its parent's id."""
        steps = await p.read(ReadLineage(key=self._key(thread), ns="", id=id_, limit=1))
        return steps[0] if steps else None

    async def lineage(
        self, p: Ports, thread: str, ns: str, id_: str, *, bounded: bool
    ) -> list[Step]:
        """A checkpoint and its ancestors, the nearest first; *bounded* to its turn."""
        return await p.read(ReadLineage(key=self._key(thread), ns=ns, id=id_, bounded=bounded))

    async def branched(self, p: Ports, thread: str, step: Step) -> bool:
        """Whether the root graph had gone on from the parent of *step* before, another way."""
        before = ReadCheckpoints(
            tenant=self.ledger.tenant, key=self._key(thread), ns="", before=step.id
        )
        return any(saved.parent == step.parent for saved in await p.read(before))

    async def finished(self, p: Ports, thread: str, ns: str) -> bool | None:
        """Whether a graph came to its end in this namespace; ``None`` if nothing is known of it."""
        found = await p.read(ReadCheckpoint(key=self._key(thread), ns=ns))
        if found is None:
            return None
        saved, _ = found
        return not any(map(pending, json.loads(saved.vals)))


def pending(channel: str) -> bool:
    """Whether a value in this channel means that a node has still to run."""
    return channel.startswith("branch:to:") or channel == "__pregel_tasks"


def _turn(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    thread, name = json.loads(text)
    return thread, name
