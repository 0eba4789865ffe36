"""The floor: what the database alone costs, two autocommit statements through the bare driver."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import statistics
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bench._children import Child, reply, wait_for_go
from tests.bench._common import (
    RESULT,
    TOOL,
    Options,
    Report,
    arguments,
    fresh_orders,
    options,
    quiet,
    scratch_database,
    scratch_folder,
    tick,
    timed,
)

TABLE = (
    "CREATE TABLE floor (key {bytes} PRIMARY KEY, state smallint NOT NULL, epoch int NOT NULL,"
    " holder {bytes}, digest {bytes} NOT NULL, tool text NOT NULL, args text, result text){options}"
)
LITE_INSERT = (
    "INSERT INTO floor (key, state, epoch, holder, digest, tool, args)"
    " VALUES (?, 2, 1, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
LITE_UPDATE = "UPDATE floor SET state = 3, result = ? WHERE key = ? AND epoch = 1 AND state = 2"
LITE_SELECT = "SELECT state, epoch, holder, digest, result FROM floor WHERE key = ?"
PG_INSERT, PG_UPDATE, PG_SELECT = (
    text.replace("?", "%s").encode() for text in (LITE_INSERT, LITE_UPDATE, LITE_SELECT)
)

HOLDER = bytes(16)
ANSWER = json.dumps(RESULT)

Parts = tuple[bytes, bytes, str]


def parts(order: str) -> Parts:
    """Key, digest and arguments, made before the clock starts: the floor is the database's."""
    text = json.dumps(arguments(order))
    digest = hashlib.sha256(text.encode()).digest()
    return digest, digest, text


class Lite:
    """Both statements on one SQLite connection, in WAL mode, `synchronous=FULL`."""

    def __init__(self, path: Path, *, create: bool = True, sync: str = "FULL") -> None:
        self._conn = sqlite3.connect(
            path, isolation_level=None, timeout=60, check_same_thread=False
        )
        self._conn.execute("PRAGMA journal_mode=WAL")
        self._conn.execute(f"PRAGMA synchronous={sync}")
        if create:
            self._conn.execute(TABLE.format(bytes="blob", options=" WITHOUT ROWID"))
        self._lock = threading.Lock()

    def fresh(self, effect: Parts) -> None:
        """Claim and settle, each its own transaction."""
        key, digest, text = effect
        assert self._conn.execute(LITE_INSERT, (key, HOLDER, digest, TOOL, text)).rowcount == 1
        assert self._conn.execute(LITE_UPDATE, (ANSWER, key)).rowcount == 1

    def fresh_in_turn(self, effect: Parts) -> None:
        """The same, where many threads share the connection."""
        key, digest, text = effect
        with self._lock:
            self._conn.execute(LITE_INSERT, (key, HOLDER, digest, TOOL, text))
        with self._lock:
            self._conn.execute(LITE_UPDATE, (ANSWER, key))

    def replay(self, effect: Parts) -> None:
        """One indexed read."""
        assert self._conn.execute(LITE_SELECT, (effect[0],)).fetchone() is not None

    def close(self) -> None:
        """Done."""
        self._conn.close()


class Postgres:
    """Both statements on one psycopg connection, autocommit, the driver's own preparing."""

    def __init__(self, url: str, *, create: bool = True) -> None:
        import psycopg

        self._conn = psycopg.connect(url, autocommit=True)
        if create:
            table = TABLE.format(bytes="bytea", options=" WITH (fillfactor = 70)")
            self._conn.execute(table.encode())

    def fresh(self, effect: Parts) -> None:
        """Claim and settle, each its own transaction."""
        key, digest, text = effect
        insert = self._conn.execute(PG_INSERT, (key, HOLDER, digest, TOOL, text))
        assert insert.rowcount == 1
        assert self._conn.execute(PG_UPDATE, (ANSWER, key)).rowcount == 1

    def replay(self, effect: Parts) -> None:
        """One indexed read."""
        assert self._conn.execute(PG_SELECT, (effect[0],)).fetchone() is not None

    def close(self) -> None:
        """Done."""
        self._conn.close()


def alone(report: Report, base: Lite | Postgres, count: int) -> None:
    """One caller."""
    for order in fresh_orders(20, "warm"):
        base.fresh(parts(order))
    effects = [parts(order) for order in fresh_orders(count)]
    report.samples("fresh", timed(base.fresh, effects))
    report.samples("replay", timed(base.replay, effects))


