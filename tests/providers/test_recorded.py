"""Answers of the providers come again from the ledger's own record, with nobody asked."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import anthropic
import openai
import pytest

from tallystick.errors import Divergence, NoWorkflow
from tests.providers._cassettes import call
from tests.providers._server import Provider
from tests.providers._stories import STORIES, Story
from tests.providers._watched import Desk


def client_of(desk: Desk, story: Story) -> Any:
    """A client that keeps what it is answered."""
    return (desk.gpt if story.client == "openai" else desk.claude)(record=True)


async def acall(client: Any, story: Story) -> Any:
    """Make the call of a story, awaited, and use up what comes."""
    method = client
    for name in story.method.split("."):
        method = getattr(method, name)
    answer = await method(**story.options)
    return [piece async for piece in answer] if story.streamed else answer


@pytest.mark.parametrize("name", STORIES)
def test_an_answer_comes_again_with_nobody_asked(desk: Desk, provider: Provider, name: str) -> None:
    """The same objects, piece by piece; nothing is reserved and nothing is spent."""
    story = STORIES[name]
    provider.script(story.answer, story.answer)
    with desk.ledger.workflow("w"):
        first = [call(client_of(desk, story), story) for _ in range(2)]
    spent, calls = desk.budget.spent, len(desk.calls())
    with desk.ledger.replay("w") as replay:
        assert [call(client_of(desk, story), story) for _ in range(2)] == first
    assert (len(provider.asked), replay.served) == (2, 2)
    assert (desk.budget.spent, len(desk.calls())) == (spent, calls)


@pytest.mark.parametrize("name", STORIES)
async def test_an_awaited_answer_comes_again(desk: Desk, provider: Provider, name: str) -> None:
    story = STORIES[name]
    provider.script(story.answer)
    make = desk.agpt if story.client == "openai" else desk.aclaude
    async with desk.ledger.workflow("w"), make(record=True) as client:
        first = await acall(client, story)
    async with desk.ledger.replay("w"), make(record=True) as client:
        assert await acall(client, story) == first
    assert len(provider.asked) == 1


def test_an_answer_to_another_question_is_a_divergence(desk: Desk, provider: Provider) -> None:
    """It names the end of the question; the client's own retries do not see it."""
    story = STORIES["chat"]
    provider.script(story.answer)
    with desk.ledger.workflow("w"):
        call(client_of(desk, story), story)
    client = client_of(desk, story)
    other = [{"role": "user", "content": "What do three and three make?"}]
    with pytest.raises(Divergence, match="three and three"), desk.ledger.replay("w"):
        client.chat.completions.create(**{**story.options, "messages": other})
    assert len(provider.asked) == 1


def test_a_stream_that_was_left_early_is_left_early_again(desk: Desk, provider: Provider) -> None:
    story = STORIES["chat-stream"]
    provider.script(story.answer)

    def run() -> Any:
        with client_of(desk, story).chat.completions.create(**story.options) as stream:
            return next(iter(stream))

    with desk.ledger.workflow("w"):
        first = run()
    with desk.ledger.replay("w"):
        assert run() == first


def test_a_refusal_comes_again_and_a_breakdown_does_not(desk: Desk, provider: Provider) -> None:
    """What the client would have asked for again is not what it was answered."""
    story = STORIES["chat"]
    answers = (replace(story.answer, status=status) for status in (400, 503, 200))
    provider.script(*answers)
    client = desk.watch(
        openai.OpenAI(base_url=f"{desk.origin}/v1", api_key="none", max_retries=1), record=True
    )

    def run() -> Any:
        with pytest.raises(openai.BadRequestError) as refused:
            call(client, story)
        return str(refused.value), call(client, story)

    with desk.ledger.workflow("w"):
        first = run()
    with desk.ledger.replay("w"):
        assert run() == first
    assert len(provider.asked) == 3


def test_outside_of_a_workflow_nothing_is_asked(desk: Desk, provider: Provider) -> None:
    with pytest.raises(NoWorkflow, match="do not record"):
        call(client_of(desk, STORIES["chat"]), STORIES["chat"])
    assert (provider.asked, desk.calls()) == ([], [])


def test_a_paid_answer_arrives_though_it_cannot_be_kept(
    desk: Desk, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """The replay misses it, and says so."""
    story = STORIES["chat"]
    provider.script(story.answer)
    client = client_of(desk, story)
    desk.ledger.call("note", lambda: 1, workflow="w")
    desk.ledger.halt(tool="tallystick.answer", by="ann", reason="tests")
    with desk.ledger.workflow("w"), caplog.at_level(logging.ERROR, "tallystick"):
        assert call(client, story)
    assert "a replay will miss it" in caplog.text
    with pytest.raises(Divergence), desk.ledger.replay("w", mode="lenient"):
        call(client, story)


def test_a_client_that_keeps_nothing_is_no_part_of_a_replay(desk: Desk, provider: Provider) -> None:
    """It asks, and pays."""
    story = STORIES["messages"]
    provider.script(story.answer)
    desk.ledger.call("note", lambda: 1, workflow="w")
    with desk.ledger.replay("w", mode="lenient"):
        answer = call(desk.claude(), story)
    assert isinstance(answer, anthropic.types.Message)
    assert len(provider.asked) == 1
