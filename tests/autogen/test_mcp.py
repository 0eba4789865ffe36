"""AutoGen's own workbench over a real MCP server, in a process of its own."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from autogen_core import CancellationToken
from autogen_core.tools import ImageResultContent
from autogen_ext.tools.mcp import (  # pyright: ignore[reportMissingTypeStubs]
    McpWorkbench,
    StdioServerParams,
)

from tallystick import Guarantee, Ledger, Policy
from tallystick.errors import EffectInDoubt, StillRunning
from tallystick_autogen import LedgeredWorkbench, ToolReported, raising_stops
from tests.adapters.processes import ROOT

from ._world import Scripted, agent, results, soon

SERVER = ROOT / "tests" / "adapters" / "mcp_server.py"
CHARGE = ("charge", {"account": "a", "cents": 5})
TOO_MUCH = ("charge", {"account": "a", "cents": 5000})


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    path.touch()
    return path


def served(book: Path) -> McpWorkbench:
    """The bank that keeps this book."""
    args = [str(SERVER), str(book)]
    return McpWorkbench(
        StdioServerParams(command=sys.executable, args=args, read_timeout_seconds=20)
    )


def lines(book: Path) -> list[str]:
    return book.read_text().splitlines()


async def test_an_agent_charges_once_over_processes(url: str, book: Path) -> None:
    told: list[str] = []
    for _ in range(2):
        with Ledger(url) as ledger, ledger.workflow("w"):
            async with LedgeredWorkbench(served(book), ledger) as bench:
                model = Scripted([[CHARGE, CHARGE], [CHARGE], "done"])
                result = await soon(agent(model, workbench=bench).run(task="x"))
                assert await bench.list_tools() == await bench.inner.list_tools()
            told += results(result)
    assert lines(book) == ["charged a 5"]
    assert told == ["charged a 5 as number 1"] * 6


async def test_the_servers_defaults_belong_to_the_call(ledger: Ledger, book: Path) -> None:
    both: dict[str, Any] = {"account": "a", "cents": 100, "pause": 0.0, "dies": False}
    async with LedgeredWorkbench(served(book), ledger, workflow="w") as bench:
        first = await soon(bench.call_tool("wire", {"account": "a"}))
        again = await soon(bench.call_tool("wire", both))
    assert first == again
    assert lines(book) == ["wired a 100"]


async def test_a_picture_is_the_same_again(url: str, book: Path) -> None:
    told: list[Any] = []
    async with served(book) as server:
        for _ in range(2):
            with Ledger(url) as ledger:
                bench = LedgeredWorkbench(server, ledger, workflow="w")
                told.append(await soon(bench.call_tool("photo", {"account": "a"})))
    first, again = (one.result[0] for one in told)
    assert isinstance(first, ImageResultContent)
    assert isinstance(again, ImageResultContent)
    assert first.content.to_base64() == again.content.to_base64()
    assert lines(book) == ["photo of a"]


@pytest.mark.parametrize("known", [False, True])
async def test_a_server_that_says_no_is_in_doubt_unless_it_is_known_to_mean_it(
    ledger: Ledger, book: Path, known: bool
) -> None:
    """The same answer comes of a connection that broke."""
    policy = Policy(classify={ToolReported: "failed"}) if known else Policy()
    model = Scripted([[TOO_MUCH], "sorry"])
    async with LedgeredWorkbench(served(book), ledger, policies={"charge": policy}) as bench:
        running = agent(model, workbench=bench).run(task="x")
        if known:
            with ledger.workflow("w"), raising_stops():
                result = await soon(running)
            assert "above the limit" in results(result)[0]
        else:
            with ledger.workflow("w"), pytest.raises(EffectInDoubt), raising_stops():
                await soon(running)
    assert len(model.asked) == (2 if known else 1)
    assert lines(book) == []


async def test_a_server_that_dies_in_a_call_stops_the_run_and_is_not_asked_twice(
    ledger: Ledger, book: Path
) -> None:
    """AutoGen tells the model that it failed, and the model wires once more."""
    wire = ("wire", {"account": "a", "dies": True})
    async with LedgeredWorkbench(served(book), ledger, workflow="w") as bench:
        with pytest.raises(EffectInDoubt), raising_stops():
            await soon(agent(Scripted([[wire], [wire], "?"]), workbench=bench).run(task="x"))
    assert lines(book) == ["wired a 100"]


async def test_a_server_that_only_reads_is_asked_again(ledger: Ledger, book: Path) -> None:
    reads = Policy(guarantee=Guarantee.READ_ONLY)
    async with LedgeredWorkbench(
        served(book), ledger, workflow="w", policies={"balance": reads}
    ) as bench:
        for _ in range(2):
            await soon(bench.call_tool("balance", {"account": "a"}))
    assert lines(book) == ["looked at a"] * 2


async def test_a_cancelled_run_ends_at_once_and_the_outcome_is_recorded(
    ledger: Ledger, book: Path
) -> None:
    token = CancellationToken()
    wire = ("wire", {"account": "a", "pause": 0.3})
    async with LedgeredWorkbench(served(book), ledger, workflow="w") as bench:

        async def run() -> None:
            with raising_stops():
                model = Scripted([[wire], "?"])
                await agent(model, workbench=bench).run(task="x", cancellation_token=token)

        running = asyncio.create_task(run())
        async with asyncio.timeout(10):
            while not lines(book):  # noqa: ASYNC110 - a file rings no bell
                await asyncio.sleep(0.01)
        token.cancel()
        with pytest.raises(StillRunning):
            await soon(running)
        told = await soon(bench.call_tool(*wire))
    assert (told.is_error, lines(book)) == (False, ["wired a 100"])
