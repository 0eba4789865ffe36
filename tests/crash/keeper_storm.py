"""
A kill storm through everything that keeps records: retention, exports, imports, seals, undoing.

    python -m tests.crash.keeper_storm --kills 100 --store both

Processes call tools, make trips that are undone, decide, drop payloads that are a third of a second
old, export all of it, import archives into a second ledger and seal, on the same ledger at once;
each is killed at any moment, or stopped (on a server for longer than its lease). At the end a new
process brings all to its end, and what the ledger says is held against what was seen. The last
archive is then imported into an empty ledger by processes that are killed, until it is all there.
"""

from __future__ import annotations

import gc
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tallystick import Ledger, _points
from tallystick._archive import _reading, _spool
from tallystick.seals import new_key
from tests._pack import Pack, forked
from tests._storms import StoreName, arguments, chosen, ground, table

from ._keepers import Worker
from ._keepers_judge import Judge
from ._keepers_world import LEASE, Camp, Report, World

#: how often an import dies before it is left alone
IMPORTS = 8
#: effects in one transaction of an import: there are some hundred in all
BATCH = 20
#: how many crash points an import may pass before it dies; there are three to a transaction
DEPTH = 20


class Storm:
    """One storm on one store."""

    def __init__(self, camp: Camp, report: Report, seed: int) -> None:
        self.camp = camp
        self.report = report
        self.chance = random.Random(seed)

    def rage(self, kills: int, processes: int) -> None:
        """Kill until there are so many kills; the last ones kill everybody."""
        pack = Pack(
            self._worker, processes, self.chance, stops=0.15, store=self.camp.store, lease=LEASE
        )
        try:
            while pack.kills < kills - processes:
                time.sleep(0.05 + self.chance.random() * 0.25)
                pack.strike()
        finally:
            pack.end()
        self.report.kills, self.report.stops = pack.kills, pack.stops

    def _worker(self) -> int:
        seed = self.chance.getrandbits(32)
        return self._fork(lambda: Worker(self.camp, seed).run())

    def _fork(self, body: Callable[[], None]) -> int:
        world = World(self.camp.folder)
        return forked(body, lambda error: world.saw("odd", "process", repr(error)))

    def imports(self, archive: Path, mirror: str) -> None:
        """Import an archive into an empty ledger, and die at some point of it, again and again."""
        for _ in range(IMPORTS):
            left = 1 + self.chance.randrange(DEPTH)

            def load(left: int = left) -> None:
                def listen(_: str) -> None:
                    nonlocal left
                    left -= 1
                    if not left:
                        os.kill(os.getpid(), signal.SIGKILL)

                with Ledger(mirror, lease=LEASE) as ledger:
                    _points.arm(listen)
                    ledger.load(archive)

            _, status = os.waitpid(self._fork(load), 0)
            self.report.import_kills += os.WIFSIGNALED(status)
            with Ledger(mirror, lease=LEASE) as ledger:
                there = len(ledger.effects(limit=self.report.effects))
            self.report.cut_off += 0 < there < self.report.effects


def storm(store: StoreName, kills: int, processes: int, seed: int) -> Report:
    """A storm of so many kills."""
    report, began = Report(store=store), time.monotonic()
    with ground(store) as (url, folder), ground(store) as (second, _), ground(store) as (mirror, _):
        for each in (url, second, mirror):
            Ledger(each, create=True).close()
        new_key(folder / "key")
        camp = Camp(store, url, second, folder, began, began + 30 + kills)
        one = Storm(camp, report, seed)
        one.rage(kills, processes)
        Judge(camp, report).run(lambda archive: one.imports(archive, mirror), mirror)
        if report.flaws:
            kept = Path(tempfile.gettempdir()) / f"keepers-{store}-{seed}"
            shutil.copytree(folder, kept, dirs_exist_ok=True)
            print(f"what was seen is kept in {kept}", file=sys.stderr)
    report.seconds = round(time.monotonic() - began, 1)
    return report


_SAID = {
    "seconds": "seconds",
    "kills": "kills (`kill -9`)",
    "stops": "stops (`SIGSTOP`, `SIGCONT`)",
    "effects": "effects",
    "happened": "things that happened, each once",
    "results": "results that callers got",
    "trips": "runs",
    "undone": "… of them undone, each step once",
    "retained": "effects whose payload was dropped, each with its tombstone",
    "forgotten": "calls that met such a one",
    "asked": "requests",
    "exports": "exports that came to their end",
    "imports": "imports into a second ledger that did",
    "carried": "effects that came in",
    "import_kills": "kills of the import of the last archive",
    "cut_off": "… after which a part of it was there",
    "seals": "seals",
    "busy": "errors of the database passed to callers",
}


def main() -> int:
    """Storm, print, and fail if a promise was broken."""
    parser = arguments("A kill storm through what keeps records: see the module.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--processes", type=int, default=4)
    options = parser.parse_args()
    stores, seed = chosen(options)
    _reading.EFFECTS = _spool.TOGETHER = BATCH
    gc.collect()
    gc.freeze()  # children share what is here already
    reports = [storm(store, options.kills, options.processes, seed) for store in stores]
    if options.json:
        print(json.dumps({"seed": seed, "storms": [asdict(report) for report in reports]}))
    else:
        print(table(reports, _SAID))
        print(f"\nseed {seed}")
    broken = [f"{report.store}: {flaw}" for report in reports for flaw in report.flaws]
    print("\n".join(broken[:50]), file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
