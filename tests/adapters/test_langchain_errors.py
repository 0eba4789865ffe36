"""What goes wrong, and who hears of it: the person who runs the agent, or the model."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain.agents.middleware import ToolErrorMiddleware, ToolRetryMiddleware
from langchain_core.tools import BaseTool, ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphBubbleUp, GraphDrained
from langgraph.types import Command, RetryPolicy, interrupt
from pydantic import ValidationError

from tallystick import (
    Approval,
    ApprovalDenied,
    ApprovalRequired,
    EffectFailed,
    EffectInDoubt,
    Guarantee,
    Halted,
    Ledger,
    NotApplied,
    Policy,
    Status,
    current_effect,
)
from tallystick.errors import ApprovalExpired, EffectCancelled, ResultNotStored, StillRunning
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


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with Ledger("memory://") as ledger:
        yield ledger


class Acts:
    """A tool that fails as it is told, and remembers that it ran."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.runs = 0

    def act(self, x: int) -> str:
        """Act."""
        self.runs += 1
        if self.errors:
            raise self.errors.pop(0)
        return f"acted on {x}"

    def tool(self, **options: Any) -> BaseTool:
        """The tool, blocking."""
        made: BaseTool = tool(self.act)
        return made.model_copy(update=options)

    def atool(self) -> BaseTool:
        """The tool, awaiting."""

        @tool
        async def act(x: int) -> str:
            """Act."""
            await asyncio.sleep(0)
            return self.act(x)

        return act


ASK = once(("act", {"x": 1}, "c1"))


def invoked(tool: BaseTool, call_id: str | None = "c1") -> Any:
    return tool.invoke({"name": "act", "args": {"x": 1}, "id": call_id, "type": "tool_call"}, thread())


# ---------------------------------------------------------------- stops

Layers = Callable[[BaseTool], Any]


def _node(tool: BaseTool) -> Any:
    return graph_of([tool], handle_tool_errors=True, checkpointer=InMemorySaver())


def _node_retry(tool: BaseTool) -> Any:
    policy = RetryPolicy(retry_on=Exception, max_attempts=3, initial_interval=0.001)
    return graph_of([tool], node={"retry_policy": policy}, checkpointer=InMemorySaver())


def _retry(tool: BaseTool) -> Any:
    return agent_of(
        [tool], ASK, middleware=[ToolRetryMiddleware(max_retries=2, initial_delay=0.001)]
    )


def _error(tool: BaseTool) -> Any:
    middleware = ToolErrorMiddleware(lambda error, request: f"try again: {error}")
    return agent_of([tool], ASK, middleware=[middleware])


LAYERS: dict[str, Layers] = {
    "agent": lambda tool: agent_of([tool], ASK),
    "ToolNode(handle_tool_errors=True)": _node,
    "RetryPolicy": _node_retry,
    "ToolRetryMiddleware": _retry,
    "ToolErrorMiddleware": _error,
}
layers = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS.keys())
ASKED = {"messages": [*said()["messages"], asking(("act", {"x": 1}, "c1"))]}


def start(layer: Layers) -> Any:
    """What a run begins with: a ToolNode alone has no model to ask."""
    return ASKED if layer in {_node, _node_retry} else said()


@layers
def test_no_layer_swallows_a_doubt(layer: Layers, ledger: Ledger) -> None:
    acts = Acts(RuntimeError("lost the answer"))
    graph = layer(wrap_tool(acts.tool(), ledger))
    with pytest.raises(EffectInDoubt) as caught:
        graph.invoke(start(layer), thread())
    assert isinstance(caught.value, GraphBubbleUp)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert acts.runs == 1
    assert graph.get_state(thread()).next == ("tools",)
    with pytest.raises(EffectInDoubt):
        graph.invoke(None, thread())
    assert acts.runs == 1
    ledger.resolve(str(caught.value.key), by="ann", succeeded="it went through")
    assert answers(graph.invoke(None, thread()))[0].content == "it went through"
    assert acts.runs == 1


@layers
async def test_no_layer_swallows_a_doubt_of_an_async_tool(layer: Layers, ledger: Ledger) -> None:
    acts = Acts(RuntimeError("lost the answer"))
    graph = layer(wrap_tool(acts.atool(), ledger))
    with pytest.raises(EffectInDoubt):
        await graph.ainvoke(start(layer), thread())
    with pytest.raises(EffectInDoubt):
        await graph.ainvoke(None, thread())
    assert acts.runs == 1


