"""A store in dictionaries: for tests, demos and scripts that need no past. Not a mock."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from itertools import islice
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from tallystick._acts import Act, Claim, EventRow, Find, Found, Page, Settle, Start
from tallystick._changes import Vote
from tallystick._keys import scope_of
from tallystick._model import Halt, Row, at
from tallystick._places import Neighbour, Neighbours, places_of, within_of
from tallystick._ports import AnyAct, Applied, Lent
from tallystick._replay._records import ReadRecords, Record
from tallystick._rules import UNSURE, forbids, fresh_row, settled_row, too_late
from tallystick._undoing._acts import Planned, ReadPlans
from tallystick._vault import DataKey
from tallystick.errors import InvalidPolicy, LedgerClosed
from tallystick.stores import _scripts
from tallystick.stores._archive_memory import MemoryArchive
from tallystick.stores._budget_memory import MemoryBudgets, Tills
from tallystick.stores._checkpoint_memory import MemoryCheckpoints, Threads
from tallystick.stores._clock import wall_micros
from tallystick.stores._retention_memory import MemoryRetention
from tallystick.stores._vault_memory import MemoryVault

A = TypeVar("A")
#: a dictionary, a key, and what stood there
Undo = tuple[dict[Any, Any], Any, Any]
_NOTHING: Any = object()
_OPEN = ("pending", "approved", "running", "in_doubt")


class Shelf:
    """What several ledgers of one process may share under one name."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.rows: dict[bytes, Row] = {}
        self.twins: dict[bytes, list[bytes]] = {}
        #: for each effect its number, and where it was asked for
        self.places: dict[bytes, tuple[int, bytes, str | None]] = {}
        #: for each effect that has one, how it is undone
        self.plans: dict[bytes, str] = {}
        self.events: dict[bytes, list[EventRow]] = {}
        self.items: dict[tuple[bytes, str], tuple[int, int | None, str, bool]] = {}
        #: by effect and round, by person: the digest, the reason, the moment
        self.ballots: dict[tuple[bytes, int], dict[str, tuple[bytes, str, int]]] = {}
        self.stops: dict[tuple[str | None, str | None, str | None, bool], Halt] = {}
        self.workers: set[str] = set()
        self.dead: set[str] = set()
        self.watchers: list[Callable[[Sequence[bytes] | None], None]] = []
        self.threads = Threads()
        self.tills = Tills()
        self.datakeys: dict[bytes, DataKey] = {}


_SHELVES: WeakValueDictionary[str, Shelf] = WeakValueDictionary()


class MemoryStore:
    """
    Effects of this process, forgotten when it ends.

    Ledgers opened with the same *name* share their effects, so a "restart" can be tried in one
    process; without a name a store is its own.
    """

    immediate = True
    local = True

    def __init__(self, name: str | None = None) -> None:
        shelf = _SHELVES.get(name) if name else None
        self._shelf = shelf if shelf is not None else Shelf()
        if name:
            _SHELVES[name] = self._shelf
        self._worker = uuid.uuid4().hex
        self._closed = False
        self.shift = 0
        self._shelf.workers.add(self._worker)

    def apply(self, acts: Sequence[AnyAct]) -> Applied:
        if self._closed:
            raise LedgerClosed("this ledger was closed; open a new one")
        touched: list[tuple[bytes, bool]] = []
        with self._shelf.lock:
            tx = MemoryTx(self._shelf, wall_micros() + self.shift)
            try:
                if len(acts) == 1:
                    answers = [_scripts.perform(tx, acts[0], touched)]
                else:
                    answers = _scripts.perform_group(tx, acts, touched)
            except BaseException:
                tx.undo()
                raise
        if touched:
            self.publish([key for key, _ in touched])
        return Applied(answers, touched)

    def attempt(self, acts: Sequence[AnyAct]) -> Applied | None:
        return self.apply(acts)

    def read(self, act: Act[A]) -> A:
        if self._closed:
            raise LedgerClosed("this ledger was closed; open a new one")
        with self._shelf.lock:
            answer: A = _scripts.answer(MemoryTx(self._shelf, wall_micros() + self.shift), act)
            return answer

    def worker(self) -> str:
        return self._worker

    def lend(self, connection: Any) -> AbstractContextManager[Lent]:
        raise InvalidPolicy("a TRANSACTIONAL effect needs a ledger in a database, not memory://")

    def alend(self, connection: Any) -> AbstractAsyncContextManager[Lent]:
        raise InvalidPolicy("a TRANSACTIONAL effect needs a ledger in a database, not memory://")

    def beats(self) -> float | None:
        return None

    def beat(self) -> None:
        self._shelf.workers.add(self._worker)

    def lively(self) -> bool:
        return True

    def publish(self, keys: Sequence[bytes]) -> None:
        for wake in list(self._shelf.watchers):
            wake(keys)

    def watch(self, wake: Callable[[Sequence[bytes] | None], None]) -> Callable[[], None]:
        self._shelf.watchers.append(wake)
        return lambda: self._shelf.watchers.remove(wake)

    def close(self) -> None:
        self._closed = True
        with self._shelf.lock:
            self._shelf.workers.discard(self._worker)
            self._shelf.dead.add(self._worker)
        for wake in list(self._shelf.watchers):
            wake(None)

    def forked(self) -> None:
        """In a forked child: another worker on a copy of the shelf, whose old workers are gone."""
        self._shelf.lock = threading.RLock()
        with self._shelf.lock:
            self._shelf.workers.discard(self._worker)
            self._shelf.dead.add(self._worker)
            self._shelf.watchers.clear()
            self._worker = uuid.uuid4().hex
            self._shelf.workers.add(self._worker)


