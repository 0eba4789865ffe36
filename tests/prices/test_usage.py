"""What providers report becomes disjoint buckets, and nothing unknown becomes zero."""

from __future__ import annotations

from typing import Any, cast

import pytest
from anthropic.types import CacheCreation, MessageDeltaUsage, ServerToolUsage
from anthropic.types import OutputTokensDetails as Thinking
from anthropic.types import Usage as AnthropicUsage
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from openai.types import CreateEmbeddingResponse
from openai.types.completion_usage import (
    CompletionTokensDetails,
    CompletionUsage,
    PromptTokensDetails,
)
from openai.types.responses.response_usage import (
    InputTokensDetails,
    OutputTokensDetails,
    ResponseUsage,
)

from tallystick.errors import InvalidCall
from tallystick.prices import Usage

CHAT = CompletionUsage(
    prompt_tokens=1000,
    completion_tokens=300,
    total_tokens=1300,
    prompt_tokens_details=PromptTokensDetails(
        cached_tokens=600, cache_write_tokens=100, audio_tokens=50
    ),
    completion_tokens_details=CompletionTokensDetails(reasoning_tokens=200, audio_tokens=20),
)
RESPONSE = ResponseUsage(
    input_tokens=1000,
    input_tokens_details=InputTokensDetails(cached_tokens=600, cache_write_tokens=100),
    output_tokens=300,
    output_tokens_details=OutputTokensDetails(reasoning_tokens=200),
    total_tokens=1300,
)
MESSAGE = AnthropicUsage(
    input_tokens=100,
    cache_read_input_tokens=5000,
    cache_creation_input_tokens=1000,
    cache_creation=CacheCreation(ephemeral_1h_input_tokens=700, ephemeral_5m_input_tokens=300),
    output_tokens=250,
    output_tokens_details=Thinking(thinking_tokens=150),
    server_tool_use=ServerToolUsage(web_search_requests=3, web_fetch_requests=1),
)
METADATA = UsageMetadata(
    input_tokens=1000,
    output_tokens=300,
    total_tokens=1300,
    input_token_details=InputTokenDetails(audio=50, cache_creation=100, cache_read=600),
    output_token_details=OutputTokenDetails(audio=20, reasoning=200),
)

numbers = st.integers(0, 10**7)
oddities = st.one_of(numbers, st.none(), st.integers(-5, -1), st.just("12"), st.just(True))


def test_an_openai_completion_keeps_each_token_once() -> None:
    usage = Usage.from_openai_chat(CHAT)
    assert usage == Usage(
        input=250,
        cache_read=600,
        cache_write=100,
        input_audio=50,
        output=80,
        reasoning=200,
        output_audio=20,
    )
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.total) == (1000, 300, 1300)


def test_an_openai_response_keeps_each_token_once() -> None:
    assert Usage.from_openai_responses(RESPONSE) == Usage(
        input=300, cache_read=600, cache_write=100, output=100, reasoning=200
    )


def test_an_anthropic_message_adds_the_cache_to_its_input() -> None:
    usage = Usage.from_anthropic(MESSAGE)
    assert usage == Usage(
        input=100,
        cache_read=5000,
        cache_write=300,
        cache_write_1h=700,
        output=100,
        reasoning=150,
        web_searches=3,
    )
    assert usage is not None
    assert usage.input_tokens == 6100


def test_langchain_metadata_keeps_each_token_once() -> None:
    assert Usage.from_langchain(METADATA) == Usage.from_openai_chat(CHAT)


def test_langchains_ages_of_a_cache_replace_its_plain_count() -> None:
    details: Any = {
        "cache_read": 5000,
        "cache_creation": 0,
        "ephemeral_5m_input_tokens": 300,
        "ephemeral_1h_input_tokens": 700,
    }
    usage = Usage.from_langchain(
        {
            "input_tokens": 6100,
            "output_tokens": 1,
            "input_token_details": details,
            "total_tokens": 0,
        }
    )
    assert usage == Usage(input=100, cache_read=5000, cache_write=300, cache_write_1h=700, output=1)


