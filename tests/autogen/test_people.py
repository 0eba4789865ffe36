"""A person types once, whatever becomes of the run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from autogen_agentchat.agents import UserProxyAgent
from autogen_agentchat.messages import TextMessage
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken

from tallystick import Ledger
from tallystick.errors import InvalidCall
from tallystick_autogen import BudgetedModelClient, recorded_input, team_session

from ._world import Script, Scripted, agent, soon


class Person:
    """Somebody who says one thing after the other."""

    def __init__(self, *says: str) -> None:
        self.says = [*says]
        self.prompts: list[str] = []

    def ask(self, prompt: str) -> str:
        self.prompts.append(prompt)
        return self.says.pop(0)

    async def aask(self, prompt: str, token: CancellationToken | None) -> str:
        return self.ask(prompt)


async def talked(ledger: Ledger, script: Script, *asks: Callable[..., Any]) -> list[str]:
    """A model and people in turns, in one process."""
    model = agent(BudgetedModelClient(Scripted(script), ledger))
    people = [UserProxyAgent(f"person_{n}", input_func=ask) for n, ask in enumerate(asks)]
    team = RoundRobinGroupChat([*people, model], max_turns=2 * len(people) + 2)
    async with team_session(team, ledger, "w") as session:
        result = await soon(session.run(task="talk"))
    texts = [message for message in result.messages if isinstance(message, TextMessage)]
    return [message.content for message in texts if message.source.startswith("person")]


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_person_is_not_asked_again_after_a_crash(url: str, kind: str) -> None:
    """A plain UserProxyAgent asks again."""
    person, other = Person("first", "second"), Person()
    with Ledger(url) as ledger, pytest.raises(RuntimeError, match="gone"):
        await talked(ledger, ["a", OSError("gone")], recorded_input(person.ask))
    with Ledger(url) as ledger:
        ask = recorded_input(other.ask if kind == "sync" else other.aask)
        said = await talked(ledger, ["b"], ask)
    assert said == ["first", "second"]
    assert (person.prompts, other.prompts) == (["Enter your response: "] * 2, [])


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_person_is_asked_what_was_not_asked_before(ledger: Ledger, kind: str) -> None:
    ann, bob = Person("a1"), Person("b1")
    with pytest.raises(RuntimeError, match="pop from empty"):
        await talked(ledger, ["x"], recorded_input(ann.ask), recorded_input(bob.ask))
    ann.says = ["a2"]
    bob.says = ["b2"]
    asks = [p.ask if kind == "sync" else p.aask for p in (ann, bob)]
    said = await talked(ledger, ["x"], *map(recorded_input, asks))
    assert said == ["a1", "b1", "a2", "b2"]


async def test_people_with_names_are_not_taken_for_each_other(ledger: Ledger) -> None:
    """Who is asked first may be another one the next time."""

    def asks(*names: str) -> list[Any]:
        return [recorded_input(Person(f"{n} 1", f"{n} 2").ask, name=n) for n in names]

    with pytest.raises(RuntimeError, match="gone"):
        await talked(ledger, [OSError("gone")], *asks("ann", "bob"))
    said = await talked(ledger, ["x"], *asks("bob", "ann"))
    assert said[:2] == ["bob 1", "ann 1"]


async def test_outside_of_a_session_a_person_is_asked_each_time() -> None:
    person = Person("one", "two")
    ask = recorded_input(person.ask)
    assert [await ask("?", None), await ask("?", CancellationToken())] == ["one", "two"]


async def test_a_run_that_is_cancelled_waits_for_nobody() -> None:
    token, answered = CancellationToken(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask(prompt: str) -> str:
        loop.call_soon_threadsafe(token.cancel)
        asyncio.run_coroutine_threadsafe(answered.wait(), loop).result(10)
        return "too late"

    with pytest.raises(asyncio.CancelledError):
        await soon(recorded_input(ask)("?", token))
    answered.set()


def test_what_asks_nobody_is_refused() -> None:
    with pytest.raises(InvalidCall, match="asks nobody"):
        recorded_input("ann")  # type: ignore[arg-type]
