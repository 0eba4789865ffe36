"""
The stores under one roof, each with several workers that can be killed.

``said`` brings a store's answer into the form of the model's (``_spec``): no times, nonces or
hashes, and workers by the names that are the same everywhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy

from tallystick import _acts as acts
from tallystick._budgets import _acts as spending
from tallystick._budgets._rules import Figures, parts_of
from tallystick._budgets._terms import Known, line_id
from tallystick._flows.verifying import flaws
from tallystick._model import Row
from tallystick._ports import AnyAct, Store
from tallystick.stores import open_store
from tallystick.stores._mariadb import MariaStore
from tallystick.stores._memory import MemoryStore
from tallystick.stores._postgres import PostgresStore
from tallystick.stores._sqlite import SqliteStore
from tests._mariadb import scratch_mariadb
from tests._postgres import scratch_database
from tests._urls import engine_on
from tests.model import _spec

TENANT = "acme"
TABLES = (
    "effect", "event", "inbox", "vote", "halt", "worker",
    "checkpoint", "blob", "write", "tombstone",
    "budget", "standing", "line", "use", "reservation", "raise", "session", "alert", "datakey",
)  # fmt: skip
#: longer than any test: on PostgreSQL a worker dies when a test says so, not because it is slow
LEASE = 1e7

_NOBODY: Mapping[str, str] = {}

KINDS = ("memory", "sqlite", "postgres")
#: those, and what is played on when all stores are asked for
EVERY_KIND = (*KINDS, *["mariadb"][: os.environ.get("TALLYSTICK_STORES") == "all"])


class Rig:
    """One place to keep effects, and the workers that share it."""

    kind = ""

    def __init__(self, workers: int) -> None:
        self.shift = 0
        self.names: dict[str, str] = {}
        self.stores: list[Store] = [self._hired(f"w{slot}#1") for slot in range(workers)]
        self._lives = [1] * workers

    def _open(self) -> Store:
        raise NotImplementedError

    def bury(self, worker: str) -> None:
        """Make it known that *worker* died, where its end alone does not."""

    def _hired(self, name: str) -> Store:
        store = self._open()
        store.shift = self.shift
        self.names[store.worker()] = name
        return store

    def holder(self, slot: int) -> str:
        """The worker that now sits in a slot."""
        return self.stores[slot].worker()

    def crash(self, slot: int) -> None:
        """The worker in a slot dies, and another one takes its place."""
        dead = self.stores[slot]
        worker = dead.worker()
        dead.close()
        self.bury(worker)
        self._lives[slot] += 1
        self.stores[slot] = self._hired(f"w{slot}#{self._lives[slot]}")

    def turn(self, micros: int) -> None:
        """Let time pass for everybody here."""
        self.shift += micros
        for store in self.stores:
            store.shift = self.shift

    def apply(self, slot: int, group: Sequence[AnyAct]) -> list[_spec.Answer]:
        """Apply a group through one worker's store."""
        answers = self.stores[slot].apply(group).answers
        return [said(act, answer, self.names) for act, answer in zip(group, answers, strict=True)]

    def look(self, slot: int, key: bytes, tenant: str = TENANT) -> _spec.Answer:
        """What a worker sees of an effect."""
        act = acts.Look(key=key, tenant=tenant)
        return said(act, self.stores[slot].read(act), self.names)

    def found(self, slot: int, key: bytes) -> acts.Found:
        """The same as it is."""
        return self.stores[slot].read(acts.Look(key=key, tenant=TENANT))

    def history(self, key: bytes, tenant: str = TENANT) -> tuple[str, ...]:
        """The kinds of an effect's events."""
        return tuple(e.kind for e in self.stores[0].read(acts.History(key=key, tenant=tenant)))

    def inbox(self, tenant: str | None = TENANT) -> set[tuple[str, str]]:
        """What a person sees: (key, kind)."""
        items = self.stores[0].read(acts.Inbox(tenant=tenant))
        assert len(items) == len({(i.effect.key, i.kind) for i in items})
        return {(i.effect.key, i.kind) for i in items}

    def flaws(self, tenant: str = TENANT) -> list[str]:
        """What ``ledger.verify()`` would find."""
        pages = self.stores[0].read(acts.Page(tenant=tenant, after=0))
        return [
            f"{row.key.hex()[:8]}: {what}" for _, row, chain in pages for what in flaws(row, chain)
        ]

    def figures(self, tenant: str) -> set[tuple[str, tuple[int, ...], int]]:
        """What is charged to each line, and its limit."""
        lines = self.stores[0].read(spending.ReadLines(tenant=tenant))
        return {
            (
                line_id(tenant, x.known.terms.name, x.metric, x.label).hex(),
                tuple(x.figures.weight),
                x.figures.limit,
            )
            for x in lines
        }

    def held(self, tenant: str) -> list[_spec.Answer]:
        """All reservations."""
        rows = self.stores[0].read(spending.ReadReservations(tenant=tenant))
        return [held(row, self.names) for row in rows]

    def books(self, tenant: str) -> dict[tuple[bytes, int], tuple[Any, Any]]:
        """What is charged to each row of each line, and what its reservations weigh."""
        return self.stores[0].read(spending.ReadBooks(tenant=tenant))

    def close(self) -> None:
        """The end of all workers."""
        for store in self.stores:
            store.close()


