"""
What a budget costs: `python -m tests.bench.budgets`.

The check before a call, which is the reservation, and the settling after it; alone and by twenty
threads; beside the same two transactions on the bare driver, and beside AgentWatch's client, whose
check is an HTTP request. Then what the adapters add to a model that answers at once. Repetitions
take turns, so that all see the same weather.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

from tallystick import Ledger
from tallystick.metering import Meter, ModelRequest
from tallystick.prices import Overrides, Usage
from tallystick_langchain import BudgetCallback
from tests._postgres import scratch_database
from tests.bench import _peers

REPETITIONS = 5
CALLS = 400
THREADS = 20
PRICES = Overrides({"toy": {"input": "1", "output": "2", "max_output": 1000}})
REQUEST = ModelRequest(
    model="toy", provider="toy", input_bound=1000, output_bound=1000, digest=b"\7" * 32
)
USAGE = Usage(input=900, output=100)
PEER = Path(__file__).parent / "subjects" / "peer_aw_sdk.py"

#: reserve, then settle
Pair = tuple[Callable[[], Any], Callable[[Any], None]]


class Timed(NamedTuple):
    """Milliseconds of one repetition's calls, and calls per second of twenty threads."""

    before: list[float]
    after: list[float]
    rate: float


@contextlib.contextmanager
def ours(url: str) -> Generator[Pair]:
    with Ledger(url, create=True) as ledger:
        ledger.budget("session", usd="1000000")
        meter = Meter(ledger, "session", session="42", prices=PRICES)
        yield lambda: meter.begin(REQUEST), lambda call: call.settle(USAGE)


