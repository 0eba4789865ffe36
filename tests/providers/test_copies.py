"""A watched client is a client like the one it was made of, and so are its copies."""

from __future__ import annotations

import gc
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest

from tallystick import Ledger
from tallystick.clients import watch
from tallystick.errors import BudgetExceeded, InvalidCall
from tests.providers._server import Provider
from tests.providers._stories import ASK, CLAUDE, GPT
from tests.providers._watched import Desk

CHAT: Any = {"model": GPT, "messages": ASK, "max_completion_tokens": 100}
SAY: Any = {"model": CLAUDE, "messages": ASK, "max_tokens": 100}


def bare(provider: Provider, **options: Any) -> Any:
    return openai.OpenAI(base_url=f"{provider.origin}/v1", api_key="none", **options)


def test_it_is_of_the_same_class(desk: Desk) -> None:
    assert type(desk.gpt()) is openai.OpenAI
    assert type(desk.agpt()) is openai.AsyncOpenAI
    assert type(desk.claude()) is anthropic.Anthropic
    assert type(desk.aclaude()) is anthropic.AsyncAnthropic


def test_the_client_that_was_given_is_left_as_it_was(desk: Desk, provider: Provider) -> None:
    with bare(provider) as client:
        client.chat.completions.create(**CHAT)
        before = {**client.__dict__}
        watched: Any = watch(client, desk.ledger, budget="team")
        assert client.__dict__ == before
        client.chat.completions.create(**CHAT)
        assert desk.calls() == []
        del watched
        gc.collect()
        assert client.chat.completions.create(**CHAT).choices


def test_it_outlives_the_client_that_was_given(desk: Desk, provider: Provider) -> None:
    client = desk.watch(bare(provider))
    gc.collect()
    assert client.chat.completions.create(**CHAT).choices


def test_it_keeps_what_the_client_was_told(desk: Desk, provider: Provider) -> None:
    seen: list[str] = []

    def hook(request: httpx2.Request) -> None:
        seen.append(request.method)

    http = httpx2.Client(event_hooks={"request": [hook]})
    given = bare(provider, http_client=http, default_headers={"x-mine": "yes"}, timeout=7)
    client = desk.watch(given, provider="openai")
    client.chat.completions.create(**CHAT)
    assert client.timeout == 7
    assert provider.asked[0].headers["x-mine"] == "yes"
    assert seen == ["POST"]


def test_a_hook_may_read_the_answer_first(desk: Desk, provider: Provider) -> None:
    http = httpx2.Client(event_hooks={"response": [httpx2.Response.read]})
    client = desk.watch(bare(provider, http_client=http))
    client.chat.completions.create(**CHAT)
    list(client.chat.completions.create(**CHAT, stream=True))
    assert [call.tokens for call in desk.calls()] == [29, 29]


@pytest.mark.parametrize("kind", [httpx.Client, httpx2.Client])
def test_either_http_library_will_do(desk: Desk, provider: Provider, kind: Any) -> None:
    client = desk.watch(bare(provider, http_client=kind()))
    client.chat.completions.create(**CHAT)
    chunks = list(client.chat.completions.create(**CHAT, stream=True))
    assert all(chunk.choices for chunk in chunks)
    assert [call.state for call in desk.calls()] == ["settled", "settled"]


def test_copies_are_watched_with_whatever_options(desk: Desk, provider: Provider) -> None:
    desk.ledger.budget("none", usd="0.000001")
    client = desk.gpt(budget="none")
    other = httpx2.Client()
    claude = desk.claude(budget="none")
    for copy in (
        client.with_options(timeout=3),
        client.copy(max_retries=1),
        client.with_options(http_client=other),
        client.with_options(http_client=other).copy().with_options(api_key="another"),
        client.with_options(base_url=f"{provider.origin}/v1/"),
    ):
        with pytest.raises(BudgetExceeded):
            copy.chat.completions.create(**CHAT)
        with pytest.raises(BudgetExceeded):
            copy.with_raw_response.chat.completions.create(**CHAT)
    with pytest.raises(BudgetExceeded):
        claude.with_options(http_client=other).copy().messages.create(**SAY)
    other.close()
    assert provider.asked == []


def test_the_http_client_itself_is_no_way_around(desk: Desk, provider: Provider) -> None:
    desk.ledger.budget("none", usd="0.000001")
    client: Any = desk.gpt(budget="none")
    with pytest.raises(BudgetExceeded):
        client._client.post(f"{provider.origin}/v1/chat/completions", json=CHAT)
    assert provider.asked == []


def test_azure_counts_by_the_model_that_is_asked(desk: Desk, provider: Provider) -> None:
    azure = openai.AzureOpenAI(
        azure_endpoint=provider.origin, api_version="2024-10-21", api_key="none", max_retries=0
    )
    client = desk.watch(azure)
    assert type(client) is openai.AzureOpenAI
    client.chat.completions.create(**CHAT)
    list(client.chat.completions.create(**CHAT, stream=True))
    assert [call.state for call in desk.calls()] == ["settled", "settled"]
    assert provider.asked[0].path.startswith(f"/openai/deployments/{GPT}/")


def test_a_path_that_looks_free_is_only_free_below_the_address_of_the_client(
    desk: Desk, provider: Provider
) -> None:
    desk.ledger.budget("none", usd="0.000001")
    client = desk.watch(
        openai.OpenAI(base_url=f"{provider.origin}/files/v1", api_key="none"), budget="none"
    )
    with pytest.raises(BudgetExceeded):
        client.chat.completions.create(**CHAT)
    with pytest.raises(Exception, match="nobody knows"):
        client.images.generate(prompt="a house")
    assert provider.asked == []


def test_what_cannot_be_watched_is_refused(desk: Desk, ledger: Ledger) -> None:
    for thing in (None, "client", httpx2, desk.gpt().chat):
        with pytest.raises(InvalidCall, match="openai or anthropic"):
            watch(thing, ledger)
    with pytest.raises(InvalidCall, match="watched already"):
        watch(desk.gpt(), ledger)