@layers
def test_an_approval_stops_the_run_and_resumes_it(layer: Layers, ledger: Ledger) -> None:
    acts = Acts()
    graph = layer(wrap_tool(acts.tool(), ledger, policy=Policy(approval=True)))
    with pytest.raises(ApprovalRequired) as caught:
        graph.invoke(start(layer), thread())
    assert caught.value.arguments == {"x": 1}
    with pytest.raises(ApprovalRequired):
        graph.invoke(None, thread())
    assert acts.runs == 0
    ledger.approve(str(caught.value.key), by="ann")
    [answer] = answers(graph.invoke(None, thread()))
    assert (answer.content, answer.status, answer.tool_call_id) == ("acted on 1", "success", "c1")
    assert acts.runs == 1


@layers
def test_a_halt_stops_the_run_until_it_is_lifted(layer: Layers, ledger: Ledger) -> None:
    acts = Acts()
    graph = layer(wrap_tool(acts.tool(), ledger))
    ledger.halt(tool="act", by="ann", reason="fire")
    with pytest.raises(Halted, match="fire"):
        graph.invoke(start(layer), thread())
    assert acts.runs == 0
    ledger.unhalt(tool="act", by="ann")
    assert answers(graph.invoke(None, thread()))[0].content == "acted on 1"


def test_waiting_too_long_for_another_holder_stops_the_run(ledger: Ledger) -> None:
    begun, may_end = threading.Event(), threading.Event()

    @tool
    def act(x: int) -> str:
        """Act."""
        begun.set()
        may_end.wait(10)
        return "done"

    wrapped = wrap_tool(act, ledger, policy=Policy(wait=0.05))
    holder = threading.Thread(target=invoked, args=[wrapped])
    holder.start()
    assert begun.wait(10)
    try:
        with pytest.raises(StillRunning) as caught:
            agent_of([wrapped], ASK).invoke(said(), thread())
    finally:
        may_end.set()
        holder.join(10)
    assert isinstance(caught.value, GraphBubbleUp)


def test_a_result_that_was_not_kept_is_no_reason_to_try_again(ledger: Ledger) -> None:
    @tool
    def act(x: int) -> Any:
        """Act."""
        return iter([x])

    wrapped = wrap_tool(act, ledger)
    assert invoked(wrapped).status == "success"
    with pytest.raises(ResultNotStored) as caught:
        invoked(wrapped)
    assert isinstance(caught.value, GraphBubbleUp)


@pytest.mark.parametrize("again", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))])
def test_a_stop_survives_copies_and_pickles(again: Any, ledger: Ledger) -> None:
    wrapped = wrap_tool(Acts().tool(), ledger, policy=Policy(approval=True))
    with pytest.raises(ApprovalRequired) as caught:
        invoked(wrapped)
    same = again(caught.value)
    assert isinstance(same, ApprovalRequired)
    assert isinstance(same, GraphBubbleUp)
    assert (str(same), same.key, same.arguments) == (str(caught.value), caught.value.key, {"x": 1})
    assert type(same).__name__ == "ApprovalRequired"


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize("handle", [False, True])
@pytest.mark.parametrize("response_format", ["content", "content_and_artifact"])
def test_a_model_hears_that_its_call_was_denied(
    handle: bool, response_format: str, ledger: Ledger
) -> None:
    acts = Acts()
    options = {"handle_tool_error": handle, "response_format": response_format}
    wrapped = wrap_tool(acts.tool(**options), ledger, policy=Policy(approval=True))
    agent = agent_of([wrapped], ASK)
    with pytest.raises(ApprovalRequired) as caught:
        agent.invoke(said(), thread())
    ledger.deny(str(caught.value.key), by="ann", reason="too expensive")
    result = agent.invoke(None, thread())
    [answer] = answers(result)
    assert (answer.status, answer.tool_call_id, answer.name) == ("error", "c1", "act")
    assert "denied by ann: too expensive" in answer.content
    assert result["messages"][-1].content == answer.content  # the agent went on to its end
    assert acts.runs == 0


async def test_an_async_agent_hears_it_too(ledger: Ledger) -> None:
    wrapped = wrap_tool(Acts().atool(), ledger, policy=Policy(approval=True))
    agent = agent_of([wrapped], ASK)
    with pytest.raises(ApprovalRequired) as caught:
        await agent.ainvoke(said(), thread())
    await ledger.adeny(str(caught.value.key), by="ann", reason="no")
    [answer] = answers(await agent.ainvoke(None, thread()))
    assert "denied by ann: no" in answer.content


def test_the_tools_own_handler_words_the_denial(ledger: Ledger) -> None:
    def handler(error: ToolException) -> str:
        assert isinstance(error, ApprovalDenied)
        return f"{error.by} said {error.reason}"

    for handle, words in ((handler, "ann said no"), ("Not possible.", "Not possible.")):
        wrapped = wrap_tool(
            Acts().tool(handle_tool_error=handle), ledger, workflow=words, policy=Policy(approval=True)
        )
        with pytest.raises(ApprovalRequired) as caught:
            invoked(wrapped)
        ledger.deny(str(caught.value.key), by="ann", reason="no")
        assert invoked(wrapped).content == words


