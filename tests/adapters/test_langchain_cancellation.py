"""Agents that are cancelled, and tools whose siblings fail."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from tallystick import (
    EffectInDoubt,
    Ledger,
)
from tallystick_langchain import wrap_tool, wrap_tools
from tests.adapters.langchain_agents import (
    ASK,
    Acts,
    agent_of,
    answers,
    asking,
    graph_of,
    once,
    said,
    thread,
)


async def test_a_cancelled_async_agent_leaves_its_tool_in_doubt(ledger: Ledger) -> None:
    begun = asyncio.Event()

    @tool
    async def act(x: int) -> str:
        """Act."""
        begun.set()
        await asyncio.sleep(30)
        return "done"

    agent = agent_of([wrap_tool(act, ledger)], ASK)
    run = asyncio.create_task(agent.ainvoke(said(), thread()))
    await asyncio.wait_for(begun.wait(), 10)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    [item] = await settled(ledger.pending)
    assert item.kind == "in_doubt"
    with pytest.raises(EffectInDoubt):
        await agent.ainvoke(None, thread())


async def test_a_sync_tool_of_a_cancelled_agent_is_recorded_when_it_ends(ledger: Ledger) -> None:
    runs: list[int] = []
    begun, may_end = threading.Event(), threading.Event()

    @tool
    def act(x: int) -> str:
        """Act."""
        runs.append(x)
        begun.set()
        may_end.wait(10)
        return "done after all"

    agent = agent_of([wrap_tool(act, ledger)], ASK)
    run = asyncio.create_task(agent.ainvoke(said(), thread()))
    assert await asyncio.to_thread(begun.wait, 10)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    resumed = asyncio.create_task(agent.ainvoke(None, thread()))
    await asyncio.sleep(0.05)
    may_end.set()
    [answer] = answers(await asyncio.wait_for(resumed, 10))
    assert answer.content == "done after all"
    assert runs == [1]


async def settled(look: Callable[[], list[Any]]) -> list[Any]:
    """What *look* finds, once it finds something."""
    for _ in range(200):
        if found := look():
            return found
        await asyncio.sleep(0.01)
    return look()


def test_a_failing_sibling_does_not_run_the_others_twice(ledger: Ledger) -> None:
    charges: list[int] = []

    @tool
    def charge(x: int) -> str:
        """Charge."""
        charges.append(x)
        return f"charged {x}"

    acts = Acts(ConnectionRefusedError("down"))
    tools = wrap_tools([charge, acts.tool()], ledger)
    graph = graph_of(tools, checkpointer=InMemorySaver())
    asked = asking(("charge", {"x": 1}, "c1"), ("act", {"x": 1}, "c2"))
    with pytest.raises(ConnectionRefusedError):
        graph.invoke({"messages": [asked]}, thread())
    result = graph.invoke(None, thread())
    assert [message.content for message in answers(result)] == ["charged 1", "acted on 1"]
    assert charges == [1]
    assert acts.runs == 2


async def test_the_siblings_of_a_failing_tool_are_not_repeated(ledger: Ledger) -> None:
    charges: list[int] = []

    @tool
    def charge(x: int) -> str:
        """Charge, slowly."""
        time.sleep(0.1)
        charges.append(x)
        return f"charged {x}"

    acts = Acts(ConnectionRefusedError("down"))
    tools = wrap_tools([charge, acts.atool()], ledger)
    agent = agent_of(tools, once(("charge", {"x": 1}, "c1"), ("act", {"x": 1}, "c2")))
    with pytest.raises(ConnectionRefusedError):
        await agent.ainvoke(said(), thread())
    result = await agent.ainvoke(None, thread())
    assert [message.content for message in answers(result)] == ["charged 1", "acted on 1"]
    assert charges == [1]
