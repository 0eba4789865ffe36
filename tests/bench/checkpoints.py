"""
`LedgerSaver` beside LangGraph's own savers, in one run: `python -m tests.bench.checkpoints`.

Every figure is the median of five repetitions that take turns. A step is what a graph sends for
one node: the writes of its task, then the checkpoint. A turn is five steps, as of an agent with a
tool, in two of which the conversation grows, by 1.5 kB together.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import psycopg
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.base.id import uuid6

from tallystick import Ledger
from tallystick_checkpoint import LedgerSaver
from tests._postgres import scratch_database

REPETITIONS = 5
TURNS = 40
THREADS = 50
STEPS = 8  # of each concurrent thread
TURN = (True, False, True, False, False)  # in which steps something is said
HISTORY = 100

Open = Callable[[Path, str], Any]


@contextlib.asynccontextmanager
async def ours_on_sqlite(folder: Path, _: str) -> AsyncGenerator[Any]:
    with Ledger(f"sqlite:///{folder}/ours.db") as ledger:
        yield LedgerSaver(ledger)


@contextlib.asynccontextmanager
async def ours_on_postgres(_: Path, url: str) -> AsyncGenerator[Any]:
    with Ledger(url, create=True) as ledger:
        yield LedgerSaver(ledger)


@contextlib.asynccontextmanager
async def stock_on_sqlite(folder: Path, _: str) -> AsyncGenerator[Any]:
    stock: Any = importlib.import_module("langgraph.checkpoint.sqlite.aio")
    async with stock.AsyncSqliteSaver.from_conn_string(f"{folder}/stock.db") as saver:
        await saver.setup()
        yield saver


@contextlib.asynccontextmanager
async def stock_on_postgres(_: Path, url: str) -> AsyncGenerator[Any]:
    stock: Any = importlib.import_module("langgraph.checkpoint.postgres.aio")
    async with stock.AsyncPostgresSaver.from_conn_string(url) as saver:
        await saver.setup()
        yield saver


SAVERS: dict[str, tuple[Open, Open]] = {
    "SQLite": (ours_on_sqlite, stock_on_sqlite),
    "PostgreSQL": (ours_on_postgres, stock_on_postgres),
}


class Conversation:
    """A thread, as a graph of one node sends it."""

    def __init__(self, saver: Any, thread: str) -> None:
        self.saver = saver
        self.thread = thread
        self.where: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
        self.messages: list[Any] = []
        self.version: str | None = None
        self.steps = 0

    async def step(self) -> None:
        """One node: what its task wrote, and the checkpoint after it."""
        task, says = f"task-{self.steps}", TURN[self.steps % len(TURN)]
        new: Any = {}
        written: list[Any] = []
        if says:
            kind = HumanMessage if self.steps % len(TURN) else AIMessage
            written = [kind(os.urandom(375).hex(), id=f"{self.thread}-{self.steps}")]
            self.messages = [*self.messages, *written]
            self.version = self.saver.get_next_version(self.version, None)
            new = {"messages": self.version}
        if self.steps:
            channel = "messages" if says else "branch:to:next"
            await self.saver.aput_writes(self.where, [(channel, written)], task)
        checkpoint: Any = {
            **empty_checkpoint(),
            "id": str(uuid6(clock_seq=self.steps)),
            "channel_values": {"messages": self.messages},
            "channel_versions": {"messages": self.version},
        }
        metadata: Any = {"source": "loop", "step": self.steps, "parents": {}}
        self.where = await self.saver.aput(self.where, checkpoint, metadata, new)
        self.steps += 1


def _bytes(folder: Path, url: str) -> int:
    """What the database takes, indexes included; of SQLite once the log is written back."""
    for path in folder.glob("*.db"):
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (pages,) = db.execute("PRAGMA page_count").fetchone()
            return int(pages) * 4096
    with psycopg.connect(url) as server:
        row: Any = server.execute(
            "SELECT sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables"
        ).fetchone()
        return int(row[0])


async def measured(open_: Open, folder: Path, url: str) -> dict[str, float]:
    """One repetition."""
    found: dict[str, float] = {}
    async with open_(folder, url) as saver:
        talk, empty = Conversation(saver, "long"), _bytes(folder, url)
        laps: list[float] = []
        for _ in range(len(TURN) * TURNS):
            start = time.perf_counter()
            await talk.step()
            laps.append(time.perf_counter() - start)
        found["put and put_writes, ms"] = 1e3 * statistics.median(laps)
        found["bytes of the thread, kB"] = (_bytes(folder, url) - empty) / 1e3
        head = {"configurable": {"thread_id": "long", "checkpoint_ns": ""}}
        laps = []
        for _ in range(50):
            start = time.perf_counter()
            await saver.aget_tuple(head)
            laps.append(time.perf_counter() - start)
        found["get_tuple of the head, ms"] = 1e3 * statistics.median(laps)
        start = time.perf_counter()
        listed = [t async for t in saver.alist(head, limit=HISTORY)]
        assert len(listed) == HISTORY
        found["history of 100, ms"] = 1e3 * (time.perf_counter() - start)
        talks = [Conversation(saver, f"thread {n}") for n in range(THREADS)]
        start = time.perf_counter()
        for _ in range(STEPS):
            await asyncio.gather(*(t.step() for t in talks))
        found["50 threads at once, steps per s"] = THREADS * STEPS / (time.perf_counter() - start)
    return found


def _table(store: str, ours: list[dict[str, float]], stock: list[dict[str, float]]) -> list[str]:
    lines = [f"| {store} | LedgerSaver | LangGraph's own | times |", "|---|--:|--:|--:|"]
    for name in ours[0]:
        mine = statistics.median(run[name] for run in ours)
        other = statistics.median(run[name] for run in stock)
        times = mine / other if name.endswith("per s") else other / mine
        lines.append(f"| {name} | {mine:,.2f} | {other:,.2f} | {times:.1f} |")
    return lines


def main() -> int:
    """Measure, and print one table per database."""
    for store, (ours, stock) in SAVERS.items():
        runs: tuple[list[dict[str, float]], list[dict[str, float]]] = ([], [])
        for repetition in range(REPETITIONS):
            order = [(ours, runs[0]), (stock, runs[1])]
            for open_, into in order if repetition % 2 else reversed(order):
                with tempfile.TemporaryDirectory() as folder, scratch_database() as url:
                    gc.collect()
                    into.append(asyncio.run(measured(open_, Path(folder), url)))
        print("\n".join([*_table(store, *runs), ""]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
