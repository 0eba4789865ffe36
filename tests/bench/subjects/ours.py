"""tallystick on memory, SQLite and PostgreSQL: what `make bench` promises a figure for."""

from __future__ import annotations

import asyncio
import functools
import statistics
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tallystick import Approval, Ledger, Policy
from tests.bench import _measures as measure
from tests.bench._children import reply, wait_for_go
from tests.bench._common import (
    TOOL,
    Options,
    Report,
    acharge,
    arguments,
    charge,
    fresh_orders,
    options,
    quiet,
    scratch_database,
    scratch_folder,
    tick,
    timed,
)
from tests.bench._wire import Wire
from tests.bench.subjects import floor

MODULE = "tests.bench.subjects.ours"
WORKFLOW = "bench"
DEFAULT = Policy()
ASKING = Policy(approval=Approval(wait=30.0))
BLOCK = 20  # calls of ours between as many of the floor's


class Ours:
    """The awaited face, as the shared measures see it."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    async def run(self, key: str, tool: measure.Tool | None = None) -> object:
        """One effect, identified by its content."""
        return await self._call(key, acharge if tool is None else _as_tool(tool), DEFAULT)

    async def ask(self, key: str, tool: measure.Tool) -> object:
        """One effect that waits for an approval first."""
        return await self._call(key, _as_tool(tool), ASKING)

    async def approve(self, keys: Sequence[str]) -> Callable[[int], Awaitable[object]]:
        """Find them in the inbox, as a person would."""
        names: dict[str, str] = {}
        while not names.keys() >= set(keys):
            items = await self.ledger.apending()
            names = {item.effect.args["order"]: item.effect.key for item in items}
            await asyncio.sleep(0.02)

        async def give(index: int) -> object:
            return await self.ledger.aapprove(names[keys[index]], by="bench")

        return give

    async def _call(self, key: str, fn: Callable[..., Any], policy: Policy) -> object:
        return await self.ledger.acall(TOOL, fn, arguments(key), workflow=WORKFLOW, policy=policy)


class Blocking:
    """The blocking face, behind the same words; it blocks the loop, and is alone on it."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def call(self, key: str) -> object:
        """One effect."""
        return self.ledger.call(TOOL, charge, arguments(key), workflow=WORKFLOW, policy=DEFAULT)

    async def run(self, key: str, tool: measure.Tool | None = None) -> object:
        """One effect, with the tool that costs nothing."""
        return self.call(key)


@functools.lru_cache(maxsize=256)  # five hundred calls of one tool are of one function
def _as_tool(tool: measure.Tool) -> Callable[..., Awaitable[object]]:
    async def work(order: str, to: str, amount: int, currency: str, memo: str) -> object:
        return await tool()

    return work


