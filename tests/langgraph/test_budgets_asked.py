"""Questions about budgets: answered twice, elsewhere, at once, and for another thread."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents.middleware import AgentMiddleware
from langgraph.types import Command

from tallystick import Ledger
from tallystick.errors import AnswerRefused, BudgetExceeded, RunawayStopped
from tallystick.runaway import Repeats, Runaway
from tallystick_langgraph import Advice, BudgetMiddleware, resume_approved
from tests.adapters.budget_models import LINE, USED, Talker, line
from tests.adapters.langchain_agents import asking

from ._world import APPROVE, World, questions, said, thread
from .test_budgets import CALL, agent, look, talking

__all__ = ["look"]

STORES = ("memory", "sqlite")
#: less than one call, so that each one asks
NOTHING = 50


def spending(world: World, *budgets: str, **options: Any) -> Any:
    """An agent whose budgets ask for everything."""
    for name in budgets:
        world.ledger.budget(name, tokens=NOTHING, on_exceed="ask", raise_by={"tokens": 5_000})
    return agent(world, talking(), BudgetMiddleware(world.ledger, *budgets, **options))


def test_each_budget_asks_for_itself(world: World) -> None:
    graph = spending(world, "session", "tenant")
    [first] = questions(graph.invoke(said(), thread()))
    [second] = questions(graph.invoke(Command(resume={first.id: APPROVE}), thread()))
    names = {question.value["action_requests"][0]["args"]["budget"] for question in (first, second)}
    assert names == {"session", "tenant"}
    result = graph.invoke(Command(resume={second.id: APPROVE}), thread())
    assert result["messages"][-1].content == "yes"
    assert line(world.ledger, "session") == line(world.ledger, "tenant") == (USED.total, 0, 0)


def test_each_step_may_ask_and_is_answered_by_its_own_question(world: World) -> None:
    world.ledger.budget(LINE, tokens=NOTHING, on_exceed="ask", raise_by={"tokens": 1})
    model = talking(asking(CALL), asking(CALL))
    graph = agent(world, model, BudgetMiddleware(world.ledger, LINE))
    result, asked = graph.invoke(said(), thread()), 0
    while questions(result):
        asked += 1
        [question] = questions(result)
        result = graph.invoke(Command(resume={question.id: APPROVE}), thread())
    assert (asked, len(model.paid)) == (2, 3)
    assert result["messages"][-1].content == "yes"


def test_a_question_that_nobody_needs_any_more_is_not_in_the_way_of_another(world: World) -> None:
    graph = spending(world, "session", "tenant")
    [first] = questions(graph.invoke(said(), thread()))
    world.ledger.budget(first.value["action_requests"][0]["args"]["budget"], tokens=1_000_000)
    [second] = questions(graph.invoke(None, thread()))
    assert second.value != first.value
    result = graph.invoke(Command(resume=APPROVE), thread())
    assert result["messages"][-1].content == "yes"


def test_an_answer_that_is_given_twice_is_no_answer_to_the_next_question(world: World) -> None:
    graph = spending(world, "session", "tenant")
    graph.invoke(said(), thread())
    graph.invoke(Command(resume=APPROVE), thread())
    with pytest.raises(AnswerRefused, match="in this turn before"):
        graph.invoke(Command(resume=APPROVE), thread())
    assert len(world.ledger.pending()) == 1
    [item] = world.ledger.pending()
    named = {"decisions": [{"type": "approve", "effect": item.effect.key}]}
    assert graph.invoke(Command(resume=named), thread())["messages"][-1].content == "yes"


def test_an_answer_after_a_decision_elsewhere_changes_nothing(world: World) -> None:
    graph = spending(world, LINE)
    [question] = questions(graph.invoke(said(), thread()))
    key = question.value["action_requests"][0]["effect"]
    world.ledger.approve(key, by="ann")
    graph.invoke(Command(resume=APPROVE), thread())
    assert world.ledger.budget(LINE).limit == NOTHING + 5_000
    assert [event.kind for event in world.ledger.history(key)].count("approved") == 1


def test_a_denial_after_an_approval_elsewhere_is_refused(world: World) -> None:
    graph = spending(world, LINE)
    [question] = questions(graph.invoke(said(), thread()))
    world.ledger.approve(question.value["action_requests"][0]["effect"], by="ann")
    with pytest.raises(AnswerRefused, match="already"):
        graph.invoke(Command(resume={"decisions": [{"type": "reject"}]}), thread())
    assert graph.invoke(None, thread())["messages"][-1].content == "yes"


def test_a_model_that_fails_after_the_answer_is_not_asked_about_again(world: World) -> None:
    world.ledger.budget(LINE, tokens=NOTHING, on_exceed="ask", raise_by={"tokens": 5_000})
    model = talking(failures=[ConnectionResetError("lost")])
    graph = agent(world, model, BudgetMiddleware(world.ledger, LINE))
    graph.invoke(said(), thread())
    with pytest.raises(ConnectionResetError):
        graph.invoke(Command(resume=APPROVE), thread())
    assert graph.invoke(None, thread())["messages"][-1].content == "yes"
    assert len(model.paid) == 2


def test_a_later_turn_may_ask_again_and_be_answered_plainly(world: World) -> None:
    world.ledger.budget(LINE, tokens=NOTHING, on_exceed="ask", raise_by={"tokens": 1_400})
    graph = agent(world, talking(), BudgetMiddleware(world.ledger, LINE))
    asked = 0
    for turn in range(12):
        result = graph.invoke(said(f"turn {turn}"), thread())
        while questions(result):
            asked += 1
            result = graph.invoke(Command(resume=APPROVE), thread())
        assert result["messages"][-1].content == "yes"
    assert asked > 1


def test_each_thread_has_a_line_of_its_own(world: World) -> None:
    world.ledger.budget(
        LINE, tokens=NOTHING, per="session", on_exceed="ask", raise_by={"tokens": 5_000}
    )
    graph = agent(world, talking(), BudgetMiddleware(world.ledger, LINE))
    keys: dict[str, str] = {}
    for name in ("one", "two"):
        [question] = questions(graph.invoke(said(), thread(name)))
        [action] = question.value["action_requests"]
        assert action["args"]["per"] == {"session": name}
        keys[name] = action["effect"]
    world.ledger.approve(keys["two"], by="ann")
    [resumed] = resume_approved(graph, world.ledger)
    assert resumed.thread == "two"
    assert resumed.error is None


def test_a_cheaper_model_is_taken_where_the_dear_one_does_not_fit(world: World) -> None:
    world.ledger.budget(LINE, tokens=2_000, on_exceed="downgrade")
    dear, cheap = talking(max_tokens=1_000), talking(model="talker-2", max_tokens=20)
    middleware = BudgetMiddleware(world.ledger, LINE, downgrade=cheap, least=None)
    agent(world, dear, middleware).invoke(said(), thread())
    assert (len(dear.paid), len(cheap.paid)) == (0, 1)


def test_where_no_model_fits_the_last_word_is_that_of_the_budget(world: World) -> None:
    world.ledger.budget(LINE, tokens=10, on_exceed="downgrade")
    dear, cheap = talking(), talking(model="talker-2")
    graph = agent(world, dear, BudgetMiddleware(world.ledger, LINE, downgrade=[cheap]))
    with pytest.raises(BudgetExceeded):
        graph.invoke(said(), thread())
    assert not dear.paid
    assert not cheap.paid


async def test_the_awaiting_face_does_all_of_it(world: World) -> None:
    world.ledger.budget(LINE, tokens=3_000, on_exceed="ask", raise_by={"tokens": 5_000})
    dear, cheap = talking(max_tokens=100_000), talking(asking(CALL), model="talker-2")
    middleware = BudgetMiddleware(world.ledger, LINE, downgrade=cheap, least=2_500)
    graph = agent(world, dear, middleware)
    result = await graph.ainvoke(said(), thread())
    assert not dear.paid
    assert len(cheap.paid) == 2
    result = await graph.ainvoke(said("more"), thread())
    assert result["messages"][-1].content == "yes"


def test_an_agent_that_goes_round_in_circles_is_stopped(world: World) -> None:
    world.ledger.budget(LINE, tokens=1_000_000)
    runaway = Runaway(rules=(Repeats(times=3),), action="stop")
    model = Talker()
    graph = agent(world, model, BudgetMiddleware(world.ledger, LINE, runaway=runaway))

    def again() -> None:
        for _ in range(6):
            graph.invoke(said("again"), thread())
            world.saver.delete_thread("order-42")

    with pytest.raises(RunawayStopped):
        again()
    assert len(model.paid) == 3


def test_a_model_is_told_what_was_found_about_its_session() -> None:
    advice = Advice()
    with Ledger("memory://", hooks=[advice]) as ledger:
        world = World(ledger)
        ledger.budget(LINE, tokens=1_000_000)
        runaway = Runaway(rules=(Repeats(times=3),), action="warn")
        middleware = BudgetMiddleware(ledger, LINE, runaway=runaway, advice=advice)
        heard: list[str] = []

        class Listens(AgentMiddleware[Any, Any, Any]):
            def wrap_model_call(self, request: Any, handler: Any) -> Any:
                heard.append(request.system_prompt or "")
                return handler(request)

        graph = agent(world, Talker(), middleware, Listens(), system_prompt="Be kind.")
        for _ in range(6):
            graph.invoke(said("again"), thread())
            world.saver.delete_thread("order-42")
    assert heard[:4] == ["Be kind."] * 4
    assert heard[4].startswith("Be kind.\n\ntalker-1 was asked the same 3 times in a row")
    assert heard[5] == "Be kind."
