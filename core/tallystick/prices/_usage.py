"""What one model call consumed, in buckets that share no token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tallystick._values import Value
from tallystick.errors import InvalidCall
from tallystick.prices import _normal

INPUT = ("input", "cache_read", "cache_write", "cache_write_1h", "input_audio")
OUTPUT = ("output", "reasoning", "output_audio")
#: everything a rate can be given for: tokens, and two things that are counted one by one
BUCKETS = (*INPUT, *OUTPUT, "web_searches", "requests")


class Usage(Value):
    """
    What one model call, or a sum of them, consumed.

    The buckets are disjoint: no token is counted in two of them, so that each is priced once.
    Providers count differently (OpenAI's input includes what came from the cache, Anthropic's does
    not); the class methods level that, from the clients' objects and from dictionaries alike.

    ``input``, ``output``
        Plain tokens: neither cached nor audio nor reasoning.
    ``cache_read``, ``cache_write``, ``cache_write_1h``
        Input taken from a prompt cache, and written to one for minutes or for an hour.
    ``reasoning``
        Output that the model thought and did not say.
    ``input_audio``, ``output_audio``
        Tokens of sound.
    ``web_searches``
        Searches that the provider made by itself, which it bills one by one. No tokens.
    ``requests``
        Calls that this is the sum of.

    Raises InvalidCall for anything but whole numbers from 0.

    >>> usage = Usage.from_anthropic(
    ...     {"input_tokens": 100, "cache_read_input_tokens": 5000, "output_tokens": 200}
    ... )
    >>> usage.input, usage.cache_read, usage.input_tokens, usage.total
    (100, 5000, 5100, 5300)
    >>> Usage.from_openai_chat({"prompt_tokens": None, "completion_tokens": None}) is None
    True
    """

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    input_audio: int = 0
    output: int = 0
    reasoning: int = 0
    output_audio: int = 0
    web_searches: int = 0
    requests: int = 1

    def __post_init__(self) -> None:
        for name in BUCKETS:
            value: Any = getattr(self, name)
            if type(value) is not int or value < 0:
                raise InvalidCall(f"Usage({name}={value!r}): give a whole number from 0")

    @property
    def input_tokens(self) -> int:
        """All tokens that went in, cached or not."""
        return (
            self.input + self.cache_read + self.cache_write + self.cache_write_1h + self.input_audio
        )

    @property
    def output_tokens(self) -> int:
        """All tokens that came out, said or only thought."""
        return self.output + self.reasoning + self.output_audio

    @property
    def total(self) -> int:
        """All tokens."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        """Bucket by bucket; ``requests`` too."""
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in BUCKETS})

    def to_json(self) -> dict[str, int]:
        """
        What to store: the buckets that are not empty, and ``requests``.

        >>> Usage(input=3, output=1).to_json()
        {'input': 3, 'output': 1, 'requests': 1}
        """
        said = {name: getattr(self, name) for name in BUCKETS}
        return {name: count for name, count in said.items() if count or name == "requests"}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Usage:
        """
        What :meth:`to_json` gave.

        Raises InvalidCall for a bucket that this version does not know: to leave it out would
        lose tokens.
        """
        unknown = ", ".join(sorted(map(str, stored.keys() - set(BUCKETS))))
        if unknown:
            raise InvalidCall(
                f"Usage.from_json: this version of tallystick does not know {unknown}; "
                "read it with the version that stored it, or a newer one"
            )
        return cls(**stored)

    @classmethod
    def from_openai_chat(cls, usage: Any) -> Usage | None:
        """
        The ``usage`` of an OpenAI chat completion or embedding, or of a server that speaks alike.

        ``None`` where the counts are missing: unknown is not nothing. When the provider's own
        numbers contradict each other, its larger total stands (what the parts leave unexplained
        is output: servers hide reasoning there), and details that exceed their total are cut down
        to it, the dearest kinds first.
        """
        return cls._of(_normal.openai_chat(usage))

    @classmethod
    def from_openai_responses(cls, usage: Any) -> Usage | None:
        """The ``usage`` of OpenAI's Responses API; otherwise as :meth:`from_openai_chat`."""
        return cls._of(_normal.openai_responses(usage))

    @classmethod
    def from_anthropic(cls, usage: Any) -> Usage | None:
        """
        The ``usage`` of an Anthropic message.

        ``None`` where ``input_tokens`` or ``output_tokens`` are missing, as in a stream that
        ended early. Absent cache counts mean that no cache was used.
        """
        return cls._of(_normal.anthropic(usage))

    @classmethod
    def from_langchain(cls, usage: Any) -> Usage | None:
        """
        The ``usage_metadata`` of a LangChain message.

        ``None`` also where all counts are zero: LangChain writes 0 for what a provider left out,
        and no call consumes nothing.
        """
        return cls._of(_normal.langchain(usage))

    @classmethod
    def _of(cls, buckets: dict[str, int] | None) -> Usage | None:
        usage = None if buckets is None else cls(**buckets)
        return usage if usage and usage.total else None
