"""What every subject shares: the effect, the clock, the percentiles, one line of JSON.

A subject is a script that is started in a fresh process, measures one repetition on one store and
prints one line of JSON. `run.py` starts the subjects in turn, so that all see the same weather.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence

ROOT = Path(__file__).resolve().parents[2]
SERVER = os.environ.get("TALLYSTICK_BENCH_PG", "postgresql://postgres@127.0.0.1:5432/postgres")
SCRATCH = os.environ.get("TALLYSTICK_BENCH_DIR") or None
PREFIX = "tsbench_"

TOOL = "charge"
RESULT = {
    "id": "ch_3PqLZe2eZvKYlo2C1gkzF9dV",
    "status": "succeeded",
    "amount": 1234,
    "balance": 98766,
}

T = TypeVar("T")

now = time.monotonic  # one clock for every process of the machine
tick = time.perf_counter


def arguments(order: str) -> dict[str, Any]:
    """The arguments of one effect, about 200 bytes of JSON; `order` makes it one of a kind."""
    return {
        "order": order,
        "to": "acct_1Hh1aB",
        "amount": 1234,
        "currency": "usd",
        "memo": "m" * 96,
    }


def charge(order: str, to: str, amount: int, currency: str, memo: str) -> dict[str, Any]:
    """A tool that costs nothing, so that only the ledger is measured."""
    return RESULT


async def acharge(order: str, to: str, amount: int, currency: str, memo: str) -> dict[str, Any]:
    """The same tool, awaited."""
    return RESULT


def fresh_orders(count: int, label: str = "o") -> list[str]:
    """Names that no run has used before."""
    tag = uuid.uuid4().hex[:12]
    return [f"{label}-{tag}-{i}" for i in range(count)]


@dataclass(slots=True, kw_only=True)
class Options:
    """What one repetition was asked to do."""

    store: str
    quick: bool = False
    role: str = ""
    target: str = ""
    base: str = ""
    count: int = 20
    seconds: float = 600.0
    effects: int = 1_000_000

    def many(self, count: int) -> int:
        """`count`, or a tenth of it in a quick run."""
        return max(40, count // 10) if self.quick else count


@dataclass(slots=True)
class Report:
    """The figures of one repetition, with what has to be said about them."""

    subject: str
    store: str
    packages: Sequence[str]
    metrics: dict[str, float] = field(default_factory=dict[str, float])
    notes: dict[str, str] = field(default_factory=dict[str, str])

    def put(self, name: str, value: float) -> None:
        """Keep one figure."""
        self.metrics[name] = round(value, 5)

    def say(self, name: str, reason: str) -> None:
        """Say why a figure is missing, or what must be known to read it."""
        self.notes[name] = reason

    def samples(self, name: str, seconds: Sequence[float]) -> None:
        """Keep median and tail of latencies, in milliseconds."""
        self.put(f"{name}_ms", 1e3 * statistics.median(seconds))
        self.put(f"{name}_p99_ms", 1e3 * percentile(seconds, 0.99))

    def emit(self) -> None:
        """Print the one line that `run.py` reads."""
        versions = {name: installed(name) for name in self.packages}
        line = {"subject": self.subject, "store": self.store, "versions": versions}
        print(json.dumps({**line, "metrics": self.metrics, "notes": self.notes}), flush=True)


def installed(name: str) -> str:
    """The version of a distribution, or a dash."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "-"


def percentile(seconds: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` of the samples do not exceed."""
    ordered = sorted(seconds)
    return ordered[max(0, min(len(ordered) - 1, round(share * len(ordered) + 0.5) - 1))]


def options(argv: Sequence[str] | None = None) -> Options:
    """Read the command line that every subject understands."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", default="sqlite")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--role", default="")
    parser.add_argument("--target", default="")
    parser.add_argument("--base", default="")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--effects", type=int, default=1_000_000)
    return Options(**vars(parser.parse_args(argv)))


def timed(call: Callable[[T], object], items: Iterable[T]) -> list[float]:
    """How long the call took with each of these."""
    laps: list[float] = []
    for item in items:
        start = tick()
        call(item)
        laps.append(tick() - start)
    return laps


async def atimed(keys: Sequence[str], call: Callable[[str], Awaitable[object]]) -> list[float]:
    """How long each awaited call took, one after the other."""
    laps: list[float] = []
    for key in keys:
        start = tick()
        await call(key)
        laps.append(tick() - start)
    return laps


@contextlib.contextmanager
def scratch_folder() -> Generator[Path]:
    """A folder for SQLite files, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="tallystick-bench-", dir=SCRATCH))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def scratch_database() -> Generator[str]:
    """A PostgreSQL database of our own, dropped afterwards; yields its URL."""
    import psycopg
    from psycopg import sql

    name = f"{PREFIX}{os.getpid()}_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(SERVER, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield database_url(name)
    finally:
        with psycopg.connect(SERVER, autocommit=True) as admin:
            drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            admin.execute(drop.format(sql.Identifier(name)))


def database_url(name: str) -> str:
    """The server's address with another database in it."""
    return urlunsplit(urlsplit(SERVER)._replace(path=f"/{name}"))


def quiet() -> None:
    """No warnings, no log lines: only the JSON goes out."""
    import logging
    import warnings

    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # a text file always can
