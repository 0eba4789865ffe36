"""Which checkpoints of a thread may go, and how they go."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from tallystick._acts import Clock
from tallystick._checkpoints import (
    DropCheckpoints,
    ReadCheckpoints,
    ReadThreads,
    Saved,
    thread_key,
)
from tallystick._ports import Ports
from tallystick.errors import InvalidCall

#: checkpoints that go in one act
BATCH = 200
#: threads that are found in one go
_PAGE = 500

Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Rule:
    """
    What stays: the newest *keep* checkpoints of the root graph, and all younger than *age*.

    A checkpoint goes only if both let it go. The newest one stays whatever the rule says.
    """

    keep: int | None = None
    age: timedelta | None = None

    def __post_init__(self) -> None:
        if self.keep is None and self.age is None:
            raise InvalidCall(
                "nothing says what to keep: give keep=N (--keep N), older_than=timedelta(days=30) "
                "(--older-than 30d), or both"
            )
        if self.keep is not None and self.keep < 1:
            raise InvalidCall(
                f"keep={self.keep}: at least 1, since a thread cannot go on without its newest "
                "checkpoint; delete_thread() forgets it whole"
            )
        if self.age is not None and self.age <= timedelta(0):
            raise InvalidCall(f"older_than={self.age}: give a time that has passed, like 30 days")


class Pruned(NamedTuple):
    """What became of a thread's checkpoints."""

    thread: str
    dropped: int
    kept: int


class Retained(NamedTuple):
    """What became of the checkpoints of *threads* threads."""

    threads: int
    dropped: int
    kept: int


# -- the rule, which is pure -----------------------------------------------------------------------


def disposable(rows: Sequence[Saved], rule: Rule, now: int = 0) -> list[Saved]:
    """
    The checkpoints that may go, newest first; *rows* are all that a thread has, newest first.

    Their age is counted by *now*, in microseconds of the clock that wrote ``at``.
    """
    roots = [row for row in rows if not row.ns]
    chosen = roots[: rule.keep or 1]
    if rule.age is not None:
        since = now - rule.age // timedelta(microseconds=1)
        chosen += [row for row in rows if row.at >= since]
    kept = needed(rows, chosen)
    return [row for row in rows if (row.ns, row.id) not in kept]


def needed(rows: Sequence[Saved], chosen: Iterable[Saved]) -> set[Place]:
    """
    The places of *chosen*, and of all without which one cannot read them, or go on from there.

    Of subgraphs that is where they were when a chosen checkpoint of the root graph was the newest.
    A channel that stores only what was added to it needs the chain back to where it was stored
    whole.
    """
    stay = {(row.ns, row.id): row for row in chosen}
    roots = {row.id for row in stay.values() if not row.ns}
    newest = next((row.id for row in rows if not row.ns), None)
    for of_one in _by_ns(rows).values():
        stay.update({(row.ns, row.id): row for row in _heads(of_one, roots, newest)})
    every = {(row.ns, row.id): row for row in rows}
    found: set[Place] = set()
    for row in stay.values():
        found |= _chain(row, every)
    return found


def _by_ns(rows: Sequence[Saved]) -> dict[str, list[Saved]]:
    found: dict[str, list[Saved]] = {}
    for row in rows:
        if row.ns:
            found.setdefault(row.ns, []).append(row)
    return found


def _heads(rows: Sequence[Saved], roots: set[str], newest: str | None) -> Iterator[Saved]:
    """Of one subgraph's checkpoints, newest first, those that the *roots* need."""
    seen: set[str | None] = set()
    for row in rows:  # the newest of each of the root's checkpoints that it was called at
        by = json.loads(row.metadata).get("parents", {}).get("")
        # one that is newer than all that are stored is on its way: runs save in the background
        called = by is None or newest is None or by in roots or by > newest
        if called and by not in seen:
            yield row
        seen.add(by)
    if ":" not in rows[0].ns:  # not one call's: its state outlives the call
        yield rows[0]
        yield from _before(rows, roots)


def _before(rows: Sequence[Saved], roots: set[str]) -> Iterator[Saved]:
    """For each of the roots the newest that is older: what LangGraph reads to go on from there."""
    waiting = sorted(roots)
    for row in rows:
        later = len(waiting)
        while waiting and waiting[-1] > row.id:
            waiting.pop()
        if len(waiting) < later:
            yield row


def _chain(head: Saved, rows: Mapping[Place, Saved]) -> set[Place]:
    counters: dict[str, Any] = json.loads(head.metadata).get("counters_since_delta_snapshot") or {}
    open_ = set(counters) - set(json.loads(head.vals))
    found = {(head.ns, head.id)}
    row: Saved | None = head
    while open_ and row is not None and row.parent is not None:
        row = rows.get((row.ns, row.parent))
        if row is not None:
            found.add((row.ns, row.id))
            open_ -= set(json.loads(row.vals))
    return found


# -- the deed --------------------------------------------------------------------------------------


async def prune(p: Ports, tenant: str, thread: str, rule: Rule, *, dry: bool = False) -> Pruned:
    """Let go what *rule* lets go of a thread; *dry*: only say how much that is."""
    rows = await p.read(ReadCheckpoints(tenant=tenant, key=thread_key(tenant, thread)))
    now = await p.read(Clock())
    gone = disposable(rows, rule, now)
    if not dry:
        await drop(p, tenant, gone)
    return Pruned(thread, len(gone), len(rows) - len(gone))


async def drop(p: Ports, tenant: str, rows: Sequence[Saved]) -> None:
    """
    Forget checkpoints, some at a time, so that nobody waits long for the database.

    They go in the order they are given. Newest first, what is left after a crash can be read.
    """
    for key in dict.fromkeys(row.thread for row in rows):
        places = [(row.ns, row.id) for row in rows if row.thread == key]
        for at in range(0, len(places), BATCH):
            some = tuple(places[at : at + BATCH])
            await p.do(DropCheckpoints(key=key, tenant=tenant, places=some))


async def retain(
    p: Ports,
    tenant: str,
    rule: Rule,
    threads: Sequence[str] | None = None,
    *,
    dry: bool = False,
    told: Callable[[Pruned], None] | None = None,
) -> Retained:
    """Prune the named threads, or all of the tenant, one after the other; *told* of each."""
    total = Retained(0, 0, 0)
    page = await _page(p, tenant, threads)
    while page:
        for _, name in page:
            done = await prune(p, tenant, name, rule, dry=dry)
            total = Retained(
                total.threads + 1, total.dropped + done.dropped, total.kept + done.kept
            )
            if told is not None:
                told(done)
        page = [] if threads is not None else await _page(p, tenant, None, page[-1][0])
    return total


async def _page(
    p: Ports, tenant: str, threads: Sequence[str] | None, after: bytes = b""
) -> list[tuple[bytes, str]]:
    if threads is not None:
        return [(b"", name) for name in dict.fromkeys(threads)]
    return await p.read(ReadThreads(tenant=tenant, after=after, limit=_PAGE))
