"""Asking from inside a graph: what is asked, what is accepted, and that nothing else runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command

from tallystick import Approval, Policy, Status
from tallystick.errors import AnswerRefused, InvalidPolicy, UnknownThread

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
PAY = ("pay", {"amount": 1})
Build = Callable[..., Any]
#: what nobody can take for an answer to the question
NONE_AT_ALL: list[Any] = [
    "yes",
    True,
    {"decisions": []},
    {"decisions": [{"type": "approve"}] * 2},
    {"decisions": [{"type": "shrug"}]},
    {"decisions": [{"type": "edit"}]},
    {"decisions": [{"type": "edit", "edited_action": {"name": "other", "args": {}}}]},
    {"decisions": [{"type": "edit", "edited_action": {"name": "pay", "args": {"to": 1}}}]},
    {"decisions": [{"type": "approve", "effect": "0" * 64}]},
    {"decisions": ["approve"]},
    [{"type": "accept", "args": {"action": "pay", "args": {"amount": 2}}}],
]

both = pytest.mark.parametrize("build", [classic, watched])


def resume(answer: Any, to: Any = None) -> Command[Any]:
    return Command(resume=answer if to is None else {to.id: answer})


@both
def test_a_payment_waits_for_its_approval(world: World, build: Build) -> None:
    graph = build(world, in_turn([PAY]), ASKS)
    [question] = questions(graph.invoke(said(), thread()))
    [request] = question.value["action_requests"]
    assert (request["name"], request["args"]) == ("pay", {"amount": 1})
    assert question.value["review_configs"] == [
        {"action_name": "pay", "allowed_decisions": ["approve", "edit", "reject"]}
    ]
    [item] = world.ledger.pending()
    assert (request["effect"], request["digest"]) == (item.effect.key, item.effect.digest)
    assert world.book == []
    result = graph.invoke(resume(APPROVE), thread())
    assert contents(result) == ["paid 1 as number 1"]
    assert world.book == [1]
    events = [event.kind for event in world.ledger.history(item.effect.key)]
    assert events.count("approved") == 1


@both
def test_a_rejected_call_is_answered_with_the_reason(world: World, build: Build) -> None:
    graph = build(world, in_turn([PAY]), ASKS)
    graph.invoke(said(), thread())
    result = graph.invoke(resume(REJECT), thread())
    assert "too much" in contents(result)[0]
    assert world.book == []


@both
def test_an_edited_call_runs_as_it_was_edited(world: World, build: Build) -> None:
    graph = build(world, in_turn([PAY]), ASKS)
    graph.invoke(said(), thread())
    action = {"name": "pay", "args": {"amount": 7}}
    graph.invoke(resume({"decisions": [{"type": "edit", "edited_action": action}]}), thread())
    assert world.book == [7]
    [effect] = world.ledger.effects(tool="pay")
    assert (effect.args, effect.edited_args) == ({"amount": 1}, {"amount": 7})


@both
@pytest.mark.parametrize(
    ("answer", "paid"),
    [
        ([{"type": "accept", "args": None}], [1]),
        ([{"type": "accept", "args": {"action": "pay", "args": {"amount": 1}}}], [1]),
        ([{"type": "edit", "args": {"action": "pay", "args": {"amount": 3}}}], [3]),
        ([{"type": "ignore", "args": None}], []),
        ([{"type": "response", "args": "ask me tomorrow"}], []),
        ({"type": "approve"}, [1]),
    ],
)
def test_agent_inbox_answers_are_understood(
    world: World, build: Build, answer: Any, paid: list[int]
) -> None:
    graph = build(world, in_turn([PAY]), ASKS)
    graph.invoke(said(), thread())
    graph.invoke(resume(answer), thread())
    assert world.book == paid


@both
async def test_the_awaiting_face_asks_too(world: World, build: Build) -> None:
    graph = build(world, in_turn([PAY]), ASKS)
    assert questions(await graph.ainvoke(said(), thread()))
    result = await graph.ainvoke(resume(APPROVE), thread())
    assert contents(result) == ["paid 1 as number 1"]


@both
@pytest.mark.parametrize(
    "answer",
    NONE_AT_ALL,
)
def test_an_answer_that_is_none_is_refused_and_the_question_stands(
    world: World, build: Build, answer: Any
) -> None:
    graph = build(world, in_turn([PAY]), ASKS)
    [question] = questions(graph.invoke(said(), thread()))
    with pytest.raises(AnswerRefused) as caught:
        graph.invoke(resume(answer), thread())
    refused = caught.value
    assert isinstance(refused, GraphBubbleUp)
    [item] = world.ledger.pending()
    assert refused.thread == "order-42"
    assert refused.interrupt == question.id
    assert refused.effects == (item.effect.key,)
    assert world.book == []
    # told once: whoever goes on without an answer meets the question again
    [again] = questions(graph.invoke(None, thread()))
    assert again.value == question.value
    graph.invoke(resume(APPROVE, again), thread())
    assert world.book == [1]


@both
def test_an_answer_to_an_unknown_interrupt_is_refused(world: World, build: Build) -> None:
    graph = build(world, in_turn([PAY]), ASKS)
    [question] = questions(graph.invoke(said(), thread()))
    with pytest.raises(AnswerRefused, match="no question with the id") as caught:
        graph.invoke(Command(resume={"0" * 32: APPROVE}), thread())
    assert caught.value.interrupt == question.id
    graph.invoke(resume(APPROVE, question), thread())
    assert world.book == [1]


@both
@pytest.mark.parametrize("answer", [APPROVE, {"0" * 32: APPROVE}])
def test_a_thread_that_never_began_cannot_be_resumed(
    world: World, build: Build, answer: Any
) -> None:
    if world.foreign:
        pytest.skip("of a pruned thread another checkpointer says the same")

    def script(_: Any) -> Any:
        return [PAY]

    graph = build(world, script, ASKS)
    with pytest.raises(UnknownThread) as caught:
        graph.invoke(Command(resume=answer), thread("nobody's"))
    assert caught.value.thread == "nobody's"
    assert world.book == []
    assert world.ledger.effects() == []


@both
def test_a_decision_made_elsewhere_is_found_by_a_resume(world: World, build: Build) -> None:
    graph = build(world, in_turn([PAY]), ASKS)
    graph.invoke(said(), thread())
    [item] = world.ledger.pending()
    world.ledger.approve(item.effect.key, by="ann")
    assert contents(graph.invoke(None, thread())) == ["paid 1 as number 1"]


@both
def test_the_first_decision_stands(world: World, build: Build) -> None:
    """Denied on the command line, approved in the graph a moment later: it does not run."""
    graph = build(world, in_turn([PAY]), ASKS)
    graph.invoke(said(), thread())
    [item] = world.ledger.pending()
    world.ledger.deny(item.effect.key, by="ann", reason="no")
    with pytest.raises(AnswerRefused, match="denied") as caught:
        graph.invoke(resume(APPROVE), thread())
    assert caught.value.effects == (item.effect.key,)
    assert world.book == []
    assert "no" in contents(graph.invoke(None, thread()))[0]
    assert world.book == []


@both
def test_a_quorum_is_asked_until_it_is_complete(world: World, build: Build) -> None:
    two = {"pay": Policy(approval=Approval(quorum=2))}
    graph = build(world, in_turn([PAY]), two)
    [first] = questions(graph.invoke(said(), thread()))
    ann = {"decisions": [{"type": "approve", "by": "ann"}]}
    bob = {"decisions": [{"type": "approve", "by": "bob"}]}
    [second] = questions(graph.invoke(resume(ann, first), thread()))
    assert world.book == []
    graph.invoke(resume(bob, second), thread())
    assert world.book == [1]


def test_one_question_about_all_calls_of_a_message(world: World) -> None:
    asked = [PAY, ("flaky", {"a": 1}), ("pay", {"amount": 2})]
    graph = classic(world, in_turn(asked), ASKS)
    [question] = questions(graph.invoke(said(), thread()))
    assert [one["args"] for one in question.value["action_requests"]] == [
        {"amount": 1},
        {"amount": 2},
    ]
    both_ways = {"decisions": [{"type": "approve"}, {"type": "reject"}]}
    result = graph.invoke(resume(both_ways), thread())
    assert world.book == [1]
    assert [message.split()[0] for message in contents(result)] == ["paid", "ok", "This"]


def test_if_one_decision_does_not_fit_none_is_recorded(world: World) -> None:
    graph = classic(world, in_turn([PAY, ("pay", {"amount": 2})]), ASKS)
    graph.invoke(said(), thread())
    with pytest.raises(AnswerRefused):
        graph.invoke(resume({"decisions": [{"type": "approve"}, {"type": "shrug"}]}), thread())
    assert {effect.status for effect in world.ledger.effects()} == {Status.PENDING}


def test_a_graph_may_demand_what_the_tools_did_not(world: World) -> None:
    graph = classic(world, in_turn([PAY]), None, policies=ASKS)
    assert questions(graph.invoke(said(), thread()))
    assert world.book == []
    graph.invoke(resume(APPROVE), thread())
    assert world.book == [1]


def test_a_policy_for_a_tool_that_is_not_wrapped_is_refused(world: World) -> None:
    graph = classic(world, in_turn([("other", {})]), None, policies={"other": ASKS["pay"]})
    with pytest.raises(InvalidPolicy, match="other"):
        graph.invoke(said(), thread())


def test_a_call_that_needs_nobody_goes_straight_on(world: World) -> None:
    big = {"pay": Policy(approval=lambda args: args["amount"] > 10)}
    graph = classic(world, in_turn([PAY]), big)
    assert not questions(graph.invoke(said(), thread()))
    assert world.book == [1]