class MemoryTx(MemoryCheckpoints, MemoryBudgets, MemoryRetention, MemoryArchive, MemoryVault):
    """One transaction on a shelf, under its lock; every write can be undone."""

    def __init__(self, shelf: Shelf, now: int) -> None:
        self._shelf = shelf
        self._threads = shelf.threads
        self._tills = shelf.tills
        self._now = now
        self._undo: list[Undo] = []

    def undo(self) -> None:
        """Take back everything that this transaction wrote."""
        for place, key, old in reversed(self._undo):
            if old is _NOTHING:
                place.pop(key, None)
            else:
                place[key] = old

    def _put(self, place: dict[Any, Any], key: Any, value: Any) -> None:
        self._undo.append((place, key, place.get(key, _NOTHING)))
        place[key] = value

    def _drop(self, place: dict[Any, Any], key: Any) -> bool:
        old = place.pop(key, _NOTHING)
        if old is _NOTHING:
            return False
        self._undo.append((place, key, old))
        return True

    def now(self) -> int:
        return self._now

    def claim(self, claims: Sequence[Claim]) -> list[Found]:
        return [self._claim(c) for c in claims]

    def _claim(self, c: Claim) -> Found:
        row = self._shelf.rows.get(c.key)
        if row is not None:
            if row.tenant != c.tenant:
                return Found(False, None, False, self._now)
            mine = row.nonce == c.nonce and row.status == c.status
            alive = row.status == "running" and self.alive(row.holder)
            return Found(mine, row, alive, self._now)
        if self._shelf.stops and self._stopped(c, fresh=True, undoing=c.undoing):
            return Found(False, None, False, self._now, halted=True)
        twins = self._shelf.twins.get(c.twin, [])
        unseen = bool(twins) and self._shelf.places[twins[-1]][0] > c.after
        twin = twins[-1] if unseen else None
        if twin is not None and c.suspect != "run":
            return Found(False, None, False, self._now, twin=twin)
        if c.status == "running" and self.standing(c.tenant) != c.standing:
            return Found(False, None, False, self._now, stale=True)
        row = fresh_row(c, self._now)
        self._put(self._shelf.places, c.key, (len(self._shelf.rows) + 1, c.twin, c.place))
        self._put(self._shelf.rows, c.key, row)
        if c.undo is not None:
            self._put(self._shelf.plans, c.key, c.undo)
        self._put(self._shelf.twins, c.twin, [*twins, c.key])
        return Found(True, row, True, self._now, twin=twin)

    def _stopped(self, e: Claim | Row, *, fresh: bool, undoing: bool) -> bool:
        return any(
            (h.tenant is None or h.tenant == e.tenant)
            and (h.tool is None or h.tool == e.tool)
            and (h.workflow is None or h.workflow == e.workflow)
            and forbids(h.mode, fresh=fresh, undoing=undoing)
            for h in self._shelf.stops.values()
        )

    def settle(self, settles: Sequence[Settle]) -> list[bool | None]:
        return [self._settle(s) for s in settles]

    def _settle(self, s: Settle) -> bool | None:
        row = self._shelf.rows.get(s.key)
        if (
            row is None
            or row.tenant != s.tenant
            or row.status != "running"
            or row.epoch != s.epoch
            or row.nonce != s.nonce
        ):
            return None
        self._put(self._shelf.rows, s.key, settled_row(row, s, self._now))
        return row.awaited

    def start(self, act: Start) -> Row | None:
        row = self._shelf.rows.get(act.key)
        if row is None or row.tenant != act.tenant:
            return None
        seen = row.status == act.status and row.epoch == act.epoch and row.shown == act.shown
        if not seen or (row.status == "running" and self.alive(row.holder)):
            return None
        if too_late(row, self._now):
            return None
        if self._stopped(row, fresh=row.attempt == 0, undoing=act.undoing):
            return None
        if self.standing(act.tenant) != act.standing:
            return None
        after = row._replace(
            status="running",
            holder=act.holder,
            nonce=act.nonce,
            epoch=row.epoch + 1,
            attempt=row.attempt + 1,
            started_at=row.started_at or self._now,
            changed_at=self._now,
            error=None,
            result_note=UNSURE if row.status in {"running", "in_doubt"} else None,
        )
        self._put(self._shelf.rows, act.key, after)
        if act.undo is not None:
            self._put(self._shelf.plans, act.key, act.undo)
        return after

    def load(self, tenant: str, key: bytes) -> Row | None:
        return self.look(tenant, key)

    def look(self, tenant: str, key: bytes) -> Row | None:
        row = self._shelf.rows.get(key)
        return row if row is not None and row.tenant == tenant else None

    def change(self, row: Row, columns: dict[str, Any]) -> None:
        self._put(self._shelf.rows, row.key, row._replace(**columns))

    def append(self, event: EventRow) -> None:
        chain = self._shelf.events.get(event.key, [])
        self._put(self._shelf.events, event.key, [*chain, event])

    def open_item(self, row: Row, kind: str, note: str, at: int, due: int | None) -> None:
        if (row.key, kind) not in self._shelf.items:
            self._put(self._shelf.items, (row.key, kind), (at, due, note, False))

    def close_items(self, key: bytes, kinds: Iterable[str]) -> None:
        for kind in kinds:
            self._drop(self._shelf.items, (key, kind))

    def notified(self, key: bytes, kind: str) -> None:
        item = self._shelf.items.get((key, kind))
        if item is not None:
            self._put(self._shelf.items, (key, kind), (*item[:3], True))

    def put_vote(self, row: Row, by: str, digest: bytes, reason: str, at: int) -> None:
        place = (row.key, row.epoch)
        ballots = self._shelf.ballots.get(place, {})
        self._put(self._shelf.ballots, place, {**ballots, by: (digest, reason, at)})

    def votes(self, row: Row) -> list[Vote]:
        rounds = [r for k, r in self._shelf.ballots if k == row.key and r <= row.epoch]
        ballots = self._shelf.ballots.get((row.key, max(rounds, default=-1)), {})
        if row.status == "pending":
            ballots = self._shelf.ballots.get((row.key, row.epoch), {})
        return [Vote(by=by, digest=said[0]) for by, said in ballots.items()]

    def alive(self, holder: str | None) -> bool:
        return holder in self._shelf.workers

    def put_halt(self, halt: Halt, at: int) -> None:
        scope = (halt.tenant, halt.tool, halt.workflow, halt.mode == "contain")
        self._put(self._shelf.stops, scope, _timed(halt, at))

    def lift_halt(
        self,
        tenant: str | None,
        tool: str | None,
        workflow: str | None,
        *,
        contain: bool,
        only: str | None = None,
    ) -> int:
        scope = (tenant, tool, workflow, contain)
        there = self._shelf.stops.get(scope)
        if there is None or only not in (None, there.reason):
            return 0
        return int(self._drop(self._shelf.stops, scope))

    def halts(self, tenant: str | None) -> list[Halt]:
        return [h for h in self._shelf.stops.values() if h.tenant in (None, tenant)]

    def last_event(self, key: bytes) -> EventRow | None:
        return next(reversed(self._shelf.events.get(key, [])), None)

    def beat(self, worker: str) -> None:
        self._shelf.workers.add(worker)

    def dead(self) -> list[str]:
        return sorted(self._shelf.dead)

    def held(self, worker: str, limit: int) -> list[Row]:
        rows = (r for r in self._shelf.rows.values() if r.holder == worker)
        return [r for r in rows if r.status == "running"][:limit]

    def bury(self, worker: str) -> None:
        self._shelf.workers.discard(worker)
        self._shelf.dead.discard(worker)

    def await_(self, tenant: str, key: bytes) -> None:
        row = self.look(tenant, key)
        if row is not None and row.status in _OPEN and not row.awaited:
            self._put(self._shelf.rows, key, row._replace(awaited=True))

    def glance(self, tenant: str, key: bytes) -> Found:
        row = self.look(tenant, key)
        alive = row is not None and row.status == "running" and self.alive(row.holder)
        return Found(False, row, alive, self.now())

    def find(self, act: Find) -> list[Row]:
        found: list[Row] = []
        for row in reversed(self._shelf.rows.values()):
            if (
                row.tenant == act.tenant
                and (act.prefix is None or row.key.hex().startswith(act.prefix))
                and (act.workflow is None or row.workflow == act.workflow)
                and (act.tool is None or row.tool == act.tool)
                and (act.status is None or row.status == act.status)
                and (act.call_id is None or row.call_id == act.call_id)
            ):
                found.append(row)
                if len(found) == act.limit:
                    break
        return found

    def neighbours(self, act: Neighbours) -> list[Neighbour]:
        rows, places = self._shelf.rows, self._shelf.places
        if act.twin is not None:
            keys = self._shelf.twins.get(act.twin, [])
        else:
            keys = [k for k, r in rows.items() if scope_of(r.tenant, r.workflow) == act.scope]
        found: list[Neighbour] = []
        for key in keys[-act.limit :]:
            row, (seq, twin, place) = rows[key], places[key]
            asked = row.approval_until is not None
            facts = (seq, key, row.call_id, row.tool, twin, row.status, asked)
            found.append(Neighbour(*facts, places_of(place)))
        return found

    def plans(self, act: ReadPlans) -> list[Planned]:
        numbered = [
            Planned(self._shelf.places[r.key][0], r, self._shelf.plans.get(r.key))
            for r in self._shelf.rows.values()
            if r.tenant == act.tenant and _asked_for(r, act)
        ]
        return [each for each in numbered if each.seq > act.after][: act.limit]

    def recorded(self, act: ReadRecords) -> list[Record]:
        rows, places = self._shelf.rows, self._shelf.places
        found = (
            Record(places[key][0], row, within_of(places[key][2]))
            for key, row in rows.items()
            if scope_of(row.tenant, row.workflow) == act.scope and places[key][0] > act.after
        )
        return list(islice(found, act.limit))

    def place(self, key: bytes) -> str | None:
        return self._shelf.places[key][2]

    def put_place(self, key: bytes, place: str) -> None:
        self._put(self._shelf.places, key, (*self._shelf.places[key][:2], place))

    def history(self, tenant: str, key: bytes) -> list[EventRow]:
        row = self._shelf.rows.get(key)
        if row is not None and row.tenant != tenant:
            return []
        return list(self._shelf.events.get(key, []))

    def inbox(
        self, tenant: str | None, limit: int, *, unnotified: bool
    ) -> list[tuple[str, int, int | None, str, Row]]:
        items = [
            (kind, opened, due, note, self._shelf.rows[key])
            for (key, kind), (opened, due, note, told) in self._shelf.items.items()
            if not (unnotified and told)
        ]
        mine = [i for i in items if tenant is None or i[4].tenant == tenant]
        return sorted(mine, key=lambda i: i[1])[:limit]

    def page(self, act: Page) -> list[tuple[int, Row, list[EventRow]]]:
        rows = [r for r in self._shelf.rows.values() if r.tenant == act.tenant]
        return [
            (n, row, self._shelf.events.get(row.key, []))
            for n, row in enumerate(rows, 1)
            if n > act.after
        ][: act.limit]


def _asked_for(row: Row, act: ReadPlans) -> bool:
    """Whether the plan of this effect of the tenant was asked for."""
    if act.key is not None:
        return row.key == act.key
    if act.workflow is not None:
        return row.workflow == act.workflow
    late = act.since is None or row.changed_at >= act.since or row.status == "running"
    return late and act.tool in (None, row.tool)


def _timed(halt: Halt, micros: int) -> Halt:
    return Halt(
        tenant=halt.tenant,
        tool=halt.tool,
        workflow=halt.workflow,
        mode=halt.mode,
        by=halt.by,
        reason=halt.reason,
        at=at(micros),
    )
