"""
Invocations that may be sent twice.

The tasks of its state tell whether a run is finished. ``next`` leaves out those that are done, and
is empty when a kill came between the last one of a step and the checkpoint of that step.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

from langchain_core.runnables import RunnableConfig

from tallystick._keys import check_name
from tallystick.errors import InvalidCall, ThreadError


def invoke_once(
    graph: Any,
    input: Any,  # noqa: A002 - LangGraph's name
    config: RunnableConfig,
    *,
    run_id: str,
    **options: Any,
) -> Any:
    """
    ``graph.invoke(input, config)``, which may be sent any number of times under one *run_id*.

    What a webhook delivers twice, or a client sends again because the answer was lost, runs once:
    an unfinished run is resumed, of a finished one the result is returned. *run_id* goes into
    ``metadata.run_id``, by which LangGraph knows an input that it has; the checkpointer must keep
    that (all of LangGraph's and LedgerSaver do). *options* are those of ``invoke``.

    Raises InvalidCall without a checkpointer or a thread; ThreadError when the run was left
    unfinished and the thread has gone on with another one.
    """
    config = _config(graph, config, run_id)
    mine: Any = None
    head = graph.get_state(config)
    if not _is(head, run_id):
        mine = next(iter(graph.get_state_history(config, filter={"run_id": run_id}, limit=1)), None)
        if mine is None:
            return graph.invoke(input, config, **options)
        head = graph.get_state(config)  # another delivery may have begun since
    if not _is(head, run_id):
        walk = _Walk(head, mine)
        if not (mine.tasks and any(map(walk.arrives, graph.get_state_history(config)))):
            return _result(graph, mine, run_id)
        input = None  # noqa: A001 - the head does not name the run: it would be a new one
    return graph.invoke(input, config, **options) if head.tasks else _result(graph, head, run_id)


async def ainvoke_once(
    graph: Any,
    input: Any,  # noqa: A002 - LangGraph's name
    config: RunnableConfig,
    *,
    run_id: str,
    **options: Any,
) -> Any:
    """As :func:`invoke_once`, awaited."""
    config = _config(graph, config, run_id)
    head = await graph.aget_state(config)
    mine: list[Any] = []
    if not _is(head, run_id):
        history = graph.aget_state_history(config, filter={"run_id": run_id}, limit=1)
        mine = [state async for state in history]
        if not mine:
            return await graph.ainvoke(input, config, **options)
        head = await graph.aget_state(config)  # another delivery may have begun since
    if not _is(head, run_id):
        walk = _Walk(head, mine[0])
        if not (mine[0].tasks and await _arrives(walk, graph.aget_state_history(config))):
            return _result(graph, mine[0], run_id)
        input = None  # noqa: A001 - the head does not name the run: it would be a new one
    if not head.tasks:
        return _result(graph, head, run_id)
    return await graph.ainvoke(input, config, **options)


def _config(graph: Any, config: Any, run_id: str) -> RunnableConfig:
    check_name(run_id, "run_id")
    given: dict[str, Any] = {**(config or {})}
    conf: Mapping[str, Any] = given.get("configurable") or {}
    if not conf.get("thread_id"):
        raise InvalidCall("invoke_once needs a thread: config={'configurable': {'thread_id': …}}")
    if graph.checkpointer is None or isinstance(graph.checkpointer, bool):
        raise InvalidCall(
            "invoke_once needs a checkpointer, or nothing would remember the run: "
            "compile(checkpointer=LedgerSaver(ledger))"
        )
    named: Mapping[str, Any] = given.get("metadata") or {}
    if named.get("run_id", run_id) != run_id:
        raise InvalidCall(f"config names the run {named['run_id']!r}, the call {run_id!r}")
    return cast("RunnableConfig", {**given, "metadata": {**named, "run_id": run_id}})


class _Walk:
    """
    Back from the head of a thread: whether the run of another checkpoint led to it.

    Whoever resumes a run with ``None`` need not name it, and what is kept then does not.
    """

    def __init__(self, head: Any, mine: Any) -> None:
        self._at = _id(head.config)
        self._mine = _id(mine.config)

    def arrives(self, state: Any) -> bool:
        """Given the states of the thread, the newest first: true once it is there."""
        if _id(state.config) == self._at:
            metadata: Mapping[str, Any] = state.metadata or {}
            began = metadata.get("source") == "input"
            self._at = None if began else _id(state.parent_config)
        return self._at == self._mine


async def _arrives(walk: _Walk, states: AsyncIterator[Any]) -> bool:
    async for state in states:
        if walk.arrives(state):
            return True
    return False


def _id(config: RunnableConfig | None) -> str | None:
    conf: Mapping[str, Any] = (config or {}).get("configurable") or {}
    return conf.get("checkpoint_id")


def _is(state: Any, run_id: str) -> bool:
    metadata: Mapping[str, Any] = state.metadata or {}
    return bool(metadata.get("run_id") == run_id)


def _result(graph: Any, state: Any, run_id: str) -> Any:
    if state.tasks:
        thread = str(state.config["configurable"]["thread_id"])
        at = ", ".join(task.name for task in state.tasks)
        raise ThreadError(
            f"run {run_id!r} of thread {thread!r} was left unfinished at {at}, "
            "and the thread went on without it; to finish it nonetheless, invoke the graph with "
            "None and the config of its last checkpoint",
            thread=thread,
        )
    names: str | list[str] = graph.output_channels
    values: Any = state.values
    if isinstance(names, str):  # the functional API has one
        return values.get(names) if hasattr(values, "get") else values
    return {name: values[name] for name in names if name in values}
