"""What makes two calls the same one."""

from __future__ import annotations

import asyncio
import threading
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.tools import BaseTool, StructuredTool, tool
from pydantic import BaseModel, Field

from tallystick import (
    ArgumentsChanged,
    Ledger,
    Policy,
)
from tallystick_langchain import wrap_tool, wrap_tools
from tests.adapters.langchain_agents import (
    Bank,
    agent_of,
    answers,
    asking,
    call,
    graph_of,
    once,
    said,
    thread,
)
from tests.adapters.langchain_classes import Sync


@pytest.fixture
def bank() -> Bank:
    return Bank()


def test_the_same_tool_call_is_one_effect(ledger: Ledger, bank: Bank) -> None:
    charge = wrap_tool(bank.tool(), ledger)
    first = call(charge, {"order": "a"}, "c1", thread())
    assert call(charge, {"order": "a"}, "c1", thread()) == first
    assert bank.book == ["a"]


def test_two_tool_calls_are_two_effects(ledger: Ledger, bank: Bank) -> None:
    charge = wrap_tool(bank.tool(), ledger)
    first = call(charge, {"order": "a"}, "c1", thread())
    second = call(charge, {"order": "a"}, "c2", thread())
    assert first.content != second.content
    assert bank.book == ["a", "a"]
    assert [effect.call_id for effect in ledger.effects()] == ["c2", "c1"]


@pytest.mark.parametrize("call_id", [None, ""])
def test_without_an_id_the_arguments_decide(
    call_id: str | None, ledger: Ledger, bank: Bank
) -> None:
    charge = wrap_tool(bank.tool(), ledger)
    for order in ("a", "a", "b"):
        call(charge, {"order": order}, call_id, thread())
    assert bank.book == ["a", "b"]
    assert {effect.call_id for effect in ledger.effects()} == {None}


def test_the_same_id_on_another_thread_is_another_effect(ledger: Ledger, bank: Bank) -> None:
    charge = wrap_tool(bank.tool(), ledger)
    call(charge, {"order": "a"}, "call_0", thread("one"))
    call(charge, {"order": "a"}, "call_0", thread("other"))
    assert bank.book == ["a", "a"]


def test_parallel_calls_with_their_own_ids_all_run(ledger: Ledger, bank: Bank) -> None:
    tools = wrap_tools([bank.tool()], ledger)
    agent = agent_of(tools, once(*[("charge", {"order": "a"})] * 3))
    assert len(answers(agent.invoke(said(), thread()))) == 3
    assert bank.book == ["a", "a", "a"]


def test_parallel_calls_under_one_id_run_once(ledger: Ledger, bank: Bank) -> None:
    tools = wrap_tools([bank.tool()], ledger, workflow="w")
    asked = asking(*[("charge", {"order": "a"}, "c1")] * 3)
    result = graph_of(tools).invoke({"messages": [asked]}, thread())
    assert len({str(message.content) for message in answers(result)}) == 1
    assert bank.book == ["a"]


def test_threads_that_make_the_same_call_share_one_effect(ledger: Ledger) -> None:
    ran: list[str] = []
    begun, may_end = threading.Event(), threading.Event()

    @tool
    def slow(order: str) -> str:
        """Take long."""
        ran.append(order)
        begun.set()
        may_end.wait(10)
        return f"done {order}"

    wrapped = wrap_tool(slow, ledger, workflow="w")
    results: list[Any] = []
    threads = [
        threading.Thread(target=lambda: results.append(call(wrapped, {"order": "a"}, "c1")))
        for _ in range(8)
    ]
    for each in threads:
        each.start()
    assert begun.wait(10)
    may_end.set()
    for each in threads:
        each.join(10)
    assert ran == ["a"]
    assert [result.content for result in results] == ["done a"] * 8


async def test_tasks_that_make_the_same_call_share_one_effect(ledger: Ledger) -> None:
    ran: list[str] = []

    @tool
    async def slow(order: str) -> str:
        """Take long."""
        ran.append(order)
        await asyncio.sleep(0.05)
        return f"done {order}"

    wrapped = wrap_tool(slow, ledger, workflow="w")
    results = await asyncio.gather(*(wrapped.ainvoke({"order": "a"}) for _ in range(20)))
    assert ran == ["a"]
    assert results == ["done a"] * 20


