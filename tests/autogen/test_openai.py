"""OpenAI's own client in AutoGen, against its API on loopback and against recorded HTTP."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any, NoReturn

import openai
import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import CreateResult, UserMessage
from autogen_ext.models.cache import ChatCompletionCache
from autogen_ext.models.openai import OpenAIChatCompletionClient

from tallystick import Ledger
from tallystick_autogen import team_session, wrap_tools
from tests.providers._answers import Answer, Fault
from tests.providers._cassettes import ORIGIN, cassette
from tests.providers._server import Provider

from ._recorded import BUDGET, COST, FOLDER, PAYS, SAYS, Till, budgeted, gpt, payer
from ._world import agent, results, soon

Client = Callable[..., OpenAIChatCompletionClient]

BUSY = Answer(status=429, retry_after=0.01)
ASK = [UserMessage(content="pay 5", source="user")]


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture
async def client(provider: Provider) -> AsyncIterator[Client]:
    """Makes clients of the server on loopback, and closes them."""
    made: list[OpenAIChatCompletionClient] = []

    def make(retries: int = 0, origin: str = provider.origin, **options: Any) -> Any:
        made.append(gpt(origin, retries, **options))
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.fixture
def till() -> Till:
    return Till()


@pytest.fixture(autouse=True)
def _budget(ledger: Ledger) -> None:
    ledger.budget(BUDGET, usd=10)


def figures(ledger: Ledger) -> Sequence[Any]:
    """What was spent, is reserved, and is charged though nobody knows."""
    budget: Any = ledger.budget(BUDGET)
    return budget.spent, budget.reserved, budget.unreconciled


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_run_costs_what_the_answers_say(
    ledger: Ledger, provider: Provider, client: Client, till: Till, streamed: bool
) -> None:
    provider.script(PAYS, SAYS)
    one = payer(client(), ledger, till, model_client_stream=streamed)
    with ledger.workflow("w"):
        result = await soon(one.run(task="pay 5"))
    assert (till.paid, results(result)) == ([5], ["receipt 5"])
    assert result.messages[-1].to_text() == "It is paid."
    assert figures(ledger) == (Decimal(COST), 0, 0)


async def test_the_schema_is_sent_as_the_plain_tools(
    ledger: Ledger, provider: Provider, client: Client, till: Till
) -> None:
    """Byte for byte, on the wire."""
    for tools in ([till.tool()], wrap_tools([till.tool()], ledger)):
        await soon(agent(client(), tools).run(task="x"))
    plain, wrapped = (asked.body for asked in provider.asked)
    assert plain["tools"][0]["function"]["name"] == "pay"
    assert repr(plain) == repr(wrapped)


async def test_a_busy_provider_is_asked_again_and_the_tool_is_not(
    ledger: Ledger, provider: Provider, client: Client, till: Till
) -> None:
    """B1: the client sends HTTP again; the question is one, reserved and paid for once."""
    provider.script(PAYS, BUSY, BUSY, SAYS)
    with ledger.workflow("w"):
        result = await soon(payer(client(2), ledger, till).run(task="pay 5"))
    assert (till.paid, len(provider.asked)) == ([5], 4)
    assert [effect.tool for effect in ledger.effects()] == ["pay"]
    assert result.messages[-1].to_text() == "It is paid."
    assert figures(ledger) == (Decimal(COST), 0, 0)
    assert [view.state for view in ledger.reservations()] == ["settled"] * 2


@pytest.mark.parametrize("task", [None, "pay 5"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_provider_that_stays_busy_costs_nothing_and_a_run_again_pays_once(
    ledger: Ledger, provider: Provider, client: Client, till: Till, task: str | None, streamed: bool
) -> None:
    """B1: the same error leaves the agent, and the model asks for the call again."""
    provider.script(PAYS, BUSY, PAYS, SAYS)
    one = payer(client(), ledger, till, model_client_stream=streamed)
    with ledger.workflow("w"):
        with pytest.raises(openai.RateLimitError):
            await soon(one.run(task="pay 5"))
        assert figures(ledger)[1:] == (0, 0)
        result = await soon(one.run(task=task))
    assert (till.paid, results(result)) == ([5], ["receipt 5"])
    assert sorted(v.state for v in ledger.reservations()) == ["released"] + ["settled"] * 3


async def test_a_team_that_a_busy_provider_ended_goes_on_in_its_session(
    ledger: Ledger, provider: Provider, client: Client, till: Till
) -> None:
    """B1: the team is dead; what the model had answered is not asked again."""
    provider.script(PAYS, BUSY, SAYS)

    async def run() -> Any:
        team = RoundRobinGroupChat([payer(client(), ledger, till)], max_turns=1)
        async with team_session(team, ledger, "w") as session:
            return await soon(session.run(task="pay 5"))

    with pytest.raises(RuntimeError, match="RateLimitError"):
        await run()
    result = await run()
    assert (till.paid, results(result), len(provider.asked)) == ([5], ["receipt 5"], 3)
    assert figures(ledger) == (Decimal(COST), 0, 0)


async def test_a_stream_that_does_not_tell_its_usage_stays_charged(
    ledger: Ledger, provider: Provider, client: Client
) -> None:
    provider.script(Answer(fault=Fault.NO_USAGE))
    model = budgeted(client(), ledger)
    said = [piece async for piece in model.create_stream(ASK)]
    assert isinstance(said[-1], CreateResult)
    assert figures(ledger)[:2] == (0, 0)
    assert figures(ledger)[2] > 0
    assert provider.asked[0].body["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("where", ["client", "question"])
async def test_who_says_how_to_stream_is_not_overruled(
    ledger: Ledger, provider: Provider, client: Client, where: str
) -> None:
    silent: Any = {"stream_options": {"include_usage": False}}
    model = budgeted(client(**(silent if where == "client" else {})), ledger)
    extra: Any = {"extra_create_args": silent} if where == "question" else {}
    _ = [piece async for piece in model.create_stream(ASK, **extra)]
    assert provider.asked[0].body["stream_options"] == {"include_usage": False}


async def test_a_cache_that_answers_costs_nothing_and_pays_nothing(
    ledger: Ledger, provider: Provider, client: Client, till: Till
) -> None:
    """B1: the same call id as in the last run, and the effect again."""
    provider.script(PAYS, SAYS)
    cached: Any = ChatCompletionCache(client())
    for _ in range(2):
        with ledger.workflow("w"):
            one = payer(cached, ledger, till)
            result = await soon(one.run(task="pay 5"))
        assert (till.paid, results(result)) == ([5], ["receipt 5"])
    assert len(provider.asked) == 2
    assert figures(ledger) == (Decimal(COST), 0, 0)


# -- recorded HTTP ----------------------------------------------------------------------------


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(self: Any, address: Any) -> NoReturn:
        raise AssertionError(f"the network is cut, and something wanted to reach {address}")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket.socket, "connect_ex", connect)


@pytest.mark.parametrize("name", ["agent", "agent-stream"])
@pytest.mark.usefixtures("cut")
async def test_a_cassette_that_is_played_twice_pays_once(
    ledger: Ledger, client: Client, till: Till, name: str
) -> None:
    """A tool runs for real each time that the model's recorded answers are played."""

    async def play(one: AssistantAgent) -> str:
        with ledger.workflow("w"), cassette(name, folder=FOLDER) as tape:
            result = await soon(one.run(task="pay 5"))
        assert tape.all_played
        return str(result.messages[-1].to_text())

    streamed = name.endswith("stream")
    for _ in range(2):
        one = payer(client(origin=ORIGIN), ledger, till, model_client_stream=streamed)
        assert await play(one) == "It is paid."
    assert till.paid == [5]
    assert figures(ledger) == (2 * Decimal(COST), 0, 0)
