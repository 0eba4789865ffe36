"""
One process of the keepers' storm: it calls, undoes, decides, forgets, carries away and seals.

What it does is picked at random, each on a thread of its own, and all of it on the same two
ledgers; so whoever kills it cuts off several of these at once.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

from tallystick import Guarantee, Ledger, NotApplied, Policy
from tallystick.errors import (
    ApprovalRequired,
    CompensationIncomplete,
    DecisionRefused,
    EffectFailed,
    EffectStopped,
    ResultNotStored,
    RunFinished,
    StoreError,
)
from tallystick.runs import Undo

from ._keepers_world import LEASE, Camp, World

#: seconds after which payloads go, while everybody is still asking for them
AGE = 0.3
#: lanes of one process at once
LANES = 4

KNOWN = Policy(guarantee=Guarantee.IDEMPOTENT, key_lifetime=1000)
#: tool, policy, and how many new keys come up in a second
KINDS: dict[str, tuple[Policy, int]] = {
    "u": (Policy(wait=0.2), 30),
    "i": (KNOWN.but(wait=0.2), 60),
    "x": (Policy(wait=0.2), 5),
    "p": (Policy(approval=True, wait=0.2), 8),
}
TRIPS = 3
#: what is booked on a trip, and how it is undone
STEPS: dict[str, Policy] = {
    "flight": Policy(compensate="unbook", wait=0.2),
    "hotel": KNOWN.but(compensate=Undo(steps="unbook", policy=KNOWN), wait=0.2),
}


class Refused(Exception):
    """The last step of a trip."""


class Worker:
    """Everything that one process does until it is killed."""

    def __init__(self, camp: Camp, seed: int) -> None:
        self.camp = camp
        self.chance = random.Random(seed)
        self.world = World(camp.folder)
        self.ledger = opened(camp.url, self.world)
        self.second = Ledger(camp.second, lease=LEASE)
        self.parent = os.getppid()

    def run(self) -> None:
        """Some of it at once."""
        every = [self.work, self.work, self.travel, self.decide, self.forget]
        every += [self.carry, self.carry, self.seal]
        lanes = [
            threading.Thread(target=self._lane, args=(deed,), daemon=True)
            for deed in self.chance.sample(every, LANES)
        ]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()

    def _lane(self, deed: Callable[[], None]) -> None:
        while os.getppid() == self.parent and time.monotonic() < self.camp.until:
            with noted(self.world, deed.__name__):
                deed()
            time.sleep(self.chance.random() * 0.02)

    def _around(self, rate: float) -> int:
        """One of the newest keys, or an older one: a dead one's, a forgotten one."""
        back = 0.0 if self.chance.random() < 0.6 else self.chance.random() * 5
        return max(0, int((time.monotonic() - self.camp.began - back) * rate))

    def work(self) -> None:
        """Call some tools."""
        for _ in range(10):
            kind = self.chance.choice("uuiiixp")
            call(self.ledger, self.world, kind, self._around(KINDS[kind][1]))

    def travel(self) -> None:
        """A trip; every other one does not work out and is undone."""
        travel(self.ledger, self.world, self._around(TRIPS))

    def decide(self) -> None:
        """A person looks at the inbox, and says what can be known."""
        self.ledger.recover()
        decide(self.ledger, self.world, late=False)

    def forget(self) -> None:
        """Drop payloads, here and where they were carried to."""
        ledger = self.ledger if self.chance.random() < 0.8 else self.second
        most = self.chance.choice((1, 5, 50))
        done = ledger.retain(payloads=AGE, limit_per_batch=most, pause=0.001)
        self.world.saw("forgot", done.effects)

    def carry(self) -> None:
        """Export all of it, import that or an older archive elsewhere, and use what came in."""
        if self.chance.random() < 0.5:
            name = f"archive-{os.getpid()}-{time.monotonic_ns()}"
            self.ledger.export(self.camp.folder / name)
        archives = sorted(self.camp.folder.glob("archive-*"))
        if archives:
            done = self.second.load(self.chance.choice(archives), on_conflict="skip")
            self.world.saw("carried", done.imported, done.known, done.skipped)
            if done.imported + done.known + done.skipped != done.effects:
                self.world.saw("flaw", f"an import left something out: {done}")
        found = [e for e in self.second.effects(limit=300) if e.tool in KINDS and e.args]
        for effect in self.chance.sample(found, min(10, len(found))):
            call(self.second, self.world, effect.tool, int(effect.args["n"]), elsewhere=True)

    def seal(self) -> None:
        """Sign what there is."""
        sealed = self.ledger.seal(self.camp.folder / "seals", key=self.camp.folder / "key")
        self.world.saw("sealed", sealed.number, sealed.root)


