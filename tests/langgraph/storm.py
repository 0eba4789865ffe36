"""
A kill storm through graphs: eight agents, kill -9 at random, and somebody outside who counts.

    python -m tests.langgraph.storm --kills 200 --store both

Every process runs LangGraph threads over ``LedgerSaver``, invoked and awaited, with the default
durability and with ``sync``: ``create_agent`` with wrapped tools, with ``LedgerMiddleware``, a
classic graph with ``approval_node`` and ``ToolNode``, and an agent as a subgraph under a
``RetryPolicy``. Models mint new call ids each time that they are asked; most calls of a thread have
the same arguments, side by side and one step after the other, so that only their place tells them
apart. A killed process is replaced at once; its successor resumes the threads, or sends the input
again under the same run id. A person in a process of its own approves what needs it, and resolves
what is in doubt by asking the witness.

The witness is a set of append-only files, one line in one write for each thing that really
happened, with the thread, the turn and the step that meant it. At the end every line must be meant,
every intent must have its line, and every thread must be at its end with the receipts of its own
effects. ``--unprotected`` is the same storm with the same checkpoints and without the ledger.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import asdict
from pathlib import Path

from tallystick import Ledger
from tests._pack import forked
from tests._storms import StoreName, arguments, chosen, ground, kill, table
from tests._urls import engine_on

from ._storm_agents import Worker
from ._storm_judge import Judge, Person, Report
from ._storm_world import LEASE, ROWS, Camp, World

WORKERS = 8
#: seconds that a storm may take beside its kills
PATIENCE = 120.0


class Storm:
    """One storm on one store."""

    def __init__(self, camp: Camp, kills: int) -> None:
        self.camp = camp
        self.kills = kills
        self.chance = random.Random(camp.seed)
        self.report = Report(store=camp.store)
        self._workers: dict[int, int] = {}

    def rage(self) -> Report:
        """All of it: the storm, the rest of the work, the verdict."""
        began = time.monotonic()
        person = self._fork(lambda: Person(self.camp).run())
        try:
            for slot in range(WORKERS):
                self._begin(slot)
            while self.report.kills < self.kills and time.monotonic() < self.camp.until:
                time.sleep(0.03 + self.chance.random() * 0.2)
                self._strike()
            (self.camp.folder / "enough").touch()
            self._finish()
        finally:
            for pid in (*self._workers.values(), person):
                kill(pid)
        self.report.seconds = round(time.monotonic() - began, 1)
        with Ledger(self.camp.url, lease=LEASE) as ledger:
            Judge(self.camp, self.report, ledger).run()
        return self.report

    def _begin(self, slot: int) -> None:
        seed = self.chance.getrandbits(32)
        self._workers[slot] = self._fork(lambda: Worker(self.camp, slot, seed).run())

    def _fork(self, body: Callable[[], None]) -> int:
        def tell(_: BaseException) -> None:
            World(self.camp).note("odd", "process", traceback.format_exc()[-500:])

        return forked(body, tell)

    def _strike(self) -> None:
        slot = self.chance.choice(sorted(self._workers))
        kill(self._workers[slot])
        self.report.kills += 1
        self._begin(slot)

    def _finish(self) -> None:
        """Let the workers bring their threads to the end; begin those anew that fell over."""
        while self._workers and time.monotonic() < self.camp.until:
            for slot, pid in list(self._workers.items()):
                gone, status = os.waitpid(pid, os.WNOHANG)
                if gone:
                    del self._workers[slot]
                    if status:
                        self._begin(slot)
            time.sleep(0.02)


# -- the table ----------------------------------------------------------------------------------

_SAID = {
    "kills": "kills (`kill -9`)",
    "seconds": "seconds",
    "threads": "threads",
    "intended": "effects intended",
    "resumed": "runs resumed",
    "twice": "**effects seen twice**",
    "lost": "**effects lost**",
    "unfinished": "**threads not finished**",
    "wrong": "**threads with another end than was meant**",
    "open_effects": "**effects without an outcome**",
    "damaged": "**damaged records (`verify`)**",
    "suspected": "**questions whether a call is a new one**",
    "odd": "**other errors**",
    "asked_again": "model asked again",
    "adopted": "effects adopted by calls with new ids",
    "approved": "effects approved",
    "in_doubt": "AT_MOST_ONCE in doubt",
    "resolved": "… resolved by a person",
    "sent_again": "IDEMPOTENT sent again under the same key",
}


@contextlib.contextmanager
def camps(store: StoreName, kills: int, seed: int, *, protected: bool) -> Generator[Camp]:
    """A fresh database and a folder for the witness."""
    with ground(store) as (url, folder):
        Ledger(url, create=True).close()
        engine = engine_on(url)
        ROWS.metadata.create_all(engine)
        engine.dispose()
        until = time.monotonic() + kills + PATIENCE
        yield Camp(store, url, folder, seed, protected, until)


def storm(store: StoreName, kills: int, seed: int, *, protected: bool = True) -> Report:
    """A storm of so many kills."""
    with camps(store, kills, seed, protected=protected) as camp:
        gc.collect()
        gc.freeze()  # children share what is here already
        report = Storm(camp, kills).rage()
        if protected and report.broken():
            kept = Path(tempfile.gettempdir()) / f"storm-graphs-{store}-{seed}"
            shutil.copytree(camp.folder, kept, dirs_exist_ok=True)
            print(f"what was seen is kept in {kept}", file=sys.stderr)
        return report


def main() -> int:
    """Storm, print, and fail if a promise was broken."""
    parser = arguments("A kill storm through graphs: see the module.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--unprotected", action="store_true", help="see what happens without")
    options = parser.parse_args()
    stores, seed = chosen(options)
    protected = not options.unprotected
    reports = [storm(store, options.kills, seed, protected=protected) for store in stores]
    if options.json:
        print(json.dumps({"seed": seed, "storms": [asdict(report) for report in reports]}))
    else:
        print(table(reports, _SAID))
        print(f"\nseed {seed}; shapes: " + json.dumps([report.shapes for report in reports]))
    if not protected:
        return 0
    for report in reports:
        for flaw in [*report.broken(), *report.flaws[:50]]:
            print(f"{report.store}: {flaw}", file=sys.stderr)
    return 1 if any(report.broken() for report in reports) else 0


if __name__ == "__main__":
    sys.exit(main())
