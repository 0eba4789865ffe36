"""What was seen to run what nobody approved, or twice; each with the real thing."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents.middleware import (
    AgentMiddleware,
    HumanInTheLoopMiddleware,
    ToolCallLimitMiddleware,
    ToolRetryMiddleware,
)
from langchain.agents.middleware.types import hook_config
from langgraph.types import Command

from tallystick import Guarantee, Policy
from tallystick.errors import AnswerRefused

from ._world import (
    APPROVE,
    ASKS,
    REJECT,
    World,
    classic,
    contents,
    in_turn,
    questions,
    said,
    thread,
    watched,
)

STORES = ("sqlite", "foreign")
PAY, MORE = ("pay", {"amount": 1}), ("pay", {"amount": 1000})
both = pytest.mark.parametrize("build", [classic, watched])


@both
@pytest.mark.parametrize("form", ["scalar", "by id"])
def test_an_answer_that_is_sent_twice_answers_no_other_question(
    world: World, build: Any, form: str
) -> None:
    graph = build(world, in_turn([PAY], [MORE]), ASKS)
    [first] = questions(graph.invoke(said(), thread()))
    answer: Any = Command(resume=APPROVE if form == "scalar" else {first.id: APPROVE})
    [second] = questions(graph.invoke(answer, thread()))
    with pytest.raises(AnswerRefused) as caught:
        graph.invoke(answer, thread())
    assert caught.value.interrupt == second.id
    assert world.book == [1]
    graph.invoke(Command(resume={second.id: REJECT}), thread())
    assert world.book == [1]


@both
def test_an_answer_may_say_by_the_effect_what_it_is_for(world: World, build: Any) -> None:
    graph = build(world, in_turn([PAY], [MORE]), ASKS)
    graph.invoke(said(), thread())
    [second] = questions(graph.invoke(Command(resume=APPROVE), thread()))
    key = second.value["action_requests"][0]["effect"]
    graph.invoke(Command(resume={"decisions": [{"type": "approve", "effect": key}]}), thread())
    assert world.book == [1, 1000]


@both
def test_the_next_turn_asks_anew(world: World, build: Any) -> None:
    graph = build(world, in_turn([PAY]), ASKS)
    for _ in range(2):
        assert questions(graph.invoke(said(), thread()))
        graph.invoke(Command(resume=APPROVE), thread())
    assert world.book == [1, 1]


@both
def test_one_interrupt_resumed_twice_from_where_it_was(world: World, build: Any) -> None:
    graph = build(world, in_turn([PAY]), ASKS)
    [question] = questions(graph.invoke(said(), thread()))
    there = graph.get_state(thread()).config
    answer: Any = Command(resume={question.id: APPROVE})
    graph.invoke(answer, thread())
    graph.invoke(answer, there)
    assert world.book == [1]
    # and with the opposite answer, after the fact
    with pytest.raises(AnswerRefused, match="succeeded"):
        graph.invoke(Command(resume={question.id: REJECT}), there)
    assert world.book == [1]


def test_several_interrupts_answered_in_part(world: World) -> None:
    graph = watched(world, in_turn([PAY, MORE]), ASKS)
    asked = questions(graph.invoke(said(), thread()))
    first, second = sorted(asked, key=lambda q: q.value["action_requests"][0]["args"]["amount"])
    [left] = questions(graph.invoke(Command(resume={first.id: APPROVE}), thread()))
    assert left.id == second.id
    assert world.book == [1]
    result = graph.invoke(Command(resume={second.id: REJECT}), thread())
    assert world.book == [1]
    assert [text.split()[0] for text in contents(result)] == ["paid", "This"]


class Jumps(AgentMiddleware[Any, Any, Any]):
    """Goes to the tools whatever was said before."""

    @hook_config(can_jump_to=["tools"])
    def after_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        asks = any(getattr(m, "tool_calls", ()) for m in state["messages"][-2:])
        return {"jump_to": "tools"} if asks else None


def hitl() -> Any:
    return HumanInTheLoopMiddleware({"pay": True})


def test_a_jump_to_the_tools_runs_nothing_unapproved(world: World) -> None:
    graph = watched(world, in_turn([PAY]), ASKS, Jumps())
    [question] = questions(graph.invoke(said(), thread()))
    graph.invoke(Command(resume={question.id: REJECT}), thread())
    assert world.book == []


def test_a_call_that_langchain_s_human_rejected_still_needs_ours_after_a_jump(
    world: World,
) -> None:
    """langchain #40491: what their human rejects another middleware jumps to."""
    graph = watched(world, in_turn([PAY]), ASKS, Jumps(), hitl())
    [theirs] = questions(graph.invoke(said(), thread()))
    result = graph.invoke(Command(resume={theirs.id: REJECT}), thread())
    for ours in questions(result):
        graph.invoke(Command(resume={ours.id: REJECT}), thread())
    assert world.book == []


@pytest.mark.parametrize("order", ["before", "after"])
def test_beside_langchain_s_own_human_in_the_loop(world: World, order: str) -> None:
    others = (..., hitl()) if order == "before" else (hitl(), ...)
    graph = watched(world, in_turn([PAY]), {"pay": Policy()}, *others)
    [question] = questions(graph.invoke(said(), thread()))
    edit = {"type": "edit", "edited_action": {"name": "pay", "args": {"amount": 5}}}
    graph.invoke(Command(resume={question.id: {"decisions": [edit]}}), thread())
    assert world.book == [5]
    [effect] = world.ledger.effects(tool="pay")
    assert effect.args == {"amount": 5}


@pytest.mark.parametrize("order", ["before", "after"])
def test_beside_retries_and_limits(world: World, order: str) -> None:
    world.failures = 1
    others: list[Any] = [
        ToolRetryMiddleware(max_retries=2, initial_delay=0.0, jitter=False),
        ToolCallLimitMiddleware(run_limit=5),
    ]
    stack = [..., *others] if order == "before" else [*others, ...]
    policies = {"pay": Policy(approval=True), "flaky": Policy(guarantee=Guarantee.READ_ONLY)}
    graph = watched(world, in_turn([PAY], [("flaky", {"a": 1})]), policies, *stack)
    [question] = questions(graph.invoke(said(), thread()))
    result = graph.invoke(Command(resume={question.id: APPROVE}), thread())
    assert world.book == [1]
    assert contents(result)[-1] == "ok"


def test_an_agent_inside_a_tool_asks_through_the_outer_graph(world: World) -> None:
    from langchain_core.tools import tool

    from tests.adapters.langchain_agents import agent_of

    inner = watched(world, in_turn([PAY]), ASKS)
    inner.checkpointer = None

    @tool
    def delegate(q: str) -> str:
        """Delegate."""
        return str(inner.invoke({"messages": [("user", q)]})["messages"][-1].content)

    agent = agent_of([delegate], in_turn([("delegate", {"q": "a"})]), checkpointer=world.saver)
    [question] = questions(agent.invoke(said(), thread()))
    assert world.book == []
    agent.invoke(Command(resume={question.id: APPROVE}), thread())
    assert world.book == [1]
