"""A bank behind tools of a ledger, and the agents that ask for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint as _entrypoint  # pyright: ignore[reportMissingTypeStubs]
from langgraph.func import task as _task  # pyright: ignore[reportMissingTypeStubs]
from langgraph.graph import (  # pyright: ignore[reportMissingTypeStubs]
    END,
    START,
    MessagesState,
    StateGraph,
)
from langgraph.prebuilt import ToolNode

from tallystick import Guarantee, Ledger, Policy
from tallystick_checkpoint import LedgerSaver
from tallystick_langchain import wrap_tools
from tallystick_langgraph import LedgerMiddleware, approval_node
from tests.adapters.langchain_agents import (
    Asked,
    Script,
    ScriptedModel,
    agent_of,
    answers,
    said,
    thread,
)

__all__ = [
    "APPROVE",
    "ASKS",
    "END",
    "REJECT",
    "START",
    "Graph",
    "MessagesState",
    "World",
    "classic",
    "contents",
    "entrypoint",
    "in_turn",
    "questions",
    "said",
    "task",
    "thread",
    "watched",
]

#: LangGraph's own, whose types are unknown in part
Graph: Any = StateGraph
entrypoint: Any = _entrypoint
task: Any = _task


class World:
    """What the tests act on, and what they look at: payments that really happened."""

    def __init__(self, ledger: Ledger, *, foreign: bool = False) -> None:
        self.ledger = ledger
        self.foreign = foreign
        self.saver: BaseCheckpointSaver[Any] = InMemorySaver() if foreign else LedgerSaver(ledger)
        #: every payment that was made
        self.book: list[int] = []
        #: how often each of the next payments fails after it was made, or ``flaky`` before
        self.failures = 0
        self.before: Callable[[], object] | None = None
        self._lock = threading.Lock()

    def tools(
        self, policies: dict[str, Policy] | None = None, *, wrapped: bool = True, **options: Any
    ) -> list[BaseTool]:
        """``pay``, which must happen once per intent, and ``flaky``, which fails when told."""

        @tool
        def pay(amount: int) -> str:
            """Pay."""
            if self.before is not None:
                self.before()
            with self._lock:
                self.book.append(amount)
                return f"paid {amount} as number {len(self.book)}"

        @tool
        def flaky(a: int) -> str:
            """Fail as often as it was told."""
            with self._lock:
                if self.failures:
                    self.failures -= 1
                    raise ConnectionError("flaky")
            return "ok"

        made: list[BaseTool] = [pay, flaky]
        if not wrapped:
            return made
        known = {"flaky": Policy(guarantee=Guarantee.READ_ONLY), **(policies or {})}
        return [*wrap_tools(made, self.ledger, policies=known, **options)]

    def agent(self, script: Script, policies: Any = None, **options: Any) -> Any:
        """A ``create_agent`` agent on the checkpointer."""
        options.setdefault("checkpointer", self.saver)
        fork = {"on_fork": options.pop("on_fork")} if "on_fork" in options else {}
        return agent_of(self.tools(policies, **fork), script, **options)


def in_turn(*steps: Sequence[Asked] | str) -> Script:
    """Ask for each of *steps* in turn, counting the answers since the last human message."""

    def script(messages: Sequence[BaseMessage]) -> Any:
        last = max(i for i, m in enumerate(messages) if m.type == "human")
        done = sum(m.type == "tool" for m in messages[last:])
        for step in steps:
            if isinstance(step, str):
                return step
            if done <= 0:
                return list(step)
            done -= len(step)
        return "done"

    return script


def classic(world: World, script: Script, wrapped: Any = None, **options: Any) -> Any:
    """A classic graph: model, approval, tools, and back; ``options`` are approval_node's."""
    model = ScriptedModel(script=script)
    tools = world.tools(wrapped)

    def ask_model(state: MessagesState) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    graph = Graph(MessagesState)
    graph.add_node("model", ask_model)
    graph.add_node("approval", approval_node(world.ledger, **options))
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "model")
    graph.add_edge("model", "approval")
    graph.add_edge("tools", "model")
    return graph.compile(checkpointer=world.saver)


def watched(world: World, script: Script, policies: Any = None, *others: Any) -> Any:
    """A ``create_agent`` agent with the ledger's middleware before and after *others*."""
    middleware = LedgerMiddleware(world.ledger, policies=policies or ASKS)
    place = others.index(...) if ... in others else len(others)
    stack = [one for one in others if one is not ...]
    stack.insert(place, middleware)
    tools = world.tools(wrapped=False)
    return agent_of(tools, script, checkpointer=world.saver, middleware=stack)


def questions(result: Any) -> list[Any]:
    """The interrupts that a run ended with."""
    return list(result.get("__interrupt__", ()))


def contents(result: Any) -> list[str]:
    """What the tools answered, in order."""
    return [str(message.content) for message in answers(result)]


#: a payment needs a person
ASKS = {"pay": Policy(approval=True)}
APPROVE: dict[str, Any] = {"decisions": [{"type": "approve"}]}
REJECT: dict[str, Any] = {"decisions": [{"type": "reject", "message": "too much"}]}
