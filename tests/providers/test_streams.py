"""A stream in pieces of any size tells what the whole answer tells."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from typing import Any

import pytest

from tallystick.clients._answers import Verdict, judged, whole
from tallystick.clients._endpoints import CHAT, MESSAGES, RESPONSES, Dialect
from tallystick.clients._streams import Observer
from tests.providers import _anthropic_wire, _openai_wire
from tests.providers._answers import Answer, Call, Fault
from tests.providers._openai_wire import Event

ASKED: Any = {"model": "m", "max_tokens": 90, "stream_options": {"include_usage": True}}
SAID = Answer(text="Übung macht – den Meister.", input=50, cache_read=30, output=12)
CALLED = Answer(calls=(Call(name="pay", arguments='{"to": "Bo"}'),), input=7, output=3)

DIALECTS: Any = [
    pytest.param(CHAT, _openai_wire.chat, _openai_wire.chat_events, id="chat"),
    pytest.param(RESPONSES, _openai_wire.response, _openai_wire.response_events, id="responses"),
    pytest.param(MESSAGES, _anthropic_wire.message, _anthropic_wire.message_events, id="messages"),
]


def lines(events: Iterable[Event], end: str = "\n") -> bytes:
    text = "".join(
        (f"event: {kind}{end}" if kind else "")
        + f": a comment{end}data: {json.dumps(data, ensure_ascii=False)}{end}{end}"
        for kind, data in events
    )
    return text.encode()


def observer(dialect: Dialect | None, **options: Any) -> Observer:
    usual: dict[str, Any] = {
        "kind": "text/event-stream; charset=utf-8",
        "encoding": "",
        "hide": False,
    }
    return Observer(dialect, input_bound=1000, **usual | options)


def passed(watching: Observer, data: bytes, size: int) -> bytes:
    pieces = (data[at : at + size] for at in range(0, len(data), size))
    return b"".join(map(watching.feed, pieces)) + watching.rest()


@pytest.mark.parametrize("size", [1, 2, 7, 64, 100_000])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("answer", [SAID, CALLED])
@pytest.mark.parametrize(("dialect", "full", "events"), DIALECTS)
def test_pieces_tell_what_the_whole_tells(
    dialect: Dialect, full: Any, events: Any, answer: Answer, end: str, size: int
) -> None:
    watching = observer(dialect)
    data = lines(events(ASKED, answer), end)
    assert passed(watching, data, size) == data
    streamed, plain = watching.verdict("cut"), judged(dialect, full(ASKED, answer))
    assert (streamed.act, streamed.usage, streamed.model) == ("settle", plain.usage, "m")
    # Anthropic's arguments come as text in one and as an object in the other
    if dialect is not MESSAGES or answer is SAID:
        assert streamed.answer == plain.answer


@pytest.mark.parametrize("size", [1, 5, 100_000])
def test_the_chunk_that_nobody_asked_for_is_kept_back(size: int) -> None:
    asked = list(_openai_wire.chat_events(ASKED, SAID))
    watching = observer(CHAT, hide=True)
    data = lines(asked) + b"data: [DONE]\n\n"
    assert passed(watching, data, size) == lines(asked[:-1]) + b"data: [DONE]\n\n"
    assert watching.verdict("").act == "settle"


def test_the_last_event_needs_no_empty_line() -> None:
    data = lines(_openai_wire.chat_events(ASKED, SAID)).rstrip(b"\n")
    watching = observer(CHAT)
    assert passed(watching, data, 100) == data
    assert watching.verdict("").act == "settle"


@pytest.mark.parametrize("size", [1, 50, 100_000])
def test_a_compressed_stream_is_read_and_passed_on_as_it_is(size: int) -> None:
    data = gzip.compress(lines(_openai_wire.chat_events(ASKED, SAID)))
    watching = observer(CHAT, encoding="gzip", hide=True)
    assert passed(watching, data, size) == data
    assert watching.verdict("").act == "settle"


@pytest.mark.parametrize("encoding", ["br", "gzip"])
def test_what_cannot_be_read_is_not_taken_for_nothing(encoding: str) -> None:
    watching = observer(CHAT, encoding=encoding)
    passed(watching, b"\x0b\x02\x80garbage", 3)
    assert watching.verdict("") == Verdict(
        act="leave", reason="the stream ended without telling its usage"
    )


@pytest.mark.parametrize(("dialect", "full", "events"), DIALECTS)
def test_a_stream_that_breaks_is_charged_for_what_was_said(
    dialect: Dialect, full: Any, events: Any
) -> None:
    data = lines(events(ASKED, SAID))
    watching = observer(dialect)
    watching.feed(data[: data.index(b"Meister")])
    broken = watching.verdict("reset")
    assert (broken.act, broken.reason) == ("leave", "reset")
    assert broken.usage is not None
    assert broken.usage.output >= len("Übung macht – den".encode())
    # Anthropic tells the input first; elsewhere its bound stands
    assert broken.usage.input_tokens == (50 if dialect is MESSAGES else 1000)


def test_a_stream_that_breaks_before_a_word_leaves_everything_open() -> None:
    assert observer(CHAT).verdict("reset") == Verdict(act="leave", reason="reset")


def test_an_end_without_usage_is_no_settlement() -> None:
    silent = Answer(fault=Fault.NO_USAGE)
    for dialect, full, events in (entry.values for entry in DIALECTS):
        watching = observer(dialect)
        passed(watching, lines(events(ASKED, silent)), 64)
        assert watching.verdict("").act == "leave"
        assert judged(dialect, full(ASKED, silent)).act == "leave"


def test_usage_that_grows_with_every_chunk_counts_at_the_end() -> None:
    chunks: list[Event] = [
        (None, {"choices": [], "usage": None, "model": "m"}),
        *(
            (
                None,
                {
                    "choices": [{"index": 0, "delta": {"content": "ab"}}],
                    "usage": {"prompt_tokens": 5, "completion_tokens": at},
                },
            )
            for at in (1, 2, 3)
        ),
    ]
    watching = observer(CHAT, hide=True)
    watching.feed(lines(chunks))
    growing = watching.verdict("cut")
    watching.rest()
    ended = watching.verdict("cut")
    assert (growing.act, ended.act) == ("leave", "settle")
    assert ended.usage is not None
    assert ended.usage.output == 3


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"usage": null}', b'{"usage": 7}'])
def test_an_answer_that_is_not_understood_is_left_open(body: bytes) -> None:
    assert whole(CHAT, body).act == "leave"
    assert whole(None, body).act == "leave"


def test_shapes_that_nobody_knows_yet_pass() -> None:
    strange: list[Event] = [(None, {"choices": {"a": 1}}), (None, {"choices": ["x"]}), (None, {})]
    watching = observer(CHAT, hide=True)
    data = lines(strange) + b"data: 7\n\ndata: {\n\n: ping\n\n"
    assert passed(watching, data, 9) == data
    assert watching.verdict("").act == "leave"


def test_bytes_that_are_no_json_are_not_kept() -> None:
    watching = observer(None, kind="audio/mpeg")
    assert passed(watching, b"x" * 1000, 100) == b"x" * 1000
    assert watching.gathered == 0
    assert watching.verdict("").act == "leave"