def one_caller(report: Report, ledger: Ledger, base: floor.Lite | floor.Postgres, n: int) -> None:
    """Fresh effects, in blocks that alternate with the floor's on the same disk."""
    ours = Blocking(ledger)
    timed(ours.call, fresh_orders(20, "warm"))
    timed(base.fresh, map(floor.parts, fresh_orders(20, "warm")))
    mine: list[list[float]] = []
    floors: list[list[float]] = []
    for _ in range(max(n // BLOCK, 1)):
        effects = [floor.parts(order) for order in fresh_orders(BLOCK)]
        floors.append(timed(base.fresh, effects))
        mine.append(timed(ours.call, fresh_orders(BLOCK)))
    report.samples("fresh", [lap for laps in mine for lap in laps])
    report.samples("fresh_floor", [lap for laps in floors for lap in laps])
    pairs = zip(mine, floors, strict=True)
    ratios = [statistics.median(laps) / statistics.median(under) for laps, under in pairs]
    report.put("fresh_ratio", statistics.median(ratios))


async def replays(report: Report, url: str, keys: Sequence[str]) -> None:
    """Replays by a ledger that has not seen the effects, on both faces."""
    ledger = Ledger(url, create=True)
    ours = Blocking(ledger)
    timed(ours.call, keys[:20])
    report.samples("replay", timed(ours.call, keys[20:]))
    awaited = Report("", "", [])
    await measure.replays(awaited, Ours(ledger), keys)
    report.put("areplay_ms", awaited.metrics["replay_ms"])
    ledger.close()


async def to_the_floor(asked: Options, report: Report, ours: Ours, base: floor.Lite) -> None:
    """A hundred of ours at once, then a hundred of the floor's in two ways; again and again."""
    mine: list[float] = []
    alone: list[float] = []
    in_turn: list[float] = []
    with ThreadPoolExecutor(100) as pool:
        for _ in range(1 + max(asked.many(800) // 100, 1)):  # the first one warms up
            keys = fresh_orders(100)
            start = tick()
            await asyncio.gather(*map(ours.run, keys))
            mine.append(tick() - start)
            effects = [floor.parts(order) for order in fresh_orders(100)]
            alone.append(sum(timed(base.fresh, effects)))
            effects = [floor.parts(order) for order in fresh_orders(100)]
            start = tick()
            list(pool.map(base.fresh_in_turn, effects))
            in_turn.append(tick() - start)
    for name, laps in (("conc100_warm_ratio", alone), ("conc100_in_turn_ratio", in_turn)):
        ratios = [theirs / ours for theirs, ours in zip(laps[1:], mine[1:], strict=True)]
        report.put(name, statistics.median(ratios))


async def many_callers(asked: Options, report: Report, ours: Ours) -> None:
    """A hundred tasks, a hundred threads, five hundred times the same call."""
    rounds = max(1, asked.many(2000) // 100)
    await measure.concurrent(report, ours, rounds)
    await measure.herd(report, ours)
    report.put("conc100_threads_per_s", await asyncio.to_thread(_threads, ours.ledger, rounds))


def _threads(ledger: Ledger, rounds: int) -> float:
    ours = Blocking(ledger)
    with ThreadPoolExecutor(100) as pool:
        list(pool.map(ours.call, fresh_orders(100, "warm")))
        orders = fresh_orders(rounds * 100)
        start = tick()
        list(pool.map(ours.call, orders))
        return len(orders) / (tick() - start)


async def durable(asked: Options, report: Report, url: str) -> None:
    """What both databases are asked."""
    asked.target = url
    ledger = Ledger(url, create=True)
    ours = Ours(ledger)
    awaited = Report("", "", [])
    keys = await measure.sequential(awaited, ours, asked.many(200))
    report.put("afresh_ms", awaited.metrics["fresh_ms"])
    await replays(report, url, keys)
    await many_callers(asked, report, ours)
    await measure.followers(report, ours, MODULE, asked)
    await measure.approvals(report, ours, MODULE, asked)
    ledger.close()


def lite(asked: Options, report: Report) -> None:
    """SQLite."""
    with scratch_folder() as folder:
        path = folder / "ours.db"
        url = f"sqlite:///{path}"
        base = floor.Lite(folder / "floor.db")
        ledger = Ledger(url, create=True)
        one_caller(report, ledger, base, asked.many(400))
        ledger.close()
        asyncio.run(durable(asked, report, url))
        found = report.metrics
        report.put("conc100_ratio", found["conc100_per_s"] * found["fresh_floor_ms"] / 1e3)
        asyncio.run(_hundreds(asked, report, url, base))
        base.close()
        floor.eight(report, MODULE, url, asked)


async def _hundreds(asked: Options, report: Report, url: str, base: floor.Lite) -> None:
    ledger = Ledger(url)
    await to_the_floor(asked, report, Ours(ledger), base)
    ledger.close()


def postgres(asked: Options, report: Report) -> None:
    """PostgreSQL."""
    with scratch_database() as url:
        base = floor.Postgres(url)
        ledger = Ledger(url, create=True)
        one_caller(report, ledger, base, asked.many(400))
        ledger.close()
        base.close()
        asyncio.run(durable(asked, report, url))
        asyncio.run(_statements(report, url))


async def _statements(report: Report, url: str) -> None:
    keys = fresh_orders(20)
    with Wire(url) as wire:
        ledger = Ledger(wire.url, create=True)
        await measure.statements(report, wire, Blocking(ledger))
        await measure.statements(report, wire, Ours(ledger), "a")
        ledger.close()
    ledger = Ledger(url, create=True)
    await measure.writes(report, url, Blocking(ledger), keys)
    ledger.close()


def memory(asked: Options, report: Report) -> None:
    """Python's share of a call: the memory store has no I/O to hide behind."""
    ledger = Ledger("memory://")
    ours = Blocking(ledger)
    timed(ours.call, fresh_orders(200, "warm"))
    keys = fresh_orders(asked.many(3000))
    plain = timed(lambda key: charge(**arguments(key)), keys)
    for name in ("overhead", "overhead_replay"):
        laps = timed(ours.call, keys)
        report.put(f"{name}_us", 1e6 * (statistics.median(laps) - statistics.median(plain)))
    asyncio.run(_awaited_memory(asked, report, ledger))
    ledger.close()


async def _awaited_memory(asked: Options, report: Report, ledger: Ledger) -> None:
    awaited = Report("", "", [])
    await measure.sequential(awaited, Ours(ledger), asked.many(3000))
    report.put("aoverhead_us", 1e3 * awaited.metrics["fresh_ms"])
    await measure.concurrent(report, Ours(ledger), max(1, asked.many(2000) // 100))
    await measure.herd(report, Ours(ledger))


def one_of_eight(asked: Options) -> None:
    """One of eight processes on one file."""
    ledger = Ledger(asked.target)
    ours = Blocking(ledger)
    timed(ours.call, fresh_orders(5, "warm"))
    orders = fresh_orders(asked.count)
    wait_for_go()
    laps = timed(ours.call, orders)
    ledger.close()
    reply(laps)


async def other_process(asked: Options) -> None:
    """A follower or an approver."""
    ledger = Ledger(asked.target)
    if asked.role == "follow":
        await measure.follow(Ours(ledger), asked)
    else:
        await measure.give_approvals(Ours(ledger), asked)
    ledger.close()


def main() -> None:
    """One repetition."""
    quiet()
    asked = options()
    if asked.role == "eight":
        one_of_eight(asked)
    elif asked.role:
        asyncio.run(other_process(asked))
    else:
        report = Report("ours", asked.store, ["tallystick", "sqlalchemy", "psycopg"])
        {"memory": memory, "sqlite": lite, "postgres": postgres}[asked.store](asked, report)
        report.say("store", "default policy: AT_MOST_ONCE")
        report.emit()


if __name__ == "__main__":
    main()