@pytest.mark.parametrize("tier", ["priority", "flex"])
def test_langchains_service_tiers_hide_no_detail(tier: str) -> None:
    usage = Usage.from_langchain(
        {
            "input_tokens": 100,
            "output_tokens": 50,
            "total_tokens": 150,
            "input_token_details": {f"{tier}_cache_read": 60, tier: 40},
            "output_token_details": {f"{tier}_reasoning": 30, tier: 20},
        }
    )
    assert usage == Usage(input=40, cache_read=60, output=20, reasoning=30)


@pytest.mark.parametrize(
    ("reported", "normalise"),
    [
        (CHAT, Usage.from_openai_chat),
        (RESPONSE, Usage.from_openai_responses),
        (MESSAGE, Usage.from_anthropic),
    ],
)
def test_a_dictionary_means_the_same_as_the_clients_object(reported: Any, normalise: Any) -> None:
    assert normalise(reported.to_dict()) == normalise(reported) is not None


def test_an_embedding_has_no_output_and_needs_none() -> None:
    reported = CreateEmbeddingResponse.model_validate(
        {
            "data": [],
            "model": "m",
            "object": "list",
            "usage": {"prompt_tokens": 7, "total_tokens": 7},
        }
    )
    assert Usage.from_openai_chat(reported.usage) == Usage(input=7)


