"""A wrapped tool is the tool that it wraps, and each call of it one effect."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.tools import AgentTool
from autogen_core import CancellationToken
from autogen_core.tools import (
    BaseStreamTool,
    BaseToolWithState,
    FunctionTool,
    StaticWorkbench,
    StreamTool,
)
from pydantic import BaseModel

from tallystick import Ledger, Policy, Status, current_effect
from tallystick.errors import InvalidCall, InvalidPolicy, NoWorkflow
from tallystick_autogen import LedgeredTool, ledgered_tool, raising_stops, wrap_tool, wrap_tools

from ._world import Scripted, agent, results, soon

PAY = {"amount": 5}


class Receipt(BaseModel):
    """What a payment comes to."""

    amount: int
    to: str


class Till:
    """Counts what was really paid."""

    def __init__(self) -> None:
        self.paid: list[tuple[int, str]] = []

    def pay(self, amount: int, to: str = "bob") -> dict[str, Any]:
        """Pay somebody."""
        self.paid.append((amount, to))
        return {"paid": amount, "to": to}

    async def apay(self, amount: int, to: str = "bob") -> Receipt:
        """Pay somebody."""
        await asyncio.sleep(0.01)
        self.paid.append((amount, to))
        return Receipt(amount=amount, to=to)


@pytest.fixture
def till() -> Till:
    return Till()


def twice(till: Till) -> list[Any]:
    """The two kinds of function."""
    return [FunctionTool(till.pay, "Pay."), FunctionTool(till.apay, "Pay.", name="pay")]


@pytest.mark.parametrize("kind", [0, 1])
def test_the_schema_is_the_plain_tools_own(ledger: Ledger, till: Till, kind: int) -> None:
    plain = twice(till)[kind]
    wrapped = wrap_tool(plain, ledger)
    assert json.dumps(wrapped.schema) == json.dumps(plain.schema)
    assert (wrapped.name, wrapped.description) == (plain.name, plain.description)
    assert wrapped.args_type() is plain.args_type()
    assert wrapped.return_type() is plain.return_type()
    assert wrapped.state_type() is plain.state_type()


def test_a_strict_schema_stays_strict(ledger: Ledger) -> None:
    def act(x: int) -> int:
        return x

    plain = FunctionTool(act, "Act.", strict=True)
    assert wrap_tool(plain, ledger).schema == plain.schema
    assert wrap_tool(plain, ledger).schema.get("strict") is True


async def test_a_function_becomes_the_tool_that_an_agent_would_make_of_it(
    ledger: Ledger, till: Till
) -> None:
    plain, wrapped = Scripted(["done"]), Scripted(["done"])
    await agent(plain, [till.pay]).run(task="x")  # type: ignore[list-item]
    await agent(wrapped, wrap_tools([till.pay], ledger)).run(task="x")
    assert json.dumps(plain.tools[0]) == json.dumps(wrapped.tools[0])


@pytest.mark.parametrize("kind", [0, 1])
async def test_the_same_call_in_a_later_round_is_one_effect(
    ledger: Ledger, till: Till, kind: int
) -> None:
    """B1: AutoGen runs it each time."""
    tools = wrap_tools([twice(till)[kind]], ledger)
    model = Scripted([[("pay", PAY)], [("pay", {**PAY, "to": "bob", "why": "?"})], "done"])
    with ledger.workflow("w"):
        result = await soon(agent(model, tools).run(task="pay"))
    assert till.paid == [(5, "bob")]
    first, second = results(result)
    assert first == second
    assert first in {"{'paid': 5, 'to': 'bob'}", '{"amount": 5, "to": "bob"}'}


@pytest.mark.parametrize("kind", [0, 1])
async def test_two_identical_calls_in_one_turn_are_one_effect(
    ledger: Ledger, till: Till, kind: int
) -> None:
    """B1: AutoGen runs both at once."""
    tools = wrap_tools([twice(till)[kind]], ledger)
    model = Scripted([[("pay", PAY), ("pay", PAY)], "done"])
    with ledger.workflow("w"):
        result = await soon(agent(model, tools).run(task="pay"))
    assert till.paid == [(5, "bob")]
    assert len(set(results(result))) == 1
    assert result.messages[-1].to_text() == "done"


@pytest.mark.parametrize("kind", [0, 1])
async def test_a_replay_in_another_process_has_the_same_words(
    url: str, till: Till, kind: int
) -> None:
    told: list[str] = []
    for _ in range(2):
        with Ledger(url) as ledger, ledger.workflow("w"):
            tool = wrap_tools([twice(till)[kind]], ledger)
            model = Scripted([[("pay", PAY)], "done"])
            told += results(await soon(agent(model, tool).run(task="pay")))
    assert till.paid == [(5, "bob")]
    assert told[0] == told[1]


async def test_a_cached_answer_with_the_same_call_id_in_another_workflow_is_another_effect(
    ledger: Ledger, till: Till
) -> None:
    """B1: call ids say nothing, the workflow does."""
    tools = wrap_tools([till.pay], ledger)
    for workflow in ("one", "two", "two"):
        with ledger.workflow(workflow):
            await soon(agent(Scripted([[("pay", PAY)], "ok"], ids="same"), tools).run(task="x"))
    assert till.paid == [(5, "bob")] * 2


async def test_an_intended_repeat_says_so_by_its_identity(ledger: Ledger, till: Till) -> None:
    policy = Policy(identity=("to",))
    tools = wrap_tools([till.pay], ledger, policies={"pay": policy})
    calls = [("pay", {**PAY, "to": to}) for to in ("ann", "bob", "ann")]
    with ledger.workflow("w"):
        await soon(agent(Scripted([calls, "ok"]), tools).run(task="x"))
    assert sorted(till.paid) == [(5, "ann"), (5, "bob")]


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_function_finds_its_effect(ledger: Ledger, kind: str) -> None:
    """Also one that blocks, which AutoGen calls without its context."""
    seen: list[str] = []

    def blocking(x: int) -> str:
        seen.append(current_effect().idempotency_key)
        assert threading.current_thread() is not threading.main_thread()
        return "ok"

    async def awaiting(x: int) -> str:
        seen.append(current_effect().idempotency_key)
        return "ok"

    function = blocking if kind == "sync" else awaiting
    tool = wrap_tool(FunctionTool(function, "Act.", name="act"), ledger, workflow="w")
    assert await tool.run_json({"x": 1}, CancellationToken()) == "ok"
    assert seen == [ledger.effects()[0].key]


async def test_the_decorator_takes_what_a_function_tool_takes(ledger: Ledger) -> None:
    @ledgered_tool(ledger, name="send", description="Send it.", strict=True, workflow="w")
    async def _send(to: str) -> str:
        return f"sent to {to}"

    assert isinstance(_send, LedgeredTool)
    assert (_send.name, _send.description) == ("send", "Send it.")
    assert _send.schema.get("strict") is True
    assert await _send.run_json({"to": "ann"}, CancellationToken()) == "sent to ann"
    assert [effect.tool for effect in ledger.effects()] == ["send"]


async def test_arguments_that_do_not_fit_are_told_to_the_model(ledger: Ledger, till: Till) -> None:
    tools = wrap_tools([till.pay], ledger)
    model = Scripted([[("pay", {"amount": "much"})], "done"])
    with ledger.workflow("w"), raising_stops():
        result = await soon(agent(model, tools).run(task="x"))
    assert "valid integer" in results(result)[0]
    assert ledger.effects() == []


class Counting(BaseModel):
    """How often."""

    count: int = 0


class Counter(BaseToolWithState[Counting, Counting, Counting]):
    """A tool with a state."""

    def __init__(self) -> None:
        super().__init__(Counting, Counting, Counting, "count", "Count.")
        self.count = 0

    async def run(self, args: Counting, cancellation_token: CancellationToken) -> Counting:
        self.count += args.count
        return Counting(count=self.count)

    def save_state(self) -> Counting:
        return Counting(count=self.count)

    def load_state(self, state: Counting) -> None:
        self.count = state.count


async def test_the_tools_own_state_is_saved_and_loaded(ledger: Ledger) -> None:
    tool = wrap_tool(Counter(), ledger, workflow="w")
    await tool.run_json({"count": 2}, CancellationToken())
    state = await tool.save_state_json()
    other = wrap_tool(Counter(), ledger, workflow="w")
    await other.load_state_json(state)
    assert state == await other.save_state_json() == {"count": 2}
    assert await other.run(Counting(count=2), CancellationToken()) == Counting(count=2)


class Telling(BaseStreamTool[Counting, Counting, Counting]):
    """A tool that tells how far it is."""

    def __init__(self) -> None:
        super().__init__(Counting, Counting, "tell", "Tell.")
        self.ran = 0

    async def run(self, args: Counting, cancellation_token: CancellationToken) -> Counting:
        raise AssertionError

    async def run_stream(
        self, args: Counting, cancellation_token: CancellationToken
    ) -> AsyncGenerator[Counting, None]:
        self.ran += 1
        for n in range(args.count):
            yield Counting(count=n)


async def test_a_stream_tool_tells_its_events_once_and_its_result_each_time(
    ledger: Ledger,
) -> None:
    plain = Telling()
    tool = wrap_tool(plain, ledger, workflow="w")
    assert isinstance(tool, StreamTool)

    async def heard() -> list[int]:
        stream = tool.run_json_stream({"count": 3}, CancellationToken())
        return [event.count async for event in stream]

    assert await heard() == [0, 1, 2]
    assert await heard() == [2]
    assert plain.ran == 1


async def test_an_agent_that_is_a_tool_is_one_effect(ledger: Ledger, till: Till) -> None:
    """B1: AutoGen asks the inner agent again, and its tools act again."""
    inner = Scripted([[("pay", PAY)], "paid"])
    helper = AssistantAgent(
        "helper", inner, tools=[till.pay], description="Helps.", max_tool_iterations=3
    )
    tool = wrap_tool(AgentTool(helper), ledger)
    ask = ("helper", {"task": "pay"})
    with ledger.workflow("w"):
        result = await soon(agent(Scripted([[ask], [ask], "ok"]), [tool]).run(task="x"))
    first, second = results(result)
    assert first == second
    assert till.paid == [(5, "bob")]
    assert len(inner.asked) == 2


def test_a_wrapped_tool_refuses_to_lose_its_ledger(ledger: Ledger, till: Till) -> None:
    """A FunctionTool would be dumped as its source, and come back unguarded."""
    tool = wrap_tool(till.pay, ledger)
    with pytest.raises(InvalidCall, match="without its ledger"):
        tool.dump_component()
    with pytest.raises(InvalidCall, match="without its ledger"):
        StaticWorkbench([tool]).dump_component()


def test_a_wrapped_tool_is_wrapped_once(ledger: Ledger, till: Till) -> None:
    tool = wrap_tool(till.pay, ledger, workflow="w")
    assert wrap_tool(tool, ledger, workflow="w") is tool
    assert wrap_tools([tool], ledger, default=Policy(approval=True)) == [tool]
    with pytest.raises(InvalidCall, match="for the workflow 'w' already"):
        wrap_tool(tool, ledger, workflow="v")
    with pytest.raises(InvalidPolicy, match="another policy already"):
        wrap_tool(tool, ledger, policy=Policy(approval=True))
    with pytest.raises(InvalidCall, match="another ledger"), Ledger("memory://") as other:
        wrap_tool(tool, other, workflow="w")


async def test_bad_input_is_refused_by_name(ledger: Ledger, till: Till) -> None:
    names: dict[str, Any] = {}
    exec("def bare(x): return x", names)  # noqa: S102
    with pytest.raises(InvalidCall, match="annotations"):
        wrap_tools([names["bare"]], ledger)
    with pytest.raises(InvalidCall, match="is no tool"):
        wrap_tools([5], ledger)  # type: ignore[list-item]
    with pytest.raises(InvalidPolicy, match="the tools are pay"):
        wrap_tools([till.pay], ledger, policies={"play": Policy()})
    with pytest.raises(InvalidPolicy, match="no policy"):
        wrap_tool(till.pay, ledger, policy=5)  # type: ignore[arg-type]
    with pytest.raises(InvalidCall, match="no ledger"):
        wrap_tool(till.pay, 5)  # type: ignore[arg-type]
    with pytest.raises(InvalidCall):
        wrap_tool(till.pay, ledger, workflow="")
    with pytest.raises(NoWorkflow, match="outside of a workflow"):
        await wrap_tool(till.pay, ledger).run_json(PAY, CancellationToken())
    assert till.paid == []
    assert ledger.effects(status=Status.SUCCEEDED) == []
