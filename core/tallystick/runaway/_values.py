"""What detectors look at, what they find, and what a detector is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Literal, Protocol

from tallystick._values import Value

Kind = Literal["model", "tool"]
#: tell somebody, hold the session for a person, or end it
Action = Literal["warn", "ask", "stop"]


class Call(Value):
    """
    One recorded model call or tool call of a session.

    ``at`` is when it began, in microseconds since 1970 by the store's clock. ``what`` is the name
    of the model or the tool. ``request`` is a digest of everything that was asked, ``answer`` of
    everything that came back, or ``None`` while nothing did; whatever differs each time (ids,
    timestamps) is better left out of both. ``nanos`` is the cost in nano-dollars. ``replayed``
    says that a recorded answer was given: nothing happened again, but the agent asked again.
    """

    at: int
    kind: Kind
    what: str
    request: bytes
    answer: bytes | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    nanos: int = 0
    replayed: bool = False


class Finding(Value):
    """
    A session seems to have run away.

    ``rule`` is the name of the rule that says so. ``message`` says what was seen and what to do;
    it names tools and models, never arguments or answers. ``evidence`` holds the figures and the
    digests in hex, ready for JSON. ``action`` is what the configuration wants done about it.
    """

    rule: str
    message: str
    evidence: Mapping[str, Any] = field(default_factory=dict[str, Any])
    action: Action = "warn"


class Rule(Protocol):
    """
    What a detector is: a frozen value that looks at calls. Yours are as good as ours.

    ``name`` tells the findings of a session apart, so no two rules of one configuration share it.
    ``action`` overrides the configuration's. ``depth`` is how many of a session's last calls,
    models and tools together, the rule needs. ``forgives`` says that it must not see the tools
    that may poll.
    """

    @property
    def name(self) -> str:
        """Under which its findings are remembered."""
        ...

    @property
    def action(self) -> Action | None:
        """What to do about its findings; ``None``: what the configuration says."""
        ...

    @property
    def depth(self) -> int:
        """How many recent calls it needs."""
        ...

    @property
    def forgives(self) -> bool:
        """Whether calls of tools that poll are hidden from it."""
        ...

    def look(self, calls: Sequence[Call]) -> Finding | None:
        """What is wrong with *calls* of one session, the oldest first; pure."""
        ...
