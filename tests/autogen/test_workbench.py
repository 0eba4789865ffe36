"""Any workbench: its calls are effects, and its agent never hangs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import pytest
from autogen_core import CancellationToken
from autogen_core.tools import (
    FunctionTool,
    StaticStreamWorkbench,
    StaticWorkbench,
    TextResultContent,
    ToolResult,
    ToolSchema,
    Workbench,
)
from autogen_core.tools._workbench import ResultContent, StreamWorkbench

from tallystick import Guarantee, Ledger, Policy
from tallystick.errors import (
    ApprovalRequired,
    EffectInDoubt,
    InvalidCall,
    InvalidPolicy,
    NoWorkflow,
)
from tallystick_autogen import LedgeredWorkbench, ToolReported, raising_stops

from ._world import Scripted, Turn, agent, results, soon

PAY: tuple[str, dict[str, Any]] = ("pay", {"amount": 5})
SCHEMA: ToolSchema = {
    "name": "pay",
    "description": "Pay.",
    "parameters": {
        "type": "object",
        "properties": {"amount": {"type": "integer"}, "to": {"type": "string", "default": "bob"}},
        "required": ["amount"],
    },
}


class Server(StreamWorkbench):
    """A workbench like one over MCP: no tools that one could wrap, errors as answers."""

    component_type = "workbench"

    def __init__(self) -> None:
        self.paid: list[Mapping[str, Any]] = []
        self.fails = False
        self.slow = False
        self.down = False
        self.hidden = False
        self.states: list[str] = []

    async def list_tools(self) -> list[ToolSchema]:
        await asyncio.sleep(0)  # as over a wire
        if self.down:
            raise OSError("nobody answers")
        return [] if self.hidden else [SCHEMA]

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
        call_id: str | None = None,
    ) -> ToolResult:
        if name != "pay":
            text: list[ResultContent] = [TextResultContent(content=f"no {name}")]
            return ToolResult(name=name, result=text, is_error=True)
        if self.slow:
            await asyncio.sleep(0.2)
        self.paid.append(dict(arguments or {}))
        text = [TextResultContent(content="broken" if self.fails else "paid")]
        return ToolResult(name=name, result=text, is_error=self.fails)

    async def call_tool_stream(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
        call_id: str | None = None,
    ) -> AsyncGenerator[Any, None]:
        yield "half"
        yield await self.call_tool(name, arguments, cancellation_token, call_id)

    async def start(self) -> None:
        self.states.append("started")

    async def stop(self) -> None:
        self.states.append("stopped")

    async def reset(self) -> None:
        self.states.append("reset")

    async def save_state(self) -> Mapping[str, Any]:
        return {"paid": len(self.paid)}

    async def load_state(self, state: Mapping[str, Any]) -> None:
        self.states.append(f"loaded {state['paid']}")


@pytest.fixture
def server() -> Server:
    return Server()


async def test_the_tools_are_the_wrapped_ones(ledger: Ledger, server: Server) -> None:
    bench = LedgeredWorkbench(server, ledger)
    assert await bench.list_tools() == await server.list_tools()
    assert bench.inner is server
    async with bench:
        await bench.reset()
        await bench.load_state(await bench.save_state())
    assert server.states == ["started", "reset", "loaded 0", "stopped"]


async def test_equal_calls_are_one_effect(ledger: Ledger, server: Server) -> None:
    bench = LedgeredWorkbench(server, ledger)
    both = {**PAY[1], "to": "bob"}
    model = Scripted([[PAY, PAY], [("pay", both)], "done"])
    with ledger.workflow("w"), raising_stops():
        result = await soon(agent(model, workbench=bench).run(task="x"))
    assert server.paid == [both]
    assert results(result) == ["paid"] * 3
    assert result.messages[-1].to_text() == "done"


async def test_a_replay_in_another_process_has_the_same_words(url: str, server: Server) -> None:
    for _ in range(2):
        with Ledger(url) as ledger:
            bench = LedgeredWorkbench(server, ledger, workflow="w")
            told = await bench.call_tool(*PAY)
            assert (told.to_text(), told.is_error, told.name) == ("paid", False, "pay")
    assert len(server.paid) == 1


async def test_an_answer_that_is_an_error_is_in_doubt_and_stops_the_run(
    ledger: Ledger, server: Server
) -> None:
    server.fails = True
    bench = LedgeredWorkbench(server, ledger)
    model = Scripted([[PAY], "?"])
    with ledger.workflow("w"), pytest.raises(EffectInDoubt), raising_stops():
        await soon(agent(model, workbench=bench).run(task="x"))
    assert (len(server.paid), len(model.asked)) == (1, 1)


@pytest.mark.parametrize(
    ("policy", "paid"),
    [
        (Policy(classify={ToolReported: "failed"}), 1),
        (Policy(guarantee=Guarantee.READ_ONLY), 2),
    ],
)
async def test_an_answer_that_is_known_to_say_no_is_told_to_the_model(
    ledger: Ledger, server: Server, policy: Policy, paid: int
) -> None:
    server.fails = True
    bench = LedgeredWorkbench(server, ledger, policies={"pay": policy})
    model = Scripted([[PAY], [PAY], "sorry"])
    with ledger.workflow("w"), raising_stops():
        result = await soon(agent(model, workbench=bench).run(task="x"))
    assert results(result) == ["broken"] * 2
    assert len(server.paid) == paid


@pytest.mark.parametrize("other", [True, False])
async def test_a_stop_does_not_hang_beside_another_workbench(
    ledger: Ledger, server: Server, other: bool
) -> None:
    """The tools are listed once more for each call, when the first one may have stopped."""

    async def look(x: int) -> str:
        return "seen"

    mine = LedgeredWorkbench(server, ledger, default=Policy(approval=True))
    benches: list[Workbench] = [mine]
    if other:
        late = Server()
        late.list_tools = _late  # type: ignore[method-assign]
        benches = [late, mine, StaticWorkbench([FunctionTool(look, "Look.")])]
    model = Scripted([[PAY, ("look", {"x": 1}), ("pay", {"amount": 6})], "?"])
    with ledger.workflow("w"), pytest.raises(ApprovalRequired), raising_stops():
        await soon(agent(model, workbench=benches).run(task="x"))  # type: ignore[arg-type]
    assert (server.paid, len(model.asked)) == ([], 1)
    assert len(ledger.pending()) == 2


async def _late() -> list[ToolSchema]:
    await asyncio.sleep(0.02)
    return []


async def test_a_cancelled_call_is_answered_and_its_outcome_recorded(
    ledger: Ledger, server: Server
) -> None:
    server.slow = True
    bench, token = LedgeredWorkbench(server, ledger, workflow="w"), CancellationToken()
    asyncio.get_running_loop().call_later(0.05, token.cancel)
    told = await soon(bench.call_tool(*PAY, token))
    assert told.is_error
    assert server.paid == []
    again = await soon(bench.call_tool(*PAY))
    assert again.to_text() == "paid"
    assert len(server.paid) == 1


async def test_a_stream_has_its_events_once_and_its_result_each_time(
    ledger: Ledger, server: Server
) -> None:
    bench = LedgeredWorkbench(server, ledger, workflow="w")

    async def heard(name: str, wrapped: LedgeredWorkbench = bench) -> list[str]:
        stream = wrapped.call_tool_stream(name, PAY[1])
        return [e.to_text() if isinstance(e, ToolResult) else e async for e in stream]

    assert await heard("pay") == ["half", "paid"]
    assert await heard("pay") == ["paid"]
    assert await heard("nothing") == ["Tool nothing not found."]
    assert len(server.paid) == 1
    stopped = LedgeredWorkbench(server, ledger)
    assert "outside of a workflow" in (await heard("pay", stopped))[0]
    static = LedgeredWorkbench(StaticWorkbench([]), ledger)
    assert await heard("pay", static) == ["Tool pay not found."]


async def test_a_tool_that_is_not_listed_is_not_called(ledger: Ledger, server: Server) -> None:
    """What the wrapped one did of it would be in no ledger."""
    server.hidden = True
    bench = LedgeredWorkbench(server, ledger, workflow="w")
    assert (await bench.call_tool(*PAY)).to_text() == "Tool pay not found."
    assert (server.paid, ledger.effects()) == ([], [])
    server.hidden = False
    assert (await bench.call_tool(*PAY)).to_text() == "paid"


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_server_that_does_not_list_its_tools_is_an_answer(
    ledger: Ledger, server: Server, streamed: bool
) -> None:
    server.down = True
    bench = LedgeredWorkbench(server, ledger, workflow="w")
    with pytest.raises(OSError, match="nobody answers"):
        await bench.list_tools()
    if streamed:
        told = [event async for event in bench.call_tool_stream(*PAY)][-1]
    else:
        told = await bench.call_tool(*PAY)
    assert (told.is_error, told.to_text(), server.paid) == (True, "nobody answers", [])


async def test_a_server_that_goes_down_before_a_call_does_not_hang_the_agent(
    ledger: Ledger, server: Server
) -> None:
    """The agent lists the tools for each call, and waits for ever where that raises."""

    def down(_: object) -> Turn:
        server.down = True
        return [PAY]

    one = agent(Scripted(down), workbench=LedgeredWorkbench(server, ledger))
    with ledger.workflow("w"), pytest.raises(OSError, match="nobody answers"):
        await soon(one.run(task="x"))
    assert len(server.paid) == 1


async def test_bad_input_is_refused(ledger: Ledger, server: Server) -> None:
    with pytest.raises(InvalidCall, match="Workbench, wrapped once"):
        LedgeredWorkbench(LedgeredWorkbench(server, ledger), ledger)
    with pytest.raises(InvalidCall, match="no ledger"):
        LedgeredWorkbench(server, 5)  # type: ignore[arg-type]
    with pytest.raises(InvalidPolicy, match="no policy"):
        LedgeredWorkbench(server, ledger, default=5)  # type: ignore[arg-type]
    bench = LedgeredWorkbench(server, ledger, workflow="w", policies={"play": Policy()})
    with pytest.raises(InvalidPolicy, match="the tools are pay"):
        await bench.list_tools()
    with pytest.raises(InvalidPolicy), raising_stops():
        assert (await bench.call_tool(*PAY)).is_error
    with pytest.raises(InvalidCall, match="without its ledger"):
        bench.dump_component()
    with pytest.raises(NoWorkflow), raising_stops():
        assert (await LedgeredWorkbench(server, ledger).call_tool(*PAY)).is_error
    assert server.paid == []


async def test_the_default_workbench_of_an_agent_can_be_wrapped_too(ledger: Ledger) -> None:
    paid: list[int] = []

    async def pay(amount: int) -> str:
        paid.append(amount)
        return "paid"

    bench = LedgeredWorkbench(StaticStreamWorkbench([FunctionTool(pay, "Pay.")]), ledger)
    with ledger.workflow("w"):
        await soon(agent(Scripted([[PAY, PAY], "done"]), workbench=bench).run(task="x"))
    assert paid == [5]
