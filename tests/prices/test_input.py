"""How many tokens a request can have at most."""

from __future__ import annotations

import base64
import itertools
import json
import random
from collections import Counter
from typing import Any

import pytest
from anthropic.types import TextBlock, ToolUseBlock
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage
from openai import NOT_GIVEN, omit
from openai.types.chat import ChatCompletionMessage

from tallystick.errors import InvalidCall
from tallystick.prices import input_bound

PICTURE = base64.b64encode(random.Random(1).randbytes(60_000)).decode()
URL = f"data:image/png;base64,{PICTURE}"
HELLO = [{"role": "user", "content": "Hello!"}]
WINDOW = 128_000
FLAT = 1024 + 16


def asking(*parts: Any, model: str = "gpt-4o", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": list(parts)}], **more}


def bytes_of(request: Any) -> int:
    return len(json.dumps(request))


def test_text_is_bounded_by_its_bytes_and_what_is_added_around_it() -> None:
    request = asking({"type": "text", "text": "Γειά"}, tools=[{"type": "function", "function": {}}])
    assert input_bound(request) == bytes_of(request) + FLAT + 32
    assert input_bound(bytes_of(request), messages=1, tools=1) == input_bound(request)
    assert input_bound(b"{}", messages=0, tools=0) == 1026


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("gpt-4o", 1445),
        ("gpt-4o-2024-08-06", 1445),
        ("openai/gpt-4o", 1445),
        ("gpt-4o-mini", 48_169),
        ("gpt-4.1", 1536),
        ("gpt-4.1-mini-2025-04-14", 2489),
        ("gpt-4.1-nano", 3779),
        ("claude-3-5-sonnet-latest", 3279),
        ("claude-sonnet-4-20250514", 3279),
        ("claude-opus-4-6", 3279),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", 3279),
        ("claude-sonnet-4-5@20250929", 3279),
        ("claude-opus-4-7", None),
        ("claude-opus-4-10", None),
        ("claude-opus-5", None),
        ("gpt-4o-audio-preview", None),
        ("gpt-5.2", None),
        ("", None),
    ],
)
def test_images_count_by_their_formula_where_one_holds(model: str, tokens: int | None) -> None:
    found = input_bound(1000, messages=1, tools=0, images=2, model=model)
    assert found == (tokens and 1000 + FLAT + 2 * tokens)
    known = input_bound(1000, messages=1, tools=0, images=2, model=model, max_input=WINDOW)
    assert known == (found or WINDOW)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": URL, "detail": "high"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "input_image", "image_url": URL},
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": PICTURE},
        },
        {"type": "image", "base64": PICTURE, "mime_type": "image/png"},
        {"type": "tool_result", "content": [{"type": "image", "source": {"data": PICTURE}}]},
    ],
)
def test_an_image_counts_as_an_image_and_not_as_text(part: Any) -> None:
    found = input_bound(asking(part))
    assert found is not None
    assert 1445 + FLAT < found < 1445 + FLAT + 300


def test_what_only_looks_like_an_image_is_text() -> None:
    """Base64 that the model reads, in its text or in the arguments of a tool."""
    said = asking({"type": "text", "text": URL})
    used = asking({"type": "tool_use", "input": {"type": "image", "data": PICTURE}})
    asked = asking({"type": "text", "text": ""}, tools=[{"x": {"type": "image", "data": PICTURE}}])
    for request in (said, used, asked):
        found = input_bound(request)
        assert found is not None
        assert found > len(PICTURE)


@pytest.mark.parametrize(
    "request_",
    [
        asking({"type": "input_audio", "input_audio": {"data": PICTURE, "format": "wav"}}),
        asking({"type": "file", "file": {"file_id": "file-1"}}),
        asking({"type": "file", "file": {"file_data": URL}}),
        asking({"type": "document", "source": {"type": "base64", "data": PICTURE}}),
        asking({"type": "hologram"}),
        asking({"type": None}),
        asking({"type": ["a", "list"]}),
        asking(7),
        asking({"type": "text", "text": b"raw"}),
        {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]},
        {"messages": (message for message in HELLO)},
        {"input": "again", "previous_response_id": "resp_1"},
        {"input": "again", "conversation": {"id": "conv_1"}},
        {"input": [{"type": "item_reference", "id": "rs_1"}]},
        {"input": [[15339, 1917]]},
        {"prompt": {"id": "pmpt_1"}},
        {"messages": HELLO, "response_format": TextBlock},
        {"contents": [{"parts": [{"inline_data": {"data": PICTURE}}]}]},
    ],
)
def test_what_cannot_be_counted_takes_the_models_window(request_: dict[str, Any]) -> None:
    assert input_bound(request_) is None
    assert input_bound(request_, max_input=WINDOW) == WINDOW