@contextlib.contextmanager
def bare_sqlite(folder: Path) -> Generator[Pair]:
    """One connection, as a careful person writes it by hand: two transactions, both to the disk."""
    db = sqlite3.connect(folder / "bare.db", isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE budget (id INTEGER PRIMARY KEY, cap INT, spent INT, reserved INT)")
    db.execute("CREATE TABLE held (id BLOB PRIMARY KEY, amount INT, state TEXT, record TEXT)")
    db.execute("INSERT INTO budget VALUES (1, 1000000000000000, 0, 0)")
    lock, record = threading.Lock(), "r" * 300

    def before() -> bytes:
        key = os.urandom(16)
        with lock:
            db.execute("BEGIN IMMEDIATE")
            held = db.execute(
                "UPDATE budget SET reserved = reserved + 3000000"
                " WHERE id = 1 AND spent + reserved + 3000000 <= cap"
            )
            assert held.rowcount == 1
            db.execute("INSERT INTO held VALUES (?, 3000000, 'held', ?)", (key, record))
            db.execute("COMMIT")
        return key

    def after(key: bytes) -> None:
        with lock:
            db.execute("BEGIN IMMEDIATE")
            db.execute("UPDATE held SET state = 'settled', amount = 1100000 WHERE id = ?", (key,))
            db.execute(
                "UPDATE budget SET reserved = reserved - 3000000, spent = spent + 1100000"
                " WHERE id = 1"
            )
            db.execute("COMMIT")

    yield before, after
    db.close()


@contextlib.contextmanager
def bare_postgres(url: str) -> Generator[Pair]:
    """A connection for each thread, the same two transactions."""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(
            "CREATE TABLE budget (id int PRIMARY KEY, cap bigint, spent bigint, reserved bigint);"
            "CREATE TABLE held (id bytea PRIMARY KEY, amount bigint, state text, record text);"
            "INSERT INTO budget VALUES (1, 1000000000000000, 0, 0)"
        )
    record, idle = "r" * 300, queue.SimpleQueue[Any]()
    opened = [psycopg.connect(url, autocommit=True) for _ in range(THREADS)]
    for db in opened:
        idle.put(db)

    @contextlib.contextmanager
    def connection() -> Generator[Any]:
        db = idle.get()
        with db.transaction():
            yield db
        idle.put(db)

    def before() -> bytes:
        key = os.urandom(16)
        with connection() as db:
            held = db.execute(
                "UPDATE budget SET reserved = reserved + 3000000"
                " WHERE id = 1 AND spent + reserved + 3000000 <= cap"
            )
            assert held.rowcount == 1
            db.execute("INSERT INTO held VALUES (%s, 3000000, 'held', %s)", (key, record))
        return key

    def after(key: bytes) -> None:
        with connection() as db:
            db.execute("UPDATE held SET state = 'settled', amount = 1100000 WHERE id = %s", (key,))
            db.execute(
                "UPDATE budget SET reserved = reserved - 3000000, spent = spent + 1100000"
                " WHERE id = 1"
            )

    yield before, after
    for db in opened:
        db.close()


def repetition(pair: Pair) -> Timed:
    """One caller, then twenty."""
    before, after = pair
    for _ in range(20):
        after(before())
    first, second = list[float](), list[float]()
    for _ in range(CALLS):
        start = time.perf_counter()
        held = before()
        middle = time.perf_counter()
        after(held)
        first.append((middle - start) * 1e3)
        second.append((time.perf_counter() - middle) * 1e3)

    def many() -> None:
        for _ in range(CALLS // THREADS):
            after(before())

    threads = [threading.Thread(target=many) for _ in range(THREADS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Timed(first, second, CALLS / (time.perf_counter() - start))


def subjects(
    folder: Path, url: str, other: str
) -> dict[str, contextlib.AbstractContextManager[Pair]]:
    return {
        "SQLite, tallystick": ours(f"sqlite:///{folder}/ours.db"),
        "SQLite, bare driver": bare_sqlite(folder),
        "PostgreSQL, tallystick": ours(url),
        "PostgreSQL, bare driver": bare_postgres(other),
        "memory, tallystick": ours("memory://"),
    }


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(int(len(values) * part), len(values) - 1)]


def langchain(folder: Path) -> tuple[float, float]:
    """Milliseconds of a model call without and with a budget, a model that answers at once."""
    times: dict[str, list[float]] = {"plain": [], "budget": []}
    usage: Any = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    with Ledger(f"sqlite:///{folder}/langchain.db") as ledger:
        ledger.budget("session", usd="1000000")
        callback = BudgetCallback(ledger, "session", session="42", prices=PRICES)
        for _ in range(REPETITIONS):
            for name, handlers in (("plain", []), ("budget", [callback])):
                answers = (AIMessage("hi", usage_metadata=usage) for _ in iter(int, 1))
                model = GenericFakeChatModel(
                    messages=answers, metadata={"ls_model_name": "toy", "ls_max_tokens": 100}
                )
                config: Any = {"callbacks": handlers}
                for _ in range(60):
                    start = time.perf_counter()
                    model.invoke("hello", config=config)
                    times[name].append((time.perf_counter() - start) * 1e3)
    return statistics.median(times["plain"]), statistics.median(times["budget"])


def agentwatch() -> str | None:
    """The line of AgentWatch's client, or why there is none."""
    failed = _peers.prepare()
    if "aw-sdk" in failed:
        return f"(aw-sdk could not be installed: {failed['aw-sdk']})"
    done = subprocess.run(
        [str(_peers.PYTHON), str(PEER)], capture_output=True, text=True, timeout=300, check=False
    )
    return done.stdout.strip() or f"(aw-sdk did not run: {done.stderr.strip()[-200:]})"


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as name,
        scratch_database() as url,
        scratch_database() as other,
        contextlib.ExitStack() as stack,
    ):
        folder = Path(name)
        opened = {
            what: stack.enter_context(subject)
            for what, subject in subjects(folder, url, other).items()
        }
        found: dict[str, list[Timed]] = {what: [] for what in opened}
        for number in range(REPETITIONS):
            print(f"repetition {number + 1} of {REPETITIONS}", file=sys.stderr)
            for what, pair in opened.items():
                found[what].append(repetition(pair))
        print("| | reserve, ms (p50 / p99) | settle, ms (p50 / p99) | 20 threads, calls/s |")
        print("|---|--:|--:|--:|")
        for what, runs in found.items():
            before = [ms for run in runs for ms in run.before]
            after = [ms for run in runs for ms in run.after]
            cells = [
                f"{statistics.median(ms):.2f} / {percentile(ms, 0.99):.2f}"
                for ms in (before, after)
            ]
            rate = statistics.median(run.rate for run in runs)
            print(f"| {what} | {cells[0]} | {cells[1]} | {rate:,.0f} |")
        print(agentwatch())
        plain, budget = langchain(folder)
        print(f"\nLangChain, a model call: {plain:.2f} ms, with BudgetCallback {budget:.2f} ms")


if __name__ == "__main__":
    main()
