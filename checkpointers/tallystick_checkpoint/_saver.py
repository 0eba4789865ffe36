"""The checkpointer: one class, both faces, every store."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from tallystick import Ledger
from tallystick._checkpoints import ReadCheckpoints, thread_key
from tallystick._faces import run_sync
from tallystick._keys import is_a
from tallystick._policy import seconds
from tallystick.errors import InvalidCall
from tallystick_checkpoint import _flows as flows
from tallystick_checkpoint._history import History
from tallystick_checkpoint._house import House
from tallystick_checkpoint._memory import Memory
from tallystick_checkpoint._replaying import stand_in


class LedgerSaver(House):
    """
    LangGraph's checkpoints in the database of *ledger*, through its journal.

    A checkpoint is durable when ``put`` returns. Each value is stored once, lists element by
    element, so that a thread grows with what is said in it and not with its square. A thread that
    was deleted stays deleted: what a run still sends is refused with ThreadDeleted, and only an
    invocation that begins anew makes the thread again.

    serde
        By default LangGraph's own, closed: only the types that it knows to be safe are made of
        what is read; of any other class you get the plain data, and a warning in the log. The
        classes of the graph's own state LangGraph adds by itself where the environment says
        ``LANGGRAPH_STRICT_MSGPACK=true``; others you allow by
        ``JsonPlusSerializer(allowed_msgpack_modules=[("module", "Class")])``. An
        ``EncryptedSerializer`` is as closed as what it wraps:
        ``EncryptedSerializer.from_pycryptodome_aes(LedgerSaver.closed(), …)``.

    barrier
        Seconds that a tool on this ledger waits for the checkpoint that asked for it to be
        durable, before it acts; then CheckpointLate, and nothing was started.

    Any thread and any event loop may use it, on every store of the ledger. It ends with the ledger.
    Inside of ``with ledger.replay(…)`` threads begin anew, and what is kept is kept in memory.

    >>> from tallystick import Ledger
    >>> ledger = Ledger("memory://")
    >>> saver = LedgerSaver(ledger)
    >>> saver.get_tuple({"configurable": {"thread_id": "1"}}) is None
    True
    >>> ledger.close()
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        serde: SerializerProtocol | None = None,
        barrier: float = 30.0,
    ) -> None:
        if not is_a(ledger, Ledger):
            raise InvalidCall(f"{ledger!r} is no ledger; give a tallystick.Ledger")
        super().__init__(serde=serde if serde is not None else self.closed())
        self.ledger = ledger
        self._memory = Memory()
        #: for the adapters of this ledger: where in a thread's history a call stands
        self.history = History(ledger, self._memory, seconds(barrier, "LedgerSaver(barrier=…)"))

    @staticmethod
    def closed() -> JsonPlusSerializer:
        """The serializer that makes nothing but what LangGraph knows to be safe."""
        return JsonPlusSerializer(allowed_msgpack_modules=None)

    @property
    def _stand_in(self) -> InMemorySaver | None:
        """What keeps the threads of a replay."""
        return stand_in(self, self.ledger)

    def _place(self, config: RunnableConfig) -> flows.Place:
        return flows.place_of(self.ledger.tenant, config)

    # -- reading ------------------------------------------------------------------------------

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that *config* names, or the newest of its thread and namespace."""
        if (other := self._stand_in) is not None:
            return other.get_tuple(config)
        self._begins(config)
        return run_sync(flows.get(self._sync, self._memory, self.serde, self._place(config)))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As :meth:`get_tuple`, awaited."""
        if (other := self._stand_in) is not None:
            return await other.aget_tuple(config)
        self._begins(config)
        return await flows.get(self._async, self._memory, self.serde, self._place(config))

    def _begins(self, config: RunnableConfig) -> None:
        """A graph that begins to run asks for its newest checkpoint, others ask without that."""
        runtime: Any = config.get("configurable", {}).get("__pregel_runtime")
        if runtime is not None:
            place, info = self._place(config), getattr(runtime, "execution_info", None)
            self._memory.runs(place.key, place.ns, getattr(info, "node_attempt", None))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints, newest first; of all threads without *config*."""
        if (other := self._stand_in) is not None:
            yield from other.list(config, filter=filter, before=before, limit=limit)
            return
        asked = self._asked(config, before)
        yield from run_sync(
            flows.find(self._sync, self._memory, self.serde, asked, filter or {}, limit)
        )

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """As :meth:`list`, awaited."""
        if (other := self._stand_in) is not None:
            async for kept in other.alist(config, filter=filter, before=before, limit=limit):
                yield kept
            return
        asked = self._asked(config, before)
        for found in await flows.find(
            self._async, self._memory, self.serde, asked, filter or {}, limit
        ):
            yield found

    def _asked(
        self, config: RunnableConfig | None, before: RunnableConfig | None
    ) -> ReadCheckpoints:
        tenant = self.ledger.tenant
        end: Any = None if before is None else before.get("configurable", {}).get("checkpoint_id")
        if config is None:
            return ReadCheckpoints(tenant=tenant, before=end)
        place, conf = self._place(config), config.get("configurable") or {}
        return ReadCheckpoints(
            tenant=tenant,
            key=thread_key(tenant, place.thread),
            ns=place.ns if "checkpoint_ns" in conf else None,
            id=place.id,
            before=end,
        )

    # -- writing ------------------------------------------------------------------------------

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Keep a checkpoint, durable on return; ThreadDeleted if its thread was deleted since."""
        if (other := self._stand_in) is not None:
            return other.put(config, checkpoint, metadata, new_versions)
        merged = get_checkpoint_metadata(config, metadata)
        draft = flows.Draft(self._place(config), checkpoint, merged, new_versions)
        return run_sync(flows.put(self._sync, self._memory, self.serde, draft))

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As :meth:`put`, awaited."""
        if (other := self._stand_in) is not None:
            return await other.aput(config, checkpoint, metadata, new_versions)
        merged = get_checkpoint_metadata(config, metadata)
        draft = flows.Draft(self._place(config), checkpoint, merged, new_versions)
        return await flows.put(self._async, self._memory, self.serde, draft)

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Keep what a task wrote for the next checkpoint; dropped if the thread was deleted."""
        if (other := self._stand_in) is not None:
            other.put_writes(config, writes, task_id, task_path)
            return
        place = self._place(config)
        run_sync(flows.put_writes(self._sync, self.serde, place, writes, task_id, task_path))

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """As :meth:`put_writes`, awaited."""
        if (other := self._stand_in) is not None:
            await other.aput_writes(config, writes, task_id, task_path)
            return
        place = self._place(config)
        await flows.put_writes(self._async, self.serde, place, writes, task_id, task_path)

    def get_next_version(self, current: str | None, channel: None) -> str:
        """The next version of a channel: a number that sorts as text, and some luck for forks."""
        number = 0 if current is None else int(str(current).partition(".")[0])
        return f"{number + 1:032}.{random.random():016}"  # noqa: S311 - no secret