def test_a_window_smaller_than_the_text_is_not_believed() -> None:
    request = asking({"type": "hologram"}, {"type": "text", "text": "x" * 5000})
    found = input_bound(request, max_input=1000)
    assert found is not None
    assert found > 5000


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"tools": [{"type": "file_search"}]},
        {"tools": [{"type": "mcp", "server_url": "https://example.org"}]},
        {"tools": (tool for tool in [{"type": "function"}])},
        {"web_search_options": {"search_context_size": "low"}},
        {"mcp_servers": [{"type": "url", "url": "https://example.org"}]},
    ],
)
def test_what_the_provider_runs_by_itself_has_no_bound(more: dict[str, Any]) -> None:
    assert input_bound(asking(**more), max_input=WINDOW) is None


def test_anthropics_tools_for_the_caller_bring_a_prompt_of_their_own() -> None:
    request = asking(tools=[{"type": "bash_20250124", "name": "bash"}, {"name": "mine"}])
    assert input_bound(request) == bytes_of(request) + FLAT + 2 * 32 + 2048


def test_options_that_were_not_given_are_not_there() -> None:
    request = {"messages": HELLO, "tools": NOT_GIVEN, "prompt": omit, "conversation": omit}
    given_ = {**request, **dict.fromkeys(("tools", "prompt", "conversation"))}
    assert input_bound(request) == bytes_of(given_) + FLAT


@pytest.mark.parametrize(
    "request_",
    [
        {"messages": HELLO, "system": "Be kind."},
        {"messages": HELLO, "system": [{"type": "text", "text": "Be kind."}]},
        {"input": "Hello!"},
        {"input": [{"type": "function_call_output", "output": [{"type": "input_text"}]}]},
        {"input": ["one", "two"]},
        {"prompt": "Once upon a time"},
        asking({"type": "document", "source": {"type": "text", "data": "plain"}}),
        {"messages": HELLO, "functions": [{"name": "f"}]},
        {"messages": [HumanMessage("Hello!")]},
    ],
)
def test_everything_that_is_text_is_bounded(request_: dict[str, Any]) -> None:
    found = input_bound(request_)
    assert found is not None
    assert found > 1024


def test_answers_can_be_sent_back_as_the_clients_objects() -> None:
    said = ChatCompletionMessage(role="assistant", content="Hello to you!")
    assert input_bound({"messages": [*HELLO, said]}) == input_bound(
        {"messages": [*HELLO, said.to_dict()]}
    )
    choice = TextBlock(type="text", text="any")
    assert input_bound({"messages": HELLO, "tool_choice": choice}) == input_bound(
        {"messages": HELLO, "tool_choice": choice.model_dump(mode="json", exclude_none=True)}
    )
    blocks = [
        TextBlock(type="text", text="Γειά"),
        ToolUseBlock(type="tool_use", id="t", name="n", input={"a": 1}),
    ]
    found = input_bound(asking(*blocks))
    assert found is not None
    assert found >= FLAT + bytes_of([block.to_dict() for block in blocks])


@pytest.mark.parametrize(
    ("request_", "more", "message"),
    [
        (b"{}", {}, "do not say how many"),
        (b"{}", {"messages": 1}, "do not say how many"),
        (-1, {"messages": 1, "tools": 0}, "numbers from 0"),
        (1, {"messages": 1, "tools": 0, "images": -1}, "numbers from 0"),
        ({"messages": HELLO, "metadata": {(1, 2): 3}}, {}, "no JSON form"),
    ],
)
def test_what_cannot_be_meant_is_refused(request_: Any, more: Any, message: str) -> None:
    with pytest.raises(InvalidCall, match=message):
        input_bound(request_, **more)


def learned(corpus: bytes, merges: int) -> list[tuple[bytes, bytes]]:
    """A byte-level BPE as tokenisers learn it: the most frequent pair becomes one token."""
    tokens = [bytes([byte]) for byte in corpus]
    rules: list[tuple[bytes, bytes]] = []
    for _ in range(merges):
        pairs = Counter(itertools.pairwise(tokens))
        rules.append(pairs.most_common(1)[0][0])
        tokens = merged(tokens, rules[-1])
    return rules


def merged(tokens: list[bytes], pair: tuple[bytes, bytes]) -> list[bytes]:
    joined: list[bytes] = []
    for token in tokens:
        if joined and (joined[-1], token) == pair:
            joined[-1] += token
        else:
            joined.append(token)
    return joined


RULES = learned(b"the cat sat on the mat with the hat, and that was that", 20)


@given(
    st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.text()), min_size=1, max_size=5),
    st.lists(st.dictionaries(st.text(), st.text() | st.integers(), max_size=3), max_size=3),
)
def test_no_byte_level_tokeniser_finds_more_tokens_than_the_bound(
    said: list[tuple[str, str]], tools: list[dict[str, Any]]
) -> None:
    """All that a provider can read, with 8 tokens around each message and 16 around each tool."""
    request = {
        "messages": [{"role": role, "content": text} for role, text in said],
        "tools": [{"type": "function", "function": {"parameters": tool}} for tool in tools],
    }
    count = 0
    for text in (*(word for pair in said for word in pair), *map(json.dumps, tools)):
        tokens = [bytes([byte]) for byte in text.encode("utf-8", "surrogatepass")]
        for rule in RULES:
            tokens = merged(tokens, rule)
        count += len(tokens)
    found = input_bound(request)
    assert found is not None
    assert count + 8 * len(said) + 16 * len(tools) <= found
