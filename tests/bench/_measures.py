"""The measures that are the same for every ledger, said once over the smallest face they share."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from tests.bench._children import Child, await_go, reply
from tests.bench._common import Options, Report, atimed, fresh_orders, now, percentile, tick
from tests.bench._wire import Wire

if TYPE_CHECKING:
    import psycopg

Tool = Callable[[], Awaitable[object]]

TOOL_SECONDS = 0.2
SAME = 500
QUIET = 20  # replays that must be seen to write nothing
STEP = 0.037  # between one follower and the next: no multiple of anybody's poll


class Subject(Protocol):
    """A ledger as the measures see it: the same key is the same effect."""

    async def run(self, key: str, tool: Tool | None = None) -> object:
        """Perform the effect once under this key, or answer with its result."""
        ...


class Approver(Protocol):
    """A ledger in which effects can wait for a person."""

    async def ask(self, key: str, tool: Tool) -> object:
        """Like `run`, after an approval."""
        ...

    async def approve(self, keys: Sequence[str]) -> Callable[[int], Awaitable[object]]:
        """Prepare to approve these effects; the answer approves the i-th of them."""
        ...


async def sequential(report: Report, subject: Subject, count: int) -> list[str]:
    """One caller, one effect after the other, none seen before."""
    for key in fresh_orders(20, "warm"):
        await subject.run(key)
    keys = fresh_orders(count)
    report.samples("fresh", await atimed(keys, subject.run))
    return keys


async def replays(report: Report, subject: Subject, keys: Sequence[str]) -> None:
    """One caller, answered from the record, by a second `subject` that has seen none of them."""
    await atimed(keys[:20], subject.run)
    report.samples("replay", await atimed(keys[20:], subject.run))


async def concurrent(report: Report, subject: Subject, rounds: int) -> None:
    """A hundred callers at once, none of the effects seen before."""
    await asyncio.gather(*map(subject.run, fresh_orders(100, "warm")))
    keys = [fresh_orders(100, "c") for _ in range(rounds)]
    start = tick()
    for batch in keys:
        await asyncio.gather(*map(subject.run, batch))
    report.put("conc100_per_s", rounds * 100 / (tick() - start))


async def herd(report: Report, subject: Subject) -> None:
    """Five hundred identical calls at once of a tool that takes 0.2 s."""
    runs = 0

    async def tool() -> object:
        nonlocal runs
        runs += 1
        await asyncio.sleep(TOOL_SECONDS)
        return {"ok": True}

    key = fresh_orders(1, "herd")[0]
    start = tick()
    calls = (subject.run(key, tool) for _ in range(SAME))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    report.put("herd_wall_s", tick() - start)
    report.put("herd_runs", runs)
    report.put("herd_errors", sum(isinstance(answer, BaseException) for answer in answers))


async def statements(report: Report, wire: Wire, subject: Subject, face: str = "") -> None:
    """How many statements a fresh effect and a replay send; the median over single calls."""
    keys = fresh_orders(40)
    for key in fresh_orders(10, "warm"):
        await subject.run(key)
    for what in ("fresh", "replay"):
        seen: list[int] = []
        trips: list[int] = []
        before = wire.statements()
        for key in keys:
            start = wire.total(), wire.trips()
            await subject.run(key)
            seen.append(wire.total() - start[0])
            trips.append(wire.trips() - start[1])
        report.put(f"{face}{what}_statements", statistics.median(seen))
        report.put(f"{face}{what}_trips", statistics.median(trips))
        after = wire.statements()
        words = ((word, (n - before.get(word, 0)) / len(keys)) for word, n in after.items())
        kinds = ", ".join(f"{word} {n:.3g}" for word, n in sorted(words) if n)
        report.say(f"{face}{what}_statements", kinds)


async def writes(report: Report, url: str, subject: Subject, keys: Sequence[str]) -> None:
    """WAL written by a replay. Others write too: the twentieth quietest of many replays counts."""
    import psycopg

    windows: list[int] = []
    batch = keys[:QUIET]
    await atimed(batch, subject.run)
    with psycopg.connect(url, autocommit=True) as conn:
        for turn in range(20 * QUIET):
            before = _wal(conn)
            await subject.run(batch[turn % QUIET])
            windows.append(_wal(conn) - before)
            if windows.count(0) == QUIET:
                break
            await asyncio.sleep(0.001)
    report.put("replay_wal_bytes", sorted(windows)[QUIET - 1])


def _wal(conn: psycopg.Connection) -> int:
    row = conn.execute("SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint").fetchone()
    assert row is not None
    return int(row[0])


async def followers(report: Report, subject: Subject, module: str, asked: Options) -> None:
    """Another process waits for our effects: from the tool's last line to its answer over there."""
    base = fresh_orders(1, "follow")[0]
    done: dict[str, float] = {}

    def tool(index: int) -> Tool:
        async def work() -> object:
            await asyncio.sleep(0.5 + index * STEP)
            done[str(index)] = now()
            return index

        return work

    child = Child(module, "follow", replace(asked, base=base))
    await child.aready()
    leaders = [
        asyncio.create_task(_run(subject, f"{base}-{i}", tool(i))) for i in range(asked.count)
    ]
    await asyncio.sleep(0.1)
    child.go()
    await asyncio.gather(*leaders)
    _wakes(report, "follower", done, await child.aanswer())


async def follow(subject: Subject, asked: Options) -> None:
    """The other process of `followers`."""
    seen: dict[str, float] = {}

    async def never() -> object:
        raise RuntimeError("a follower does not run the tool")

    async def wait(index: int) -> None:
        await subject.run(f"{asked.base}-{index}", never)
        seen[str(index)] = now()

    await await_go()
    await asyncio.gather(*map(wait, range(asked.count)))
    reply(seen)


async def approvals(report: Report, subject: Approver, module: str, asked: Options) -> None:
    """Another process approves: from its call of approve to the tool's first line here."""
    base = fresh_orders(1, "ask")[0]
    begun: dict[str, float] = {}

    def tool(index: int) -> Tool:
        async def work() -> object:
            begun[str(index)] = now()
            return index

        return work

    child = Child(module, "approve", replace(asked, base=base))
    await child.aready()
    waiting = [
        asyncio.create_task(_ask(subject, f"{base}-{i}", tool(i))) for i in range(asked.count)
    ]
    await asyncio.sleep(0.7)
    child.go()
    given: dict[str, float] = await child.aanswer()
    await asyncio.gather(*waiting)
    _wakes(report, "approval", given, begun)


async def give_approvals(subject: Approver, asked: Options) -> None:
    """The other process of `approvals`."""
    given: dict[str, float] = {}
    await await_go()
    approve = await subject.approve([f"{asked.base}-{i}" for i in range(asked.count)])
    for index in range(asked.count):
        await asyncio.sleep(STEP)
        given[str(index)] = now()
        await approve(index)
    reply(given)


async def _run(subject: Subject, key: str, tool: Tool) -> None:
    await subject.run(key, tool)


async def _ask(subject: Approver, key: str, tool: Tool) -> None:
    await subject.ask(key, tool)


def _wakes(report: Report, name: str, since: dict[str, float], until: dict[str, float]) -> None:
    laps = [until[index] - since[index] for index in since]
    report.put(f"{name}_p50_ms", 1e3 * statistics.median(laps))
    report.put(f"{name}_p95_ms", 1e3 * percentile(laps, 0.95))
