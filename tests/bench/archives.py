"""
What an export and an import cost: ``python -m tests.bench.archives [--effects 1000000]``.

An archive of plain effects is made by hand, imported into an empty ledger and exported again, each
in a process of its own: effects a second, and the highest resident memory. A tenth of the effects
were approved by somebody. Memory is flat when the figure for many is the one for few.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tallystick import Ledger, Policy
from tallystick import _changes as changes
from tallystick._acts import EventRow
from tallystick._archive._acts import Record
from tallystick._archive._rim import Header
from tallystick._archive._writing import LineWriter
from tallystick._canonical import canonical
from tallystick._codec import encode
from tallystick._keys import identify
from tallystick._model import Row
from tests._postgres import scratch_database
from tests.bench.subjects.million import memory_mb

MOMENT = 1_700_000_000_000_000
PER_WORKFLOW = 100
PAGE = 1000
_CHILD = "archives-child"


def record(n: int) -> Record:
    """The *n*th effect: a payment with a receipt, every tenth one approved before."""
    args = {"order": f"order-{n}", "to": "ann@example.org", "cents": 4200 + n, "memo": "thanks"}
    workflow = f"run-{n // PER_WORKFLOW}"
    identity = identify(
        tenant="default",
        workflow=workflow,
        tool="charge",
        args=args,
        call_id=None,
        occurrence=0,
        policy=Policy(),
    )
    result = encode({"receipt": f"r-{n}", "at": "2026-11-21T09:00:00Z", "cents": 4200 + n})
    now = MOMENT + n * 1000
    assert identity.shown == hashlib.sha256(canonical(args)).digest()
    row = Row(
        identity.key, "default", workflow, "charge", None, "at_most_once", "succeeded", 1, 1,
        "f" * 32, n.to_bytes(16, "big"), identity.digest, identity.shown, encode(args), None, 0,
        None, None, result, hashlib.sha256(result.encode()).digest(), None, None, 0, None, now,
        now, now + 500, 0, None, False,
    )  # fmt: skip
    events = list[EventRow]()
    for kind in ("asked", "approved") if n % 10 == 0 else ():
        change = changes.Change(event=kind, actor="ann", detail={"digest": row.shown.hex()})
        events.append(changes.chained(row, change, now, 1))
        row = row._replace(events=events[-1].n, head=events[-1].hash)
    return Record(row, identity.twin, None, None, tuple(events))


def make(path: Path, effects: int) -> None:
    """An archive with so many of them."""
    with path.open("wb") as file:
        writer = LineWriter(file.write)
        writer.begin(Header("default", MOMENT))
        for first in range(0, effects, PAGE):
            writer.page([record(n) for n in range(first, min(first + PAGE, effects))])
        writer.end()


def child(verb: str, url: str, path: str) -> None:
    """One import or export; prints its figures."""
    with Ledger(url, create=True) as ledger:
        ledger.effects(limit=1)
        before, began, spent = memory_mb(), time.perf_counter(), time.process_time()
        done = ledger.load(path) if verb == "load" else ledger.export(path)
        seconds, spent = time.perf_counter() - began, time.process_time() - spent
    figures = {
        "per_s": done.effects / seconds,
        "micros": 1e6 * spent / done.effects,
        "before": before,
        "peak": memory_mb("VmHWM"),
    }
    print(json.dumps(figures))


def run(verb: str, url: str, path: Path) -> dict[str, float]:
    """The same in a new process."""
    command = [sys.executable, "-m", "tests.bench.archives", _CHILD, verb, url, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def measure(name: str, url: str, archive: Path, effects: int) -> None:
    """There and back, and that what came back is what went there."""
    for verb, file in (("load", archive), ("export", archive.with_suffix(".again"))):
        figures = run(verb, url, file)
        print(
            f"{name:12} {verb:7} {effects:>9,} effects {figures['per_s']:>8,.0f}/s   "
            f"{figures['micros']:>4.0f} µs of our processor each   "
            f"{figures['before']:.0f} MB before, {figures['peak']:.0f} MB at most",
            flush=True,
        )
    with archive.open("rb") as ours, archive.with_suffix(".again").open("rb") as theirs:
        heads = (ours.readline(), theirs.readline())
        assert heads[0] != heads[1], "each export has its moment"
        assert all(next(ours) == next(theirs) for _ in range(effects)), "the lines differ"


def main() -> None:
    """A tenth of them and all of them, on SQLite and PostgreSQL."""
    if sys.argv[1:2] == [_CHILD]:
        child(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--effects", type=int, default=1_000_000)
    parser.add_argument("--store", default="sqlite,postgres")
    asked = parser.parse_args()
    for effects in (asked.effects // 10, asked.effects):
        with tempfile.TemporaryDirectory() as folder, scratch_database() as postgres:
            archive = Path(folder) / "archive.jsonl"
            make(archive, effects)
            print(f"{archive.stat().st_size / effects:.0f} bytes for each effect")
            for store in asked.store.split(","):
                url = f"sqlite:///{folder}/ledger.db" if store == "sqlite" else postgres
                measure(store, url, archive, effects)


if __name__ == "__main__":
    main()
