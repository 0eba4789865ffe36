"""What the providers on loopback are told to say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Fault(Enum):
    """How an answer goes wrong, apart from an error status."""

    HANG = "nothing ever comes"
    HANG_AFTER_HEADERS = "the headers, and then nothing ever comes"
    RESET = "the connection is reset in the middle"
    SLOW = "every piece takes its time"
    NO_USAGE = "a whole answer without a word on usage"
    ERROR_EVENT = "an error event in the middle of the stream"
    CUT = "the stream ends in the middle, politely"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call of the model's."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer: what is said, what it used, and what goes wrong."""

    text: str = "Two and two make four."
    calls: tuple[Call, ...] = ()
    #: all input tokens, cached ones among them (OpenAI's way of counting)
    input: int = 20
    cache_read: int = 0
    cache_write: int = 0
    #: all output tokens, reasoning among them
    output: int = 9
    reasoning: int = 0
    tier: str | None = None
    status: int = 200
    retry_after: float | None = None
    fault: Fault | None = None
    #: a field that the server does not know, and refuses to be sent
    unknown: str | None = None

    @property
    def pieces(self) -> list[str]:
        """The text as it is streamed."""
        words = self.text.split(" ")
        return [word if at == 0 else f" {word}" for at, word in enumerate(words)]
