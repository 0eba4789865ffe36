"""Concurrent histories: threads and tasks on several journals over one store, and a killer."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Generator
from typing import Any, NamedTuple

from tallystick import _acts as acts
from tallystick._canonical import digest
from tallystick._codec import encode
from tallystick._faces import Engine
from tallystick._hooks import Hooks
from tallystick._keys import scope_of
from tallystick._model import Halt, Row, at
from tallystick._ports import AnyAct, Store
from tallystick.errors import LedgerClosed
from tests.model import _spec
from tests.model._checker import Crash, Operation, State
from tests.model._rigs import TENANT, Rig, key_of, said

KEYS = tuple(key_of(f"effect {n}") for n in range(3))
ARGS = encode({"n": 1}, where="args")
SHOWN = digest({"n": 1})
LONG = 10**15
BOOM = '{"type":"E","message":"boom","traceback":""}'


class Ticket(NamedTuple):
    """A claim that somebody was granted, and that anybody may settle, rightly or not."""

    key: bytes
    epoch: int
    nonce: bytes


class History:
    """What everybody did to a few effects, and what they were told."""

    def __init__(self, rig: Rig, seed: int, wrap: Callable[[Store], Store] | None = None) -> None:
        self.seed = seed
        self._rig = rig
        self._lock = threading.Lock()
        self._nonces = 0
        self.ops: list[Operation] = []
        self.tickets: list[Ticket] = []
        self.approved: dict[bytes, Row] = {}
        stores = [wrap(store) if wrap else store for store in rig.stores]
        self._engines = [Engine(store, Hooks(())) for store in stores]
        self.start = State(_spec.World(living=frozenset(s.worker() for s in stores)))

    # -- what a client wants ------------------------------------------------------------------

    def nonce(self) -> bytes:
        with self._lock:
            self._nonces += 1
            return self._nonces.to_bytes(16, "big")

    def client(self, rng: random.Random, holder: str, steps: int) -> Generator[AnyAct, Any, None]:
        """One client's acts; each is sent the answer to the one before."""
        seen: dict[bytes, Row] = {}
        for _ in range(steps):
            key = rng.choice(KEYS)
            act = self._wish(rng, key, holder, seen.get(key))
            answer = yield act
            row = getattr(answer, "row", answer)
            if isinstance(row, Row):
                seen[row.key] = row
                if row.status == "approved":
                    self.approved[row.key] = row
            if isinstance(answer, acts.Found) and answer.fresh and answer.row is not None:
                row = answer.row
                with self._lock:
                    self.tickets.append(Ticket(key, row.epoch, row.nonce or b""))

    def _wish(self, rng: random.Random, key: bytes, holder: str, row: Row | None) -> AnyAct:
        mine = [t for t in self.tickets if t.key == key]
        if row is None or rng.random() < 0.15:
            return self._first(rng, key, holder)
        if mine and rng.random() < 0.5:
            return _held(rng, rng.choice(mine), holder)
        if rng.random() < 0.05:
            return _stop(rng)
        return self._next(rng, row, holder)

    def _first(self, rng: random.Random, key: bytes, holder: str) -> AnyAct:
        asks = rng.random() < 0.4
        claim = acts.Claim(
            key=key,
            tenant=TENANT,
            workflow="w",
            tool="charge",
            call_id=None,
            guarantee="at_most_once",
            status="pending" if asks else "running",
            holder=holder,
            nonce=self.nonce(),
            digest=SHOWN,
            shown=SHOWN,
            args=ARGS,
            scope=scope_of(TENANT, "w"),
            twin=key[:16],
            suspect="run",
            quiet=0,
            key_lifetime=None,
            expires=LONG if asks else None,
            quorum=rng.choice((1, 2)) if asks else 0,
        )
        return acts.Ask(claim=claim, actor=holder) if asks else claim

    def _next(self, rng: random.Random, row: Row, holder: str) -> AnyAct:
        place: dict[str, Any] = {"key": row.key, "tenant": TENANT}
        person: dict[str, Any] = {"by": rng.choice("ab"), "reason": rng.choice("xy")}
        deed = rng.choice(
            ("start", "start", "decide", "decide", "resolve", "cancel", "look", "look")
        )
        if deed == "decide":
            nothing: dict[str, Any] = {"args": None, "args_digest": None, "shown": None}
            return acts.Decide(**place, **person, **nothing, approve=rng.random() < 0.8)
        if deed == "resolve":
            happened = rng.random() < 0.5
            return acts.Resolve(
                **place,
                **person,
                to="succeeded" if happened else "failed",
                kind="person",
                result='"seen"' if happened else None,
                result_digest=key_of('"seen"') if happened else None,
                note=None if happened else "retryable",
            )
        if deed == "cancel" and rng.random() < 0.3:
            return acts.Cancel(**place, **person)
        if rng.random() < 0.3:  # what somebody saw who was away meanwhile
            row = self.approved.get(row.key, row)
        if deed == "start" and row.status in ("approved", "failed", "in_doubt", "running"):
            return acts.Start(
                **place,
                status=row.status,
                epoch=row.epoch,
                shown=row.shown,
                nonce=self.nonce(),
                holder=holder,
                actor=holder,
                reason="again",
            )
        return acts.Look(**place)

    # -- asking for it ------------------------------------------------------------------------

    def record(self, act: AnyAct | Crash, invoked: int, answer: Any, *, known: bool = True) -> None:
        """Remember an operation; one that is not *known* may have happened or not."""
        if not known:
            self.ops.append(Operation(act, invoked))
            return
        returned = time.perf_counter_ns()
        told = None if isinstance(act, Crash) else said(act, answer)
        if told != _spec.AGAIN:
            self.ops.append(Operation(act, invoked, returned, told))

    def thread(self, engine: Engine, seed: int, steps: int) -> None:
        """A client that blocks; now and then it forgets what it was told."""
        rng = random.Random(seed)
        client, answer = self.client(rng, engine.store.worker(), steps), None
        while (act := _send(client, answer)) is not None:
            invoked = time.perf_counter_ns()
            try:
                answer = _submit(engine, act)
            except LedgerClosed:
                self.record(act, invoked, None, known=False)
                return
            self.record(act, invoked, answer, known=rng.random() > 0.1)

    async def task(self, engine: Engine, seed: int, steps: int) -> None:
        """A client on an event loop; now and then it is cancelled while it waits."""
        rng = random.Random(seed)
        client, answer = self.client(rng, engine.store.worker(), steps), None
        while (act := _send(client, answer)) is not None:
            invoked = time.perf_counter_ns()
            patience = rng.choice((0.0, 0.002)) if rng.random() < 0.1 else None
            try:
                async with asyncio.timeout(patience):
                    answer = await _asubmit(engine, act)
            except LedgerClosed:
                self.record(act, invoked, None, known=False)
                return
            except TimeoutError:
                answer = None
                self.record(act, invoked, None, known=False)
                self._given_back(act, invoked)
                continue
            self.record(act, invoked, answer)

    def _given_back(self, act: AnyAct, invoked: int) -> None:
        """What the journal does for a cancelled caller who was granted a claim meanwhile."""
        if isinstance(act, acts.Claim | acts.Start):
            release = acts.Release(
                key=act.key,
                tenant=act.tenant,
                nonce=act.nonce,
                actor=act.holder or "",
                reason="its caller was cancelled before the tool started",
            )
            self.record(release, invoked, None, known=False)

    def kill(self, slot: int, after: float) -> None:
        """End a worker in the middle of everything."""
        time.sleep(after)
        engine = self._engines[slot]
        worker = engine.store.worker()
        invoked = time.perf_counter_ns()
        engine.store.close()
        self._rig.bury(worker)
        self.record(Crash(worker), invoked, None)
        engine.journal.close()

    # -- all of it ----------------------------------------------------------------------------

    def run(self, steps: int = 8) -> None:
        """Two blocking clients and two on an event loop, each on a journal; then a last look."""
        rng = random.Random(self.seed)
        count = len(self._engines)
        seeds = [rng.randrange(1 << 30) for _ in range(4)]

        async def tasks() -> None:
            pair = zip(self._engines[:2], seeds[:2], strict=True)
            await asyncio.gather(*(self.task(engine, seed, steps) for engine, seed in pair))

        threads = [threading.Thread(target=lambda: asyncio.run(tasks()))]
        threads += [
            threading.Thread(target=self.thread, args=(self._engines[n % count], seeds[n], steps))
            for n in (2, 3)
        ]
        if rng.random() < 0.4:
            slot, after = rng.randrange(1, count), rng.random() * 0.01
            threads.append(threading.Thread(target=self.kill, args=(slot, after)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60.0)
            assert not thread.is_alive(), "a client is stuck"
        self._last_look()
        for engine in self._engines:
            engine.journal.close()

    def _last_look(self) -> None:
        for key in KEYS:
            for act in (acts.Look(key=key, tenant=TENANT), acts.History(key=key, tenant=TENANT)):
                invoked = time.perf_counter_ns()
                self.record(act, invoked, _submit(self._engines[0], act))

    def of(self, key: bytes) -> list[Operation]:
        """The operations that concern an effect."""
        return [op for op in self.ops if _concerns(op.act, key)]


def _send(client: Generator[AnyAct, Any, None], answer: Any) -> AnyAct | None:
    try:
        return client.send(answer)
    except StopIteration:
        return None


def _concerns(act: AnyAct | Crash, key: bytes) -> bool:
    if isinstance(act, acts.Ask):
        return act.claim.key == key
    return getattr(act, "key", key) == key


def _read(engine: Engine, act: Any) -> Any:
    return engine.store.read(act)


def _submit(engine: Engine, act: AnyAct) -> Any:
    """As the flows would: reads go to the store, what came to nothing is done again."""
    while True:
        if isinstance(act, acts.Look | acts.History):
            return _read(engine, act)
        answer = engine.journal.submit(act)
        if not _came_to_nothing(act, answer):
            return answer


async def _asubmit(engine: Engine, act: AnyAct) -> Any:
    while True:
        if isinstance(act, acts.Look | acts.History):
            return await asyncio.to_thread(_read, engine, act)
        answer = await engine.journal.asubmit(act)
        if not _came_to_nothing(act, answer):
            return answer


def _came_to_nothing(act: AnyAct, answer: Any) -> bool:
    """
    Whether nothing was done, and nothing says why.

    A claim met a rival's; or a start was refused for a halt that was lifted, or a holder that
    died, before it was looked for.
    """
    if not isinstance(act, acts.Start):
        return isinstance(act, acts.Claim | acts.Ask) and said(act, answer) == _spec.AGAIN
    if answer.fresh or answer.row is None:
        return False
    row = answer.row
    as_seen = (row.status, row.epoch, row.shown) == (act.status, act.epoch, act.shown)
    return as_seen and (row.status != "running" or not answer.alive)


def _held(rng: random.Random, ticket: Ticket, holder: str) -> AnyAct:
    """What somebody says who holds a claim, or held it once."""
    place: dict[str, Any] = {"key": ticket.key, "tenant": TENANT}
    deed = rng.choice(("succeeded", "succeeded", "failed", "retryable", "doubt", "dead", "release"))
    if deed == "release":
        return acts.Release(**place, nonce=ticket.nonce, actor=holder, reason="given back")
    if deed in ("doubt", "dead"):
        nonce = ticket.nonce if deed == "doubt" else None
        said: dict[str, Any] = {"actor": holder, "error": None, "reason": "nobody knows"}
        return acts.Doubt(**place, **said, epoch=ticket.epoch, nonce=nonce)
    good = deed == "succeeded"
    result = f'"{rng.randrange(9)}"'
    return acts.Settle(
        **place,
        epoch=ticket.epoch,
        nonce=ticket.nonce,
        status="succeeded" if good else "failed",
        result=result if good else None,
        result_digest=key_of(result) if good else None,
        note="retryable" if deed == "retryable" else None,
        error=None if good else BOOM,
    )


def _stop(rng: random.Random) -> AnyAct:
    scope: dict[str, Any] = {
        "tenant": TENANT,
        "tool": rng.choice((None, "charge")),
        "workflow": None,
    }
    if rng.random() < 0.7:
        return acts.LiftHalt(**scope, by="op", reason="go on")
    halt = Halt(**scope, mode=rng.choice(("halt", "drain")), by="op", reason="stop", at=at(0))
    return acts.PutHalt(halt=halt)