@pytest.mark.parametrize(
    "usage",
    [
        Usage.from_openai_chat(None),
        Usage.from_openai_chat({}),
        Usage.from_openai_chat({"prompt_tokens": 5}),
        Usage.from_openai_chat({"completion_tokens": 5}),
        Usage.from_openai_chat({"completion_tokens": 5, "total_tokens": 5}),
        Usage.from_openai_chat({"total_tokens": 5}),
        Usage.from_openai_chat({"prompt_tokens": 5, "total_tokens": 3}),
        Usage.from_openai_chat({"prompt_tokens": -1, "completion_tokens": 5}),
        Usage.from_openai_chat({"prompt_tokens": True, "completion_tokens": 5}),
        Usage.from_openai_chat({"prompt_tokens": 1.5, "completion_tokens": 5}),
        Usage.from_openai_chat("nothing to see"),
        Usage.from_openai_responses({"input_tokens": None, "output_tokens": None}),
        Usage.from_anthropic({"input_tokens": 5}),
        Usage.from_anthropic(MessageDeltaUsage(output_tokens=5)),
        Usage.from_langchain(None),
        Usage.from_langchain({"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}),
    ],
)
def test_what_is_not_said_is_unknown_and_never_zero(usage: Usage | None) -> None:
    assert usage is None


def test_one_part_follows_from_the_total_and_the_other() -> None:
    said = Usage.from_openai_chat({"prompt_tokens": 5, "total_tokens": 12})
    asked = Usage.from_openai_chat({"completion_tokens": 7, "total_tokens": 12})
    assert said == asked == Usage(input=5, output=7)


def test_whole_numbers_may_come_as_floats() -> None:
    assert Usage.from_openai_chat({"prompt_tokens": 5.0, "completion_tokens": 7.0}) == Usage(
        input=5, output=7
    )


def test_what_a_total_adds_to_its_parts_is_output() -> None:
    """Some servers leave reasoning out of the completion, and in the total."""
    usage = Usage.from_openai_chat(
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 315,
            "completion_tokens_details": {"reasoning_tokens": 300},
        }
    )
    assert usage == Usage(input=10, output=5, reasoning=300)


def test_details_larger_than_their_total_are_cut_the_dearest_first() -> None:
    usage = Usage.from_openai_chat(
        {
            "prompt_tokens": 100,
            "completion_tokens": 10,
            "prompt_tokens_details": {"audio_tokens": 70, "cached_tokens": 90},
            "completion_tokens_details": {"reasoning_tokens": 999},
        }
    )
    assert usage == Usage(input_audio=70, cache_read=30, reasoning=10)


def test_a_message_that_only_warms_the_cache_is_a_usage() -> None:
    usage = Usage.from_anthropic(
        {"input_tokens": 0, "output_tokens": 0, "cache_creation_input_tokens": 900}
    )
    assert usage == Usage(cache_write=900)


def test_ages_stand_in_for_a_cache_count_that_is_missing() -> None:
    usage = Usage.from_anthropic(
        {
            "input_tokens": 1,
            "output_tokens": 1,
            "cache_creation": {"ephemeral_1h_input_tokens": 4, "ephemeral_5m_input_tokens": 3},
        }
    )
    assert usage == Usage(input=1, cache_write=3, cache_write_1h=4, output=1)


@given(
    st.fixed_dictionaries({"prompt_tokens": numbers, "completion_tokens": numbers}),
    oddities,
    st.dictionaries(
        st.sampled_from(["cached_tokens", "audio_tokens", "cache_write_tokens"]), oddities
    ),
    st.dictionaries(st.sampled_from(["reasoning_tokens", "audio_tokens"]), oddities),
)
def test_the_buckets_of_a_completion_add_up_to_its_total(
    parts: dict[str, int], total: Any, entering: dict[str, Any], leaving: dict[str, Any]
) -> None:
    usage = Usage.from_openai_chat(
        {
            **parts,
            "total_tokens": total,
            "prompt_tokens_details": entering,
            "completion_tokens_details": leaving,
        }
    )
    said = total if type(total) is int else 0
    largest = max(said, sum(parts.values()))
    assert (usage.total if usage else 0) == largest
    assert usage is None or usage.input_tokens == parts["prompt_tokens"]


@given(
    st.fixed_dictionaries(
        {"input_tokens": numbers, "output_tokens": numbers},
        optional={"cache_creation_input_tokens": numbers, "cache_read_input_tokens": numbers},
    ),
    st.none() | st.fixed_dictionaries({"ephemeral_1h_input_tokens": oddities}),
    oddities,
)
def test_the_buckets_of_a_message_add_up_to_its_total(
    parts: dict[str, int], ages: dict[str, Any] | None, thinking: Any
) -> None:
    usage = Usage.from_anthropic(
        {
            **parts,
            "cache_creation": ages if parts.get("cache_creation_input_tokens") else None,
            "output_tokens_details": {"thinking_tokens": thinking},
        }
    )
    assert (usage.total if usage else 0) == sum(parts.values())


@given(
    st.fixed_dictionaries({"input_tokens": numbers, "output_tokens": numbers}),
    st.dictionaries(
        st.sampled_from(
            [
                "audio",
                "cache_read",
                "cache_creation",
                "priority_cache_read",
                "ephemeral_5m_input_tokens",
                "ephemeral_1h_input_tokens",
            ]
        ),
        oddities,
    ),
    st.dictionaries(st.sampled_from(["audio", "reasoning", "flex_reasoning"]), oddities),
)
def test_the_buckets_of_langchains_metadata_add_up_to_its_total(
    parts: dict[str, int], entering: dict[str, Any], leaving: dict[str, Any]
) -> None:
    usage = Usage.from_langchain(
        {**parts, "input_token_details": entering, "output_token_details": leaving}
    )
    assert (usage.total if usage else 0) == sum(parts.values())


usages = st.builds(
    Usage,
    **dict.fromkeys(Usage.__dataclass_fields__, numbers),  # pyright: ignore[reportArgumentType]
)


@given(usages)
def test_a_stored_usage_comes_back(usage: Usage) -> None:
    assert Usage.from_json(usage.to_json()) == usage


@given(usages, usages)
def test_sums_lose_nothing(one: Usage, other: Usage) -> None:
    both = one + other
    assert both == other + one
    assert both.total == one.total + other.total
    assert both.requests == one.requests + other.requests


@pytest.mark.parametrize("value", [-1, 1.0, True, None, "3"])
def test_a_bucket_is_a_whole_number_from_zero(value: Any) -> None:
    with pytest.raises(InvalidCall, match=r"Usage\(reasoning="):
        Usage(reasoning=value)


def test_a_bucket_from_a_newer_version_is_refused_rather_than_dropped() -> None:
    with pytest.raises(InvalidCall, match="does not know input_video"):
        Usage.from_json(cast("Any", {"input": 3, "input_video": 9}))
