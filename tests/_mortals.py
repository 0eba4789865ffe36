"""
A kill storm through runs: kill -9 at random or at each point, restart by workflow id, and count.

Every process works on one order until that has its end; a killed one is replaced at once by one
with the same workflow id. The witness is an append-only file, one line for each thing that really
happened: at the end each order must have each of them once, and its end.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tallystick import Ledger, Status, _points
from tallystick.testing import Witness
from tests._pack import forked
from tests._storms import StoreName, arguments, chosen, ground, kill

#: seconds that one process may take
PATIENCE = 60.0
#: seconds after which a killed process counts as dead on PostgreSQL
LEASE = 1.0
#: how many orders are worked on at once
SLOTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Camp:
    """What the processes of a storm share."""

    url: str
    folder: Path
    protected: bool = True
    #: the longest pause in a tool or a model
    pause: float = 0.02

    def witness(self) -> Witness:
        """Somebody outside who counts."""
        return Witness(self.folder / "witness")

    def ended(self, order: str, said: str) -> None:
        """The order came to its end."""
        with (self.folder / "ends").open("a", encoding="utf-8") as ends:
            ends.write(json.dumps([order, said]) + "\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mortals:
    """Who is killed: what works on an order, what that means, and how it ends."""

    live: Callable[[Camp, str, int], None]
    #: seen once each for every order; those of ``by_key`` once for each key
    tools: Sequence[str]
    by_key: Sequence[str]
    end: str
    #: seconds after which somebody looks again at the latest, and may kill: about a life's length
    pace: float = 1.0
    #: in one of these each effect is in the end
    statuses: frozenset[Status] = frozenset({Status.SUCCEEDED})


@dataclass(slots=True)
class Report:
    """What a storm came to."""

    store: str
    kills: int = 0
    orders: int = 0
    seconds: float = 0.0
    flaws: list[str] = field(default_factory=list[str])


class Storm:
    """One storm on one store."""

    def __init__(self, mortals: Mortals, camp: Camp, report: Report, seed: int) -> None:
        self.mortals = mortals
        self.camp = camp
        self.report = report
        self.chance = random.Random(seed)
        self.orders: list[str] = []

    def rage(self, kills: int) -> None:
        """Kill at random until there are so many kills; then let the rest end."""
        working: dict[str, int] = {}
        until = time.monotonic() + PATIENCE + 3 * kills
        while time.monotonic() < until:
            while len(working) < SLOTS and self.report.kills < kills:
                order = self._order()
                working[order] = self._begin(order)
            if not working:
                break
            time.sleep(self.chance.random() * self.mortals.pace)
            for order, pid in list(working.items()):
                if self._ended(order, pid):
                    del working[order]
                elif self.report.kills < kills and self.chance.random() < 0.5:
                    kill(pid)
                    self.report.kills += 1
                    working[order] = self._begin(order)
        for pid in working.values():
            kill(pid)

    def enumerate(self, every: int) -> int:
        """Kill at each point that one run passes; how many there are."""
        passed = self._passed()
        for n in range(1 + self.chance.randrange(every), passed + 1, every):
            order = self._order()
            code = _waited(self._begin(order, at=n))
            self.report.kills += code == 137
            while code:
                code = _waited(self._begin(order))
        return passed

    def _passed(self) -> int:
        order, count = self._order(), self.camp.folder / "points"
        pid = self._begin(order, counting=count)
        if _waited(pid):
            self.report.flaws.append("the run that counts the points broke off")
        return int(count.read_text())

    def _order(self) -> str:
        self.orders.append(f"order-{len(self.orders)}")
        self.report.orders += 1
        return self.orders[-1]

    def _begin(self, order: str, *, at: int = 0, counting: Path | None = None) -> int:
        seed = self.chance.getrandbits(32)

        def body() -> None:
            reached = 0

            def listen(_: str) -> None:
                nonlocal reached
                reached += 1
                if reached == at:
                    os._exit(137)

            if at or counting:
                _points.arm(listen)
            self.mortals.live(self.camp, order, seed)
            if counting is not None:
                counting.write_text(str(reached))

        return _fork(self.camp, body)

    def _ended(self, order: str, pid: int) -> bool:
        gone, status = os.waitpid(pid, os.WNOHANG)
        if gone and status:
            self.report.flaws.append(f"{order}: a process ended with {status}")
        return bool(gone)


def _fork(camp: Camp, body: Callable[[], None]) -> int:
    def live() -> None:
        signal.alarm(int(PATIENCE))  # whatever hangs ends here, and is seen
        body()

    def tell(_: BaseException) -> None:
        with (camp.folder / "odd").open("a", encoding="utf-8") as odd:
            odd.write(traceback.format_exc())

    return forked(live, tell)


def _waited(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def flaws(camp: Camp, mortals: Mortals, orders: Sequence[str]) -> list[str]:
    """What is not as it was meant; nothing, if every promise was kept."""
    counts, found = camp.witness().counts(), list[str]()
    ends = [json.loads(line) for line in (camp.folder / "ends").read_text().splitlines()]
    for order in orders:
        for tool in mortals.tools:
            seen = [n for what, n in counts.items() if what.split()[:2] == [tool, order]]
            # a bank counts a key once, however often it is sent
            times = len(seen) if tool in mortals.by_key else sum(seen)
            if times != 1:
                found.append(f"{order}: {tool} was seen {times} times")
        if list({end for one, end in ends if one == order}) != [mortals.end]:
            found.append(f"{order} has no end, or another one than was meant")
    with Ledger(camp.url, lease=LEASE) as ledger:
        found += [f"in the inbox: {item}" for item in ledger.pending()]
        found += [
            f"{e.tool} of {e.workflow} is {e.status}"
            for e in ledger.effects(limit=100_000)
            if e.status not in mortals.statuses
        ]
        found += [f"{halt.workflow} is still {halt.mode}" for halt in ledger.halts()]
        found += [f"damaged: {one}" for one in ledger.verify().damage]
    return found


def storm(mortals: Mortals, store: StoreName, options: argparse.Namespace, seed: int) -> Report:
    """A storm on one store."""
    report, began = Report(store), time.monotonic()
    with ground(store) as (url, folder):
        Ledger(url, create=True).close()
        (folder / "ends").touch()
        pause = 0.0 if options.points else 0.02
        camp = Camp(url=url, folder=folder, protected=not options.unprotected, pause=pause)
        one = Storm(mortals, camp, report, seed)
        if options.points:
            print(f"{store}: {one.enumerate(options.every)} points", file=sys.stderr)
        else:
            one.rage(options.kills)
        report.flaws += flaws(camp, mortals, one.orders)
        odd = folder / "odd"
        report.flaws += [odd.read_text()[-2000:]] if odd.exists() else []
        if report.flaws and camp.protected:
            kept = Path(tempfile.gettempdir()) / f"storm-runs-{store}-{seed}"
            shutil.copytree(folder, kept, dirs_exist_ok=True)
            print(f"what was seen is kept in {kept}", file=sys.stderr)
    report.seconds = round(time.monotonic() - began, 1)
    return report


def main(mortals: Mortals, description: str) -> int:
    """Storm, print, and fail if a promise was broken."""
    parser = arguments(description)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--points", action="store_true", help="kill at every point, in turn")
    parser.add_argument("--every", type=int, default=1, help="with --points: at each n-th one")
    parser.add_argument("--unprotected", action="store_true", help="see what happens without")
    options = parser.parse_args()
    stores, seed = chosen(options)
    gc.collect()
    gc.freeze()  # children share what is here already
    reports = [storm(mortals, store, options, seed) for store in stores]
    print(json.dumps({"seed": seed, "storms": [asdict(report) for report in reports]}))
    broken = any(report.flaws for report in reports)
    return 1 if broken and not options.unprotected else 0
