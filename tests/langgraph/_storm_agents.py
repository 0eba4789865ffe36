"""The graphs of a storm, in every shape, and the processes that run them."""

from __future__ import annotations

import asyncio
import functools
import os
import random
import time
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import RetryPolicy

from tallystick import Ledger
from tallystick.errors import EffectStopped
from tallystick_checkpoint import LedgerSaver
from tallystick_langchain import wrap_tools
from tallystick_langgraph import LedgerMiddleware, ainvoke_once, approval_node, invoke_once
from tests.adapters.langchain_agents import ScriptedModel, agent_of, said, thread

from ._storm_plan import Plan, plan, where
from ._storm_world import LEASE, Camp, World, policies, tools
from ._world import END, START, Graph, MessagesState

AGAIN = RetryPolicy(initial_interval=0.005, max_attempts=3)


class Late(LedgerSaver):
    """A saver whose database takes its time, so that kills come before it has what it was given."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        time.sleep(random.random() * 0.02)
        return super().put(config, checkpoint, metadata, new_versions)

    async def aput(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        await asyncio.sleep(random.random() * 0.02)
        return await super().aput(config, checkpoint, metadata, new_versions)

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        time.sleep(random.random() * 0.02)
        super().put_writes(config, writes, task_id, task_path)

    async def aput_writes(
        self, config: Any, writes: Any, task_id: str, task_path: str = ""
    ) -> None:
        await asyncio.sleep(random.random() * 0.02)
        await super().aput_writes(config, writes, task_id, task_path)


class Agents:
    """Graphs for the threads of a camp, on one ledger."""

    def __init__(self, world: World, ledger: Ledger, *, late: bool = False) -> None:
        self.world = world
        self.ledger = ledger
        self.saver = Late(ledger) if late else LedgerSaver(ledger)
        self._plain = tools(world)
        self._policies = policies(world)
        protected = world.camp.protected
        self._tools = (
            [*wrap_tools(self._plain, ledger, policies=self._policies)]
            if protected
            else self._plain
        )
        self.graph = functools.cache(self._graph)

    def _graph(self, plan: Plan) -> Any:
        def script(messages: Sequence[BaseMessage]) -> Any:
            self.world.note("asked", plan.thread, *where(messages))
            return plan.script(messages)

        return getattr(self, f"_{plan.shape}")(script)

    def _agent(self, script: Any) -> Any:
        return agent_of(self._tools, script, checkpointer=self.saver)

    def _middleware(self, script: Any) -> Any:
        if not self.world.camp.protected:
            return self._agent(script)
        ours = LedgerMiddleware(self.ledger, policies=self._policies)
        return agent_of(self._plain, script, checkpointer=self.saver, middleware=[ours])

    def _nested(self, script: Any) -> Any:
        inner = agent_of(self._tools, script, checkpointer=None)
        graph: Any = Graph(MessagesState)
        graph.add_node("agent", inner, retry_policy=AGAIN)
        graph.add_edge(START, "agent")
        graph.add_edge("agent", END)
        return graph.compile(checkpointer=self.saver)

    def _classic(self, script: Any) -> Any:
        model = ScriptedModel(script=script)

        def ask(state: MessagesState) -> Any:
            return {"messages": [model.invoke(state["messages"])]}

        graph: Any = Graph(MessagesState)
        graph.add_node("model", ask)
        graph.add_node("tools", ToolNode(self._tools))
        graph.add_edge(START, "model")
        graph.add_edge("tools", "model")
        if self.world.camp.protected:
            graph.add_node("approve", approval_node(self.ledger), destinations=("tools", END))
            graph.add_edge("model", "approve")
        else:
            graph.add_conditional_edges("model", tools_condition)
        return graph.compile(checkpointer=self.saver)


def humans(state: Any) -> int:
    """How many turns have begun."""
    return sum(isinstance(m, HumanMessage) for m in state.values.get("messages", ()))


def finished(state: Any, plan: Plan) -> bool:
    """Whether a thread is at its end."""
    return not state.tasks and humans(state) == len(plan.turns)


class Worker:
    """One process that is killed at any moment; its successor goes on with its threads."""

    def __init__(self, camp: Camp, slot: int, seed: int) -> None:
        self.camp = camp
        self.slot = slot
        self.chance = random.Random(seed)
        self.world = World(camp)
        self.ledger = Ledger(camp.url, lease=LEASE)
        ports: Any = self.ledger._blocking  # pyright: ignore[reportPrivateUsage]
        self.world.note("holders", ports.holder, os.getpid())
        self.agents = Agents(self.world, self.ledger, late=self.chance.random() < 0.5)
        self.parent = os.getppid()

    def run(self) -> None:
        """Begin threads until there were kills enough, and bring all of them to their end."""
        done = {str(line[0]) for line in self.world.notes(f"finished-{self.slot}")}
        begun = [str(line[0]) for line in self.world.notes(f"begun-{self.slot}")]
        mine = [name for name in begun if name not in done]
        count = len(begun)
        while mine or not self._enough():
            if os.getppid() != self.parent or time.monotonic() > self.camp.until:
                return
            if len(mine) < 3 and not self._enough():
                mine.append(f"{self.slot}-{count}")
                self.world.note(f"begun-{self.slot}", mine[-1])
                count += 1
            name = self.chance.choice(mine)
            if self._moved(name):
                mine.remove(name)
                self.world.note(f"finished-{self.slot}", name)
        self.ledger.close()

    def _enough(self) -> bool:
        return (self.camp.folder / "enough").exists()

    def _moved(self, name: str) -> bool:
        """Do a part of a thread; whether that was the last one."""
        try:
            mine = plan(self.camp.seed, name)
            blocking = self.chance.random() < 0.5
            came = self._go(mine) if blocking else asyncio.run(self._ago(mine))
            if came is not None and "__interrupt__" not in came:
                return False
            if came is None:
                return True
            self.world.note("stopped", name, "interrupt")
        except EffectStopped as stopped:
            self.world.note("stopped", name, type(stopped).__name__)
        except ConnectionError:
            self.world.note("failed", name)
            return False
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told at the end
            shape = plan(self.camp.seed, name).shape
            self.world.note("odd", name, shape, f"{type(error).__name__}: {error}"[:500])
        time.sleep(0.01)  # for a person, a lease or a quiet period; there are other threads
        return False

    def _options(self) -> dict[str, Any]:
        durability = self.chance.choice([None, "sync", "async"])
        return {} if durability is None else {"durability": durability}

    def _go(self, mine: Plan) -> dict[str, Any] | None:
        graph, config = self.agents.graph(mine), thread(mine.thread)
        state = graph.get_state(config)
        if finished(state, mine):
            return None
        how = self._how(state)
        if how is None:
            came = graph.invoke(None, config, **self._options())
        else:
            came = invoke_once(graph, said(how), config, run_id=how, **self._options())
        return dict(came)

    async def _ago(self, mine: Plan) -> dict[str, Any] | None:
        graph, config = self.agents.graph(mine), thread(mine.thread)
        state = await graph.aget_state(config)
        if finished(state, mine):
            return None
        how = self._how(state)
        if how is None:
            came = await graph.ainvoke(None, config, **self._options())
        else:
            came = await ainvoke_once(graph, said(how), config, run_id=how, **self._options())
        return dict(came)

    def _how(self, state: Any) -> str | None:
        """The turn to be sent, perhaps once more; None to resume."""
        unread = state.next == ("__start__",)  # the input is kept, and not yet in the state
        turn = humans(state) - (0 if unread else 1)
        again = self.chance.random() < 0.3
        if state.tasks:  # not `next`: that is empty when a kill came at the end of a step
            self.world.note("resumed", "again" if again else "none")
            return f"turn-{turn}" if again else None
        return f"turn-{turn}" if again and turn >= 0 else f"turn-{turn + 1}"
