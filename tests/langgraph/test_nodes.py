"""Plain nodes and tasks whose bodies are effects."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

import pytest
from langgraph.types import Command, RetryPolicy, Send, interrupt

from tallystick import Ledger, Policy
from tallystick.errors import EffectInDoubt, InvalidCall, NoWorkflow
from tallystick_langgraph import ledgered_node, ledgered_task

from ._world import APPROVE, START, Graph, World, entrypoint, questions, thread

STORES = ("sqlite", "foreign")
AGAIN = RetryPolicy(initial_interval=0.01, jitter=False)


class Order(TypedDict):
    amount: int
    order: NotRequired[str]
    receipt: NotRequired[str]


def charging(world: World, **options: Any) -> Any:
    """A node that charges, and what it leaves."""

    @ledgered_node(world.ledger, args=lambda s: {"amount": s["amount"]}, **options)
    def charge(state: Order) -> Any:
        world.book.append(state["amount"])
        return {"receipt": f"number {len(world.book)}"}

    return charge


def graph_of(world: World, *nodes: tuple[str, Any], **options: Any) -> Any:
    graph, before = Graph(Order), START
    for name, node in nodes:
        graph.add_node(name, node, **options)
        graph.add_edge(before, name)
        before = name
    return graph.compile(checkpointer=world.saver)


def failing(world: World) -> Any:
    def fail(state: Order) -> Any:
        if world.failures:
            world.failures -= 1
            raise ConnectionError("after")
        return {}

    return fail


def test_a_node_is_done_once_for_a_turn(world: World) -> None:
    world.failures = 1
    graph = graph_of(world, ("charge", charging(world)), ("fail", failing(world)))
    with pytest.raises(ConnectionError):
        graph.invoke({"amount": 5}, thread())
    assert graph.invoke(None, thread())["receipt"] == "number 1"
    first = list(graph.get_state_history(thread()))[-2]
    assert graph.invoke(None, first.config)["receipt"] == "number 1"
    assert graph.invoke({"amount": 5}, thread())["receipt"] == "number 2"
    assert world.book == [5, 5]


def test_a_node_that_is_interrupted_runs_its_effect_once(world: World) -> None:
    charge = charging(world)

    def node(state: Order) -> Any:
        done = charge(state)
        return {**done, "order": interrupt("which?")}

    graph = graph_of(world, ("n", node))
    graph.invoke({"amount": 5}, thread())
    result = graph.invoke(Command(resume="A-1"), thread())
    assert (result["order"], result["receipt"]) == ("A-1", "number 1")
    assert world.book == [5]


def test_a_fan_out_to_one_node_does_each(world: World) -> None:
    graph = Graph(Order)

    @ledgered_node(world.ledger)
    def charge(state: Order) -> Any:
        world.book.append(state["amount"])
        return {}

    def fan(_: Any) -> list[Send]:
        return [Send("charge", {"amount": 5}) for _ in range(3)]

    graph.add_node("charge", charge)
    graph.add_conditional_edges(START, fan, ["charge"])
    graph.compile(checkpointer=world.saver).invoke({"amount": 5}, thread())
    assert world.book == [5, 5, 5]


@pytest.mark.parametrize("awaiting", [False, True])
async def test_a_node_asks_and_runs_what_was_edited(world: World, *, awaiting: bool) -> None:
    if awaiting:

        @ledgered_node(
            world.ledger,
            policy=Policy(approval=True),
            args=lambda s: {"amount": s["amount"]},
        )
        async def charge(state: Order) -> Any:
            world.book.append(state["amount"])
            return {"receipt": "paid"}
    else:
        charge = charging(world, policy=Policy(approval=True))
    graph = graph_of(world, ("charge", charge))
    run = graph.ainvoke
    [question] = questions(await run({"amount": 5}, thread()))
    assert question.value["action_requests"][0]["args"] == {"amount": 5}
    action = {"name": "charge", "args": {"amount": 3}}
    edit = {"decisions": [{"type": "edit", "edited_action": action}]}
    await run(Command(resume={question.id: edit}), thread())
    assert world.book == [3]


def test_a_node_may_ask_a_question_of_its_own_after_its_approval(world: World) -> None:
    """Answers are counted by LangGraph: none may be taken for another."""

    @ledgered_node(world.ledger, policy=Policy(approval=True), args=lambda s: {"a": s["amount"]})
    def charge(state: Order) -> Any:
        name = interrupt("your name?")
        world.book.append(state["amount"])
        return {"receipt": f"for {name}"}

    graph = graph_of(world, ("charge", charge))
    [approval] = questions(graph.invoke({"amount": 5}, thread()))
    [own] = questions(graph.invoke(Command(resume={approval.id: APPROVE}), thread()))
    assert own.value == "your name?"
    result = graph.invoke(Command(resume={own.id: "ann"}), thread())
    assert result["receipt"] == "for ann"
    assert world.book == [5]


def test_an_unknown_outcome_stops_the_run_and_is_not_retried(world: World) -> None:
    @ledgered_node(world.ledger)
    def charge(state: Order) -> Any:
        world.book.append(state["amount"])
        raise RuntimeError("lost")

    graph = graph_of(world, ("charge", charge), retry_policy=RetryPolicy(retry_on=Exception))
    with pytest.raises(EffectInDoubt) as caught:
        graph.invoke({"amount": 5}, thread())
    world.ledger.resolve(caught.value.key, succeeded={"receipt": "found it"}, by="ann")
    assert graph.invoke(None, thread())["receipt"] == "found it"
    assert world.book == [5]


def test_without_a_checkpointer_a_workflow_has_to_be_named(world: World) -> None:
    graph = Graph(Order).add_node("charge", charging(world)).add_edge(START, "charge").compile()
    with pytest.raises(NoWorkflow):
        graph.invoke({"amount": 5})
    with world.ledger.workflow("order-42"):
        graph.invoke({"amount": 5})
        graph.invoke({"amount": 5})
    assert world.book == [5]


def test_the_tasks_of_the_functional_api(world: World) -> None:
    @ledgered_task(world.ledger)
    def charge(amount: int, order: str = "A-1") -> str:
        world.book.append(amount)
        return f"{order} number {len(world.book)}"

    @ledgered_task(world.ledger, name="refund", retry_policy=AGAIN)
    async def give_back(amount: int) -> str:
        world.book.append(-amount)
        return "back"

    @entrypoint(checkpointer=world.saver)  # type: ignore[untyped-decorator]
    def flow(amount: int) -> list[str]:
        found = [charge(amount), charge(amount), charge(amount, order="A-2")]
        said = [one.result() for one in found]
        if world.failures:
            world.failures -= 1
            raise ConnectionError("after")
        return sorted(said)

    world.failures = 1
    with pytest.raises(ConnectionError):
        flow.invoke(5, thread())
    assert len(flow.invoke(None, thread())) == 3
    assert world.book == [5, 5, 5]


def test_a_task_asks(world: World) -> None:
    @ledgered_task(world.ledger, policy=Policy(approval=True))
    def charge(amount: int) -> str:
        world.book.append(amount)
        return "paid"

    @entrypoint(checkpointer=world.saver)  # type: ignore[untyped-decorator]
    def flow(amount: int) -> str:
        return str(charge(amount).result())

    [question] = questions(flow.invoke(5, thread()))
    action = {"name": "charge", "args": {"amount": 2}}
    edit = {"decisions": [{"type": "edit", "edited_action": action}]}
    assert flow.invoke(Command(resume={question.id: edit}), thread()) == "paid"
    assert world.book == [2]


def test_what_is_no_ledger_is_refused() -> None:
    nothing: Any = None
    with pytest.raises(InvalidCall):
        ledgered_node(nothing)
    with Ledger("memory://") as ledger, pytest.raises(InvalidCall):
        ledgered_node(ledger, policy=nothing)
