"""What a request is bounded by, and how it is made smaller."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tallystick.clients._requests import Wanted, wanted_from
from tallystick.prices import Overrides

BOOK = Overrides({"m": {"input": 1, "output": 1, "max_input": 5000, "max_output": 700}})


def wanted(path: str, provider: str | None = None, **body: Any) -> Wanted:
    raw = json.dumps({"model": "m", **body}).encode()
    return wanted_from(f"/v1{path}", raw, len(raw), provider)


def chat(provider: str | None = None, **body: Any) -> Wanted:
    return wanted("/chat/completions", provider, messages=[], **body)


@pytest.mark.parametrize(
    ("request_", "bound"),
    [
        (chat(max_tokens=10), 10),
        (chat(max_completion_tokens=10), 10),
        (chat(max_completion_tokens=10, max_tokens=20), 20),
        (chat(max_tokens=10, n=3), 30),
        (chat(), None),
        (chat(n=2), 1400),
        (wanted("/completions", prompt="a"), 16),
        (wanted("/completions", prompt=["a", "b"], n=2, best_of=3), 16 * 3 * 2),
        (wanted("/completions", prompt=[17, 4], max_tokens=5), 5),
        (wanted("/completions", prompt=[[17, 4], [3]], max_tokens=5), 10),
        (wanted("/embeddings", input=["a", "b"]), 0),
        (wanted("/responses", input="a", max_output_tokens=9), 9),
        (wanted("/messages", messages=[], max_tokens=9), 9),
        (wanted("/images/generations", n=4), None),
    ],
)
def test_the_output_is_bounded_by_the_limit_of_all_answers(
    request_: Wanted, bound: int | None
) -> None:
    assert request_.bounded(BOOK, None).output_bound == bound


@pytest.mark.parametrize(
    "request_",
    [
        chat(max_tokens=10),
        wanted("/embeddings", input=["ü" * 50] * 40),
        wanted("/embeddings", input=[[1] * 900, [2] * 900]),
        wanted("/completions", prompt=["a"] * 30),
    ],
)
def test_the_input_is_bounded_by_the_bytes(request_: Wanted) -> None:
    bound = request_.bounded(BOOK, None).input_bound
    assert bound is not None
    assert bound >= len(request_.raw)


@pytest.mark.parametrize(
    "more",
    [{"previous_response_id": "resp_1"}, {"conversation": "conv_1"}, {"prompt": {"id": "pmpt_1"}}],
)
def test_what_the_provider_remembers_is_bounded_by_the_window(more: Any) -> None:
    assert wanted("/responses", input="a", **more).bounded(BOOK, None).input_bound == 5000


def test_what_is_not_understood_is_named_after_its_endpoint() -> None:
    request = wanted("/images/generations", prompt="a").bounded(BOOK, 10)
    assert request.model == "POST /v1/images/generations"
    assert (request.input_bound, request.output_bound, request.least_output) == (None,) * 3


@pytest.mark.parametrize("raw", [None, b"", b"[1]", b"{", b"--multipart", b"[" * 100_000])
def test_what_is_no_json_object_is_not_understood(raw: bytes | None) -> None:
    assert wanted_from("/v1/chat/completions", raw, 7, None).dialect is None


def test_the_digest_is_of_provider_model_and_the_whole_payload() -> None:
    requests = [
        chat(),
        chat("openai"),
        chat(temperature=0),
        chat(temperature=1),
        chat(seed=2**60),
        chat(seed=2**60 + 1),
        wanted_from("/v1/chat/completions", b'{"model":"o","messages":[]}', 9, None),
        wanted_from("/v1/chat/completions", b'{"model":"m","top_p":NaN}', 9, None),
        wanted_from("/v1/images/generations", None, 100, None),
        wanted_from("/v1/images/generations", None, 101, None),
    ]
    assert len({request.digest for request in requests}) == len(requests)
    spaced = wanted_from("/v1/chat/completions", b'{ "messages":[], "model":"m" }', 9, None)
    assert spaced.digest == chat().digest


def changed(request: Wanted, limit: int) -> dict[str, Any]:
    body = request.rewritten(limit=limit, usage=False)
    assert body is not None
    return {k: v for k, v in json.loads(body).items() if request.body.get(k) != v}


def test_a_limit_is_written_where_the_server_looks_for_it() -> None:
    assert changed(chat(max_tokens=10), 5) == {"max_tokens": 5}
    assert changed(chat(max_completion_tokens=10), 5) == {"max_completion_tokens": 5}
    both = chat(max_completion_tokens=10, max_tokens=20)
    assert changed(both, 5) == {"max_completion_tokens": 5, "max_tokens": 5}
    assert changed(chat(), 5) == {"max_tokens": 5}
    assert changed(chat("openai"), 5) == {"max_completion_tokens": 5}
    assert changed(wanted("/responses", input="a"), 5) == {"max_output_tokens": 5}
    assert chat(max_tokens=10).rewritten(limit=10, usage=False) is None
    assert chat(max_tokens=10).rewritten(limit=None, usage=False) is None


def test_only_streams_of_chat_are_asked_for_usage() -> None:
    assert chat(stream=True).may_be_asked
    assert chat(stream=True, stream_options={"include_usage": False}).may_be_asked
    assert not chat(stream=True, stream_options={"include_usage": True}).may_be_asked
    assert not chat().may_be_asked
    assert not wanted("/responses", input="a", stream=True).may_be_asked
    asked = chat(stream=True, stream_options={"x": 1}).rewritten(limit=None, usage=True)
    assert asked is not None
    assert json.loads(asked)["stream_options"] == {"x": 1, "include_usage": True}


def test_what_raises_the_price_is_told() -> None:
    marked = [{"role": "user", "content": [{"text": "a", "cache_control": {"type": "ephemeral"}}]}]
    request = wanted("/messages", messages=marked, service_tier="auto").bounded(BOOK, None)
    assert (request.cached, request.audio, request.context) == (True, False, "auto")
    spoken = wanted("/chat/completions", messages=[], modalities=["text", "audio"])
    assert spoken.bounded(BOOK, None).audio
