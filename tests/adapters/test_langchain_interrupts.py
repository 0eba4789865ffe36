"""Interrupts and other control flow: the framework comes back, and nothing counts as failed."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.tools import BaseTool, tool
from langgraph.errors import GraphDrained
from langgraph.types import Command, interrupt
from pydantic import ValidationError

from tallystick import (
    ApprovalRequired,
    EffectFailed,
    EffectInDoubt,
    Ledger,
    Policy,
    Status,
)
from tallystick_langchain import wrap_tool
from tests.adapters.langchain_agents import (
    ASK,
    Acts,
    acted,
    agent_of,
    answers,
    once,
    said,
    thread,
)
from tests.adapters.langchain_layers import Layers, layers, start


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


def bad_values_fail(error: BaseException) -> str | None:
    return "failed" if isinstance(error, ValueError) else None


@pytest.mark.parametrize("classify", [{ValueError: "failed"}, bad_values_fail])
def test_the_rules_of_a_policy_hold_for_everything_else(classify: Any, ledger: Ledger) -> None:
    wrapped = wrap_tool(
        Acts(ValueError("bad"), KeyError("worse")).tool(), ledger, policy=Policy(classify=classify)
    )
    with pytest.raises(ValueError, match="bad"):
        acted(wrapped)
    with pytest.raises(EffectFailed):
        acted(wrapped)
    with pytest.raises(EffectInDoubt):
        acted(wrapped, "c2")


def test_a_drained_graph_leaves_no_doubt(ledger: Ledger) -> None:
    acts = Acts(GraphDrained())
    wrapped = wrap_tool(acts.tool(), ledger)
    with pytest.raises(GraphDrained):
        acted(wrapped)
    assert ledger.pending() == []
    assert acted(wrapped).content == "acted on 1"


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


def test_what_a_person_edits_in_an_interrupt_is_what_is_recorded(ledger: Ledger) -> None:
    acts = Acts()
    agent = agent_of(
        [wrap_tool(acts.tool(), ledger)],
        ASK,
        middleware=[HumanInTheLoopMiddleware(interrupt_on={"act": True})],
    )
    assert agent.invoke(said(), thread())["__interrupt__"]
    edited = {"type": "edit", "edited_action": {"name": "act", "args": {"x": 7}}}
    [answer] = answers(agent.invoke(Command(resume={"decisions": [edited]}), thread()))
    assert "acted on 7" in answer.content
    [effect] = ledger.effects()
    assert (effect.args, effect.call_id) == ({"x": 7}, "c1")
