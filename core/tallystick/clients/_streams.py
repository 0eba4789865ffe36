"""An answer in pieces: watched as it passes, and judged at its end, wherever that is."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from tallystick.clients._answers import Said, Verdict, usage_of, whole
from tallystick.clients._endpoints import CHAT, COMPLETIONS, MESSAGES, RESPONSES, Dialect, tier_of
from tallystick.clients._json import is_object
from tallystick.clients._sse import DONE, Splitter, data_of, reader_of
from tallystick.prices import Usage

_ENDS: Final = {"response.completed", "response.incomplete", "response.failed"}


class Tally:
    """What the events of one stream have told so far."""

    def __init__(self) -> None:
        self.said = Said()
        self.usage: dict[str, Any] = {}
        self.model: str | None = None
        self.tier: str | None = None
        #: whether the usage is the last word
        self.final = False

    def note(self, usage: Any, holder: Any = None) -> None:
        """Take over what is told; what is told twice is told anew."""
        if is_object(usage):
            self.usage.update({name: value for name, value in usage.items() if value is not None})
            self.tier = tier_of(usage.get("service_tier")) or self.tier
        if is_object(holder):
            self.tier = tier_of(holder.get("service_tier")) or self.tier
            model = holder.get("model")
            self.model = model if model and isinstance(model, str) else self.model


def _chunk(tally: Tally, event: Mapping[str, Any]) -> bool:
    """OpenAI's chat and completions; whether the chunk is more than the usage that was asked."""
    groq: Any = event.get("x_groq") or {}
    usage = event.get("usage") or groq.get("usage")
    tally.note(usage, event)
    choices: Any = event.get("choices") or []
    for at, choice in enumerate(choices):
        where = choice.get("index", at)
        tally.said.add(f".{where}", choice.get("delta") or {"text": choice.get("text")})
    if usage and not choices:
        tally.final = True
        return False
    return True


def _response(tally: Tally, event: Mapping[str, Any]) -> bool:
    """OpenAI's responses."""
    kind = event.get("type")
    if kind in _ENDS:
        response: Any = event.get("response") or {}
        tally.note(response.get("usage"), response)
        tally.final = bool(tally.usage)
        # the end repeats everything that was said
        tally.said = Said()
        tally.said.add("", response.get("output"))
    elif isinstance(event.get("delta"), str):
        tally.said.add(f".{event.get('output_index')}.{kind}", event["delta"])
    return True


def _message(tally: Tally, event: Mapping[str, Any]) -> bool:
    """Anthropic's messages: the input's usage comes first, the output's grows."""
    kind = event.get("type")
    if kind == "message_start":
        message: Any = event.get("message") or {}
        tally.note(message.get("usage"), message)
    elif kind == "message_delta":
        tally.note(event.get("usage"))
        delta: Any = event.get("delta") or {}
        tally.final = bool(event.get("usage")) and delta.get("stop_reason") is not None
    else:
        piece = event.get("delta") or event.get("content_block")
        tally.said.add(f".{event.get('index')}", piece)
    return True


_READERS: Final[dict[str, Callable[[Tally, Mapping[str, Any]], bool]]] = {
    CHAT.name: _chunk,
    COMPLETIONS.name: _chunk,
    RESPONSES.name: _response,
    MESSAGES.name: _message,
}


class Observer:
    """
    Sees the bytes of an answer pass, and knows at every moment what it has used.

    ``kind``, ``encoding``
        The answer's content type and content encoding.
    ``input_bound``
        Tokens that the request has at most: what a broken stream is charged for it.
    ``hide``
        Whether the chunk that only tells the usage was not the caller's wish, and is kept back.
    """

    def __init__(
        self,
        dialect: Dialect | None,
        *,
        input_bound: int | None,
        kind: str,
        encoding: str,
        hide: bool,
    ) -> None:
        self._dialect = dialect
        self._input_bound = input_bound
        self._read = reader_of(encoding)
        self._hide = hide and encoding in {"", "identity"}
        events = dialect is not None and kind.startswith("text/event-stream")
        self._event = _READERS.get(dialect.name) if dialect is not None and events else None
        self._gathers = self._event is None and "json" in kind
        self._splitter = Splitter()
        self._whole = bytearray()
        self._tally = Tally()
        self._done = False

    def feed(self, data: bytes) -> bytes:
        """Look at *data*; what of it is for the caller."""
        clear = self._clear(data)
        if self._event is None:
            self._whole += clear if self._gathers else b""
            return data
        kept = [event for event in self._splitter.feed(clear) if self._note(event)]
        return b"".join(kept) if self._hide else data

    def _clear(self, data: bytes) -> bytes:
        try:
            return b"" if self._read is None else self._read(data)
        except zlib.error:
            self._read = None
            return b""

    def rest(self) -> bytes:
        """The answer came to its own end: what is left of it for the caller."""
        self._done = True
        rest = self._splitter.rest()
        return rest if self._event is not None and self._note(rest) and self._hide else b""

    def judged(self, data: bytes) -> Verdict:
        """What an answer means of which *data* is all."""
        self.feed(data)
        self.rest()
        return self.verdict("")

    def _note(self, event: bytes) -> bool:
        """Whether the caller shall have the event."""
        data = data_of(event)
        if data is DONE:
            self._done = True
        if data is None or data is DONE or self._event is None:
            return True
        try:
            return self._event(self._tally, data) or not self._hide
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
            # a shape that nobody has seen yet is the caller's all the same
            return True

    @property
    def gathered(self) -> int:
        """Bytes that are kept until the end, to be read as a whole."""
        return len(self._whole)

    @property
    def final(self) -> bool:
        """Whether the usage is known and will not change."""
        tally = self._tally
        # Anthropic tells a first part of it long before the end
        return tally.final or (self._done and bool(tally.usage) and self._dialect is not MESSAGES)

    def verdict(self, reason: str) -> Verdict:
        """What the answer has used if nothing more comes of it, *reason* telling why."""
        if self._event is None:
            return self._verdict_on_whole(reason)
        tally = self._tally
        answer = tally.said.digest()
        if self.final:
            usage = usage_of(self._dialect, tally.usage)
            if usage is not None:
                return Verdict(
                    act="settle", usage=usage, model=tally.model, tier=tally.tier, answer=answer
                )
        told = "the stream ended without telling its usage" if self._done else reason
        usage = self._partial()
        return Verdict(act="leave", reason=told, usage=usage, model=tally.model, answer=answer)

    def _verdict_on_whole(self, reason: str) -> Verdict:
        if not self._done:
            return Verdict(act="leave", reason=reason)
        if self._read is None:
            return Verdict(act="leave", reason="the answer is compressed in an unknown way")
        if not self._gathers:
            return Verdict(act="leave", reason="the answer is not JSON, and tells no usage")
        return whole(self._dialect, bytes(self._whole))

    def _partial(self) -> Usage | None:
        """What was certainly used: the input, told or bounded, and what was said."""
        said = self._tally.said.bound
        if self._dialect is MESSAGES:
            usage = Usage.from_anthropic({**self._tally.usage, "output_tokens": 0})
            return usage and usage + Usage(output=said, requests=0)
        told = usage_of(self._dialect, self._tally.usage)
        if told is not None:
            return told
        return Usage(input=self._input_bound or 0, output=said) if said else None
