"""What a request wants from a model, and how to want a little less."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from tallystick._canonical import digest
from tallystick._values import Value
from tallystick.clients._endpoints import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    Dialect,
    dialect_of,
    tier_of,
)
from tallystick.clients._json import is_array, is_object
from tallystick.errors import NotSerializable
from tallystick.metering import ModelRequest
from tallystick.prices import PriceBook, input_bound

Body = Mapping[str, Any]


class Wanted(Value):
    """One request for a model, as far as it can be understood."""

    dialect: Dialect | None
    model: str
    body: Body
    raw: bytes
    provider: str | None
    streamed: bool

    @property
    def choices(self) -> int:
        """How many answers are made, and charged, at once."""
        each = max(1, *(_count(self.body.get(name)) or 1 for name in ("n", "best_of")))
        prompts: Any = self.body.get("prompt")
        # several prompts, and not the tokens of one
        several = self.dialect is COMPLETIONS and is_array(prompts) and not _are_tokens(prompts)
        return each * (len(prompts) if several else 1)

    @property
    def limit(self) -> int | None:
        """The tokens that one choice may have; None: not limited by the request."""
        if self.dialect is None:
            return None
        given = [_count(self.body.get(name)) for name in self.dialect.limits]
        # not every server knows every name: the larger one is what it may come to
        return max((limit for limit in given if limit is not None), default=self.dialect.limit)

    @property
    def digest(self) -> bytes:
        """Sha256 over the provider, the model and the whole payload."""
        payload: Any = self.body or self.raw
        try:
            return digest(["request", self.provider, self.model, payload])
        except NotSerializable:
            return sha256(f"{self.provider}\0{self.model}\0".encode() + self.raw).digest()

    @property
    def expected(self) -> str:
        """The content type of an answer that does not tell its own."""
        return "text/event-stream" if self.streamed else "application/json"

    @property
    def may_be_asked(self) -> bool:
        """Whether it is a stream that tells its usage to whoever asks, and nobody has asked."""
        options: Any = self.body.get("stream_options")
        asked = is_object(options) and bool(options.get("include_usage"))
        return self.streamed and self.dialect in {CHAT, COMPLETIONS} and not asked

    def bounded(self, book: PriceBook, least_output: int | None) -> ModelRequest:
        """What it can use at most, as far as it says; the rest is what *book* knows of models."""
        each = self.limit
        if each is None and self.choices > 1:
            each = book.max_output(self.model, self.provider)
            each = each or book.max_input(self.model, self.provider)
        return ModelRequest(
            model=self.model,
            provider=self.provider,
            input_bound=self._input_bound(book),
            output_bound=None if each is None else each * self.choices,
            cached=b'"cache_control"' in self.raw,
            audio=b'"input_audio"' in self.raw or b'"audio"' in self.raw,
            digest=self.digest,
            context=tier_of(self.body.get("service_tier")),
            least_output=self._least(least_output),
        )

    def _least(self, least_output: int | None) -> int | None:
        """What all answers together need, if anything less than the limit will do."""
        if least_output is None or self.dialect is None or not self.dialect.limits:
            return None
        thinking: Any = self.body.get("thinking")
        thought = _count(thinking.get("budget_tokens")) if is_object(thinking) else None
        # Anthropic refuses a limit that the thinking alone would use up
        return max(least_output, (thought or 0) + 1) * self.choices

    def _input_bound(self, book: PriceBook) -> int | None:
        if self.dialect is None:
            return None
        if self.dialect in {EMBEDDINGS, COMPLETIONS}:
            # texts, or tokens in digits: neither has more tokens than bytes
            return input_bound(self.raw, messages=self.choices + _length(self.body), tools=0)
        known = book.max_input(self.model, self.provider)
        return input_bound(self.body, model=self.model, max_input=known)

    def rewritten(self, *, limit: int | None, usage: bool) -> bytes | None:
        """
        The body with another *limit* for one choice, and asking for usage; None for the same.

        ``limit=None`` leaves the limit as it is.
        """
        changes: dict[str, Any] = {}
        if self.dialect is not None and limit is not None and limit != self.limit:
            changes |= dict.fromkeys(self._limit_names(self.dialect), limit)
        if usage:
            options: Any = self.body.get("stream_options") or {}
            changes["stream_options"] = {**options, "include_usage": True}
        return json.dumps({**self.body, **changes}).encode() if changes else None

    def _limit_names(self, dialect: Dialect) -> list[str]:
        given = [name for name in dialect.limits if self.body.get(name) is not None]
        # OpenAI's newer models refuse the old name, other servers do not know the new one
        return given or [dialect.limits[0 if self.provider in {"openai", "azure"} else -1]]


def wanted_from(path: str, raw: bytes | None, size: int, provider: str | None) -> Wanted:
    """
    What a request to *path* with the body *raw* wants.

    ``raw=None`` is a body that is sent piecemeal, *size* bytes of it. What is not understood gets
    the name of its endpoint for a model, so that a price can be given for it, and none is guessed.
    """
    body = _parsed(raw)
    dialect = dialect_of(path, body)
    return Wanted(
        dialect=dialect,
        model=f"POST {path}" if dialect is None else str(body["model"]),
        body=body,
        raw=b"%d bytes" % size if raw is None else raw,
        provider=provider,
        streamed=body.get("stream") is True,
    )


def _parsed(raw: bytes | None) -> dict[str, Any]:
    if raw is None or not raw.lstrip().startswith(b"{"):
        return {}
    try:
        body: Any = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return body if is_object(body) else {}


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _are_tokens(prompt: list[Any]) -> bool:
    return bool(prompt) and type(prompt[0]) is int


def _length(body: Body) -> int:
    texts: Any = body.get("input")
    return len(texts) if is_array(texts) else 1
