"""What lies behind a URL: whose model it is, in which dialect it speaks, and what costs nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from tallystick._values import Value
from tallystick.prices import Usage


class Dialect(Value):
    """How one API says what it wants, and what it used."""

    name: str
    #: the fields that limit the output of one choice; the first that is given counts
    limits: tuple[str, ...]
    usage: Callable[[Any], Usage | None]
    #: the limit of a request that names none, where the API itself has one
    limit: int | None = None


CHAT: Final = Dialect(
    name="chat",
    limits=("max_completion_tokens", "max_tokens"),
    usage=Usage.from_openai_chat,
)
COMPLETIONS: Final = Dialect(
    name="completions", limits=("max_tokens",), usage=Usage.from_openai_chat, limit=16
)
EMBEDDINGS: Final = Dialect(name="embeddings", limits=(), usage=Usage.from_openai_chat, limit=0)
RESPONSES: Final = Dialect(
    name="responses", limits=("max_output_tokens",), usage=Usage.from_openai_responses
)
MESSAGES: Final = Dialect(name="messages", limits=("max_tokens",), usage=Usage.from_anthropic)

#: the end of a path, and what is spoken there; the first that fits counts
_SPOKEN: Final = (
    ("/chat/completions", CHAT),
    ("/completions", COMPLETIONS),
    ("/embeddings", EMBEDDINGS),
    ("/responses", RESPONSES),
    ("/responses/compact", RESPONSES),
    ("/messages", MESSAGES),
)

#: What is sent and runs no model: counting, storing, naming, stopping. Whatever is not here and in
#: no dialect may cost anything; a budget of money refuses it unless there is a price for it.
_FREE: Final = re.compile(
    r"(/v1)?/("
    r"(responses/input|messages/count)_tokens|moderations|tokenize|detokenize|chat/completions/[^/]+"
    r"|(files|uploads|conversations|assistants|skills|vaults|webhook_endpoints)(/.*)?"
    r"|(organizations?|projects|user_profiles)/.*"
    r"|threads(/(?!runs$)[^/]+(/messages(/[^/]+)?)?)?"
    r"|.+/(cancel|pause|archive|hangup|reject)"
    r")"
)

#: the end of a host, and the name of its owner in price lists
_HOSTS: Final = (
    ("api.openai.com", "openai"),
    ("api.anthropic.com", "anthropic"),
    ("api.groq.com", "groq"),
    ("api.x.ai", "x-ai"),
    ("googleapis.com", "google"),
    ("openai.azure.com", "azure"),
    ("cognitiveservices.azure.com", "azure"),
    ("services.ai.azure.com", "azure"),
    ("api.deepseek.com", "deepseek"),
    ("api.mistral.ai", "mistral"),
    ("api.together.xyz", "together"),
    ("api.fireworks.ai", "fireworks"),
    ("api.perplexity.ai", "perplexity"),
    ("api.cerebras.ai", "cerebras"),
    ("api.cohere.ai", "cohere"),
    ("api.cohere.com", "cohere"),
    ("openrouter.ai", "openrouter"),
    ("amazonaws.com", "aws"),
)


def provider_of(host: str) -> str | None:
    """Whose models are behind *host*; None where only the caller can know (vLLM, a gateway)."""
    return next((name for end, name in _HOSTS if host == end or host.endswith(f".{end}")), None)


def tells_unasked(host: str) -> bool:
    """Whether the servers of *host* tell the usage of a stream, and refuse to be asked for it."""
    return provider_of(host) == "mistral"


def is_free(method: str, path: str | None) -> bool:
    """
    Whether a request runs no model: whatever only reads or deletes, and what is known to.

    *path* is the one below the client's base URL; None where that is not known.
    """
    if method.upper() not in {"POST", "PUT", "PATCH"}:
        return True
    return path is not None and _FREE.fullmatch(path) is not None


def dialect_of(path: str, body: Mapping[str, Any]) -> Dialect | None:
    """What is spoken at *path*; None for what is not known, or does not name its model."""
    if not isinstance(body.get("model"), str):
        return None
    return next((spoken for end, spoken in _SPOKEN if path.endswith(end)), None)


def tier_of(said: Any) -> str | None:
    """A service tier in the words of price lists, from those of a request or an answer."""
    if not isinstance(said, str):
        return None
    return "standard" if said in {"standard_only", "on_demand"} else said
