"""What is known of a request before it is sent, and of an answer when it is there."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, Generation, LLMResult
from pydantic import BaseModel

from tallystick.metering import ModelRequest
from tallystick.prices import Overrides, Usage
from tallystick_langchain._budget._request import described
from tallystick_langchain._budget._usage import heard, hides, partial

BOOK = Overrides({"big": {"input": "1", "output": "1", "max_input": 200_000}})
OPENAI: dict[str, Any] = {"id": ["langchain", "chat_models", "openai", "ChatOpenAI"]}


def request(
    *blocks: Any,
    params: dict[str, Any] | None = None,
    made: dict[str, Any] | None = None,
    model: str = "big",
    **options: Any,
) -> ModelRequest:
    """What is known of a call with this content."""
    metadata = {"ls_model_name": model, "ls_provider": "openai"}
    content: Any = list(blocks) or "hi"
    serialized = {**OPENAI, "kwargs": made or {}}
    return described(serialized, [HumanMessage(content)], metadata, params or {}, options, BOOK)


def bound(*blocks: Any, **more: Any) -> int | None:
    """The upper bound of the input tokens."""
    return request(*blocks, **more).input_bound


TEXT = {"type": "text", "text": "what is this?"}
PICTURE = {"type": "image", "base64": "A" * 10_000, "mime_type": "image/png"}


def test_text_is_bounded_by_its_bytes() -> None:
    plain, longer = bound("x"), bound("x" * 1_001)
    assert plain
    assert longer == plain + 1_000


@pytest.mark.parametrize("kind", ["tool_call", "server_tool_result", "text-plain"])
def test_blocks_that_are_sent_as_text_are_text(kind: str) -> None:
    found = bound({"type": kind, "text": "y" * 500, "args": {}})
    assert found
    assert 1_500 < found < 3_000


def test_pictures_are_not_read_letter_by_letter() -> None:
    found = bound(TEXT, PICTURE, model="gpt-4o")
    assert found
    assert found < 5_000


@pytest.mark.parametrize("kind", ["audio", "file", "video", "non_standard"])
def test_what_nobody_can_bound_may_fill_the_window(kind: str) -> None:
    assert bound({"type": kind, "base64": "A" * 100}) == 200_000
    assert bound({"type": kind, "base64": "A" * 100}, model="unknown") is None


def test_calls_that_the_model_asked_for_are_read_again() -> None:
    call = {"name": "pay", "args": {"to": "é" * 1_000}, "id": "c1"}
    messages = [AIMessage("", tool_calls=[call])]
    found = described(OPENAI, messages, {"ls_model_name": "m"}, {}, {}, BOOK).input_bound
    assert found
    assert found > 6_000  # some integrations escape each letter


class Answer(BaseModel):
    """An answer of some kind, described at some length so that it is seen."""

    total: int


def test_schemas_are_read_and_made_strict() -> None:
    plain, schema = bound(), Answer.model_json_schema()
    asked = bound(params={"response_format": Answer})
    told = bound(ls_structured_output_format={"schema": schema})
    assert plain
    assert asked
    assert told
    assert asked > told > plain + 2 * len(Answer.__doc__ or "")


def test_limits_are_no_part_of_the_prompt() -> None:
    assert bound(params={"max_tokens": 5, "n": 2, "stop": ["x"]}) == bound()


@pytest.mark.parametrize(
    ("params", "limit"),
    [
        ({}, None),
        ({"max_tokens": None}, None),
        ({"max_tokens": 7}, 7),
        ({"max_tokens": 7, "max_completion_tokens": 9}, 9),
        ({"max_output_tokens": 7, "n": 3}, 21),
        ({"max_tokens": 7, "best_of": 4, "n": 2}, 28),
        ({"max_tokens": 7, "extra_body": {"max_tokens": 70, "n": 2}}, 140),
        ({"extra_body": {"max_tokens": 70}}, 70),
        ({"max_tokens": "many"}, None),
    ],
)
def test_the_largest_limit_counts_for_every_choice(
    params: dict[str, Any], limit: int | None
) -> None:
    assert request(params=params).output_bound == limit


def test_what_decides_about_prices_is_passed_on() -> None:
    marked = {**TEXT, "cache_control": {"type": "ephemeral"}}
    assert not request(TEXT).cached
    assert request(marked).cached
    assert request({"cachePoint": {"type": "default"}}).cached
    assert not request(TEXT).audio
    assert request({"type": "input_audio", "input_audio": {}}).audio
    assert request(params={"modalities": ["text", "audio"]}).audio
    assert request(model="gpt-4o-audio-preview").audio
    assert request(params={"service_tier": "flex"}).context == "flex"


@pytest.mark.parametrize(
    ("made", "attempts"), [({}, 3), ({"max_retries": 0}, 1), ({"max_retries": 5}, 6)]
)
def test_clients_send_twice_more_unless_they_are_told(made: dict[str, Any], attempts: int) -> None:
    assert request(made=made).attempts == attempts
    other = described({"id": ["mine"]}, [HumanMessage("hi")], {"ls_model_name": "m"}, {}, {}, BOOK)
    assert other.attempts == 1


@pytest.mark.parametrize(
    ("address", "provider"),
    [
        (None, "openai"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("http://10.0.0.7:8000/v1", None),
    ],
)
def test_a_client_at_another_address_has_another_provider(
    address: str | None, provider: str | None
) -> None:
    made = {} if address is None else {"openai_api_base": address}
    assert request(made=made).provider == provider


def test_equal_requests_have_equal_digests() -> None:
    assert request("a").digest == request("a").digest
    digests = {
        request("a").digest,
        request("b").digest,
        request("a", model="other").digest,
        request("a", params={"temperature": 1}).digest,
        request("a", params={"tools": [{"type": "function"}]}).digest,
    }
    assert len(digests) == 5


def test_a_model_without_a_name_is_called_by_its_class() -> None:
    found = described({"name": "Mine"}, "hi", {}, {}, {}, BOOK)
    assert (found.model, found.provider) == ("Mine", None)
    assert described(None, "hi", {}, {"model": "m"}, {}, BOOK).model == "m"


# -- answers --------------------------------------------------------------------------------------


def usage(input_: int, output: int) -> UsageMetadata:
    return UsageMetadata(input_tokens=input_, output_tokens=output, total_tokens=input_ + output)


def answer(*messages: AIMessage, **output: Any) -> LLMResult:
    """One call's answer, with some choices."""
    return LLMResult(generations=[[ChatGeneration(message=m) for m in messages]], llm_output=output)


