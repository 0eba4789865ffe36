"""A million effects in one SQLite file: does a replay stay as fast, does memory stay flat?"""

from __future__ import annotations

import asyncio
import random
import statistics
from pathlib import Path

from tallystick import Ledger
from tests.bench._common import (
    Options,
    Report,
    acharge,
    arguments,
    options,
    quiet,
    scratch_folder,
    tick,
    timed,
)

BATCH = 500  # calls at once
PER_WORKFLOW = 100
FEW = 1000


def place(number: int) -> tuple[str, str]:
    """The workflow and the order of the effect with this number."""
    return f"run-{number // PER_WORKFLOW}", f"order-{number}"


def never(order: str, to: str, amount: int, currency: str, memo: str) -> None:
    """The tool of a replay."""
    raise AssertionError(f"{order} was performed a second time")


def memory_mb(which: str = "VmRSS") -> float:
    """Resident memory of this process, now or (`VmHWM`) at its highest."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{which}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no /proc/self/status here")


async def fill(ledger: Ledger, start: int, stop: int, deadline: float) -> int:
    """Perform effects `start` to `stop` through the real API; the number reached in time."""
    for first in range(start, stop, BATCH):
        if tick() > deadline:
            return first
        numbers = range(first, min(first + BATCH, stop))
        await asyncio.gather(*(_perform(ledger, number) for number in numbers))
    return stop


async def _perform(ledger: Ledger, number: int) -> None:
    workflow, order = place(number)
    await ledger.acall("charge", acharge, arguments(order), workflow=workflow)


def replay_ms(url: str, below: int, count: int) -> float:
    """The median replay of effects drawn at random, by a ledger that has not seen them."""
    ledger = Ledger(url)

    def replay(number: int) -> None:
        workflow, order = place(number)
        ledger.call("charge", never, arguments(order), workflow=workflow)

    timed(replay, random.choices(range(below), k=50))
    laps = timed(replay, random.choices(range(below), k=count))
    ledger.close()
    return 1e3 * statistics.median(laps)


def grow(report: Report, url: str, asked: Options) -> None:
    """To a thousand, then to all of them in ten parts, looking at memory in between."""
    deadline = tick() + asked.seconds
    ledger = Ledger(url)
    reached = asyncio.run(fill(ledger, 0, FEW, deadline))
    report.put("replay_1000_ms", replay_ms(url, reached, 2000))
    levels = [memory_mb()]
    start = tick()
    for part in range(1, 11):
        reached = asyncio.run(fill(ledger, reached, asked.effects * part // 10, deadline))
        levels.append(memory_mb())
    report.put("fill_per_s", (reached - FEW) / (tick() - start))
    ledger.close()
    report.put("effects", reached)
    report.put("replay_million_ms", replay_ms(url, reached, 2000))
    report.put(
        "replay_growth", report.metrics["replay_million_ms"] / report.metrics["replay_1000_ms"]
    )
    report.put("memory_start_mb", levels[0])
    report.put("memory_peak_mb", memory_mb("VmHWM"))
    report.put("memory_growth_mb", max(levels) - levels[0])
    report.say("memory_peak_mb", " → ".join(f"{level:.0f}" for level in levels))


def main() -> None:
    """The one repetition."""
    quiet()
    asked = options()
    report = Report("ours", asked.store, ["tallystick"])
    with scratch_folder() as folder:
        path = folder / "million.db"
        grow(report, f"sqlite:///{path}", asked)
        report.put("bytes_per_effect", path.stat().st_size / report.metrics["effects"])
    report.emit()


if __name__ == "__main__":
    main()
