"""
Recorded HTTP of the providers, the same wherever it was recorded.

``python -m tests.providers._cassettes`` records everything anew from the loopback server.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anthropic
import openai

from tests.providers._server import Provider
from tests.providers._stories import STORIES, Story

# it has no types
vcr: Any = importlib.import_module("vcr")

FOLDER = Path(__file__).parent / "cassettes"
#: no such host: whatever is not in the cassette goes nowhere
ORIGIN = "http://provider.invalid"


def _without_the_machine(request: Any) -> Any:
    """Keep neither the port nor a key: the path, the body and its type say it all."""
    request.uri = ORIGIN + urlsplit(str(request.uri)).path
    request.headers = {"content-type": request.headers["content-type"]}
    return request


def _without_the_moment(response: Any) -> Any:
    response["headers"].pop("date", None)
    response["headers"].pop("server", None)
    return response


def cassette(name: str, mode: str = "none", folder: Path = FOLDER) -> Any:
    """A context in which the providers' answers come from the cassette, as often as asked for."""
    recorder = vcr.VCR(
        cassette_library_dir=str(folder),
        record_mode=mode,
        match_on=["method", "path", "body"],
        before_record_request=_without_the_machine,
        before_record_response=_without_the_moment,
    )
    return recorder.use_cassette(f"{name}.yaml", allow_playback_repeats=mode == "none")


def call(client: Any, story: Story) -> Any:
    """Make the call of a story with a blocking client, and use up what comes."""
    method = client
    for name in story.method.split("."):
        method = getattr(method, name)
    answer = method(**story.options)
    return list(answer) if story.streamed else answer


def client_for(story: Story, origin: str) -> Any:
    """The provider's own blocking client."""
    if story.client == "openai":
        return openai.OpenAI(base_url=f"{origin}/v1", api_key="none", max_retries=0)
    return anthropic.Anthropic(base_url=origin, api_key="none", max_retries=0)


def record() -> None:
    """Record every story."""
    for name, story in STORIES.items():
        (FOLDER / f"{name}.yaml").unlink(missing_ok=True)
        with Provider() as provider, cassette(name, "once"):
            provider.script(story.answer)
            with client_for(story, provider.origin) as client:
                call(client, story)


if __name__ == "__main__":
    record()