def test_choices_that_repeat_the_whole_are_counted_once() -> None:
    one = AIMessage("a", usage_metadata=usage(10, 30))
    whole = {"prompt_tokens": 10, "completion_tokens": 30, "total_tokens": 40}
    assert heard(answer(one, one, one, token_usage=whole)).usage == Usage(input=10, output=30)


def test_choices_that_nobody_adds_up_are_added_up() -> None:
    one, other = (AIMessage("a", usage_metadata=usage(10, n)) for n in (1, 2))
    found = heard(answer(one, other)).usage
    assert found
    assert (found.input, found.output) == (20, 3)


def test_a_choice_that_says_nothing_makes_the_sum_unknown() -> None:
    one = AIMessage("a", usage_metadata=usage(10, 1))
    assert heard(answer(one, AIMessage("b"))).usage is None
    assert heard(answer(AIMessage("b"))).usage is None
    assert heard(LLMResult(generations=[])).usage is None


def test_what_a_batch_consumed_is_no_single_calls_usage() -> None:
    whole = {"prompt_tokens": 10, "completion_tokens": 30, "total_tokens": 40}
    result = LLMResult(generations=[[Generation(text="a")]], llm_output={"token_usage": whole})
    assert heard(result).usage == Usage(input=10, output=30)
    assert heard(result, alone=False).usage is None


def test_searches_of_the_provider_are_counted() -> None:
    blocks: list[Any] = [{"type": "web_search_call"}, {"type": "server_tool_use", "name": "other"}]
    message = AIMessage(blocks, usage_metadata=usage(1, 1))
    message.additional_kwargs["tool_outputs"] = [{"type": "web_search_call"}]
    found = heard(answer(message)).usage
    assert found
    assert (found.web_searches, found.requests) == (2, 1)


def test_answers_are_alike_whatever_their_ids_are() -> None:
    def asking(id_: str, amount: int) -> bytes:
        call = {"name": "pay", "args": {"amount": amount}, "id": id_}
        return heard(answer(AIMessage("", tool_calls=[call]))).digest

    assert asking("c1", 1) == asking("c2", 1) != asking("c1", 2)


@pytest.mark.parametrize(
    ("model", "params", "hidden"),
    [
        ("gpt-4o-mini", {}, False),
        ("meta/llama-3.3", {}, False),
        ("gpt-5", {}, True),
        ("gpt-4o", {"reasoning_effort": "low"}, True),
        ("whatever", {}, True),
    ],
)
def test_only_models_that_are_known_to_think_aloud_do(
    model: str, params: dict[str, Any], hidden: bool
) -> None:
    assert hides(params, model) is hidden


def test_what_arrived_of_an_answer_is_known() -> None:
    chunk = AIMessageChunk(content="he", usage_metadata=usage(10, 1))
    part = partial(answer(chunk, AIMessage("")), None)
    assert (part.usage, part.begun, part.whole) == (Usage(input=10, output=1), True, False)
    ended = AIMessageChunk(content="he", response_metadata={"finish_reason": "stop"})
    assert partial(answer(ended), usage(10, 2)) == partial(answer(ended), usage(10, 2))
    assert partial(answer(ended), usage(10, 2)).usage == Usage(input=10, output=2)
    assert partial(answer(ended), None).whole
    assert partial(None, None).usage is None
