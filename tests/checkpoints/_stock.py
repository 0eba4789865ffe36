"""LangGraph's own savers, and graphs that leave them all there is to copy."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

import psycopg
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.channels.delta import DeltaChannel  # pyright: ignore[reportMissingTypeStubs]
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, StateGraph  # pyright: ignore[reportMissingTypeStubs]
from langgraph.graph.message import add_messages  # pyright: ignore[reportMissingTypeStubs]
from langgraph.types import Command, Send, interrupt

TABLES = "checkpoints", "checkpoint_blobs", "checkpoint_writes"


@dataclass(frozen=True)
class Note:
    """A class of the user's own."""

    text: str
    weight: int = 1


def extend(trail: Any, writes: Any) -> list[str]:
    """What was added, in the order it was written."""
    return [*(trail or []), *(text for some in writes for text in some)]


class State(TypedDict):
    """Messages, a log, something of the user's own, and what stores only what was added to it."""

    messages: Annotated[list[AnyMessage], add_messages]
    log: Annotated[list[str], operator.add]
    note: Note
    trail: Annotated[list[str], DeltaChannel(extend, snapshot_frequency=3)]


def agent(saver: Any) -> Any:
    """A graph with parallel tasks, a subgraph that asks, and one that remembers."""

    def hear(state: State) -> dict[str, Any]:
        text = state["messages"][-1].content
        return {
            "messages": [AIMessage(f"I heard {text}")],
            "note": Note(str(text), 2),
            "trail": ["hear"],
        }

    def fan(state: State) -> list[Send]:
        return [Send("each", {"n": n}) for n in (3, 1, 2)]

    def each(state: Any) -> dict[str, Any]:
        return {"log": [f"each {state['n']}"], "trail": [f"each {state['n']}"]}

    def ask(state: State) -> dict[str, Any]:
        return {"log": [f"told {interrupt({'really': len(state['log'])})}"]}

    def think(state: State) -> dict[str, Any]:
        return {"log": ["think"]}

    inner: Any = StateGraph(State)
    inner.add_node("think", think)
    inner.add_node("ask", ask)
    inner.add_edge(START, "think")
    inner.add_edge("think", "ask")
    memory: Any = StateGraph(State)
    memory.add_node("think", think)
    memory.add_edge(START, "think")
    remembering = memory.compile(checkpointer=True)

    def recall(state: State) -> dict[str, Any]:
        return {"log": [f"recall {len(remembering.invoke({'log': []})['log'])}"]}

    outer: Any = StateGraph(State)
    for name, node in (("hear", hear), ("each", each), ("recall", recall)):
        outer.add_node(name, node)
    outer.add_node("sub", inner.compile())
    outer.add_edge(START, "hear")
    outer.add_conditional_edges("hear", fan, ["each"])
    outer.add_edge("hear", "recall")
    outer.add_edge("each", "sub")
    return outer.compile(checkpointer=saver)


def config(thread: str, **more: Any) -> Any:
    """Where a thread is."""
    return {"configurable": {"thread_id": thread, "user": "ann", **more}}


def say(text: str) -> dict[str, Any]:
    """An input."""
    return {"messages": [HumanMessage(text)]}


def fill(saver: Any) -> None:
    """Three threads: at rest after two turns, at a question, and forked; one that is a number."""
    graph = agent(saver)
    for thread in ("rest", "7", "asks"):
        graph.invoke(say("one"), {**config(thread), "metadata": {"run_id": f"r-{thread}"}})
        if thread != "asks":
            graph.invoke(Command(resume="yes"), config(thread))
    graph.invoke(say("two"), config("rest"))
    graph.invoke(Command(resume="no"), config("rest"))
    early = next(s for s in graph.get_state_history(config("7")) if s.next == ("hear",))
    graph.update_state(early.config, say("instead"))


@dataclass
class Stock:
    """One of LangGraph's own savers with threads in it."""

    kind: str
    url: str
    folder: Path

    @contextmanager
    def saver(self) -> Generator[Any]:
        """The saver as its users open it."""
        if self.kind == "sqlite":
            with SqliteSaver.from_conn_string(str(self.folder / "stock.db")) as saver:
                yield saver
        else:
            with PostgresSaver.from_conn_string(self.url) as saver:
                saver.setup()
                yield saver

    def digest(self) -> str:
        """A hash over all that it stores."""
        if self.kind == "sqlite":
            return hashlib.sha256((self.folder / "stock.db").read_bytes()).hexdigest()
        with psycopg.connect(self.url) as db:
            found = [
                sorted(repr(row) for row in db.execute(f"SELECT * FROM {name}".encode()).fetchall())
                for name in TABLES
            ]
        return hashlib.sha256(repr(found).encode()).hexdigest()

    def execute(self, sql: str, *params: Any) -> None:
        """Change it by hand."""
        with self.saver() as saver:
            if self.kind == "sqlite":
                saver.conn.execute(sql, params)
                saver.conn.commit()
            else:
                saver.conn.execute(sql.replace("?", "%s").encode(), params)
