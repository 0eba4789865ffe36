"""Nothing goes past a budget, and a paid answer always arrives (S30, S33, S34)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from typing import Any

import openai
import pytest

from tallystick import Ledger
from tallystick.errors import (
    BudgetError,
    BudgetExceeded,
    RunawayStopped,
    StoreError,
    UnknownBudget,
    UnpricedModel,
)
from tallystick.runaway import Repeats, Runaway
from tests.conftest import Place
from tests.providers._answers import Answer
from tests.providers._server import Provider
from tests.providers._stories import ASK, CLAUDE, GPT
from tests.providers._watched import Desk

CHAT: Any = {"model": GPT, "messages": ASK, "max_completion_tokens": 100}
SAY: Any = {"model": CLAUDE, "messages": ASK, "max_tokens": 100}


def dear(provider: Provider, times: int) -> None:
    """Answers that use all that was reserved for the output."""
    provider.script(*(Answer(input=20, output=100) for _ in range(times)))


def test_forty_threads_with_a_budget_for_one_pay_once(provider: Provider, place: Place) -> None:
    with place.open() as ledger, Desk(ledger, provider.origin) as desk:
        # one call may come to 0.0022 at most, and does come to 0.00102
        small = ledger.budget("small", usd="0.0025")
        client = desk.gpt(budget=("team", "small"))
        dear(provider, 40)

        def one(_: int) -> str:
            try:
                return client.chat.completions.create(**CHAT).choices[0].message.content or ""
            except BudgetExceeded as error:
                return error.budget

        with ThreadPoolExecutor(40) as pool:
            told = list(pool.map(one, range(40)))
        assert sorted(told) == ["Two and two make four."] + ["small"] * 39
        assert len(provider.asked) == 1
        assert small.spent == desk.budget.spent < small.limit
        assert small.reserved == small.unreconciled == 0


async def test_forty_tasks_with_a_budget_for_one_pay_once(desk: Desk, provider: Provider) -> None:
    small = desk.ledger.budget("small", usd="0.0025")
    dear(provider, 40)
    async with desk.agpt(budget="small") as client:
        calls = (client.chat.completions.create(**CHAT) for _ in range(40))
        told = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer).__name__ for answer in told].count("ChatCompletion") == 1
    assert sum(isinstance(answer, BudgetExceeded) for answer in told) == 39
    assert len(provider.asked) == 1
    assert small.spent < small.limit


@pytest.mark.parametrize("retries", [0, 3])
def test_a_refusal_is_told_at_once_and_as_it_is(
    desk: Desk, provider: Provider, retries: int
) -> None:
    desk.ledger.budget("none", usd="0.000001")
    gpt = desk.gpt(budget="none").with_options(max_retries=retries)
    claude = desk.claude(budget="none").with_options(max_retries=retries)
    with pytest.raises(BudgetExceeded):
        gpt.chat.completions.create(**CHAT)
    with pytest.raises(BudgetExceeded):
        list(gpt.chat.completions.create(**CHAT, stream=True))
    with pytest.raises(BudgetExceeded):
        claude.messages.create(**SAY)
    with pytest.raises(BudgetExceeded), claude.messages.stream(**SAY) as stream:
        stream.get_final_message()
    assert provider.asked == []


def test_a_budget_of_tokens_and_one_of_requests_hold_too(desk: Desk, provider: Provider) -> None:
    desk.ledger.budget("tokens", tokens=1500)
    desk.ledger.budget("requests", requests=2)
    by_tokens, by_count = desk.gpt(budget="tokens"), desk.gpt(budget="requests")
    dear(provider, 4)
    by_tokens.chat.completions.create(**CHAT)
    with pytest.raises(BudgetExceeded, match="tokens"):
        by_tokens.chat.completions.create(**CHAT | {"max_completion_tokens": 500})
    by_count.chat.completions.create(**CHAT)
    by_count.chat.completions.create(**CHAT)
    with pytest.raises(BudgetExceeded, match="requests"):
        by_count.chat.completions.create(**CHAT)


def test_what_nobody_can_price_is_refused(desk: Desk, provider: Provider) -> None:
    client = desk.gpt()
    with pytest.raises(UnpricedModel):
        client.chat.completions.create(**CHAT | {"model": "made-up"})
    attempts: Any = (
        lambda: client.images.generate(model="gpt-image-1", prompt="a house"),
        lambda: client.audio.speech.create(model="tts-1", voice="alloy", input="a"),
        lambda: client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"RIFF")),
        lambda: client.batches.create(
            input_file_id="f", endpoint="/v1/responses", completion_window="24h"
        ),
        lambda: client.responses.create(prompt={"id": "pmpt_1"}),
        lambda: client.post("/next/year", body={"model": GPT}, cast_to=object),
        lambda: desk.claude().messages.batches.create(requests=[]),
    )
    for attempt in attempts:
        with pytest.raises(BudgetError):
            attempt()
    assert provider.asked == []


def test_what_nobody_can_price_goes_where_only_requests_are_counted(
    desk: Desk, provider: Provider
) -> None:
    requests = desk.ledger.budget("requests", requests=5)
    desk.gpt(budget="requests").images.generate(model="gpt-image-1", prompt="a house")
    assert requests.remaining == 4
    assert desk.last().what == "POST /v1/images/generations"


REALTIME: Any = {"model": "gpt-realtime"}
#: what opens a web socket in one version of the client or another
SOCKETS: dict[str, Any] = {
    "realtime": REALTIME,
    "realtime.translations": REALTIME,
    "beta.realtime": REALTIME,
    "responses": {},
    "beta.responses": {},
    "live": {},
    "live.sideband": {"session_id": "s"},
    "live.forks": {"session_id": "s"},
}


def sockets(client: Any) -> list[Any]:
    """Everything that this client can open a web socket with."""
    found = [client.with_options(timeout=1).realtime.connect(**REALTIME)]
    for path, options in SOCKETS.items():
        with contextlib.suppress(AttributeError):
            found.append(attrgetter(f"{path}.connect")(client)(**options))
    assert len(found) > 2
    return found


async def test_web_sockets_are_refused(desk: Desk, provider: Provider) -> None:
    for connection in sockets(desk.gpt()):
        with pytest.raises(UnpricedModel, match="web sockets"):
            connection.enter()
    async with desk.agpt() as client:
        for connection in sockets(client):
            with pytest.raises(UnpricedModel, match="web sockets"):
                await connection.enter()
    assert provider.asked == []


def test_a_request_is_made_smaller_where_the_caller_can_do_with_less(
    desk: Desk, provider: Provider
) -> None:
    # 1,100 or so for the input, and 50 tokens of output
    small = desk.ledger.budget("small", usd="0.0018")
    client = desk.gpt(budget="small", least_output=20)
    provider.script(Answer(input=20, output=100))
    answer = client.chat.completions.create(**CHAT)
    limit = provider.asked[0].body["max_completion_tokens"]
    assert 20 <= limit < 100
    assert answer.choices[0].finish_reason == "length"
    assert small.spent <= small.limit
    with pytest.raises(BudgetExceeded):
        desk.gpt(budget="small").chat.completions.create(**CHAT)


def test_a_request_without_a_limit_gets_one_where_the_budget_needs_it(
    desk: Desk, provider: Provider
) -> None:
    desk.ledger.budget("small", usd="0.003")
    bare = {"model": GPT, "messages": ASK}
    desk.gpt().chat.completions.create(**bare)
    desk.gpt(budget="small", least_output=20).chat.completions.create(**bare)
    desk.gpt(budget="small", least_output=20, provider="openai").responses.create(
        model=GPT, input="?"
    )
    asked = [request.body for request in provider.asked]
    assert not {"max_tokens", "max_completion_tokens"} & asked[0].keys()
    assert 20 <= asked[1]["max_tokens"] < 1000
    assert 20 <= asked[2]["max_output_tokens"] < 1000


def test_thinking_is_not_cut_below_what_it_was_given(desk: Desk, provider: Provider) -> None:
    desk.ledger.budget("small", usd="0.002")
    thinking: Any = {"type": "enabled", "budget_tokens": 90}
    with pytest.raises(BudgetExceeded):
        desk.claude(budget="small", least_output=20).messages.create(**SAY, thinking=thinking)
    assert provider.asked == []


def test_an_answer_that_cost_more_than_was_reserved_arrives(desk: Desk, provider: Provider) -> None:
    small = desk.ledger.budget("small", usd="0.0025")
    client = desk.gpt(budget="small")
    provider.script(Answer(text="dear", input=9000, output=50))
    assert client.chat.completions.create(**CHAT).choices[0].message.content == "dear"
    assert desk.last().state == "settled"
    assert small.spent > small.limit
    with pytest.raises(BudgetExceeded):
        client.chat.completions.create(**CHAT)


def test_a_ledger_that_is_gone_stops_the_call_and_not_the_answer(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    with Ledger("memory://") as ledger, Desk(ledger, provider.origin) as desk:
        client = desk.gpt()
        stream = client.chat.completions.create(**CHAT, stream=True)
        next(iter(stream))
        ledger.close()
        assert len(list(stream)) > 3
        with pytest.raises(StoreError):
            client.chat.completions.create(**CHAT)
        assert len(provider.asked) == 1


def test_a_budget_may_let_calls_go_while_the_ledger_does_not_answer(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    with Ledger("memory://") as ledger, Desk(ledger, provider.origin) as desk:
        ledger.budget("soft", usd=1, on_error="allow")
        client = desk.gpt(budget="soft")
        client.chat.completions.create(**CHAT)
        ledger.close()
        assert client.chat.completions.create(**CHAT).choices
        assert "without its budget being checked" in caplog.text


def test_a_budget_that_was_raised_pays_again(desk: Desk, provider: Provider) -> None:
    small = desk.ledger.budget("small", usd="0.0025", on_exceed="ask")
    client = desk.gpt(budget="small")
    provider.script(Answer(output=100))
    client.chat.completions.create(**CHAT)
    with pytest.raises(BudgetExceeded) as caught:
        client.chat.completions.create(**CHAT)
    assert caught.value.request
    desk.ledger.approve(caught.value.request, by="ann")
    assert client.chat.completions.create(**CHAT).choices
    assert small.spent < small.limit


def test_a_budget_that_nobody_declared_is_no_budget(desk: Desk, provider: Provider) -> None:
    with pytest.raises(UnknownBudget):
        desk.gpt(budget="typo").chat.completions.create(**CHAT)
    assert provider.asked == []


def test_budgets_that_concern_every_model_need_not_be_named(desk: Desk, provider: Provider) -> None:
    desk.ledger.budget("all of gpt", usd="0.000001", model=GPT)
    with pytest.raises(BudgetExceeded, match="all of gpt"):
        desk.gpt(budget=()).chat.completions.create(**CHAT)


@pytest.mark.parametrize(
    ("address", "provider"),
    [
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://api.x.ai/v1", "x-ai"),
        ("https://generativelanguage.googleapis.com/v1beta/openai/", "google"),
        ("http://localhost:8000/v1", None),
    ],
)
def test_the_provider_is_told_by_the_address(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, address: str, provider: str | None
) -> None:
    def nowhere(*args: Any, **options: Any) -> Any:
        raise socket.gaierror("the network is cut")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    with Desk(ledger, "") as desk:
        client = desk.watch(openai.OpenAI(base_url=address, api_key="none", max_retries=0))
        with pytest.raises(openai.APIConnectionError):
            client.chat.completions.create(**CHAT)
        assert (desk.last().provider, desk.last().state) == (provider, "released")


def test_a_session_that_goes_round_in_circles_is_stopped(desk: Desk, provider: Provider) -> None:
    runaway = Runaway(rules=(Repeats(times=3, action="stop"),))
    client = desk.gpt(session="s-1", runaway=runaway).with_options(max_retries=2)
    claude = desk.claude(session="s-2", runaway=runaway).with_options(max_retries=2)
    for _ in range(3):
        client.chat.completions.create(**CHAT)
        claude.messages.create(**SAY)
    with pytest.raises(RunawayStopped):
        client.chat.completions.create(**CHAT)
    with pytest.raises(RunawayStopped):
        claude.messages.create(**SAY)
    assert len(provider.asked) == 6