def test_a_denial_without_a_model_is_raised(ledger: Ledger) -> None:
    wrapped = wrap_tool(Acts().tool(), ledger, policy=Policy(approval=True))
    with pytest.raises(ApprovalRequired) as caught:
        invoked(wrapped, None)
    ledger.deny(str(caught.value.key), by="ann", reason="no")
    with pytest.raises(ApprovalDenied) as denied:
        invoked(wrapped, None)
    assert (denied.value.by, denied.value.reason) == ("ann", "no")


def test_an_expired_approval_is_an_answer(ledger: Ledger) -> None:
    wrapped = wrap_tool(Acts().tool(), ledger, policy=Policy(approval=Approval(expires=0.01)))
    with pytest.raises(ApprovalRequired):
        invoked(wrapped)
    time.sleep(0.03)
    assert "expired" in invoked(wrapped).content
    with pytest.raises(ApprovalRequired):
        invoked(wrapped, None)
    time.sleep(0.03)
    with pytest.raises(ApprovalExpired):
        invoked(wrapped, None)


def test_a_cancelled_call_is_an_answer(ledger: Ledger) -> None:
    wrapped = wrap_tool(Acts().tool(), ledger, policy=Policy(approval=True))
    for call_id in ("c1", None):
        with pytest.raises(ApprovalRequired) as caught:
            invoked(wrapped, call_id)
        ledger.cancel(str(caught.value.key), by="ann")
    assert "cancelled" in invoked(wrapped).content
    with pytest.raises(EffectCancelled):
        invoked(wrapped, None)


# ---------------------------------------------------------------- the tool's own failures


class Declined(ToolException):
    """A kind of a tool's own."""


@pytest.mark.parametrize("handle", [True, "Try another card.", lambda error: f"no: {error}"])
@pytest.mark.parametrize("error", [ToolException("declined"), Declined("declined")])
def test_a_handled_tool_exception_is_told_again_in_the_same_words(
    handle: Any, error: ToolException, ledger: Ledger
) -> None:
    acts = Acts(error)
    wrapped = wrap_tool(acts.tool(handle_tool_error=handle), ledger)
    first, again = invoked(wrapped), invoked(wrapped)
    assert again == first
    assert first.status == "error"
    assert acts.runs == 1
    assert [effect.status for effect in ledger.effects()] == [Status.FAILED]
    assert ledger.pending() == []


def test_a_handler_that_knows_only_its_own_exceptions_does_not_end_the_run(ledger: Ledger) -> None:
    def handler(error: ToolException) -> str:
        if isinstance(error, Declined):
            return str(error)
        raise error

    wrapped = wrap_tool(Acts(Declined("declined")).tool(handle_tool_error=handler), ledger)
    first, again = invoked(wrapped), invoked(wrapped)
    assert (again.content, again.status) == (first.content, first.status) == ("declined", "error")


def test_an_unhandled_tool_exception_is_raised_and_raised_again(ledger: Ledger) -> None:
    acts = Acts(ToolException("declined"))
    wrapped = wrap_tool(acts.tool(), ledger)
    with pytest.raises(ToolException, match="^declined$") as first:
        invoked(wrapped)
    assert type(first.value) is ToolException
    with pytest.raises(ToolException, match="^declined$") as again:
        invoked(wrapped)
    assert isinstance(again.value, EffectFailed)
    assert acts.runs == 1


def test_not_applied_is_a_tool_exception_to_langchain(ledger: Ledger) -> None:
    acts = Acts(NotApplied("no funds"))
    wrapped = wrap_tool(acts.tool(handle_tool_error=True), ledger)
    assert [invoked(wrapped).content for _ in range(2)] == ["no funds"] * 2
    assert acts.runs == 1


def test_a_doubt_resolved_as_not_happened_runs_again_on_resume(ledger: Ledger) -> None:
    acts = Acts(RuntimeError("lost"))
    agent = agent_of([wrap_tool(acts.tool(), ledger)], ASK)
    with pytest.raises(EffectInDoubt) as caught:
        agent.invoke(said(), thread())
    ledger.resolve(str(caught.value.key), by="ann", failed="not in the book")
    assert answers(agent.invoke(None, thread()))[0].content == "acted on 1"
    assert acts.runs == 2


def test_an_idempotent_tool_may_be_retried_by_the_framework_under_one_key(ledger: Ledger) -> None:
    keys: list[str] = []

    @tool
    def act(x: int) -> str:
        """Act."""
        keys.append(current_effect().idempotency_key)
        if len(keys) == 1:
            raise RuntimeError("lost the answer")
        return "done"

    policy = Policy(guarantee=Guarantee.IDEMPOTENT)
    agent = _retry(wrap_tool(act, ledger, policy=policy))
    assert answers(agent.invoke(said(), thread()))[0].content == "done"
    assert len(keys) == 2
    assert len(set(keys)) == 1


