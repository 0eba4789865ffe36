"""A disk that is full, read-only, locked, or lies."""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import event

from tallystick import EffectInDoubt, Guarantee, Ledger, LedgerError, Policy, Status, _journal
from tallystick._flows import effects
from tallystick.errors import StoreBusy, StoreCorrupt, StoreError, StoreFull
from tallystick.stores import _locks
from tallystick.stores._sqlite import SqliteStore
from tallystick.testing import Witness
from tests.conftest import Face

pytestmark = pytest.mark.crash


class Disk:
    """A ledger's SQLite file on a disk whose faults are ours to choose."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"
        self.engine = sqlalchemy.create_engine(self.url)
        self._pragmas: list[str] = []
        self._open: list[sqlite3.Connection] = []
        event.listen(self.engine, "connect", self._connected)

    def _connected(self, connection: Any, _: object) -> None:
        self._open.append(connection)
        for pragma in self._pragmas:
            connection.execute(f"PRAGMA {pragma}")

    def say(self, pragma: str) -> None:
        """Tell every connection, present and future."""
        self._pragmas.append(pragma)
        for connection in self._open:
            try:
                connection.execute(f"PRAGMA {pragma}")
            except sqlite3.ProgrammingError:
                continue  # closed meanwhile

    def full(self) -> None:
        """Not one more page, unless it is given back."""
        with closing(sqlite3.connect(self.path)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (pages,) = db.execute("PRAGMA page_count").fetchone()
        self.say(f"max_page_count = {pages}")

    def roomy(self) -> None:
        """Somebody made room."""
        self.say("max_page_count = 1000000")


@pytest.fixture
def disk(tmp_path: Path) -> Generator[Disk]:
    """A disk in good health."""
    disk = Disk(tmp_path / "ledger.db")
    yield disk
    disk.engine.dispose()


def _charge(witness: Witness, size: int = 0) -> Callable[..., str]:
    def charge(order: str) -> str:
        witness.saw(order)
        return f"charged {order}" + "!" * size

    return charge


def _orders(ledger: Ledger, witness: Witness, orders: range, size: int = 0) -> None:
    for n in orders:
        ledger.call("charge", _charge(witness, size), {"order": str(n)}, workflow=f"w{n}")


def test_no_effect_starts_whose_claim_has_no_room(disk: Disk, face: Face, witness: Witness) -> None:
    with Ledger(disk.engine) as ledger:
        _orders(ledger, witness, range(3))
        disk.full()
        refused = 0
        for n in range(100, 200):
            args = {"order": str(n)}
            try:
                face.do(ledger, "call", "charge", _charge(witness), args, workflow=f"w{n}")
            except StoreFull:
                refused += 1
                assert witness.times(str(n)) == 0
        assert refused > 50
        disk.roomy()
        _orders(ledger, witness, range(3))
        _orders(ledger, witness, range(100, 200))
        assert set(witness.counts().values()) == {1}
        assert ledger.verify().sound


@pytest.mark.parametrize("guarantee", [Guarantee.AT_MOST_ONCE, Guarantee.IDEMPOTENT])
def test_a_result_without_room_is_recorded_once_there_is_some(
    disk: Disk, face: Face, witness: Witness, guarantee: Guarantee
) -> None:
    policy = Policy(guarantee=guarantee, wait=10)
    options: dict[str, Any] = {"workflow": "w", "policy": policy}

    def fill(order: str) -> str:
        disk.full()
        return _charge(witness, 100_000)(order)

    with Ledger(disk.engine) as ledger:
        with pytest.raises(EffectInDoubt) as caught:
            face.do(ledger, "call", "charge", fill, {"order": "A"}, **options)
        assert isinstance(caught.value.__cause__, StoreFull)
        disk.roomy()
        again = face.do(ledger, "call", "charge", _charge(witness), {"order": "A"}, **options)
        assert again.startswith("charged A!!!")
        assert ledger.pending() == []
    assert witness.times("A") == 1


def test_a_result_that_never_finds_room_is_shown_in_doubt(disk: Disk, witness: Witness) -> None:
    def fill(order: str) -> str:
        disk.full()
        return _charge(witness, 100_000)(order)

    with Ledger(disk.engine) as ledger, pytest.raises(EffectInDoubt):
        ledger.call("charge", fill, {"order": "A"}, workflow="w")
    disk.roomy()
    with Ledger(disk.url) as other:
        other.recover()
        assert [item.kind for item in other.pending()] == ["in_doubt"]
        other.resolve(other.effects()[0].key, by="ann", succeeded="charged A")
        assert other.call("charge", _charge(witness), {"order": "A"}, workflow="w") == "charged A"
    assert witness.times("A") == 1


def test_nothing_starts_on_a_disk_that_only_reads(disk: Disk, face: Face, witness: Witness) -> None:
    charge = _charge(witness)
    with Ledger(disk.engine) as ledger:
        _orders(ledger, witness, range(1))
        disk.say("query_only = ON")
        with pytest.raises(StoreFull, match="nothing was started"):
            face.do(ledger, "call", "charge", charge, {"order": "new"}, workflow="w")
        assert face.do(ledger, "call", "charge", charge, {"order": "0"}, workflow="w0")
        disk.say("query_only = OFF")
        assert face.do(ledger, "call", "charge", charge, {"order": "new"}, workflow="w")
    assert witness.counts() == {"0": 1, "new": 1}


def test_a_lock_held_for_too_long_is_a_typed_error_and_nothing_starts(
    disk: Disk, face: Face, witness: Witness
) -> None:
    with Ledger(SqliteStore(disk.engine, busy=0.3, owned=True)) as ledger:
        _orders(ledger, witness, range(1))
        with closing(sqlite3.connect(disk.path, isolation_level=None)) as rude:
            rude.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            with pytest.raises(StoreBusy):
                face.do(ledger, "call", "charge", _charge(witness), {"order": "1"}, workflow="w1")
            assert 0.2 < time.monotonic() - began < 5
            _orders(ledger, witness, range(1))  # what is recorded can be replayed
            rude.execute("ROLLBACK")
        _orders(ledger, witness, range(2))
    assert witness.counts() == {"0": 1, "1": 1}


def test_a_process_that_stands_still_in_the_gate_stops_others_for_a_while_only(
    disk: Disk, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_journal, "PATIENCE", 0.3)
    with Ledger(disk.engine) as ledger:
        _orders(ledger, witness, range(1))
        with Path(f"{disk.path}-workers", "gate").open("w") as gate:
            _locks.take(gate)
            with pytest.raises(StoreBusy):
                _orders(ledger, witness, range(1, 2))
            assert witness.times("1") == 0
            _locks.leave(gate)
        monkeypatch.undo()
        _orders(ledger, witness, range(2))
        assert {effect.status for effect in ledger.effects()} == {Status.SUCCEEDED}
    assert witness.counts() == {"0": 1, "1": 1}


# -- a disk that lies ---------------------------------------------------------------------------

ORDERS = range(25)


@pytest.fixture
def healthy(tmp_path: Path, witness: Witness) -> Path:
    """A ledger's file with some effects in it, closed."""
    path = tmp_path / "healthy.db"
    with Ledger(f"sqlite:///{path}") as ledger:
        _orders(ledger, witness, ORDERS, size=100)
    return path


