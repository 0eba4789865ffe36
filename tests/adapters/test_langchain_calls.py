"""Which call is which: workflow, identity, arguments and policy."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any
from uuid import uuid4

import pytest
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolArg, StructuredTool, tool
from pydantic import BaseModel, Field, HttpUrl, SecretStr

from tallystick import ApprovalRequired, ArgumentsChanged, EffectFailed, Guarantee, Ledger, Policy
from tallystick.errors import InvalidCall, InvalidPolicy, NotSerializable, NoWorkflow
from tallystick_langchain import wrap_tool, wrap_tools
from tests.adapters.langchain_agents import (
    agent_of,
    answers,
    asking,
    graph_of,
    once,
    said,
    thread,
)
from tests.adapters.langchain_kinds import Sync


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with Ledger("memory://") as ledger:
        yield ledger


class Bank:
    """Charges, and remembers each time that it did."""

    def __init__(self) -> None:
        self.book: list[str] = []

    def tool(self) -> BaseTool:
        """A tool that charges."""

        def charge(order: str, cents: int = 100) -> str:
            """Charge an order."""
            self.book.append(order)
            return f"charged {cents} for {order} as number {len(self.book)}"

        return StructuredTool.from_function(charge)


@pytest.fixture
def bank() -> Bank:
    return Bank()


def call(tool: BaseTool, args: dict[str, Any], call_id: str | None, config: Any = None) -> Any:
    """What ToolNode does."""
    return tool.invoke({"name": tool.name, "args": args, "id": call_id, "type": "tool_call"}, config)


# ---------------------------------------------------------------- workflow


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


# ---------------------------------------------------------------- identity


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
    tools = wrap_tools([bank.tool()], ledger)
    asked = asking(*[("charge", {"order": "a"}, "c1")] * 3)
    result = graph_of(tools).invoke({"messages": [asked]}, thread())
    assert len({message.content for message in answers(result)}) == 1
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


def test_sync_and_async_calls_are_the_same_effect(ledger: Ledger, bank: Bank) -> None:
    charge = wrap_tool(bank.tool(), ledger, workflow="w")
    first = charge.invoke({"order": "a"})
    assert asyncio.run(charge.ainvoke({"order": "a"})) == first
    assert bank.book == ["a"]


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


# ---------------------------------------------------------------- arguments


class Colour(Enum):
    RED = "red"


def test_arguments_are_recorded_as_plain_data(ledger: Ledger) -> None:
    class Line(BaseModel):
        price: Decimal
        colours: set[Colour]

    class Given(BaseModel):
        """Take."""

        line: Line
        home: HttpUrl
        secret: SecretStr

    got: list[Any] = []

    def take(line: Line, home: HttpUrl, secret: SecretStr) -> str:
        got.append((line, home, secret))
        return "ok"

    wrapped = wrap_tool(StructuredTool.from_function(take, args_schema=Given), ledger)
    line = {"price": "1.50", "colours": ["red"]}
    given = {"line": line, "home": "https://example.org", "secret": "s3cret"}
    wrapped.invoke(given, thread())
    args = ledger.effects()[0].args
    assert args["line"] == {"price": Decimal("1.50"), "colours": {Colour.RED}}
    assert args["home"] == "https://example.org/"
    assert "s3cret" not in str(args)
    [(line_, home, secret)] = got
    assert isinstance(line_, Line)
    assert isinstance(home, HttpUrl)
    assert secret.get_secret_value() == "s3cret"
    wrapped.invoke(given | {"secret": "other"}, thread())
    assert len(got) == 2


def test_an_argument_that_cannot_be_recorded_is_refused_before_the_tool_runs(
    ledger: Ledger,
) -> None:
    ran: list[object] = []

    class Anything(BaseModel):
        """Take anything."""

        thing: Any

    def take(thing: Any) -> str:
        ran.append(thing)
        return "ok"

    wrapped = wrap_tool(StructuredTool.from_function(take, args_schema=Anything), ledger)
    with pytest.raises(NotSerializable, match="thing"):
        wrapped.invoke({"thing": object()}, thread())
    assert ran == []


def test_injected_arguments_never_enter_the_key(ledger: Ledger) -> None:
    seen: list[tuple[str, str]] = []

    @tool
    def act(x: str, user: Annotated[str, InjectedToolArg], config: RunnableConfig) -> str:
        """Act."""
        seen.append((user, str(config.get("configurable", {}).get("shard"))))
        return f"{x} by {user}"

    wrapped = wrap_tool(act, ledger, workflow="w")
    for user, shard in (("ann", 1), ("bob", 2)):
        config: RunnableConfig = {"configurable": {"shard": shard}}
        assert call(wrapped, {"x": "a", "user": user}, "c1", config).content == "a by ann"
    assert seen == [("ann", "1")]
    assert ledger.effects()[0].args == {"x": "a"}


def test_an_approver_edits_the_arguments(ledger: Ledger) -> None:
    class Line(BaseModel):
        sku: str
        cents: int

    class Order(BaseModel):
        """Order."""

        line: Line
        note: str = "-"

    got: list[Any] = []

    def order(line: Line, note: str, user: Annotated[str, InjectedToolArg] = "ann") -> str:
        got.append((line, note, user))
        return f"ordered {line.sku} for {line.cents} by {user}"

    bare = StructuredTool.from_function(order, args_schema=Order)
    wrapped = wrap_tool(bare, ledger, policy=Policy(approval=True))
    args = {"line": {"sku": "s", "cents": 900}}
    with pytest.raises(ApprovalRequired) as caught:
        call(wrapped, args, "c1", thread())
    key = caught.value.key
    assert key is not None
    edited = {"line": {"sku": "s", "cents": "500"}, "note": "cheaper"}
    ledger.approve(key, by="boss", args=edited)
    assert call(wrapped, args, "c1", thread()).content == "ordered s for 500 by ann"
    assert got == [(Line(sku="s", cents=500), "cheaper", "ann")]


@pytest.mark.parametrize("edited", [{"order": "a", "cents": "many"}, {"cents": 1}])
def test_edited_arguments_that_do_not_fit_are_a_failure_and_no_doubt(
    edited: dict[str, Any], ledger: Ledger, bank: Bank
) -> None:
    charge = wrap_tool(bank.tool(), ledger, policy=Policy(approval=True))
    with pytest.raises(ApprovalRequired) as caught:
        call(charge, {"order": "a"}, "c1", thread())
    ledger.approve(str(caught.value.key), by="boss", args=edited)
    with pytest.raises(Exception, match="the edited arguments do not fit"):
        call(charge, {"order": "a"}, "c1", thread())
    with pytest.raises(EffectFailed):
        call(charge, {"order": "a"}, "c1", thread())
    assert bank.book == []
    assert ledger.pending() == []


# ---------------------------------------------------------------- policies


def test_policies_go_by_name_and_the_others_get_the_default(ledger: Ledger, bank: Bank) -> None:
    tools = wrap_tools(
        [bank.tool(), Sync()],
        ledger,
        workflow="w",
        policies={"charge": Policy(guarantee=Guarantee.IDEMPOTENT)},
        default=Policy(guarantee=Guarantee.READ_ONLY),
    )
    tools[0].invoke({"order": "a"})
    tools[1].invoke({"x": 1})
    assert {effect.tool: effect.guarantee for effect in ledger.effects()} == {
        "charge": Guarantee.IDEMPOTENT,
        "sync_class": Guarantee.READ_ONLY,
    }


def test_a_policy_for_a_tool_that_is_not_there_names_those_that_are(
    ledger: Ledger, bank: Bank
) -> None:
    with pytest.raises(InvalidPolicy, match=r"'chrage'.*the tools are charge, sync_class"):
        wrap_tools([bank.tool(), Sync()], ledger, policies={"chrage": Policy()})


def test_a_read_only_tool_runs_every_time(ledger: Ledger, bank: Bank) -> None:
    read = wrap_tool(bank.tool(), ledger, policy=Policy(guarantee=Guarantee.READ_ONLY))
    for _ in range(2):
        call(read, {"order": "a"}, "c1", thread())
    assert bank.book == ["a", "a"]


def test_wrapping_for_another_ledger_is_refused(ledger: Ledger, bank: Bank) -> None:
    with Ledger("memory://") as other, pytest.raises(InvalidCall, match="another ledger"):
        wrap_tool(wrap_tool(bank.tool(), ledger), other)


def test_wrapping_again_with_another_policy_or_workflow_is_refused(
    ledger: Ledger, bank: Bank
) -> None:
    charge = wrap_tool(bank.tool(), ledger, workflow="w", policy=Policy())
    assert wrap_tools([charge], ledger, workflow="w", policies={"charge": Policy()}) == [charge]
    with pytest.raises(InvalidPolicy, match="another policy"):
        wrap_tool(charge, ledger, policy=Policy(approval=True))
    with pytest.raises(InvalidCall, match="workflow 'w' already"):
        wrap_tool(charge, ledger, workflow="v")


@pytest.mark.parametrize(
    ("wrong", "options"),
    [
        (InvalidCall, {"tool": 7}),
        (InvalidCall, {"ledger": "sqlite://"}),
        (InvalidCall, {"workflow": ""}),
        (InvalidCall, {"workflow": 7}),
        (InvalidPolicy, {"policy": "read_only"}),
        (InvalidCall, {"tool": {"type": "web_search"}}),
    ],
)
def test_bad_input_is_a_typed_error(
    wrong: type[Exception], options: dict[str, Any], ledger: Ledger, bank: Bank
) -> None:
    given: dict[str, Any] = {"tool": bank.tool(), "ledger": ledger} | options
    with pytest.raises(wrong):
        wrap_tool(given.pop("tool"), given.pop("ledger"), **given)


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
