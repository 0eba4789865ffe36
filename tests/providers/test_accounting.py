"""However a model is called, the same tokens are counted (S31, S32)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pydantic
import pytest

from tallystick.prices import GenaiPrices
from tests.providers._answers import Answer, Call
from tests.providers._server import Provider
from tests.providers._stories import ASK, CLAUDE, CLAUDE_FIGURES, FIGURES, GPT
from tests.providers._watched import Desk


class Sum(pydantic.BaseModel):
    total: int


JSON = '{"total": 4}'
CHAT: Any = {"model": GPT, "messages": ASK, "max_completion_tokens": 200}
TOLD: Any = CHAT | {"stream_options": {"include_usage": True}}
REPLY: Any = {"model": GPT, "input": "Two and two?", "max_output_tokens": 200}
SAY: Any = {"model": CLAUDE, "messages": ASK, "max_tokens": 200}


def raw(answer: Any) -> Any:
    return answer.parse()


def read(manager: Any, get: Callable[[Any], Any]) -> None:
    with manager as opened:
        get(opened)


WAYS: dict[str, Callable[[Any], Any]] = {
    "create": lambda c: c.chat.completions.create(**CHAT),
    "create, with n": lambda c: c.chat.completions.create(**CHAT, n=1),
    "create, streamed": lambda c: list(c.chat.completions.create(**CHAT, stream=True)),
    "create, streamed and told": lambda c: list(c.chat.completions.create(**TOLD, stream=True)),
    "create, raw": lambda c: raw(c.chat.completions.with_raw_response.create(**CHAT)),
    "create, raw and streamed": lambda c: list(
        raw(c.chat.completions.with_raw_response.create(**CHAT, stream=True))
    ),
    "create, streaming response": lambda c: read(
        c.chat.completions.with_streaming_response.create(**CHAT), lambda r: r.parse()
    ),
    "create, streaming response read as bytes": lambda c: read(
        c.chat.completions.with_streaming_response.create(**CHAT), lambda r: list(r.iter_bytes())
    ),
    "parse": lambda c: c.chat.completions.parse(**CHAT, response_format=Sum),
    "stream": lambda c: read(c.chat.completions.stream(**CHAT), lambda s: s.get_final_completion()),
    "stream, parsed": lambda c: read(
        c.chat.completions.stream(**CHAT, response_format=Sum), lambda s: s.until_done()
    ),
    "responses": lambda c: c.responses.create(**REPLY),
    "responses, streamed": lambda c: list(c.responses.create(**REPLY, stream=True)),
    "responses, raw": lambda c: raw(c.responses.with_raw_response.create(**REPLY)),
    "responses, parsed": lambda c: c.responses.parse(**REPLY, text_format=Sum),
    "responses, stream": lambda c: read(
        c.responses.stream(**REPLY), lambda s: s.get_final_response()
    ),
    "with_options": lambda c: c.with_options(timeout=5).chat.completions.create(**CHAT),
    "copy of a copy": lambda c: c.copy().with_options().responses.create(**REPLY),
    "plain post": lambda c: c.post("/chat/completions", body=CHAT, cast_to=object),
}

CLAUDE_WAYS: dict[str, Callable[[Any], Any]] = {
    "create": lambda c: c.messages.create(**SAY),
    "create, streamed": lambda c: list(c.messages.create(**SAY, stream=True)),
    "create, raw": lambda c: raw(c.messages.with_raw_response.create(**SAY)),
    "create, streaming response": lambda c: read(
        c.messages.with_streaming_response.create(**SAY), lambda r: r.parse()
    ),
    "stream": lambda c: read(c.messages.stream(**SAY), lambda s: s.get_final_message()),
    "stream of text": lambda c: read(c.messages.stream(**SAY), lambda s: list(s.text_stream)),
    "parse": lambda c: c.messages.parse(**SAY, output_format=Sum),
    "beta": lambda c: c.beta.messages.create(**SAY),
    "beta, streamed": lambda c: list(c.beta.messages.create(**SAY, stream=True)),
    "with_options": lambda c: c.with_options(timeout=5).messages.create(**SAY),
}

USED = {"input": 400, "cache_read": 600, "output": 15, "reasoning": 25, "requests": 1}
CLAUDE_USED = {"input": 100, "cache_read": 600, "cache_write": 300, "output": 9, "requests": 1}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_call_openai_counts_alike(desk: Desk, provider: Provider, way: str) -> None:
    provider.script(Answer(text=JSON, **FIGURES))
    WAYS[way](desk.gpt())
    call = desk.last()
    assert (call.state, call.usage) == ("settled", USED)
    # 400 fresh, 600 cached, 40 out, at 1, 0.1 and 10 dollars per million
    assert call.cost == desk.budget.spent == Decimal("0.00086")
    assert desk.budget.reserved == 0


@pytest.mark.parametrize("way", CLAUDE_WAYS)
def test_every_way_to_call_anthropic_counts_alike(desk: Desk, provider: Provider, way: str) -> None:
    provider.script(Answer(text=JSON, **CLAUDE_FIGURES))
    CLAUDE_WAYS[way](desk.claude())
    call = desk.last()
    assert (call.state, call.usage) == ("settled", CLAUDE_USED)
    assert call.cost == desk.budget.spent == Decimal("0.000625")


async def streamed(stream: Any) -> None:
    async for _ in await stream:
        pass


async def finished(manager: Any, get: Callable[[Any], Any]) -> None:
    async with manager as opened:
        await get(opened)


AWAITED: dict[str, Callable[[Any], Any]] = {
    "create": lambda c: c.chat.completions.create(**CHAT),
    "create, streamed": lambda c: streamed(c.chat.completions.create(**CHAT, stream=True)),
    "create, raw": lambda c: c.chat.completions.with_raw_response.create(**CHAT),
    "create, streaming response": lambda c: finished(
        c.chat.completions.with_streaming_response.create(**CHAT), lambda r: r.parse()
    ),
    "parse": lambda c: c.chat.completions.parse(**CHAT, response_format=Sum),
    "stream": lambda c: finished(
        c.chat.completions.stream(**CHAT), lambda s: s.get_final_completion()
    ),
    "responses": lambda c: c.responses.create(**REPLY),
    "responses, streamed": lambda c: streamed(c.responses.create(**REPLY, stream=True)),
    "with_options": lambda c: c.with_options(timeout=5).chat.completions.create(**CHAT),
}


@pytest.mark.parametrize("way", AWAITED)
async def test_every_way_to_await_openai_counts_alike(
    desk: Desk, provider: Provider, way: str
) -> None:
    provider.script(Answer(text=JSON, **FIGURES))
    async with desk.agpt() as client:
        await AWAITED[way](client)
    assert (desk.last().state, desk.last().usage) == ("settled", USED)


@pytest.mark.parametrize("way", ["create", "streamed", "stream"])
async def test_every_way_to_await_anthropic_counts_alike(
    desk: Desk, provider: Provider, way: str
) -> None:
    provider.script(Answer(text=JSON, **CLAUDE_FIGURES))
    async with desk.aclaude() as client:
        if way == "create":
            await client.messages.create(**SAY)
        elif way == "streamed":
            await streamed(client.messages.create(**SAY, stream=True))
        else:
            await finished(client.messages.stream(**SAY), lambda s: s.get_final_message())
    assert (desk.last().state, desk.last().usage) == ("settled", CLAUDE_USED)


def test_the_caller_sees_no_chunk_that_it_did_not_ask_for(desk: Desk, provider: Provider) -> None:
    client = desk.gpt()
    chunks = list(client.chat.completions.create(**CHAT, stream=True))
    assert provider.asked[0].body["stream_options"] == {"include_usage": True}
    # a compressed event can neither be read nor be kept back
    assert provider.asked[0].headers["accept-encoding"] == "identity"
    assert all(chunk.choices for chunk in chunks)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == Answer().text
    told = list(client.chat.completions.create(**TOLD, stream=True))
    assert told[-1].choices == []
    assert told[-1].usage is not None


def test_a_server_that_refuses_to_be_asked_is_not_asked_again(
    desk: Desk, provider: Provider
) -> None:
    client = desk.gpt()
    provider.script(*[Answer(unknown="stream_options")] * 3)
    for _ in range(2):
        chunks = list(client.chat.completions.create(**CHAT, stream=True))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == Answer().text
    asked = ["stream_options" in request.body for request in provider.asked]
    assert asked == [True, False, False]
    for call in desk.calls():
        assert call.state == "unreconciled"
        assert call.usage is not None
        assert call.usage["output"] >= len(Answer().text)


async def test_a_server_that_refuses_to_be_asked_is_awaited_too(
    desk: Desk, provider: Provider
) -> None:
    provider.script(*[Answer(unknown="stream_options")] * 2)
    async with desk.agpt() as client:
        await streamed(client.chat.completions.create(**CHAT, stream=True))
    assert len(provider.asked) == 2
    assert [call.state for call in desk.calls()] == ["unreconciled"]


def test_nobody_is_asked_where_that_is_not_wanted(desk: Desk, provider: Provider) -> None:
    list(desk.gpt(ask_usage=False).chat.completions.create(**CHAT, stream=True))
    assert "stream_options" not in provider.asked[0].body


def test_two_answers_are_reserved_and_paid(desk: Desk, provider: Provider) -> None:
    client = desk.gpt()
    client.chat.completions.create(**CHAT, n=2)
    two = desk.last()
    client.chat.completions.create(**CHAT)
    one = desk.last()
    assert two.usage is not None
    assert two.usage["output"] == 18
    assert two.bound is not None
    assert one.bound is not None
    # 200 tokens more at 10 dollars per million, and some bytes of the request
    assert Decimal("0.002") <= two.bound - one.bound < Decimal("0.0021")


def test_tools_embeddings_and_old_completions_count(desk: Desk, provider: Provider) -> None:
    client = desk.gpt()
    provider.script(Answer(calls=(Call(name="add", arguments="{}"),)))
    client.chat.completions.create(**CHAT)
    client.embeddings.create(model=GPT, input=["a", "b"])
    client.completions.create(model=GPT, prompt="a")
    assert [call.tokens for call in desk.calls()] == [29, 20, 29]
    assert {call.state for call in desk.calls()} == {"settled"}


def test_the_tier_that_answered_is_the_one_that_is_paid(desk: Desk, provider: Provider) -> None:
    client = desk.gpt(provider="openai", prices=GenaiPrices())
    ways = (
        lambda: client.chat.completions.create(**CHAT, service_tier="auto"),
        lambda: list(client.chat.completions.create(**CHAT, stream=True)),
        lambda: client.responses.create(**REPLY),
        lambda: list(client.responses.create(**REPLY, stream=True)),
    )
    costs: dict[str | None, set[Any]] = {}
    for tier in (None, "flex", "priority", "never heard of"):
        for way in ways[1:] if tier == "never heard of" else ways:
            provider.script(Answer(tier=tier))
            way()
            costs.setdefault(tier, set()).add(desk.last().cost)
    assert [len(paid) for paid in costs.values()] == [1, 1, 1, 1]
    plain, flex, priority, unknown = (paid.pop() for paid in costs.values())
    assert flex < plain < priority
    assert unknown == plain


@pytest.mark.parametrize("tier", ["standard_only", "auto"])
def test_anthropics_tiers_have_a_price(desk: Desk, provider: Provider, tier: str) -> None:
    client = desk.claude(provider="anthropic", prices=GenaiPrices())
    client.messages.create(**SAY, service_tier=tier)
    list(client.messages.create(**SAY, service_tier=tier, stream=True))
    assert [call.state for call in desk.calls()] == ["settled", "settled"]


def test_calls_that_run_no_model_pass_and_leave_no_trace(desk: Desk, provider: Provider) -> None:
    desk.gpt().models.list()
    desk.claude().messages.count_tokens(model=CLAUDE, messages=ASK)
    assert len(provider.asked) == 2
    assert desk.calls() == []


async def test_the_event_loop_never_waits(desk: Desk, provider: Provider) -> None:
    late = 0.0

    async def ticking() -> None:
        nonlocal late
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + 0.01
            await asyncio.sleep(0.01)
            late = max(late, loop.time() - due)

    async with desk.agpt() as client:
        await client.chat.completions.create(**CHAT)  # whatever is built once is built
        ticker = asyncio.create_task(ticking())
        await asyncio.gather(*(client.chat.completions.create(**CHAT) for _ in range(20)))
        ticker.cancel()
    assert late < 0.25