def _read_back(path: Path) -> Counter[str]:
    """Replay everything from a damaged file: what came of it, by kind; a lie fails at once."""
    found: Counter[str] = Counter()

    def charge(order: str) -> str:
        found["performed"] += 1
        return f"charged {order}" + "!" * 100

    try:
        engine = sqlalchemy.create_engine(f"sqlite:///{path}", connect_args={"timeout": 0.1})
        with Ledger(SqliteStore(engine, busy=0.1, owned=True)) as ledger:
            for n in ORDERS:
                try:
                    value = ledger.call("charge", charge, {"order": str(n)}, workflow=f"w{n}")
                except LedgerError as error:
                    found[type(error).__name__] += 1
                else:
                    found["told"] += 1
                    assert value == f"charged {n}" + "!" * 100
            ledger.verify()
            ledger.effects()
    except LedgerError as error:
        found[f"all {type(error).__name__}"] += 1
    return found


def test_a_damaged_page_is_never_replayed_as_something_else(
    healthy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effects, "_RIVALS", 3)  # an index and its table at odds look like a rival
    chance, found = random.Random(7), Counter[str]()
    whole = healthy.read_bytes()
    for _ in range(150):
        data = bytearray(whole)
        start = chance.randrange(100, len(data))
        for at in range(start, min(start + chance.choice([1, 8, 200, 4096]), len(data))):
            data[at] = chance.randrange(256)
        damaged = tmp_path / "damaged.db"
        damaged.write_bytes(data)
        found += _read_back(damaged)
        _remove(damaged)
    print(f"of {150 * len(ORDERS)} replays: {dict(found)}")
    assert found["told"] > 0
    assert found["StoreCorrupt"] + found["DamagedRecord"] + found["all StoreCorrupt"] > 0


def test_a_damaged_result_is_refused_by_its_digest(healthy: Path, witness: Witness) -> None:
    with closing(sqlite3.connect(healthy, isolation_level=None)) as db:
        db.execute("""UPDATE tallystick_effect SET result = replace(result, '!', '?')""")
    with Ledger(f"sqlite:///{healthy}") as ledger:
        with pytest.raises(LedgerError, match="digest"):
            _orders(ledger, witness, ORDERS)
        assert len(ledger.verify().damage) == len(ORDERS)
    assert set(witness.counts().values()) == {1}


def test_a_log_cut_anywhere_tells_no_lies(tmp_path: Path, witness: Witness) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(f"sqlite:///{path}") as ledger:
        _orders(ledger, witness, ORDERS, size=100)
        data, log = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    assert len(log) > 50_000
    chance, found = random.Random(7), Counter[str]()
    for n in range(80):
        cut = tmp_path / "cut.db"
        cut.write_bytes(data)
        torn = bytearray(log[: chance.randrange(len(log))])
        if n % 2 and torn:
            torn[chance.randrange(len(torn))] ^= 0xFF
        Path(f"{cut}-wal").write_bytes(torn)
        found += _read_back(cut)
        _remove(cut)
    print(f"of {80 * len(ORDERS)} replays: {dict(found)}")
    assert found["told"] == 80 * len(ORDERS) - sum(
        times for what, times in found.items() if what not in {"told", "performed"}
    )


def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"certainly not a database, " * 1000)
    with pytest.raises(StoreCorrupt):
        Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")


def test_a_folder_in_place_of_the_file_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").mkdir()
    with pytest.raises(StoreError):
        Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    shutil.rmtree(f"{path}-workers", ignore_errors=True)
