"""Which unit of work a call belongs to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tallystick import (
    Ledger,
)
from tallystick.errors import (
    NoWorkflow,
)
from tallystick_langchain import wrap_tool, wrap_tools
from tests.adapters.langchain_agents import (
    Bank,
    agent_of,
    once,
    said,
    thread,
)


@pytest.fixture
def bank() -> Bank:
    return Bank()


def test_the_explicit_workflow_comes_first(ledger: Ledger, bank: Bank) -> None:
    charge = wrap_tool(bank.tool(), ledger, workflow="explicit")
    with ledger.workflow("ambient"):
        charge.invoke({"order": "a"}, thread())
    assert [effect.workflow for effect in ledger.effects()] == ["explicit"]


def test_the_ambient_workflow_comes_before_the_thread(ledger: Ledger, bank: Bank) -> None:
    charge = wrap_tool(bank.tool(), ledger)
    with ledger.workflow("ambient"):
        charge.invoke({"order": "a"}, thread())
    assert [effect.workflow for effect in ledger.effects()] == ["ambient"]


@pytest.mark.parametrize("name", [42, "42"])
def test_a_thread_is_the_same_by_number_and_by_name(
    name: object, ledger: Ledger, bank: Bank
) -> None:
    charge = wrap_tool(bank.tool(), ledger)
    charge.invoke({"order": "a"}, thread(42))
    charge.invoke({"order": "a"}, thread(name))
    assert [effect.workflow for effect in ledger.effects()] == ["42"]
    assert bank.book == ["a"]


@pytest.mark.parametrize("config", [None, {}, thread(""), thread(None)])
def test_without_a_workflow_the_error_names_the_three_ways(
    config: Any, ledger: Ledger, bank: Bank
) -> None:
    charge = wrap_tool(bank.tool(), ledger)
    with pytest.raises(NoWorkflow) as caught:
        charge.invoke({"order": "a"}, config)
    for way in ("thread_id", "ledger.workflow(", "wrap_tools("):
        assert way in str(caught.value)
    assert bank.book == []
    assert ledger.effects() == []


def test_an_agent_without_a_thread_can_use_the_ambient_workflow(ledger: Ledger, bank: Bank) -> None:
    tools = wrap_tools([bank.tool()], ledger)
    agent = agent_of(tools, once(("charge", {"order": "a"})), checkpointer=None)
    with ledger.workflow("ambient"):
        agent.invoke(said())
    assert [effect.workflow for effect in ledger.effects()] == ["ambient"]


async def test_the_ambient_workflow_reaches_sync_tools_of_async_agents(
    ledger: Ledger, bank: Bank
) -> None:
    tools = wrap_tools([bank.tool()], ledger)
    agent = agent_of(tools, once(("charge", {"order": "a"})), checkpointer=None)
    async with ledger.workflow("ambient"):
        await agent.ainvoke(said())
    assert [effect.workflow for effect in ledger.effects()] == ["ambient"]


def test_the_blocking_and_the_awaiting_face_share_their_effects(ledger: Ledger, bank: Bank) -> None:
    charge = wrap_tool(bank.tool(), ledger, workflow="w")
    first = charge.invoke({"order": "a"})
    assert asyncio.run(charge.ainvoke({"order": "a"})) == first
    assert bank.book == ["a"]