class MemoryRig(Rig):
    kind = "memory"

    def __init__(self, workers: int) -> None:
        self._name = uuid.uuid4().hex
        super().__init__(workers)

    def _open(self) -> Store:
        return MemoryStore(self._name)


class SqliteRig(Rig):
    kind = "sqlite"

    def __init__(self, workers: int, engine: sqlalchemy.Engine) -> None:
        self._engine = engine
        super().__init__(workers)

    def _open(self) -> Store:
        return SqliteStore(self._engine)


class PostgresRig(Rig):
    kind = "postgres"

    def __init__(
        self,
        workers: int,
        engine: sqlalchemy.Engine,
        admin: psycopg.Connection[Any],
        patience: float,
    ) -> None:
        self._engine = engine
        self._admin = admin
        self._patience = patience
        super().__init__(workers)

    def _open(self) -> Store:
        store = PostgresStore(self._engine, lease=LEASE, patience=self._patience)
        store.beat()
        return store

    def bury(self, worker: str) -> None:
        self._admin.execute("UPDATE tallystick_worker SET last_seen = 0 WHERE id = %s", [worker])


class MariadbRig(Rig):
    kind = "mariadb"

    def __init__(self, workers: int, engine: sqlalchemy.Engine, patience: float) -> None:
        self._engine = engine
        self._patience = patience
        super().__init__(workers)

    def _open(self) -> Store:
        store = MariaStore(self._engine, lease=LEASE, patience=self._patience)
        store.beat()
        return store

    def bury(self, worker: str) -> None:
        with self._engine.begin() as db:
            dead = "UPDATE tallystick_worker SET last_seen = 0 WHERE id = %(worker)s"
            db.exec_driver_sql(dead, {"worker": worker})


class Bench:
    """Databases that are made once and emptied for each rig."""

    def __init__(self, folder: Path, postgres: str | None, *, patience: float = 30.0) -> None:
        self._folder = folder
        self._patience = patience
        self._ends = contextlib.ExitStack()
        template = folder / "template.db"
        open_store(f"sqlite:///{template}", create=True, lease=LEASE).close()
        self._template = template
        self._count = 0
        self._url = postgres
        self._admin: psycopg.Connection[Any] | None = None
        self._engine: sqlalchemy.Engine | None = None
        self._served: sqlalchemy.Engine | None = None

    def rig(self, kind: str, workers: int = 3) -> Rig:
        """An empty place with so many workers; close it."""
        if kind == "memory":
            return MemoryRig(workers)
        if kind == "sqlite":
            return SqliteRig(workers, self._sqlite())
        if kind == "mariadb":
            return MariadbRig(workers, self._mariadb(), self._patience)
        return PostgresRig(workers, *self._postgres(), self._patience)

    def renewed(self, rig: Rig) -> Rig:
        """An empty place of the same kind, with as many workers as *rig*, which is over."""
        if rig.kind == "postgres" and self._admin is not None:  # where connections are dear
            empty(self._admin)
            rig.turn(-rig.shift)
            for store in rig.stores:
                store.beat()
            return rig
        if rig.kind == "mariadb":
            self._mariadb()
            rig.turn(-rig.shift)
            for store in rig.stores:
                store.beat()
            return rig
        rig.close()
        return self.rig(rig.kind, len(rig.stores))

    def _sqlite(self) -> sqlalchemy.Engine:
        self._count += 1
        path = self._folder / f"{self._count}.db"
        shutil.copyfile(self._template, path)
        engine = sqlalchemy.create_engine(f"sqlite:///{path}")
        self._ends.callback(engine.dispose)
        return engine

    def _postgres(self) -> tuple[sqlalchemy.Engine, psycopg.Connection[Any]]:
        if self._admin is None or self._engine is None:
            url = self._url or self._ends.enter_context(fast_database())
            self._admin = psycopg.connect(url, autocommit=True)
            self._ends.callback(self._admin.close)
            self._engine = engine_for(url)
            self._ends.callback(self._engine.dispose)
        empty(self._admin)
        return self._engine, self._admin

    def _mariadb(self) -> sqlalchemy.Engine:
        if self._served is None:
            url = self._ends.enter_context(scratch_mariadb())
            open_store(url, create=True, lease=LEASE).close()
            self._served = engine_on(url)
            self._ends.callback(self._served.dispose)
        with self._served.begin() as db:
            # the place of an effect that is deleted is locked as a whole when the like of it comes
            db.exec_driver_sql("TRUNCATE TABLE tallystick_effect")
            for table in TABLES:
                db.exec_driver_sql(f"DELETE FROM tallystick_{table}")
        return self._served

    def close(self) -> None:
        """Let go of the databases."""
        self._ends.close()


