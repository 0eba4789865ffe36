"""What a URL means for a budget."""

from __future__ import annotations

import pytest

from tallystick.clients._endpoints import dialect_of, is_free, provider_of, tells_unasked


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("api.openai.com", "openai"),
        ("api.anthropic.com", "anthropic"),
        ("api.groq.com", "groq"),
        ("api.x.ai", "x-ai"),
        ("generativelanguage.googleapis.com", "google"),
        ("europe.openai.azure.com", "azure"),
        ("notapi.x.ai.evil.example", None),
        ("myapi.x.ai", None),
        ("127.0.0.1", None),
    ],
)
def test_the_host_tells_whose_models_are_behind_it(host: str, provider: str | None) -> None:
    assert provider_of(host) == provider


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/chat/completions", "chat"),
        ("/openai/deployments/gpt/chat/completions", "chat"),
        ("/v1beta/openai/chat/completions", "chat"),
        ("/v1/completions", "completions"),
        ("/v1/embeddings", "embeddings"),
        ("/v1/responses", "responses"),
        ("/v1/responses/compact", "responses"),
        ("/v1/messages", "messages"),
    ],
)
def test_the_end_of_the_path_tells_the_dialect(path: str, name: str) -> None:
    spoken = dialect_of(path, {"model": "m"})
    assert spoken is not None
    assert spoken.name == name
    assert not is_free("POST", path)


@pytest.mark.parametrize(
    "path",
    [
        "/images/generations",
        "/audio/speech",
        "/batches",
        "/v1/messages/batches",
        "/threads/runs",
        "/threads/th_1/runs",
        "/responses/resp_1/thing",
        "/fine_tuning/jobs",
        "/realtime/client_secrets",
        "/vector_stores/vs_1/search",
        "/what/comes/next/year",
    ],
)
def test_what_is_not_known_is_neither_free_nor_understood(path: str) -> None:
    assert not is_free("POST", path)
    assert dialect_of(path, {"model": "m"}) is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/models"),
        ("GET", "/responses/resp_1"),
        ("DELETE", "/files/f_1"),
        ("POST", "/files"),
        ("POST", "/moderations"),
        ("POST", "/v1/messages/count_tokens"),
        ("POST", "/responses/input_tokens"),
        ("POST", "/responses/resp_1/cancel"),
        ("POST", "/chat/completions/chatcmpl_1"),
        ("POST", "/threads/th_1/messages"),
        ("POST", "/v1/messages/batches/b_1/cancel"),
    ],
)
def test_reading_storing_and_counting_are_free(method: str, path: str) -> None:
    assert is_free(method, path)


def test_nothing_is_free_above_an_unknown_base() -> None:
    assert not is_free("POST", None)
    assert is_free("GET", None)


def test_a_dialect_without_a_model_is_not_understood() -> None:
    assert dialect_of("/v1/responses", {"prompt": {"id": "pmpt_1"}}) is None


def test_mistral_tells_unasked_and_refuses_to_be_asked() -> None:
    assert tells_unasked("api.mistral.ai")
    assert not tells_unasked("api.openai.com")