def lite(asked: Options, report: Report) -> None:
    """SQLite: one caller, a hundred callers in two ways, eight processes."""
    with scratch_folder() as folder:
        path = folder / "floor.db"
        base = Lite(path)
        alone(report, base, asked.many(400))
        effects = [parts(order) for order in fresh_orders(asked.many(1000))]
        in_turn = _threads(effects, 100, base.fresh_in_turn)
        report.put("conc100_shared_per_s", in_turn)
        own = threading.local()

        def on_its_own(effect: Parts) -> None:
            if not hasattr(own, "base"):
                own.base = Lite(path, create=False)
            own.base.fresh(effect)

        effects = [parts(order) for order in fresh_orders(asked.many(500))]
        report.put("conc100_own_per_s", _threads(effects, 16, on_its_own))
        best = max(in_turn, report.metrics["conc100_own_per_s"], 1e3 / report.metrics["fresh_ms"])
        report.put("conc100_per_s", best)
        report.say("conc100_per_s", "the best of: one caller; one connection in turn; 16 threads")
        lax = Lite(folder / "lax.db", sync="NORMAL")
        effects = [parts(order) for order in fresh_orders(asked.many(400))]
        report.put("fresh_normal_ms", 1e3 * statistics.median(timed(lax.fresh, effects)))
        lax.close()
        eight(report, "tests.bench.subjects.floor", str(path), asked)
        base.close()


def _threads(effects: list[Parts], width: int, call: Callable[[Parts], None]) -> float:
    with ThreadPoolExecutor(width) as pool:
        list(pool.map(call, [parts(order) for order in fresh_orders(width)]))
        start = tick()
        list(pool.map(call, effects))
        return len(effects) / (tick() - start)


def eight(report: Report, module: str, target: str, asked: Options) -> None:
    """Eight processes on one file, each calling without a pause; the worst call of all."""
    each = Options(store="sqlite", target=target, count=asked.many(150))
    children = [Child(module, "eight", each) for _ in range(8)]
    for child in children:
        child.ready()
    for child in children:
        child.go()
    laps = [lap for child in children for lap in child.answer()]
    report.samples("eight", laps)
    report.put("eight_worst_ms", 1e3 * max(laps))


def one_of_eight(asked: Options) -> None:
    """One of the eight: the plain busy handler."""
    base = Lite(Path(asked.target), create=False)
    for order in fresh_orders(5, "warm"):
        base.fresh(parts(order))
    effects = [parts(order) for order in fresh_orders(asked.count)]
    wait_for_go()
    laps = timed(base.fresh, effects)
    base.close()
    reply(laps)


def postgres(asked: Options, report: Report) -> None:
    """PostgreSQL: one caller, and a hundred over ten connections."""
    with scratch_database() as url:
        base = Postgres(url)
        alone(report, base, asked.many(400))
        base.close()
        report.put("conc100_per_s", asyncio.run(_hundred(url, asked.many(1000) // 100 or 1)))


async def _hundred(url: str, rounds: int) -> float:
    import psycopg

    conns = [await psycopg.AsyncConnection.connect(url, autocommit=True) for _ in range(10)]
    free: asyncio.Queue[psycopg.AsyncConnection] = asyncio.Queue()
    for conn in conns:
        free.put_nowait(conn)

    async def one(effect: Parts) -> None:
        key, digest, text = effect
        for query, values in (
            (PG_INSERT, (key, HOLDER, digest, TOOL, text)),
            (PG_UPDATE, (ANSWER, key)),
        ):
            conn = await free.get()
            await conn.execute(query, values)
            free.put_nowait(conn)

    await asyncio.gather(*(one(parts(order)) for order in fresh_orders(100)))
    batches = [[parts(order) for order in fresh_orders(100)] for _ in range(rounds)]
    start = tick()
    for batch in batches:
        await asyncio.gather(*map(one, batch))
    took = tick() - start
    for conn in conns:
        await conn.close()
    return rounds * 100 / took


def main() -> None:
    """One repetition."""
    quiet()
    asked = options()
    if asked.role == "eight":
        one_of_eight(asked)
        return
    report = Report("floor", asked.store, ["psycopg"] if asked.store == "postgres" else [])
    (lite if asked.store == "sqlite" else postgres)(asked, report)
    report.emit()


if __name__ == "__main__":
    main()
