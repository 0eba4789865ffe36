"""
A kill storm: many processes, kill -9 and SIGSTOP at random, and somebody outside who counts.

    python -m tests.crash.storm --seconds 60 --store both --processes 6

Every process performs effects of all guarantees, most of them awaited side by side and some on
threads, under keys that all processes share, so that they race for them and replay each other's
results. A process is killed at any moment and another one is forked at once; or it is stopped, on
a server for longer than its lease, and goes on as if nothing had been. ``AT_MOST_ONCE`` effects
are performed one at a time by each process, so that a kill can leave one of them in doubt; of the
others it cuts off dozens.

The witness is a set of append-only files that tools write, one line in one write for each thing
that really happened; TRANSACTIONAL tools write rows. At the end everything is killed, a new process
recovers and calls again what is open, and what the ledger says is held against what was seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy

from tallystick import Guarantee, Ledger, Policy, ProbeAnswer, current_effect
from tallystick.errors import EffectStopped
from tests._pack import Pack, forked
from tests._storms import StoreName, arguments, chosen, ground, table
from tests._urls import LEASED, async_engine_on, engine_on

LEASE = 1.0
#: seconds in which an attempt of a stopped process may still arrive: longer than any stop
QUIET = 3.0
#: effects that one process performs side by side
TASKS = 40
THREADS = 2

#: tool, guarantee, keys per second that come up, and how many around the newest are called
KINDS: dict[str, tuple[Guarantee, int, int]] = {
    "u": (Guarantee.AT_MOST_ONCE, 150, 60),
    "i": (Guarantee.IDEMPOTENT, 900, 900),
    "r": (Guarantee.RECONCILE, 450, 450),
    "t": (Guarantee.TRANSACTIONAL, 60, 30),
}
ROWS = sqlalchemy.Table(
    "storm_row",
    sqlalchemy.MetaData(),
    sqlalchemy.Column("n", sqlalchemy.BigInteger, nullable=False),
    sqlalchemy.Column("token", sqlalchemy.Text, nullable=False),
)


class Camp(NamedTuple):
    """Where a storm takes place."""

    store: StoreName
    url: str
    folder: Path
    began: float
    #: moment at which workers end by themselves, should nobody kill them
    until: float


# -- the world ----------------------------------------------------------------------------------


class World:
    """What tools do, and what is said about it; one per process, files shared by all."""

    def __init__(self, camp: Camp) -> None:
        self.camp = camp
        self._files: dict[str, int] = {}
        self._tokens = 0

    def token(self) -> str:
        """A receipt that nobody else gives."""
        self._tokens += 1
        return f"{os.getpid()}-{time.monotonic_ns()}-{self._tokens}"

    def saw(self, name: str, *words: object) -> None:
        """One line in one write; it stays when the process is killed right after."""
        fd = self._files.get(name)
        if fd is None:
            path = self.camp.folder / name
            fd = self._files[name] = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(fd, (" ".join(map(str, words)) + "\n").encode())

    def died(self, error: BaseException) -> None:
        """A process ended that should not have."""
        self.saw("odd", "process", type(error).__name__, *str(error).split()[:25])

    def lines(self, name: str) -> Iterator[list[str]]:
        """All lines of a file."""
        with contextlib.suppress(FileNotFoundError), (self.camp.folder / name).open() as file:
            for line in file:
                yield line.split()

    def did(self, kind: str, n: int, token: str) -> str:
        """The thing itself; what the outside answers."""
        if kind == "i":  # a downstream that knows its keys answers the same again
            key = current_effect().idempotency_key
            token = f"i-{key[:16]}"
        self.saw(_book(kind, n), n, token)
        return token

    def probe(self, effect: Any) -> ProbeAnswer:
        """Whether an ``r`` happened: its page of the book is asked."""
        n = str(effect.args["n"])
        receipts = [line[1] for line in self.lines(_book("r", int(n))) if line[0] == n]
        if not receipts:
            return ProbeAnswer.not_happened()
        if len(receipts) > 1:
            return ProbeAnswer.conflict(" ".join(receipts))
        return ProbeAnswer.happened(receipts[0])


def _book(kind: str, n: int) -> str:
    return f"seen-{kind}-{n // 500}" if kind == "r" else f"seen-{kind}"


# -- one process --------------------------------------------------------------------------------


class Worker:
    """Everything that one process does until it is killed."""

    def __init__(self, camp: Camp, seed: int) -> None:
        self.camp = camp
        self.chance = random.Random(seed)
        self.world = World(camp)
        self.ledger = Ledger(camp.url, lease=LEASE)
        self.policies = policies(camp, self.world)
        self.parent = os.getppid()

    def run(self) -> None:
        """Blocking lanes on threads, awaiting lanes here."""
        lanes = [["t"], *[["i", "r"]] * THREADS]
        alone = self.chance.random() < 0.5
        if alone:
            lanes.append(["u"])
        for kinds in lanes:
            threading.Thread(target=self._lane, args=(kinds,), daemon=True).start()
        asyncio.run(self._awaited(alone=alone))

    async def _awaited(self, *, alone: bool) -> None:
        engine = async_engine_on(self.camp.url)
        lanes = [self._alane(["i", "r", "i"]) for _ in range(TASKS)]
        lanes.append(self._alent(engine))
        if not alone:
            lanes.append(self._alane(["u"]))
        await asyncio.gather(*lanes)

    def _going(self) -> bool:
        if os.getppid() != self.parent or time.monotonic() > self.camp.until:
            os._exit(0)
        return True

    def _pick(self, kinds: list[str]) -> tuple[str, int]:
        """A key around the newest, or one of the last seconds: somebody else's, a dead one's."""
        kind = self.chance.choice(kinds)
        _, rate, spread = KINDS[kind]
        back = 0.0 if self.chance.random() < 0.8 else 1.2 + self.chance.random() * 6
        elapsed = time.monotonic() - self.camp.began - back
        return kind, max(0, int(elapsed * rate)) + self.chance.randrange(spread)

    def _pause(self) -> float:
        return self.chance.random() * 0.004

    def _lane(self, kinds: list[str]) -> None:
        while self._going():
            kind, n = self._pick(kinds)
            with self._noted(kind):
                tool = self._tool(kind)
                value = self.ledger.call(kind, tool, {"n": n}, **self._options(kind, n))
                self.world.saw("got", kind, n, value)

    def _tool(self, kind: str) -> Callable[[int], str]:
        def tool(n: int) -> str:
            time.sleep(self._pause())
            token = self.world.token()
            if kind == "t":
                current_effect().connection.execute(ROWS.insert().values(n=n, token=token))
            else:
                token = self.world.did(kind, n, token)
            time.sleep(self._pause())
            return token

        return tool

    async def _alane(self, kinds: list[str]) -> None:
        while self._going():
            kind, n = self._pick(kinds)
            with self._noted(kind):
                tool = self._atool(kind)
                value = await self.ledger.acall(kind, tool, {"n": n}, **self._options(kind, n))
                self.world.saw("got", kind, n, value)
            await asyncio.sleep(0)

    def _atool(self, kind: str) -> Callable[[int], Awaitable[str]]:
        async def tool(n: int) -> str:
            await asyncio.sleep(self._pause())
            token = self.world.did(kind, n, self.world.token())
            await asyncio.sleep(self._pause())
            return token

        return tool

    async def _alent(self, engine: Any) -> None:
        """TRANSACTIONAL effects in transactions of the caller."""

        async def tool(n: int) -> str:
            token = self.world.token()
            await current_effect().connection.execute(ROWS.insert().values(n=n, token=token))
            await asyncio.sleep(self._pause())
            return token

        while self._going():
            _, n = self._pick(["t"])
            with self._noted("t"):
                async with engine.begin() as connection:
                    value = await self.ledger.acall(
                        "t", tool, {"n": n}, connection=connection, **self._options("t", n)
                    )
                self.world.saw("got", "t", n, value)

    def _options(self, kind: str, n: int) -> dict[str, Any]:
        return {"workflow": f"{kind}{n // 100}", "policy": self.policies[kind]}

    @contextlib.contextmanager
    def _noted(self, kind: str) -> Generator[None]:
        """Stops are a part of it; any other error is written down."""
        try:
            yield
        except EffectStopped:
            self.world.saw("stopped", kind)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told at the end
            self.world.saw("odd", kind, type(error).__name__, *str(error).split()[:25])


def policies(camp: Camp, world: World) -> dict[str, Policy]:
    """What each tool declares."""
    quiet = QUIET if camp.store in LEASED else 0.0
    more: dict[str, dict[str, Any]] = {"r": {"probe": world.probe, "quiet": quiet}}
    return {
        kind: Policy(guarantee=guarantee, wait=0.3, **more.get(kind, {}))
        for kind, (guarantee, _, _) in KINDS.items()
    }


# -- the storm ----------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Report:
    """What a storm did, and what is true afterwards."""

    store: StoreName
    seconds: float
    processes: int
    kills: int = 0
    stops: int = 0
    effects: int = 0
    per_second: int = 0
    of_kind: dict[str, int] = field(default_factory=dict[str, int])
    results: int = 0
    replays: int = 0
    #: the figures that have to be zero
    u_twice: int = 0
    r_twice: int = 0
    t_twice: int = 0
    without_effect: int = 0
    lost: int = 0
    unlike: int = 0
    t_apart: int = 0
    open_rows: int = 0
    not_in_inbox: int = 0
    damaged: int = 0
    odd: int = 0
    #: the figures that tell what was cut off
    found_running: int = 0
    i_sent_again: int = 0
    in_doubt: int = 0
    in_doubt_had_happened: int = 0
    settled_late: int = 0
    observed: int = 0
    recovery_seconds: float = 0.0
    errors: dict[str, int] = field(default_factory=dict[str, int])

    ZEROES = (
        "u_twice", "r_twice", "t_twice", "without_effect", "lost", "unlike", "t_apart",
        "open_rows", "not_in_inbox", "damaged",
    )  # fmt: skip

    def broken(self) -> list[str]:
        """The promises that were not kept."""
        found = [f"{name}: {getattr(self, name)}" for name in self.ZEROES if getattr(self, name)]
        if self.in_doubt > self.kills:
            found.append(f"in doubt: {self.in_doubt} after {self.kills} kills")
        return found


class Storm:
    """One storm on one store."""

    def __init__(self, camp: Camp, seconds: float, processes: int, seed: int) -> None:
        self.camp = camp
        self.chance = random.Random(seed)
        self.report = Report(store=camp.store, seconds=seconds, processes=processes)

    def rage(self) -> Report:
        """All of it: the storm, the recovery, the verdict."""
        report = self.report
        end = self.camp.began + report.seconds
        pack = Pack(
            self._worker, report.processes, self.chance,
            stops=0.12, store=self.camp.store, lease=LEASE,
        )  # fmt: skip
        try:
            while time.monotonic() < end:
                time.sleep(0.03 + self.chance.random() * 0.25)
                pack.strike()
        finally:
            pack.end()
        report.kills, report.stops = pack.kills, pack.stops
        Recovery(self.camp, report).run()
        return report

    def _worker(self) -> int:
        seed = self.chance.getrandbits(32)
        return forked(lambda: Worker(self.camp, seed).run(), World(self.camp).died)


# -- afterwards ---------------------------------------------------------------------------------


class Recovery:
    """A new process after the storm: recover, call again what is open, and judge."""

    def __init__(self, camp: Camp, report: Report) -> None:
        self.camp = camp
        self.report = report
        self.world = World(camp)
        self.policies = policies(camp, self.world)
        self._engine = engine_on(camp.url)

    def run(self) -> None:
        """Fill the report."""
        report = self.report
        if self.camp.store in LEASED:
            time.sleep(LEASE + 0.2)
        began = time.monotonic()
        report.found_running = self._count("status = 'running'")
        with Ledger(self.camp.url, lease=LEASE) as ledger:
            ledger.recover()
            report.recovery_seconds = round(time.monotonic() - began, 2)
            report.open_rows = self._count("status = 'running'")
            asyncio.run(self._again(ledger))
            ledger.recover()
            report.open_rows += self._count("status = 'running'")
            report.damaged = len(ledger.verify().damage)
        self._judge()
        report.settled_late = self._events("settled_late")
        report.observed = self._events("observed")
        for line in self.world.lines("odd"):
            said = " ".join(line[:3])
            report.errors[said] = report.errors.get(said, 0) + 1
        report.odd = sum(report.errors.values())
        self._engine.dispose()

    async def _again(self, ledger: Ledger) -> None:
        """Call what is open, as the agents would that were killed."""
        with self._engine.connect() as db:
            found = db.execute(
                sqlalchemy.text(
                    "SELECT tool, workflow, args FROM tallystick_effect WHERE tool <> 't'"
                    " AND (status = 'in_doubt' OR status = 'failed' OR status = 'approved')"
                )
            )
            rows = [(row[0], row[1], json.loads(row[2])["n"]) for row in found]
        turns = asyncio.Semaphore(50)

        async def call(kind: str, workflow: str, n: int) -> None:
            async def tool(n: int) -> str:
                return self.world.did(kind, n, self.world.token())

            policy = self.policies[kind].but(wait=30)
            with contextlib.suppress(EffectStopped):
                async with turns:
                    value = await ledger.acall(
                        kind, tool, {"n": n}, workflow=workflow, policy=policy
                    )
                self.world.saw("got", kind, n, value)

        await asyncio.gather(*(call(*row) for row in rows))

    def _count(self, where: str) -> int:
        query = sqlalchemy.text(f"SELECT count(*) FROM tallystick_effect WHERE {where}")
        with self._engine.connect() as db:
            return int(db.execute(query).scalar_one())

    def _events(self, kind: str) -> int:
        query = sqlalchemy.text("SELECT count(*) FROM tallystick_event WHERE kind = :kind")
        with self._engine.connect() as db:
            return int(db.execute(query, {"kind": kind}).scalar_one())

    def _judge(self) -> None:
        report, seen = self.report, self._seen()
        recorded: dict[tuple[str, int], str | None] = {}
        shown = self._inbox()
        query = "SELECT tool, args, status, result, e.key FROM tallystick_effect e"
        with self._engine.connect() as db:
            for kind, args, status, result, key in db.execute(sqlalchemy.text(query)):
                n = int(json.loads(args)["n"])
                value = json.loads(result) if result is not None else None
                recorded[kind, n] = value if status == "succeeded" else None
                self._judge_one(kind, status, value, seen.get((kind, n), []))
                if status == "in_doubt" and bytes(key) not in shown:
                    report.not_in_inbox += 1
        report.effects = len(recorded)
        report.of_kind = dict(Counter(kind for kind, _ in recorded))
        report.per_second = round(report.effects / report.seconds)
        report.lost += sum(place not in recorded for place in seen)
        for kind, number, value in self.world.lines("got"):
            report.results += 1
            kept = recorded.get((kind, int(number)))
            report.lost += kept is None
            report.unlike += kept is not None and kept != value
        firsts = sum(value is not None for value in recorded.values())
        report.replays = max(0, report.results - firsts)

    def _judge_one(self, kind: str, status: str, value: Any, receipts: list[str]) -> None:
        report, times = self.report, len(receipts)
        if times > 1:
            report.u_twice += kind == "u"
            report.r_twice += kind == "r"
            report.t_twice += kind == "t"
            report.i_sent_again += kind == "i" and len(set(receipts)) == 1
            report.unlike += kind == "i" and len(set(receipts)) > 1
        if status == "succeeded" and value not in receipts:
            report.without_effect += 1
        if kind == "t":
            report.t_apart += times != (status == "succeeded")
        if status == "in_doubt":
            report.in_doubt += 1
            report.in_doubt_had_happened += times > 0

    def _seen(self) -> dict[tuple[str, int], list[str]]:
        found: dict[tuple[str, int], list[str]] = {}
        for path in self.camp.folder.glob("seen-*"):
            kind = path.name.split("-")[1]
            for n, token in self.world.lines(path.name):
                found.setdefault((kind, int(n)), []).append(token)
        with self._engine.connect() as db:
            for row in db.execute(sqlalchemy.select(ROWS)):
                found.setdefault(("t", row.n), []).append(row.token)
        return found

    def _inbox(self) -> set[bytes]:
        query = sqlalchemy.text("SELECT i.key FROM tallystick_inbox i WHERE kind = 'in_doubt'")
        with self._engine.connect() as db:
            return {bytes(row[0]) for row in db.execute(query)}


# -- the table ----------------------------------------------------------------------------------

_SAID = {
    "seconds": "seconds",
    "processes": "processes",
    "kills": "kills (`kill -9`)",
    "stops": "stops (`SIGSTOP`, `SIGCONT`)",
    "effects": "effects",
    "per_second": "effects per second",
    "results": "results that callers got",
    "replays": "… of them replayed",
    "found_running": "cut off and still open at the end",
    "recovery_seconds": "seconds until none was open",
    "u_twice": "**AT_MOST_ONCE performed twice**",
    "r_twice": "**RECONCILE performed twice**",
    "t_twice": "**TRANSACTIONAL performed twice**",
    "t_apart": "**TRANSACTIONAL without its record, or the other way round**",
    "without_effect": "**succeeded without effect**",
    "lost": "**lost: a result or an effect, and no record**",
    "unlike": "**callers of one key with different results**",
    "open_rows": "**open after recovery**",
    "not_in_inbox": "**in doubt and not in the inbox**",
    "damaged": "**damaged records (`verify`)**",
    "i_sent_again": "IDEMPOTENT sent again under the same key",
    "in_doubt": "AT_MOST_ONCE left in doubt (at most one per kill)",
    "in_doubt_had_happened": "… of them had happened",
    "settled_late": "doubts resolved by the one who knew, late",
    "observed": "results of stopped processes refused and kept as evidence",
    "odd": "errors of the database passed to callers",
}


@contextlib.contextmanager
def camps(store: StoreName, seconds: float) -> Generator[Camp]:
    """A fresh database and a folder for the witness."""
    with ground(store) as (url, folder):
        Ledger(url, create=True).close()
        engine = engine_on(url)
        ROWS.metadata.create_all(engine)
        engine.dispose()
        now = time.monotonic()
        yield Camp(store, url, folder, now, now + seconds + 30)


def storm(store: StoreName, seconds: float, processes: int, seed: int) -> Report:
    """A storm of so many seconds."""
    with camps(store, seconds) as camp:
        gc.collect()
        gc.freeze()  # children share what is here already
        report = Storm(camp, seconds, processes, seed).rage()
        if report.broken():
            kept = Path(tempfile.gettempdir()) / f"storm-{store}-{seed}"
            shutil.copytree(camp.folder, kept, dirs_exist_ok=True)
            print(f"what was seen is kept in {kept}", file=sys.stderr)
        return report


def main() -> int:
    """Storm, print, and fail if a promise was broken."""
    parser = arguments("A kill storm: see the module.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--out", type=Path, help="write the table there, too")
    options = parser.parse_args()
    stores, seed = chosen(options)
    reports = [storm(store, options.seconds, options.processes, seed) for store in stores]
    text = table(reports, _SAID)
    if options.json:
        print(json.dumps({"seed": seed, "storms": [asdict(report) for report in reports]}))
    else:
        print(text)
        print(f"\nseed {seed}; errors: " + json.dumps([report.errors for report in reports]))
    if options.out is not None:
        options.out.write_text(f"{text}\n", encoding="utf-8")
    broken = [f"{report.store}: {flaw}" for report in reports for flaw in report.broken()]
    print("\n".join(broken), file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
