"""One place to keep effects, in every store; two faces; nothing left open."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tallystick import Ledger
from tallystick.testing import Witness, crash, turn_clock

from ._mariadb import execute, scratch_mariadb
from ._postgres import scratch_database
from ._sqlite import empty_database
from ._warm import Warm

TABLES = (
    "effect, event, inbox, vote, halt, worker, checkpoint, blob, write, tombstone, budget, "
    "standing, line, use, reservation, raise, session, alert, datakey"
)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected stays until the end: the collector need not look at it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


class Place:
    """Somewhere that several ledgers (processes, as it were) share."""

    def __init__(self, kind: str, url: str) -> None:
        self.kind = kind
        self.url = url
        self.lease = 1.0 if kind == "postgres" else 15.0
        self._open: list[Ledger] = []

    def open(self, **options: Any) -> Ledger:
        """One more ledger here; closed at the end of the test."""
        options.setdefault("lease", self.lease)
        ledger = Ledger(self.url, create=True, **options)
        self._open.append(ledger)
        return ledger

    def crash(self, ledger: Ledger) -> None:
        """End a ledger like a killed process, and let its lease run out for the others."""
        crash(ledger)
        self._open.remove(ledger)
        if self.kind == "postgres":
            for other in self._open:
                turn_clock(other, self.lease + 0.1)

    def reopen(self, **options: Any) -> Ledger:
        """A ledger that starts when all dead ones count as dead."""
        ledger = self.open(**options)
        if self.kind == "postgres":
            turn_clock(ledger, self.lease + 0.1)
        return ledger

    def close(self) -> None:
        """Close every ledger that is still open."""
        while self._open:
            self._open.pop().close()


class Face:
    """The blocking or the awaiting half of a ledger's verbs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.awaiting = name == "awaiting"

    def do(self, ledger: Ledger, verb: str, *args: Any, **options: Any) -> Any:
        """Call ``ledger.verb(…)``, or run ``ledger.averb(…)`` in an event loop of its own."""
        if not self.awaiting:
            return getattr(ledger, verb)(*args, **options)

        async def main() -> Any:
            return await getattr(ledger, f"a{verb}")(*args, **options)

        return asyncio.run(main())


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """One database for all tests of this worker; emptied before each."""
    with scratch_database() as url:
        Ledger(url, create=True).close()
        yield url


@pytest.fixture
def empty_postgres(postgres_url: str) -> str:
    """The URL of a PostgreSQL database with empty tables."""
    # a TRUNCATE makes new files, which takes twenty times as long
    deletes = [f"DELETE FROM tallystick_{name}" for name in TABLES.split(", ")]
    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute("; ".join(deletes).encode())
    return postgres_url


@pytest.fixture(scope="session")
def mariadb_url() -> Iterator[str]:
    """One database for all tests of this worker; emptied before each."""
    with scratch_mariadb() as url:
        Ledger(url, create=True).close()
        yield url


@pytest.fixture
def empty_mariadb(mariadb_url: str) -> str:
    """The URL of a MariaDB database with empty tables."""
    deletes = [f"DELETE FROM tallystick_{name}" for name in TABLES.split(", ")]
    execute("BEGIN", *deletes, "COMMIT", database=mariadb_url.rpartition("/")[2])
    return mariadb_url


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Every store, one after the other."""
    kind = str(request.param)
    url = {
        "memory": lambda: f"memory://{uuid.uuid4().hex}",
        "sqlite": lambda: empty_database(tmp_path),
        "postgres": lambda: str(request.getfixturevalue("empty_postgres")),
    }[kind]()
    place = Place(kind, url)
    keep = place.open() if kind == "memory" else None  # a shelf lives as long as somebody uses it
    yield place
    place.close()
    assert keep is None or keep.tenant == "default"


#: from one kind of store to another one
JOURNEYS = [
    pytest.param("sqlite-memory"),
    pytest.param("sqlite-postgres", marks=pytest.mark.postgres),
    pytest.param("postgres-sqlite", marks=pytest.mark.postgres),
    pytest.param("memory-postgres", marks=pytest.mark.postgres),
]


@pytest.fixture(params=JOURNEYS)
def journey(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Ledger, Ledger]]:
    """A ledger, and an empty one on another kind of store."""

    def url(kind: str) -> str:
        if kind == "postgres":
            return str(request.getfixturevalue("empty_postgres"))
        return "memory://" if kind == "memory" else f"sqlite:///{tmp_path / 'journey.db'}"

    here, there = map(url, str(request.param).split("-"))
    with Ledger(here, create=True) as one, Ledger(there, create=True) as other:
        yield one, other


@pytest.fixture(params=["blocking", "awaiting"])
def face(request: pytest.FixtureRequest) -> Face:
    """Both faces of every verb."""
    return Face(str(request.param))


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    """Somebody outside who counts."""
    return Witness(tmp_path / "witness")


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    """Every thread that a ledger started has an end."""
    before = {t for t in threading.enumerate() if t.name.startswith("tallystick")}
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("tallystick") and thread not in before:
            thread.join(3.0)
            assert not thread.is_alive(), f"{thread.name} is still running (pid {os.getpid()})"


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """Processes that need not import the frameworks first."""
    frameworks = ["langchain.agents", "autogen_agentchat.agents", "autogen_agentchat.teams"]
    stores = ["sqlmodel", "alembic.autogenerate", "sqlalchemy.dialects.sqlite"]
    ours = ["autogen", "langchain", "langgraph"]
    with Warm(*frameworks, *stores, *[f"tallystick_{name}" for name in ours]) as warm:
        yield warm
