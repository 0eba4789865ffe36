"""A run that was resumed without its name is still the run that was sent."""

from __future__ import annotations

from typing import Any

import pytest

from tallystick.errors import ThreadError
from tallystick_langgraph import ainvoke_once, invoke_once

from ._world import World, in_turn, said, thread

PAY = ("pay", {"amount": 1})
FLAKY = ("flaky", {"a": 1})


def failed_run(world: World, *, failures: int = 1) -> Any:
    """An agent whose run *r* paid, and was left unfinished."""
    world.failures = failures
    agent = world.agent(in_turn([PAY], [FLAKY], [PAY]))
    with pytest.raises(ConnectionError):
        invoke_once(agent, said(), thread(), run_id="r")
    return agent


def test_a_run_that_was_finished_by_a_resume_has_a_result(world: World) -> None:
    agent = failed_run(world)
    result = agent.invoke(None, thread())
    assert invoke_once(agent, said(), thread(), run_id="r") == result
    assert world.book == [1, 1]


def test_a_run_that_a_resume_left_unfinished_goes_on(world: World) -> None:
    agent = failed_run(world)
    agent.update_state(thread(), {"messages": []})  # as a resume: it does not name the run
    result = invoke_once(agent, said(), thread(), run_id="r")
    assert [message.type for message in result["messages"]].count("human") == 1
    assert world.book == [1, 1]


async def test_a_run_is_resumed_and_sent_again_awaited(world: World) -> None:
    agent = failed_run(world)
    agent.update_state(thread(), {"messages": []})
    result = await ainvoke_once(agent, said(), thread(), run_id="r")
    agent.update_state(thread(), {"messages": []})
    again = await ainvoke_once(agent, said(), thread(), run_id="r")
    assert again == result
    assert world.book == [1, 1]


def test_a_run_that_another_one_overtook_is_told_apart(world: World) -> None:
    agent = failed_run(world)
    agent.invoke(said("something else"), thread())
    with pytest.raises(ThreadError, match="left unfinished"):
        invoke_once(agent, said(), thread(), run_id="r")


def test_a_run_that_was_overtaken_and_resumed_is_told_apart(world: World) -> None:
    agent = failed_run(world)
    world.failures = 1
    with pytest.raises(ConnectionError):
        agent.invoke(said("something else"), thread())
    agent.invoke(None, thread())
    with pytest.raises(ThreadError, match="left unfinished"):
        invoke_once(agent, said(), thread(), run_id="r")
