"""
A million payloads dropped from one file while calls go on: `python -m tests.bench.retention`.

Another process makes fresh effects one after the other, with a little pause, before and during it.
Reported are the longest transaction of the retention (from BEGIN to COMMIT), how many effects a
second lost their payload, and how long the calls took. The million is copied from one real effect.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from tallystick import Ledger
from tests.bench._common import tick

ARGS = {"order": "A-1", "memo": "m" * 600}
OLD = 100 * 86_400 * 1_000_000
#: seconds between two calls
PAUSE = 0.002
_COPIED = ("seq", "key", "created_at", "started_at", "changed_at")


def charge(order: str, memo: str) -> dict[str, str]:
    """The tool."""
    return {"receipt": f"{order} " + "r" * 200}


def fill(url: str, path: Path, effects: int) -> None:
    """One real effect, and copies of it that came to their end a hundred days ago."""
    with Ledger(url) as ledger:
        ledger.call("charge", charge, ARGS, workflow="w")
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        names = [row[1] for row in db.execute("PRAGMA table_info(tallystick_effect)")]
        same = [name for name in names if name not in _COPIED]
        moments = ", ".join(f"{name} - {OLD}" for name in _COPIED[2:])
        db.execute(
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {effects}) "
            f"INSERT INTO tallystick_effect (key, {', '.join([*_COPIED[2:], *same])}) "
            f"SELECT randomblob(32), {moments}, {', '.join(same)} FROM tallystick_effect, n "
            "WHERE seq = 1"
        )


def caller(url: str, stop: Path) -> None:
    """Fresh effects until *stop* is there; how long each one took, in milliseconds."""
    laps: list[float] = []
    with Ledger(url) as ledger:
        while not stop.exists():
            order = f"{os.getpid()}-{len(laps)}"
            began = tick()
            ledger.call("charge", charge, {"order": order, "memo": "m"}, workflow=order)
            laps.append(1e3 * (tick() - began))
            time.sleep(PAUSE)
    print(json.dumps(laps))


@contextlib.contextmanager
def calling(url: str, folder: Path, name: str) -> Generator[list[float]]:
    """Calls by another process while this is open; afterwards how long they took."""
    stop, laps = folder / name, list[float]()
    command = [sys.executable, "-m", "tests.bench.retention", "--caller", url, str(stop)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            yield laps
        finally:
            stop.touch()
            laps += json.loads(other.communicate(timeout=60)[0])


@contextlib.contextmanager
def timing(ledger: Ledger) -> Generator[list[float]]:
    """How long each write transaction of *ledger* lasts, in milliseconds."""
    store: Any = ledger._engine.store  # pyright: ignore[reportPrivateUsage]
    plain, laps = store._transaction, list[float]()

    @contextlib.contextmanager
    def timed(**options: Any) -> Generator[Any]:
        with plain(**options) as tx:
            began = tick()
            yield tx
        laps.append(1e3 * (tick() - began))

    store._transaction = timed
    try:
        yield laps
    finally:
        store._transaction = plain


def said(name: str, laps: list[float]) -> str:
    """A distribution in one line."""
    cuts = statistics.quantiles(laps, n=1000)
    figures = {"p50": cuts[499], "p99": cuts[989], "p99.9": cuts[998], "longest": max(laps)}
    shown = "  ".join(f"{label} {value:.2f}" for label, value in figures.items())
    return f"{name:28} {len(laps):>8,}  {shown} ms"


def main() -> None:
    """Fill, call, forget, and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--effects", type=int, default=1_000_000)
    parser.add_argument("--caller", nargs=2, metavar=("URL", "STOP"))
    asked = parser.parse_args()
    if asked.caller:
        caller(asked.caller[0], Path(asked.caller[1]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "ledger.db"
        url = f"sqlite:///{path}"
        fill(url, path, asked.effects)
        with calling(url, folder, "quiet") as before:
            time.sleep(5)
        with Ledger(url) as ledger, calling(url, folder, "busy") as during:
            time.sleep(1)
            with timing(ledger) as laps:
                began = tick()
                gone = ledger.retain(payloads=90 * 86_400.0)
                took = tick() - began
        assert gone.effects == asked.effects, gone
    print(f"{gone.effects:,} payloads in {took:.0f} s: {gone.effects / took:,.0f} a second")
    print(said("transactions", laps))
    print(said("calls, nothing else going on", before))
    print(said("calls beside the retention", during))


if __name__ == "__main__":
    main()
