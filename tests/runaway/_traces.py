"""Sessions as they go: the eight of the reference, each as the calls that a ledger records."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from tallystick.runaway import Call, Runaway

STEPS = 60
SECOND = 1_000_000
#: nano-dollars for one input token, at three dollars a million
PER_TOKEN = 3_000


def digest(*parts: object) -> bytes:
    """Of whatever the parts say."""
    return hashlib.sha256(repr(parts).encode()).digest()


def asked(step: int, tokens: int, *, seconds: float = 5, answer: object = None) -> Call:
    """A model call whose request and, unless *answer* says otherwise, answer are new."""
    return Call(
        at=int(step * seconds * SECOND),
        kind="model",
        what="claude",
        request=digest("request", step, tokens),
        answer=digest("answer", step if answer is None else answer),
        input_tokens=tokens,
        output_tokens=50,
        nanos=tokens * PER_TOKEN,
    )


def used(
    step: int,
    tool: str,
    args: object,
    result: object,
    *,
    seconds: float = 5,
    replayed: bool = False,
) -> Call:
    """A tool call; *result* ``None``: nothing came back."""
    return Call(
        at=int((step + 0.5) * seconds * SECOND),
        kind="tool",
        what=tool,
        request=digest(tool, args),
        answer=None if result is None else digest(result),
        replayed=replayed,
    )


def append_loop(base: int = 10_000) -> list[list[Call]]:
    """The same search, answered alike, its answer appended to the context again and again."""
    return [
        [asked(n, base + 600 * n), used(n, "search", "q", "nothing found")] for n in range(STEPS)
    ]


def doubling() -> list[list[Call]]:
    """Every answer is pasted into the next question."""
    return [
        [asked(n, min(1000 * 2**n, 1_000_000)), used(n, "draft", n, ("draft", n))]
        for n in range(STEPS)
    ]


def stuck_compacted() -> list[list[Call]]:
    """The same call for ever, in a context that is compacted each time."""
    return [[asked(n, 8_000), used(n, "search", "q", "nothing found")] for n in range(STEPS)]


def ping_pong() -> list[list[Call]]:
    """An edit and its reading, undone and redone."""
    turns = [("edit", "a to b", "done"), ("read", "file", "the file")]
    return [[asked(n, 12_000 + 300 * n), used(n, *turns[n % 2])] for n in range(STEPS)]


def big_documents() -> list[list[Call]]:
    """Healthy: four big documents are read, then worked with."""
    sizes = [4_000, 9_000, 20_000, 45_000, 100_000]
    return [
        [asked(n, sizes[min(n, 4)] + 200 * n), used(n, "read", n, ("document", n))]
        for n in range(STEPS)
    ]


def polling() -> list[list[Call]]:
    """Healthy: a job is looked at until it is done, and the model says the same each time."""
    return [
        [asked(n, 3_000 + 50 * n, answer="wait"), used(n, "job_status", "job 7", "running")]
        for n in range(STEPS)
    ]


def retry_storm() -> list[list[Call]]:
    """Eight calls a second that nothing comes back from."""
    return [[used(n, "fetch", "url", None, seconds=0.125)] for n in range(STEPS)]


def replays() -> list[list[Call]]:
    """A side effect that the ledger does not repeat, asked for again and again."""
    return [
        [asked(n, 5_000 + 600 * n), used(n, "send", "mail", "sent", replayed=n > 0)]
        for n in range(STEPS)
    ]


def alarms(runaway: Runaway, steps: Sequence[Sequence[Call]]) -> dict[str, int]:
    """At which step each rule first found something, looking after every step."""
    calls: list[Call] = []
    first: dict[str, int] = {}
    for number, step in enumerate(steps, start=1):
        calls.extend(step)
        for finding in runaway.look(calls):
            first.setdefault(finding.rule, number)
    return first