def test_defaults_are_part_of_the_arguments(ledger: Ledger, bank: Bank) -> None:
    charge = wrap_tool(bank.tool(), ledger, workflow="w")
    charge.invoke({"order": "a"})
    charge.invoke({"order": "a", "cents": 100})
    charge.invoke({"order": "a", "cents": 200})
    assert bank.book == ["a", "a"]
    assert ledger.effects()[0].args == {"order": "a", "cents": 200}


def test_a_string_is_the_only_argument(ledger: Ledger) -> None:
    wrapped = wrap_tool(Sync(), ledger, workflow="w")
    wrapped.invoke("7")
    assert ledger.effects()[0].args == {"x": "7"}


def test_a_business_identity_refuses_other_arguments(ledger: Ledger, bank: Bank) -> None:
    charge = wrap_tool(bank.tool(), ledger, policy=Policy(identity=("order",)))
    call(charge, {"order": "a", "cents": 1}, "c1", thread())
    told = call(charge, {"order": "a", "cents": 2}, "c2", thread())
    assert told.status == "error"
    assert "other arguments" in told.content
    with pytest.raises(ArgumentsChanged):
        charge.invoke({"order": "a", "cents": 2}, thread())
    assert bank.book == ["a"]


def test_a_model_that_invents_another_memo_gets_the_recorded_result(ledger: Ledger) -> None:
    sent: list[str] = []

    @tool
    def send(to: str, memo: str) -> str:
        """Send money."""
        sent.append(memo)
        return f"sent with {memo}"

    wrapped = wrap_tool(send, ledger, policy=Policy(volatile=("memo",), repeat="same"))
    first = call(wrapped, {"to": "ann", "memo": "one"}, "c1", thread())
    again = call(wrapped, {"to": "ann", "memo": "two"}, "c2", thread())
    assert (first.content, again.content) == ("sent with one", "sent with one")
    assert (first.tool_call_id, again.tool_call_id) == ("c1", "c2")
    assert sent == ["one"]


def test_what_validation_invents_is_no_part_of_the_identity(ledger: Ledger) -> None:
    class Payment(BaseModel):
        """Pay."""

        cents: int
        request_id: str = Field(default_factory=lambda: uuid4().hex)

    paid: list[str] = []

    def pay(cents: int, request_id: str) -> str:
        paid.append(request_id)
        return request_id

    wrapped = wrap_tool(StructuredTool.from_function(pay, args_schema=Payment), ledger)
    first = call(wrapped, {"cents": 1}, "c1", thread())
    assert call(wrapped, {"cents": 1}, "c1", thread()).content == first.content
    assert len(paid) == 1
    for request_id in ("r1", "r2"):  # chosen by the model, it counts
        call(wrapped, {"cents": 1, "request_id": request_id}, "c1", thread())
    assert paid[1:] == ["r1", "r2"]


# ---------------------------------------------------------------- one call, one effect


class Threading(BaseTool):
    """Its ``_arun`` runs its ``_run`` on a bare thread, as many published tools do."""

    name: str = "threading"
    description: str = "Run on a thread."

    def _run(self, x: int) -> str:
        return f"ran {x} {threading.current_thread() is threading.main_thread()}"

    async def _arun(self, x: int) -> str:
        return await asyncio.get_running_loop().run_in_executor(None, self._run, x)


async def test_an_async_body_that_runs_the_sync_one_on_a_thread_is_one_effect(
    ledger: Ledger,
) -> None:
    wrapped = wrap_tool(Threading(), ledger)
    assert await wrapped.ainvoke({"x": 1}, thread()) == "ran 1 False"
    assert len(ledger.effects()) == 1


def test_a_tool_that_calls_another_is_two_effects(ledger: Ledger, bank: Bank) -> None:
    charge = wrap_tool(bank.tool(), ledger)

    @tool
    def checkout(order: str) -> str:
        """Check out."""
        return f"checked out: {charge.invoke({'order': order})}"

    outer = wrap_tool(checkout, ledger)
    for _ in range(2):
        call(outer, {"order": "a"}, "c1", thread())
    assert bank.book == ["a"]
    assert [effect.tool for effect in ledger.effects()] == ["charge", "checkout"]


def test_a_tool_may_call_itself_with_other_arguments(ledger: Ledger) -> None:
    tools: list[BaseTool] = []

    @tool
    def count(n: int) -> int:
        """Count down."""
        return n and 1 + tools[0].invoke({"n": n - 1})

    tools.append(wrap_tool(count, ledger, workflow="w"))
    assert tools[0].invoke({"n": 3}) == 3
    assert len(ledger.effects()) == 4
