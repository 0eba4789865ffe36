"""
What a replay costs: `python -m tests.bench.replays`.

A run of a thousand steps is recorded, and told again several times: reading the record, answering
each step, and the replay's own record. Beside it the same calls outside of a replay, which find
their outcome in the database one by one.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tallystick import Ledger
from tests._postgres import scratch_database
from tests.bench._common import RESULT, TOOL, arguments, charge, tick

STEPS = 1000
REPETITIONS = 7


def told(ledger: Ledger, scope: Any) -> None:
    """The run, on the blocking face."""
    with scope:
        for n in range(STEPS):
            assert ledger.call(TOOL, charge, arguments(f"order {n}")) == RESULT


def atold(ledger: Ledger, scope: Any) -> None:
    """The run, awaited."""

    async def main() -> None:
        async with scope:
            for n in range(STEPS):
                assert await ledger.acall(TOOL, charge, arguments(f"order {n}")) == RESULT

    asyncio.run(main())


def timed(fn: Callable[[], None]) -> tuple[float, float]:
    """Milliseconds for each step, by the clock and of the processor."""
    began, busy = tick(), time.process_time()
    fn()
    return (tick() - began) * 1000 / STEPS, (time.process_time() - busy) * 1000 / STEPS


def row(store: str, url: str) -> str:
    """One line of the table."""
    with Ledger(url, create=True) as ledger:
        told(ledger, ledger.workflow("run"))
        found: dict[str, list[tuple[float, float]]] = {"again": [], "replay": [], "awaited": []}
        for _ in range(REPETITIONS):
            found["again"].append(timed(lambda: told(ledger, ledger.workflow("run"))))
            found["replay"].append(timed(lambda: told(ledger, ledger.replay("run"))))
            found["awaited"].append(timed(lambda: atold(ledger, ledger.replay("run"))))
    both = (
        [statistics.median(times) for times in zip(*found[name], strict=True)] for name in found
    )
    figures = [f"{clock:.3f} ({processor:.3f})" for clock, processor in both]
    return f"| {store} | " + " | ".join(figures) + " |"


def main() -> int:
    """Print the table."""
    print(f"ms per step (and of the processor), a run of {STEPS} steps; target of a replay: 0.1")
    print("| store | called again | replayed | replayed, awaited |\n|---|---|---|---|")
    print(row("memory", "memory://"))
    with tempfile.TemporaryDirectory() as folder:
        print(row("SQLite", f"sqlite:///{Path(folder) / 'ledger.db'}"))
    with scratch_database() as url:
        print(row("PostgreSQL", url))
    return 0


if __name__ == "__main__":
    sys.exit(main())
