"""
What LangGraph tells a tool about where it runs, read in one place.

``thread_id``, ``checkpoint_ns`` and ``checkpoint_map`` are as good as public. Four private keys are
read beside them, each with something to fall back on: the checkpointer, the durability, the runtime
(its ``control`` is one object per run) and a function that reads the state.
"""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from langchain_core.runnables import RunnableConfig

from tallystick._values import Value

_LIST: Any = list
#: runs whose token is remembered
_RUNS = 2000


class Spot(Value):
    """Where in a graph a call is made."""

    thread: str | None
    #: tasks from the root to here, with the count of a subgraph that is not the first
    ns: str
    #: for each level the checkpoint that asked for the task there, the root first
    levels: dict[str, str]
    saver: Any
    #: nothing is put before the end of the run
    at_exit: bool
    #: the run of the root graph, in this process
    run: str | None
    #: which attempt of the innermost node this is
    attempt: int | None
    config: RunnableConfig

    @property
    def segments(self) -> list[str]:
        """``ns`` taken apart."""
        return self.ns.split("|") if self.ns else []

    @property
    def route(self) -> str:
        """The nodes from the root to here, without the ids of tasks."""
        return route_of(self.ns)

    @property
    def task(self) -> str:
        """The id of the task, for humans."""
        return self.ns.rpartition(":")[2]

    def messages(self) -> Iterator[Any]:
        """The messages in the state of the graph, where there are any; read late and in a hurry."""
        read = (self.config.get("configurable") or {}).get("__pregel_read")
        for value in _channels(read):
            yield from (item for item in value if hasattr(item, "content"))


def route_of(ns: str) -> str:
    """A namespace without the ids of tasks and the counts of subgraphs."""
    return "|".join(s.partition(":")[0] for s in ns.split("|") if not s.isdigit())


def spot_of(config: RunnableConfig | None) -> Spot | None:
    """Where a call with this configuration is made; ``None`` outside of any graph."""
    conf: Mapping[str, Any] = (config or {}).get("configurable") or {}
    levels = conf.get("checkpoint_map")
    if not conf.get("__pregel_task_id") or not isinstance(levels, dict) or config is None:
        return None
    runtime = conf.get("__pregel_runtime")
    info = getattr(runtime, "execution_info", None)
    thread = conf.get("thread_id")
    return Spot(
        thread=None if thread is None or thread == "" else str(thread),
        ns=str(conf.get("checkpoint_ns") or ""),
        levels=dict(cast("dict[str, str]", levels)),
        saver=conf.get("__pregel_checkpointer"),
        at_exit=conf.get("__pregel_durability") == "exit",
        run=_token(getattr(runtime, "control", None)),
        attempt=getattr(info, "node_attempt", None),
        config=config,
    )


class _Tokens:
    """A name for each run; the run itself is kept, so that no other one takes its place."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: OrderedDict[int, tuple[Any, str]] = OrderedDict()

    def of(self, control: Any) -> str:
        with self._lock:
            found = self._runs.get(id(control))
            if found is None:
                found = self._runs[id(control)] = (control, uuid.uuid4().hex[:16])
                if len(self._runs) > _RUNS:
                    self._runs.popitem(last=False)
            else:
                self._runs.move_to_end(id(control))
            return found[1]


_TOKENS = _Tokens()


def _token(control: Any) -> str | None:
    return None if control is None else _TOKENS.of(control)


def _channels(read: Any) -> list[list[Any]]:
    """The lists in all channels; the channels' names are in an argument of LangGraph's function."""
    args: Sequence[Any] = getattr(read, "args", ())
    names = next((list(cast("Any", a)) for a in args if isinstance(a, Mapping)), ["messages"])
    values: list[list[Any]] = []
    for name in names:
        # an empty channel has no value, and some are not for a task to read
        with suppress(Exception):
            value: Any = read(name)
            if isinstance(value, _LIST):
                values.append(value)
    return values