# ---------------------------------------------------------------- control flow


def asks_a_person(log: list[str]) -> BaseTool:
    @tool
    def act(x: int) -> str:
        """Act, once a person has answered."""
        log.append("began")
        answer = interrupt({"question": "really?"})
        return f"{x}: {answer}"

    return act


@layers
def test_an_interrupt_passes_and_its_tool_runs_again_on_resume(
    layer: Layers, ledger: Ledger
) -> None:
    log: list[str] = []
    graph = layer(wrap_tool(asks_a_person(log), ledger))
    result = graph.invoke(start(layer), thread())
    assert result["__interrupt__"][0].value == {"question": "really?"}
    assert ledger.pending() == []
    assert ledger.effects(status=Status.FAILED) == []
    [answer] = answers(graph.invoke(Command(resume="yes"), thread()))
    assert (answer.content, answer.status) == ("1: yes", "success")
    assert log == ["began", "began"]
    assert [effect.status for effect in ledger.effects()] == [Status.SUCCEEDED]


async def test_an_interrupt_passes_through_an_async_agent(ledger: Ledger) -> None:
    @tool
    async def act(x: int) -> str:
        """Act."""
        return f"{x}: {interrupt('really?')}"

    agent = agent_of([wrap_tool(act, ledger)], ASK)
    assert (await agent.ainvoke(said(), thread()))["__interrupt__"]
    assert ledger.effects(status=Status.FAILED) == []
    [answer] = answers(await agent.ainvoke(Command(resume="yes"), thread()))
    assert answer.content == "1: yes"


def test_an_answer_that_does_not_fit_leaves_the_interrupt_open(ledger: Ledger) -> None:
    @tool
    def act(x: int) -> str:
        """Act."""
        return f"{x + interrupt('how many?', response_schema=int)}"

    agent = agent_of([wrap_tool(act, ledger)], ASK)
    agent.invoke(said(), thread())
    with pytest.raises(ValidationError):
        agent.invoke(Command(resume="many"), thread())
    assert ledger.pending() == []
    assert answers(agent.invoke(Command(resume=2), thread()))[0].content == "3"


def test_no_rule_of_a_policy_makes_control_flow_a_failure(ledger: Ledger) -> None:
    policy = Policy(classify={Exception: "failed"})
    agent = agent_of([wrap_tool(asks_a_person([]), ledger, policy=policy)], ASK)
    agent.invoke(said(), thread())
    assert answers(agent.invoke(Command(resume="yes"), thread()))[0].content == "1: yes"


@pytest.mark.parametrize(
    "classify", [{ValueError: "failed"}, lambda e: "failed" if isinstance(e, ValueError) else None]
)
def test_the_rules_of_a_policy_hold_for_everything_else(classify: Any, ledger: Ledger) -> None:
    wrapped = wrap_tool(
        Acts(ValueError("bad"), KeyError("worse")).tool(), ledger, policy=Policy(classify=classify)
    )
    with pytest.raises(ValueError, match="bad"):
        invoked(wrapped)
    with pytest.raises(EffectFailed):
        invoked(wrapped)
    with pytest.raises(EffectInDoubt):
        invoked(wrapped, "c2")


def test_a_drained_graph_leaves_no_doubt(ledger: Ledger) -> None:
    acts = Acts(GraphDrained())
    wrapped = wrap_tool(acts.tool(), ledger)
    with pytest.raises(GraphDrained):
        invoked(wrapped)
    assert ledger.pending() == []
    assert invoked(wrapped).content == "acted on 1"


def test_an_effect_inside_a_tool_that_waits_for_a_person_stops_both(ledger: Ledger) -> None:
    acts = Acts()
    inner = wrap_tool(acts.tool(), ledger, policy=Policy(approval=True))

    @tool
    def outer(x: int) -> str:
        """Act through another tool."""
        return str(inner.invoke({"x": x}))

    agent = agent_of([wrap_tool(outer, ledger)], once(("outer", {"x": 1}, "c1")))
    with pytest.raises(ApprovalRequired) as caught:
        agent.invoke(said(), thread())
    assert [item.kind for item in ledger.pending()] == ["approval"]
    ledger.approve(str(caught.value.key), by="ann")
    assert answers(agent.invoke(None, thread()))[0].content == "acted on 1"
    assert acts.runs == 1


# ---------------------------------------------------------------- cancellation and threads


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
    begun, may_end, runs = threading.Event(), threading.Event(), []

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
