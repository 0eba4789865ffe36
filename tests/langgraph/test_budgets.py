"""Agents within budgets: shorter, cheaper, asked for, and never past the limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from langchain import agents
from langchain.agents.middleware import (
    AgentMiddleware,
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
)
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command

from tallystick.errors import AnswerRefused, BudgetExceeded, InvalidCall
from tallystick_langchain import BudgetCallback
from tallystick_langgraph import BudgetMiddleware, aresume_approved, resume_approved
from tests.adapters.budget_models import LINE, USED, Streamer, Talker, line
from tests.adapters.langchain_agents import asking

from ._world import APPROVE, REJECT, World, questions, said, thread

create_agent: Any = cast("Any", agents).create_agent  # its type is unknown in part

STORES = ("memory", "sqlite")
CALL = ("look", {"at": "it"})


@tool
def look(at: str) -> str:
    """Look at something."""
    return f"saw {at}"


def talking(*answers: AIMessage, **options: Any) -> Talker:
    """A model that gives these answers, and then says yes."""
    return Talker(script=list(answers), **options)


def agent(world: World, model: Any, *middleware: Any, **options: Any) -> Any:
    """An agent with a tool, on the checkpointer."""
    return create_agent(model, [look], middleware=middleware, checkpointer=world.saver, **options)


def paying(world: World, tokens: int, *, on_exceed: Any = "deny", **options: Any) -> Any:
    """A middleware whose budget has so many tokens."""
    world.ledger.budget(LINE, tokens=tokens, on_exceed=on_exceed, **options)
    return BudgetMiddleware(world.ledger, LINE)


def test_every_model_call_of_an_agent_is_booked(world: World) -> None:
    model = talking(asking(CALL), asking(CALL))
    agent(world, model, paying(world, 1_000_000)).invoke(said(), thread())
    assert len(model.paid) == 3
    assert line(world.ledger) == (3 * USED.total, 0, 0)


LAYERS: dict[str, Callable[[Any], list[Any]]] = {
    "alone": lambda other: [],
    "retries": lambda other: [ModelRetryMiddleware(max_retries=2, initial_delay=0.001)],
    "fallbacks": lambda other: [ModelFallbackMiddleware(other)],
}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS.keys())
@pytest.mark.parametrize("place", ["outside", "inside", "callback"])
@pytest.mark.parametrize("awaited", [False, True], ids=["blocking", "awaiting"])
def test_no_layer_swallows_an_exceeded_budget(
    world: World, layer: Any, place: str, awaited: bool
) -> None:
    model, other = talking(), talking(model="talker-2")
    ours, layers = paying(world, USED.total), layer(other)
    stack = [] if place == "callback" else [ours]
    graph = agent(world, model, *(stack + layers if place == "outside" else layers + stack))
    config: Any = thread()
    if place == "callback":
        config["callbacks"] = [BudgetCallback(world.ledger, LINE)]
    with pytest.raises(BudgetExceeded) as caught:
        asyncio.run(graph.ainvoke(said(), config)) if awaited else graph.invoke(said(), config)
    assert isinstance(caught.value, GraphBubbleUp)
    assert not model.paid
    assert not other.paid
    assert line(world.ledger) == (0, 0, 0)
    world.ledger.budget(LINE, tokens=1_000_000)
    result = graph.invoke(None, config)
    assert result["messages"][-1].content == "yes"


def test_the_calls_of_retries_and_fallbacks_are_booked_each(world: World) -> None:
    model = talking(failures=[ConnectionResetError(), ConnectionResetError()])
    other = talking(model="talker-2")
    layers = [
        ModelFallbackMiddleware(other),
        ModelRetryMiddleware(max_retries=1, initial_delay=0.001, on_failure="error"),
    ]
    agent(world, model, paying(world, 1_000_000), *layers).invoke(said(), thread())
    assert (len(model.paid), len(other.paid)) == (2, 1)
    spent, reserved, unreconciled = line(world.ledger)
    assert (spent, reserved) == (USED.total, 0)
    assert unreconciled > 2 * USED.total


def test_agents_within_agents_pay_from_the_same_budget(world: World) -> None:
    inner_model = Streamer(model="talker-inner")
    inner = agent(world, inner_model)

    @tool
    def look(at: str) -> str:
        """Let another agent look."""
        return str(inner.invoke(said(at))["messages"][-1].content)

    outer = create_agent(talking(asking(CALL)), [look], checkpointer=world.saver)
    world.ledger.budget(LINE, tokens=1_000_000)
    callback = BudgetCallback(world.ledger, LINE)
    outer.invoke(said(), {**thread(), "callbacks": [callback]})
    assert len(inner_model.paid) == 1
    assert line(world.ledger) == (3 * USED.total, 0, 0)
    assert callback.under_way == 0


@pytest.mark.parametrize("broken", [False, True])
def test_messages_that_are_streamed_are_booked(world: World, broken: bool) -> None:
    model = Streamer(breaks=2 if broken else None)
    graph = agent(world, model, paying(world, 1_000_000))
    try:
        list(graph.stream(said(), thread(), stream_mode="messages"))
    except ConnectionResetError:
        assert broken
    spent, reserved, unreconciled = line(world.ledger)
    assert (spent, reserved) == (0 if broken else USED.total, 0)
    assert (unreconciled > USED.total) is broken


async def test_a_cancelled_agent_leaves_nothing_reserved(world: World) -> None:
    model = Talker(gate=asyncio.Event())
    graph = agent(world, model, paying(world, 1_000_000))
    running = asyncio.ensure_future(graph.ainvoke(said(), thread()))
    await asyncio.sleep(0.3)
    assert model.paid
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.sleep(0.01)
    spent, reserved, unreconciled = line(world.ledger)
    assert (spent, reserved) == (0, 0)
    assert unreconciled > USED.total


# -- shorter and cheaper --------------------------------------------------------------------------


def test_a_long_answer_is_made_as_short_as_the_budget(world: World) -> None:
    model = talking(max_tokens=100_000)
    agent(world, model, paying(world, 3_000)).invoke(said(), thread())
    [settings] = model.paid
    assert 1_000 < settings["max_tokens"] < 3_000
    assert line(world.ledger) == (USED.total, 0, 0)


def test_an_answer_is_not_made_shorter_than_it_is_worth(world: World) -> None:
    model = talking(max_tokens=100_000)
    world.ledger.budget(LINE, tokens=3_000)
    with pytest.raises(BudgetExceeded):
        agent(world, model, BudgetMiddleware(world.ledger, LINE, least=2_500)).invoke(
            said(), thread()
        )
    assert not model.paid


# -- asking ---------------------------------------------------------------------------------------


def asks(world: World) -> Any:
    """An agent whose budget is for one call, and asks for more."""
    model = talking(asking(CALL), asking(CALL))
    graph = agent(world, model, paying(world, 1_400, on_exceed="ask", raise_by={"tokens": 1_400}))
    return graph, model


def test_an_agent_stops_asks_and_goes_on(world: World) -> None:
    graph, model = asks(world)
    [question] = questions(graph.invoke(said(), thread()))
    [action] = question.value["action_requests"]
    assert action["name"] == "budget.raise"
    assert (action["args"]["budget"], action["args"]["metric"]) == (LINE, "tokens")
    paid = len(model.paid)
    [item] = world.ledger.pending()
    assert item.effect.key == action["effect"]
    result = graph.invoke(Command(resume=APPROVE), thread())
    assert len(model.paid) > paid
    assert result["messages"][-1].content == "yes"
    assert line(world.ledger) == (3 * USED.total, 0, 0)


def test_a_decision_on_the_command_line_lets_the_thread_go_on(world: World) -> None:
    graph, _ = asks(world)
    [question] = questions(graph.invoke(said(), thread()))
    assert resume_approved(graph, world.ledger) == []
    world.ledger.approve(question.value["action_requests"][0]["effect"], by="ann")
    [resumed] = resume_approved(graph, world.ledger)
    assert (resumed.thread, resumed.error) == ("order-42", None)
    assert resumed.result["messages"][-1].content == "yes"
    assert resume_approved(graph, world.ledger) == []


async def test_one_decision_lets_every_thread_go_on_that_waits_for_it(world: World) -> None:
    world.ledger.budget(LINE, tokens=50, on_exceed="ask", raise_by={"tokens": 100_000})
    graph = agent(world, talking(), BudgetMiddleware(world.ledger, LINE))
    for name in ("one", "two"):
        assert questions(await graph.ainvoke(said(), thread(name)))
    [item] = world.ledger.pending()
    await world.ledger.aapprove(item.effect.key, by="ann")
    resumed = await aresume_approved(graph, world.ledger)
    assert sorted(one.thread for one in resumed) == ["one", "two"]
    assert [one.error for one in resumed] == [None, None]


def test_a_denial_stops_the_agent(world: World) -> None:
    graph, model = asks(world)
    graph.invoke(said(), thread())
    paid = len(model.paid)
    for _ in range(2):
        with pytest.raises(BudgetExceeded, match="denied by"):
            graph.invoke(Command(resume=REJECT), thread())
    assert len(model.paid) == paid


def test_another_amount_may_be_granted(world: World) -> None:
    graph, _ = asks(world)
    graph.invoke(said(), thread())
    action = {"name": "budget.raise", "args": {"raise": "5000"}}
    answer: Any = {"decisions": [{"type": "edit", "edited_action": action}]}
    result = graph.invoke(Command(resume=answer), thread())
    assert result["messages"][-1].content == "yes"


def test_nonsense_is_no_answer(world: World) -> None:
    graph, model = asks(world)
    graph.invoke(said(), thread())
    paid = len(model.paid)
    nonsense: tuple[Any, ...] = ("yes", {"decisions": []})
    for answer in nonsense:
        with pytest.raises(AnswerRefused):
            graph.invoke(Command(resume=answer), thread())
    assert len(model.paid) == paid
    assert len(world.ledger.pending()) == 1


# -- wrong use ------------------------------------------------------------------------------------


def test_one_budget_is_not_charged_twice_for_a_call(world: World) -> None:
    model = talking(max_tokens=100_000)
    graph = agent(world, model, paying(world, 3_000))
    beside = {**thread(), "callbacks": [BudgetCallback(world.ledger, LINE)]}
    graph.invoke(said(), beside)
    assert model.paid[0]["max_tokens"] < 3_000
    assert line(world.ledger) == (USED.total, 0, 0)


def test_budgets_that_overlap_are_refused(world: World) -> None:
    world.ledger.budget("other", tokens=1)
    graph = agent(world, talking(), BudgetMiddleware(world.ledger, LINE, "other"))
    beside = {**thread(), "callbacks": [BudgetCallback(world.ledger, LINE)]}
    with pytest.raises(InvalidCall, match="twice"):
        graph.invoke(said(), beside)


def test_a_call_that_other_middleware_makes_is_not_taken_for_the_agents_own(world: World) -> None:
    selector = talking(model="selector", max_tokens=100_000)

    class Selects(AgentMiddleware[Any, Any, Any]):
        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            selector.invoke("which tools?")
            return handler(request)

    model = talking()
    with pytest.raises(BudgetExceeded):
        agent(world, model, paying(world, 3_000), Selects()).invoke(said(), thread())
    assert not selector.paid
    world.ledger.budget(LINE, tokens=1_000_000)
    agent(world, model, paying(world, 1_000_000), Selects()).invoke(said(), thread("two"))
    assert line(world.ledger) == (2 * USED.total, 0, 0)


def test_wrong_arguments_are_refused_at_once(world: World) -> None:
    nothing: Any = None
    with pytest.raises(InvalidCall, match="no ledger"):
        BudgetMiddleware(nothing, LINE)
    with pytest.raises(InvalidCall, match="least"):
        BudgetMiddleware(world.ledger, LINE, least=0)
