"""Tools of a real MCP server, in a process of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_mcp_adapters.tools import load_mcp_tools
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from tallystick import ApprovalRequired, Guarantee, Ledger, Policy, Status
from tallystick_langchain import wrap_tools
from tests.adapters.langchain_agents import agent_of, answers, once, said, thread
from tests.adapters.langchain_classes import Sync

SERVER = Path(__file__).with_name("mcp_server.py")


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    path.touch()
    return path


@asynccontextmanager
async def served(book: Path) -> AsyncGenerator[list[BaseTool]]:
    parameters = StdioServerParameters(command=sys.executable, args=[str(SERVER), str(book)])
    async with AsyncExitStack() as stack:
        streams = await stack.enter_async_context(stdio_client(parameters))
        session = await stack.enter_async_context(ClientSession(*streams))
        await session.initialize()
        yield await load_mcp_tools(session)


def lines(book: Path) -> list[str]:
    return book.read_text().splitlines()


async def call(tools: list[BaseTool], name: str, call_id: str = "c1", **args: Any) -> Any:
    [tool] = [tool for tool in tools if tool.name == name]
    call = {"name": name, "args": args, "id": call_id, "type": "tool_call"}
    return await tool.ainvoke(call, thread())


async def test_the_servers_annotations_become_the_policy(ledger: Ledger, book: Path) -> None:
    async with served(book) as bare:
        tools = wrap_tools(bare, ledger)
        for one, other in zip(bare, tools, strict=True):
            assert json.dumps(convert_to_openai_tool(one)) == json.dumps(
                convert_to_openai_tool(other)
            )
        for _ in range(2):
            await call(tools, "balance", account="a")
            await call(tools, "set_limit", account="a", cents=5)
            await call(tools, "close_account", account="a")
            await call(tools, "charge", account="a", cents=5)
    assert {effect.tool: effect.guarantee for effect in ledger.effects()} == {
        "balance": Guarantee.READ_ONLY,
        "set_limit": Guarantee.IDEMPOTENT,
        "close_account": Guarantee.AT_MOST_ONCE,
        "charge": Guarantee.AT_MOST_ONCE,
    }
    assert sorted(lines(book)) == [
        "charged a 5",
        "closed a",
        "limit of a is 5",
        "looked at a",
        "looked at a",
    ]


async def test_a_named_policy_comes_before_what_the_server_claims(
    ledger: Ledger, book: Path
) -> None:
    async with served(book) as bare:
        tools = wrap_tools(bare, ledger, policies={"balance": Policy()})
        for _ in range(2):
            await call(tools, "balance", account="a")
    assert lines(book) == ["looked at a"]


async def test_an_agent_charges_once(ledger: Ledger, book: Path) -> None:
    async with served(book) as bare:
        tools = wrap_tools(bare, ledger, default=Policy(repeat="same"))
        agent = agent_of(tools, once(("charge", {"account": "a", "cents": 5})))
        await agent.ainvoke(said(), thread())
        result = await agent.ainvoke(said(), thread())
    texts: list[Any] = [message.content_blocks for message in answers(result)]
    assert [blocks[0]["text"] for blocks in texts] == ["charged a 5 as number 1"] * 2
    assert lines(book) == ["charged a 5"]


async def test_a_refusal_of_the_server_is_recorded_and_told_again(
    ledger: Ledger, book: Path
) -> None:
    async with served(book) as bare:
        tools = wrap_tools(bare, ledger)
        first = await call(tools, "charge", account="a", cents=5000)
        again = await call(tools, "charge", account="a", cents=5000)
    assert first.status == again.status == "error"
    assert "above the limit" in first.content[0]["text"]
    assert again.content == first.content[0]["text"]
    assert [effect.status for effect in ledger.effects()] == [Status.FAILED]


async def test_a_denied_call_does_not_end_the_run(ledger: Ledger, book: Path) -> None:
    async with served(book) as bare:
        tools = wrap_tools(bare, ledger, policies={"charge": Policy(approval=True)})
        with pytest.raises(ApprovalRequired) as caught:
            await call(tools, "charge", account="a", cents=5)
        await ledger.adeny(str(caught.value.key), by="ann", reason="no")
        answer = await call(tools, "charge", account="a", cents=5)
    assert (answer.status, lines(book)) == ("error", [])
    assert "denied by ann: no" in answer.content


async def test_a_server_that_dies_leaves_a_doubt(ledger: Ledger, book: Path) -> None:
    async with served(book) as bare:
        tools = wrap_tools(bare, ledger)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever the client says
        await call(tools, "charge", account="a", cents=5)
    assert caught.type.__name__ == "EffectInDoubt"
    assert [item.kind for item in ledger.pending()] == ["in_doubt"]


# ---------------------------------------------------------------- claims, and who is believed


def guarantee(ledger: Ledger, hints: dict[str, Any] | None, default: Policy) -> Guarantee:
    [tool] = wrap_tools([Sync(metadata=hints)], ledger, workflow="w", default=default)
    with suppress(ApprovalRequired):
        tool.invoke({"x": 1})
    return ledger.effects()[0].guarantee


READ, SAFE, ONCE = Guarantee.READ_ONLY, Guarantee.IDEMPOTENT, Guarantee.AT_MOST_ONCE


@pytest.mark.parametrize(
    ("hints", "expected"),
    [
        (None, ONCE),
        ({}, ONCE),
        ({"readOnlyHint": True}, READ),
        ({"readOnlyHint": True, "idempotentHint": True}, READ),
        ({"readOnlyHint": "yes"}, ONCE),
        ({"readOnlyHint": False, "idempotentHint": True}, SAFE),
        ({"idempotentHint": True, "destructiveHint": None}, SAFE),
        ({"idempotentHint": True, "destructiveHint": True}, ONCE),
        ({"readOnlyHint": True, "destructiveHint": True}, ONCE),
    ],
)
def test_only_a_clear_claim_counts(
    hints: dict[str, Any] | None, expected: Guarantee, ledger: Ledger
) -> None:
    assert guarantee(ledger, hints, Policy()) is expected


@pytest.mark.parametrize("hint", ["readOnlyHint", "idempotentHint"])
def test_a_claim_lifts_no_approval(hint: str, ledger: Ledger) -> None:
    guarantee(ledger, {hint: True}, Policy(approval=True))
    assert [item.kind for item in ledger.pending()] == ["approval"]


def test_a_claim_does_not_replace_a_declared_guarantee(ledger: Ledger) -> None:
    declared = Policy(guarantee=Guarantee.IDEMPOTENT)
    assert guarantee(ledger, {"readOnlyHint": True}, declared) is SAFE