@contextlib.contextmanager
def noted(world: World, what: str) -> Generator[None]:
    """Stops are a part of it, and so is a database that is busy; any other error is told."""
    try:
        yield
    except EffectStopped:
        world.saw("stopped", what)
    except StoreError as error:
        world.saw("busy", what, str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told at the end
        world.saw("odd", what, repr(error))


def opened(url: str, world: World) -> Ledger:
    """A ledger that knows how to undo."""
    ledger = Ledger(url, lease=LEASE)

    @ledger.compensation("unbook")
    def unbook(trip: int, step: str, result: str) -> str:
        assert result.startswith(f"{step}-"), f"{step} is undone with {result}"
        return world.did(f"un-{step}", trip)

    return ledger


def call(ledger: Ledger, world: World, kind: str, n: int, *, elsewhere: bool = False) -> None:
    """One call; *elsewhere*: of what was imported, so that nothing may run."""

    def tool(n: int) -> dict[str, str]:
        if elsewhere:
            world.saw("flaw", f"{kind} {n} ran where it had come to")
        if kind == "x":
            raise NotApplied("no, thank you")
        return {"receipt": world.did(kind, n)}

    options: dict[str, Any] = {"workflow": f"w-{n % 7}", "policy": KINDS[kind][0]}
    try:
        answer = ledger.call(kind, tool, {"n": n}, **options)
        world.saw("got", kind, n, answer["receipt"])
    except ResultNotStored:
        world.saw("forgotten", kind, n)
    except (NotApplied, EffectFailed):
        world.saw("refused", kind, n)
    except ApprovalRequired as asked:
        if not elsewhere:
            world.saw("asked", asked.key, n)


def travel(ledger: Ledger, world: World, trip: int) -> None:
    """Work on a trip, as long as it has no end."""

    def book(trip: int, step: str) -> str:
        return world.did(step, trip)

    try:
        run = ledger.workflow(f"trip-{trip}", input=trip, compensate="on_error", rival="refuse")
        with run:
            for step, policy in STEPS.items():
                ledger.call("book", book, {"trip": trip, "step": step}, policy=policy)
            if trip % 2 == 0:
                raise Refused
            run.set_output("a nice trip")
    except (Refused, CompensationIncomplete):
        world.saw("undone", trip)
    except RunFinished as over:
        world.saw("ended", trip, over.status)


def decide(ledger: Ledger, world: World, *, late: bool) -> None:
    """What happened did happen; *late*, when all are dead, what nobody saw did not."""
    receipts = world.receipts()
    for item in ledger.pending():
        effect: Any = item.effect
        seen = receipts.get(effect.key)
        with contextlib.suppress(DecisionRefused):
            if item.kind == "approval" and effect.tool == "p":
                if effect.args["n"] % 3 == 0:
                    ledger.approve(effect.key, by="ann")
            elif item.kind == "in_doubt" and seen is not None:
                said = {"receipt": seen} if effect.tool in KINDS else seen
                ledger.resolve(effect.key, by="ann", succeeded=said)
            elif item.kind == "in_doubt" and late:
                ledger.resolve(effect.key, by="ann", failed="nobody saw it")
