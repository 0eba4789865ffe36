"""
What a wrapped tool of CrewAI or AutoGen costs: `python -m tests.bench.agents`.

A tool that does nothing, called as its framework calls it, plain and wrapped; fresh each time. On
SQLite the commits are the ledger's; on the store in memory there are none, and what is left is the
adapter's and the ledger's Python. Then how much of the processor importing the adapter takes, and
the ledger with it, once the framework is there.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tallystick import Ledger
from tests.crewai import conftest as quiet  # CrewAI reads the environment as it is imported

CALLS = 400
REPETITIONS = 5
IMPORTS = 10
_numbers = itertools.count()

Measured = Callable[[], float]


def note(number: int) -> str:
    """Note a number."""
    return f"noted {number}"


def crews(ledger: Ledger | None) -> Measured:
    """CrewAI's way, natively."""
    from crewai.tools import tool

    from tallystick_crewai import wrap_tools

    make: Any = tool
    plain: Any = make("note")(note)
    made = plain if ledger is None else wrap_tools([plain], ledger)[0]

    def measured() -> float:
        return statistics.median(
            _timed(lambda: made.run(number=next(_numbers))) for _ in range(CALLS)
        )

    return measured


def teams(ledger: Ledger | None) -> Measured:
    """AutoGen's way."""
    from autogen_core import CancellationToken
    from autogen_core.tools import FunctionTool

    from tallystick_autogen import wrap_tools

    async def anote(number: int) -> str:
        return note(number)

    plain: Any = FunctionTool(anote, "Note a number.", name="note")
    made = plain if ledger is None else wrap_tools([plain], ledger)[0]

    async def all_calls() -> list[float]:
        times = list[float]()
        for _ in range(CALLS):
            began = time.perf_counter()
            await made.run_json({"number": next(_numbers)}, CancellationToken())
            times.append((time.perf_counter() - began) * 1e3)
        return times

    return lambda: statistics.median(asyncio.run(all_calls()))


def _timed(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1e3


def imports(framework: str, adapter: str) -> float:
    """Milliseconds of processor time to import adapter and ledger after the framework's modules."""
    program = (
        f"import sys, time, warnings; warnings.simplefilter('ignore'); import {framework};"
        f"began = time.process_time(); import {adapter}; print(time.process_time() - began)"
    )
    found: list[float] = []
    for _ in range(IMPORTS):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        found.append(float(done.stdout.split()[-1]) * 1e3)
    return statistics.median(found)


def main() -> None:
    """Print the table."""
    assert not quiet.collect_ignore_glob, "CrewAI is not installed"
    print("| | plain, ms | in memory, ms | SQLite, ms | import, ms |")
    print("|---|--:|--:|--:|--:|")
    rows: list[tuple[str, Any, str, str]] = [
        ("CrewAI", crews, "crewai", "tallystick_crewai"),
        ("AutoGen", teams, "autogen_core.models, autogen_core.tools", "tallystick_autogen"),
    ]
    for name, made, framework, adapter in rows:
        with tempfile.TemporaryDirectory() as folder:
            urls = [None, "memory://", f"sqlite:///{Path(folder) / 'ledger.db'}"]
            ledgers = [None if url is None else Ledger(url) for url in urls]
            calls = [made(ledger) for ledger in ledgers]
            scope = Ledger("memory://").workflow("bench")
            found: list[list[float]] = [[] for _ in urls]
            for _, (n, call) in itertools.product(range(REPETITIONS), enumerate(calls)):
                with scope:
                    found[n].append(call())
            for ledger in ledgers:
                if ledger is not None:
                    ledger.close()
        cells = " | ".join(f"{statistics.median(times):.3f}" for times in found)
        print(f"| {name} | {cells} | {imports(framework, adapter):.0f} |")


if __name__ == "__main__":
    main()
