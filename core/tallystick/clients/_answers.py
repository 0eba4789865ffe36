"""What came back: how much was used, what was said, and whether that is all."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, Literal

from tallystick._values import Value
from tallystick.clients._endpoints import Dialect, tier_of
from tallystick.clients._json import is_array, is_object
from tallystick.prices import Usage

#: Differ between two answers that say the same.
_INCIDENTAL: Final = frozenset(
    {
        "annotations",
        "call_id",
        "encrypted_content",
        "finish_reason",
        "id",
        "index",
        "item_id",
        "logprobs",
        "obfuscation",
        "role",
        "signature",
        "status",
        "type",
    }
)
#: what a tool call or another item costs beside its text
_FRAME: Final = 32


class Verdict(Value):
    """What becomes of a reservation."""

    act: Literal["settle", "leave", "release"]
    reason: str = ""
    usage: Usage | None = None
    model: str | None = None
    tier: str | None = None
    answer: bytes | None = None


class Said:
    """What a model says, gathered from whole answers or from pieces, in the same way."""

    def __init__(self) -> None:
        self._texts: dict[str, Any] = {}
        self._bytes = 0

    def add(self, where: str, value: Any) -> None:
        """Every text in *value*, under its path from *where*."""
        if is_object(value):
            for name, inner in value.items():
                if name not in _INCIDENTAL:
                    self.add(f"{where}.{name}", inner)
        elif is_array(value):
            for at, inner in enumerate(value):
                self.add(f"{where}.{_position(inner, at)}", inner)
        elif value is not None and value != "":
            self._text(where, value if isinstance(value, str) else json.dumps(value))

    def _text(self, where: str, text: str) -> None:
        data = text.encode("utf-8", "surrogatepass")
        self._bytes += len(data)
        self._texts.setdefault(where, sha256()).update(data)

    @property
    def bound(self) -> int:
        """No fewer tokens than this were said: no token is shorter than a byte."""
        return self._bytes + _FRAME * len(self._texts)

    def digest(self) -> bytes | None:
        """Sha256 over all that was said, whatever pieces it came in; None for silence."""
        if not self._texts:
            return None
        parts = sorted((where, text.hexdigest()) for where, text in self._texts.items())
        return sha256(json.dumps(parts).encode()).digest()


def _position(item: Any, at: int) -> Any:
    """A piece of a tool call says which one it belongs to."""
    return item.get("index", at) if is_object(item) else at


def whole(dialect: Dialect | None, raw: bytes) -> Verdict:
    """What an answer that arrived as a whole means."""
    with contextlib.suppress(ValueError, RecursionError):
        body: Any = json.loads(raw)
        if is_object(body):
            return judged(dialect, body)
    return Verdict(act="leave", reason="the answer is not JSON, and tells no usage")


def judged(dialect: Dialect | None, body: Mapping[str, Any]) -> Verdict:
    """The same, parsed."""
    said = Said()
    for name in ("choices", "output", "content", "data"):
        said.add("", _messages(body.get(name)))
    usage = usage_of(dialect, body.get("usage"))
    if usage is None:
        return Verdict(act="leave", reason="the answer tells no usage", answer=said.digest())
    model = body.get("model")
    return Verdict(
        act="settle",
        usage=usage,
        model=model if isinstance(model, str) else None,
        tier=tier_of(body.get("service_tier")) or tier_of(body["usage"].get("service_tier")),
        answer=said.digest(),
    )


def _messages(items: Any) -> Any:
    """Choices without the word that a stream does not have."""
    return [_message(choice) for choice in items] if is_array(items) else None


def _message(choice: Any) -> Any:
    return choice.get("message", choice) if is_object(choice) else choice


def usage_of(dialect: Dialect | None, usage: Any) -> Usage | None:
    """The usage that an answer tells; where the dialect is unknown, whichever it looks like."""
    if not is_object(usage) or not usage:
        return None
    if dialect is not None:
        return dialect.usage(usage)
    return Usage.from_openai_responses(usage) or Usage.from_openai_chat(usage)
