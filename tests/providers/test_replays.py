"""Recorded answers of the providers, replayed with the network cut, through their own clients."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any, NoReturn

import anthropic
import openai
import pytest

from tallystick import Ledger
from tests.providers._cassettes import ORIGIN, call, cassette, client_for
from tests.providers._stories import STORIES, Story
from tests.providers._watched import Desk

GPT_USED = {"input": 400, "cache_read": 600, "output": 15, "reasoning": 25, "requests": 1}
CLAUDE_USED = {"input": 100, "cache_read": 600, "cache_write": 300, "output": 9, "requests": 1}


def used(story: Story) -> dict[str, int]:
    return GPT_USED if story.client == "openai" else CLAUDE_USED


@pytest.fixture(autouse=True)
def cut(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(self: Any, address: Any) -> NoReturn:
        raise AssertionError(f"the network is cut, and something wanted to reach {address}")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket.socket, "connect_ex", connect)


@pytest.fixture
def desk(ledger: Ledger) -> Iterator[Desk]:
    with Desk(ledger, ORIGIN) as desk:
        yield desk


@pytest.mark.parametrize("name", STORIES)
def test_a_replay_is_counted_like_the_recorded_call(desk: Desk, name: str) -> None:
    story = STORIES[name]
    with cassette(name):
        bare = client_for(story, ORIGIN)
        expected = call(bare, story)
        answer = call(desk.watch(bare), story)
    # the watched client gives what the client gives: the same objects, piece by piece
    assert answer == expected
    assert (desk.last().state, desk.last().usage) == ("settled", used(story))


@pytest.mark.parametrize("name", STORIES)
async def test_a_replay_is_counted_alike_when_it_is_awaited(desk: Desk, name: str) -> None:
    story = STORIES[name]
    kind = openai.AsyncOpenAI if story.client == "openai" else anthropic.AsyncAnthropic
    base = f"{ORIGIN}/v1" if story.client == "openai" else ORIGIN
    with cassette(name):
        async with desk.watch(kind(base_url=base, api_key="none")) as client:
            method = client
            for part in story.method.split("."):
                method = getattr(method, part)
            answer = await method(**story.options)
            if story.streamed:
                answer = [piece async for piece in answer]
    assert answer
    assert (desk.last().state, desk.last().usage) == ("settled", used(story))


def test_a_stream_that_did_not_ask_for_usage_is_sent_as_one_that_does(desk: Desk) -> None:
    story = STORIES["chat-stream"]
    plain = {k: v for k, v in story.options.items() if k != "stream_options"}
    # the cassette has no other request than the one that asks
    with cassette("chat-stream"):
        client: Any = desk.watch(client_for(story, ORIGIN))
        chunks = list(client.chat.completions.create(**plain))
    assert all(chunk.choices for chunk in chunks)
    assert desk.last().usage == GPT_USED
