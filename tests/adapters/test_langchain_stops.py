"""What stops a run: nothing swallows it, and no model is told to try again."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import pytest
from langchain_core.tools import tool
from langgraph.errors import GraphBubbleUp

from tallystick import (
    ApprovalRequired,
    EffectInDoubt,
    Halted,
    Ledger,
    Policy,
)
from tallystick.errors import (
    ResultNotStored,
    StillRunning,
)
from tallystick_langchain import wrap_tool
from tests.adapters.langchain_agents import (
    ASK,
    Acts,
    acted,
    agent_of,
    answers,
    said,
    thread,
)
from tests.adapters.langchain_layers import Layers, layers, start


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

    wrapped = wrap_tool(act, ledger, workflow="order-42", policy=Policy(wait=0.05))
    holder = threading.Thread(target=acted, args=[wrapped])
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
    assert acted(wrapped).status == "success"
    with pytest.raises(ResultNotStored) as caught:
        acted(wrapped)
    assert isinstance(caught.value, GraphBubbleUp)


def pickled(error: BaseException) -> Any:
    return pickle.loads(pickle.dumps(error))  # noqa: S301 - our own


def copied(error: BaseException) -> Any:
    return copy.copy(error)


@pytest.mark.parametrize("again", [copied, pickled])
def test_a_stop_survives_copies_and_pickles(again: Any, ledger: Ledger) -> None:
    wrapped = wrap_tool(Acts().tool(), ledger, policy=Policy(approval=True))
    with pytest.raises(ApprovalRequired) as caught:
        acted(wrapped)
    same = again(caught.value)
    assert isinstance(same, ApprovalRequired)
    assert isinstance(same, GraphBubbleUp)
    assert (str(same), same.key, same.arguments) == (str(caught.value), caught.value.key, {"x": 1})
    assert type(same).__name__ == "ApprovalRequired"