def engine_for(url: str) -> sqlalchemy.Engine:
    """An engine as the ledger makes one itself."""
    ours = open_store(url, create=True, lease=LEASE)
    assert isinstance(ours, PostgresStore)
    return ours.engine


def empty(admin: psycopg.Connection[Any]) -> None:
    """Take everything out of the tables."""
    admin.execute("; ".join(f"DELETE FROM tallystick_{table}" for table in TABLES).encode())


@contextlib.contextmanager
def fast_database() -> Generator[str]:
    """A scratch database that does not wait for the disk: nobody pulls a plug here."""
    with scratch_database() as url:
        with psycopg.connect(url, autocommit=True) as db:
            name = sqlalchemy.make_url(url).database
            db.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off'.encode())
        yield url


@contextlib.contextmanager
def quick_folder(fallback: Path) -> Generator[Path]:
    """A folder in memory where there is one."""
    shm = Path("/dev/shm")  # noqa: S108 - looked at, not trusted
    if not os.access(shm, os.W_OK):
        yield fallback
        return
    folder = shm / f"tallystick-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def view(row: Row, names: Mapping[str, str]) -> _spec.Answer:
    """A row as the model would show it."""
    return (
        row.status,
        row.epoch,
        row.attempt,
        None if row.holder is None else names.get(row.holder, row.holder),
        row.result,
        row.result_note,
        _spec.message(row.error),
        row.edited,
        row.quorum,
        row.facts,
        row.events,
    )


def said(  # noqa: PLR0911 - one for each kind of answer
    act: AnyAct, answer: Any, names: Mapping[str, str] = _NOBODY
) -> _spec.Answer:
    """A store's answer as the model would give it."""
    if isinstance(answer, acts.Found):
        waits = isinstance(act, acts.Claim | acts.Ask)
        asks = isinstance(act, acts.Claim) and act.suspect != "run"
        return _found(answer, names, waits=waits, asks=asks)
    if isinstance(answer, acts.Decided):
        row = None if answer.row is None else view(answer.row, names)
        return ("refused", row) if answer.refusal is not None else ("ok", row, answer.votes)
    if isinstance(answer, Row):
        return view(answer, names)
    if isinstance(answer, _MONEY):
        return _money(answer, names)
    if isinstance(act, acts.History):
        return tuple(event.kind for event in answer)
    if answer is None:
        return None if isinstance(act, acts.Observe) else _spec.NOTHING
    return answer.how if isinstance(answer, acts.Settled) else answer


_MONEY = (spending.Reserved, spending.Reservation, Known, Figures)


def _money(answer: Any, names: Mapping[str, str]) -> _spec.Answer:
    if isinstance(answer, spending.Reserved):
        return _reserved(answer, names)
    if isinstance(answer, spending.Reservation):
        return held(answer, names)
    if isinstance(answer, Known):
        return ("known", answer.version, answer.terms)
    return ("figures", tuple(answer.weight), answer.limit)


def _reserved(answer: spending.Reserved, names: Mapping[str, str]) -> _spec.Answer:
    if answer.stale:
        return _spec.STALE
    if answer.refusal is not None:
        (demand, figures, _) = answer.refusal
        said_ = (demand.terms.name, demand.metric.value, demand.label)
        return ("refused", *said_, tuple(figures.weight), figures.limit)
    met = None if answer.found is None else _found(answer.found, names, waits=True)
    told = tuple(alert.kind for alert in answer.alerts)
    return ("reserved", answer.fresh, met, answer.iteration, told)


def held(row: spending.Reservation, names: Mapping[str, str] = _NOBODY) -> _spec.Answer:
    """A reservation as the model would show it."""
    parts = tuple(
        (bytes.fromhex(p.line), p.metric, p.amount, p.actual) for p in parts_of(row.parts)
    )
    holder, note = names.get(row.holder, row.holder), row.note and row.note.split()[0]
    facts = (row.cost, row.tokens, note)
    return (row.kind, row.session, row.iteration, row.state, holder, parts, *facts)


def _found(
    found: acts.Found, names: Mapping[str, str], *, waits: bool, asks: bool = False
) -> _spec.Answer:
    if found.fresh:
        assert found.row is not None
        return ("granted", view(found.row, names))
    if found.row is not None:
        alive = found.alive if found.row.status == "running" else None
        return ("found", view(found.row, names), alive)
    if found.halted:
        return _spec.HALTED
    if found.stale and not (asks and found.twin is not None):
        return _spec.STALE
    if found.twin is not None:
        return ("suspect", found.twin)
    return _spec.AGAIN if waits else _spec.NOTHING


def key_of(text: str) -> bytes:
    """A key, or the digest of a result."""
    return hashlib.sha256(text.encode()).digest()
