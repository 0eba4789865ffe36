"""The loopback providers speak what the providers' own clients understand."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx
import openai
import pydantic
import pytest

from tests.providers._answers import Answer, Call, Fault
from tests.providers._server import Provider

ASK: Any = [{"role": "user", "content": "What do two and two make?"}]


class Sum(pydantic.BaseModel):
    total: int


@pytest.fixture
def client(provider: Provider) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{provider.origin}/v1", api_key="k", max_retries=0)


@pytest.fixture
def claude(provider: Provider) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=provider.origin, api_key="k", max_retries=0)


def test_chat_streams_usage_only_to_whoever_asks(client: openai.OpenAI) -> None:
    plain = list(client.chat.completions.create(model="m", messages=ASK, stream=True))
    asked = list(
        client.chat.completions.create(
            model="m", messages=ASK, stream=True, stream_options={"include_usage": True}
        )
    )
    assert [chunk.usage for chunk in plain] == [None] * len(plain)
    assert not asked[-1].choices
    assert asked[-1].usage
    assert asked[-1].usage.completion_tokens == 9


def test_chat_parses_calls_and_counts_choices(client: openai.OpenAI, provider: Provider) -> None:
    provider.script(Answer(text='{"total": 4}'), Answer(calls=(Call(name="f", arguments="{}"),)))
    parsed = client.chat.completions.parse(model="m", messages=ASK, response_format=Sum)
    called = client.chat.completions.create(model="m", messages=ASK, n=3)
    assert parsed.choices[0].message.parsed == Sum(total=4)
    assert called.choices[2].message.tool_calls
    assert called.usage
    assert called.usage.completion_tokens == 27


def test_responses_stream_and_parse(client: openai.OpenAI, provider: Provider) -> None:
    provider.script(Answer(text='{"total": 4}'))
    assert client.responses.parse(model="m", input="?", text_format=Sum).output_parsed == Sum(
        total=4
    )
    with client.responses.stream(model="m", input="?") as stream:
        whole = stream.get_final_response()
    assert whole.output_text == Answer().text
    assert whole.usage
    assert whole.usage.input_tokens == 20


def test_messages_stream(claude: anthropic.Anthropic, provider: Provider) -> None:
    provider.script(Answer(cache_read=12), Answer(calls=(Call(name="f", arguments='{"a": 1}'),)))
    with claude.messages.stream(model="m", max_tokens=50, messages=ASK) as stream:
        message = stream.get_final_message()
    assert (message.usage.input_tokens, message.usage.output_tokens) == (8, 9)
    with claude.messages.stream(model="m", max_tokens=50, messages=ASK) as stream:
        assert stream.get_final_message().content[0].type == "tool_use"


def test_faults_arrive_as_what_they_are(client: openai.OpenAI, provider: Provider) -> None:
    hasty = client.with_options(timeout=0.2)
    provider.script(*(Answer(fault=fault) for fault in (Fault.HANG, Fault.HANG_AFTER_HEADERS)))
    provider.script(Answer(fault=Fault.RESET), Answer(status=429, retry_after=1))
    for error in (openai.APITimeoutError, openai.APITimeoutError, openai.APIConnectionError):
        with pytest.raises(error):
            hasty.chat.completions.create(model="m", messages=ASK)
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="m", messages=ASK)
    provider.script(Answer(fault=Fault.RESET))
    with pytest.raises((openai.APIConnectionError, httpx.HTTPError)):  # as it comes, before 3.0
        list(client.chat.completions.create(model="m", messages=ASK, stream=True))
    assert len(provider.asked) == 5
