"""What is charged when no answer came, or not all of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable
from typing import Any, NamedTuple

import openai
import pytest

from tallystick.errors import BudgetExceeded
from tests.providers._answers import Answer, Fault
from tests.providers._server import Provider
from tests.providers._stories import ASK, CLAUDE, GPT
from tests.providers._watched import Desk

CHAT: Any = {"model": GPT, "messages": ASK, "max_completion_tokens": 100}
SAY: Any = {"model": CLAUDE, "messages": ASK, "max_tokens": 100}


class Row(NamedTuple):
    answer: Answer
    plain: str
    streamed: str


#: what becomes of the reservation, whole answers and streams
TABLE = {
    "400": Row(Answer(status=400), "released", "released"),
    "401": Row(Answer(status=401), "released", "released"),
    "403": Row(Answer(status=403), "released", "released"),
    "404": Row(Answer(status=404), "released", "released"),
    "429": Row(Answer(status=429), "released", "released"),
    "500": Row(Answer(status=500), "unreconciled", "unreconciled"),
    "503": Row(Answer(status=503), "unreconciled", "unreconciled"),
    "529": Row(Answer(status=529), "unreconciled", "unreconciled"),
    "hang": Row(Answer(fault=Fault.HANG), "unreconciled", "unreconciled"),
    "hang, headers": Row(Answer(fault=Fault.HANG_AFTER_HEADERS), "unreconciled", "unreconciled"),
    "reset": Row(Answer(fault=Fault.RESET), "unreconciled", "unreconciled"),
    "no usage": Row(Answer(fault=Fault.NO_USAGE), "unreconciled", "unreconciled"),
    "error event": Row(Answer(fault=Fault.ERROR_EVENT), "settled", "unreconciled"),
    "cut": Row(Answer(fault=Fault.CUT), "settled", "unreconciled"),
    "slow": Row(Answer(fault=Fault.SLOW), "settled", "settled"),
}

WAYS: dict[str, Callable[[Desk], Any]] = {
    "openai": lambda desk: desk.gpt().chat.completions.create(**CHAT),
    "openai, streamed": lambda desk: list(desk.gpt().chat.completions.create(**CHAT, stream=True)),
    "anthropic": lambda desk: desk.claude().messages.create(**SAY),
    "anthropic, streamed": lambda desk: list(desk.claude().messages.create(**SAY, stream=True)),
}


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("way", WAYS)
def test_the_table_of_failures(desk: Desk, provider: Provider, way: str, name: str) -> None:
    row = TABLE[name]
    desk.patience = 0.3 if "hang" in name else 20.0
    provider.script(row.answer)
    # Anthropic's client lets exceptions of the HTTP library through
    answered = row.answer.status == 200 and name in {"no usage", "slow", "cut", "error event"}
    try:
        WAYS[way](desk)
    except Exception:  # noqa: BLE001 - which one is the providers' affair
        assert not answered or name == "error event"
    call = desk.last()
    assert call.state == (row.streamed if "streamed" in way else row.plain), call
    assert desk.budget.reserved == 0
    if call.state == "released":
        assert desk.budget.remaining == desk.budget.limit
        assert call.note == f"HTTP {name}"
    if call.state == "unreconciled":
        # charged in full, whatever is known of it
        assert desk.budget.spent + desk.budget.unreconciled == call.bound


def test_a_connection_that_was_refused_costs_nothing(desk: Desk) -> None:
    bare = openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="none", max_retries=0)
    with pytest.raises(openai.APIConnectionError):
        desk.watch(bare).chat.completions.create(**CHAT)
    assert desk.last().state == "released"


def test_every_attempt_of_the_client_itself_is_a_call(desk: Desk, provider: Provider) -> None:
    provider.script(Answer(status=500), Answer(status=429, retry_after=0.01), Answer())
    client = desk.gpt().with_options(max_retries=2)
    assert client.chat.completions.create(**CHAT).choices
    assert [call.state for call in desk.calls()] == ["unreconciled", "released", "settled"]


def test_a_retry_that_no_longer_fits_is_not_sent(desk: Desk, provider: Provider) -> None:
    desk.ledger.budget("small", usd="0.0025")
    provider.script(Answer(status=500), Answer())
    gpt = desk.gpt(budget="small").with_options(max_retries=2)
    claude = desk.claude(budget="small").with_options(max_retries=2)
    with pytest.raises(BudgetExceeded):
        gpt.chat.completions.create(**CHAT)
    with pytest.raises(BudgetExceeded):
        claude.messages.create(**SAY)
    assert len(provider.asked) == 1


def test_a_stream_that_is_closed_early_is_charged_for_what_was_said(
    desk: Desk, provider: Provider
) -> None:
    stream = desk.gpt().chat.completions.create(**CHAT, stream=True)
    for _ in range(4):
        next(iter(stream))
    stream.close()
    call = desk.last()
    assert call.state == "unreconciled"
    assert call.usage is not None
    assert call.usage["output"] >= len("Two and")
    assert desk.budget.spent + desk.budget.unreconciled == call.bound


def test_a_stream_of_anthropic_tells_its_input_even_if_it_is_closed_early(
    desk: Desk, provider: Provider
) -> None:
    provider.script(Answer(input=50, cache_read=30))
    with desk.claude().messages.stream(**SAY) as stream:
        for _ in range(4):
            next(iter(stream))
    call = desk.last()
    assert (call.state, call.note) == ("unreconciled", "the stream was closed before its end")
    assert call.usage is not None
    assert (call.usage["input"], call.usage["cache_read"]) == (20, 30)


def test_an_answer_that_nobody_reads_is_not_free(desk: Desk, provider: Provider) -> None:
    with desk.gpt().chat.completions.with_streaming_response.create(**CHAT):
        pass
    assert desk.last().state == "unreconciled"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_stream_that_is_forgotten_is_charged_too(desk: Desk, provider: Provider) -> None:
    stream = desk.gpt().chat.completions.create(**CHAT, stream=True)
    next(iter(stream))
    del stream
    gc.collect()
    desk.comes_to("unreconciled")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_stream_that_is_forgotten_by_a_task_is_charged_too(
    desk: Desk, provider: Provider
) -> None:
    async with desk.agpt() as client:
        stream = await client.chat.completions.create(**CHAT, stream=True)
        await anext(stream)
        del stream
        gc.collect()
        await asyncio.to_thread(desk.comes_to, "unreconciled")


def test_a_request_that_was_reserved_and_never_sent_costs_nothing(desk: Desk) -> None:
    client = desk.gpt()
    request = client._client.build_request("POST", f"{desk.origin}/v1/chat/completions", json=CHAT)
    client._prepare_request(request)
    assert desk.last().state == "held"
    del request
    gc.collect()
    desk.comes_to("released")


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_a_cancelled_call_is_charged(desk: Desk, provider: Provider, kind: str) -> None:
    provider.script(Answer(fault=Fault.HANG))
    client: Any = desk.agpt() if kind == "openai" else desk.aclaude()
    async with client:
        call = (
            client.chat.completions.create(**CHAT)
            if kind == "openai"
            else client.messages.create(**SAY)
        )
        task = asyncio.ensure_future(call)
        await asyncio.to_thread(provider.wait_for, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert desk.last().state == "unreconciled"
        assert desk.budget.unreconciled == desk.last().bound


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_a_stream_in_a_cancelled_task_is_charged_for_what_was_said(
    desk: Desk, provider: Provider, kind: str
) -> None:
    provider.script(Answer(fault=Fault.SLOW))
    seen = asyncio.Event()

    async def reading(opened: Any) -> None:
        count = 0
        async for _ in await opened:
            count += 1
            if count == 4:
                seen.set()

    client: Any = desk.agpt() if kind == "openai" else desk.aclaude()
    async with client:
        opened = (
            client.chat.completions.create(**CHAT, stream=True)
            if kind == "openai"
            else client.messages.create(**SAY, stream=True)
        )
        task = asyncio.create_task(reading(opened))
        await seen.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    call = desk.last()
    assert call.state == "unreconciled"
    assert call.usage is not None
    assert call.usage["output"] > 0


async def test_the_failures_are_the_same_when_they_are_awaited(
    desk: Desk, provider: Provider
) -> None:
    desk.patience = 1.0
    for name in ("400", "500", "hang", "reset", "cut"):
        row = TABLE[name]
        provider.script(row.answer, row.answer)
        async with desk.agpt() as gpt, desk.aclaude() as claude:
            fails = pytest.raises(openai.APIError) if name != "cut" else contextlib.nullcontext()
            with fails:
                await gpt.chat.completions.create(**CHAT)
            assert desk.last().state == row.plain, name
            try:
                async for _ in await claude.messages.create(**SAY, stream=True):
                    pass
            except Exception:  # noqa: BLE001 - which one is the providers' affair
                assert name != "cut"
            assert desk.last().state == row.streamed, name
