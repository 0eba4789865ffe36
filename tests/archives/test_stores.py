"""S43: what was exported replays on every store, and is exported again as it was."""

from __future__ import annotations

import asyncio
import io
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tallystick import EffectFailed, Ledger, NotApplied, Policy
from tallystick._archive import _reading, _spool
from tests.conftest import Face, Place

from .conftest import exported, fill, receipt


@dataclass(frozen=True)
class Receipt:
    """What a tool returns."""

    number: int
    cents: Decimal
    at: datetime


def pay(order: str, n: int) -> Receipt:
    """A tool with a result that JSON has no word for."""
    return Receipt(n, Decimal("1.50"), datetime(2026, 1, n, tzinfo=UTC))


def never(order: str, n: int) -> Receipt:
    """The same tool in a replay."""
    raise AssertionError("it ran a second time")


def work(ledger: Ledger, tool: Any) -> list[Any]:
    """A workflow: payments, one of them asked for twice, and a refusal."""
    with ledger.workflow("order-42"):
        found = [ledger.call("pay", tool, {"order": "A", "n": n}) for n in (1, 2, 3, 2)]
        found.append(ledger.call("pay", tool, {"order": "A", "n": 1}, call_id="again"))

        def refuse() -> None:
            raise NotApplied("declined")

        with pytest.raises((NotApplied, EffectFailed), match="declined"):
            ledger.call("refuse", refuse)
    return found


def lines(ledger: Ledger) -> list[bytes]:
    """What an archive says of the effects."""
    return exported(ledger).splitlines()[1:-1]


@pytest.mark.postgres
def test_a_workflow_goes_round_all_stores(tmp_path: Path, empty_postgres: str, face: Face) -> None:
    """SQLite, memory, PostgreSQL and SQLite: equal results, equal lines, no tool runs."""
    first = Ledger(f"sqlite:///{tmp_path / 'first.db'}")
    results = work(first, pay)
    fill(first)
    archive, wanted = tmp_path / "archive", lines(first)
    face.do(first, "export", archive, workflow="order-42")
    mine = [line for line in wanted if b"order-42" in line]
    first.close()
    for url in (
        f"memory://{uuid.uuid4().hex}",
        empty_postgres,
        f"sqlite:///{tmp_path / 'last.db'}",
    ):
        with Ledger(url, create=True) as ledger:
            assert face.do(ledger, "load", archive).imported == len(mine) == 5
            assert work(ledger, never) == results
            assert lines(ledger) == mine
            face.do(ledger, "export", archive)
            assert ledger.verify().sound


def test_an_export_is_whole_while_calls_go_on(place: Place) -> None:
    """Each archive is sound by itself, and holds what was done before it began."""
    ledger, stop, done = place.open(), threading.Event(), list[str]()

    def ask() -> None:
        for n in range(10_000):
            if stop.is_set():
                return
            ledger.ask("pay", {"n": n}, workflow="w", policy=Policy(approval=True))
            key = ledger.effects(limit=1)[0].key
            ledger.approve(key, by="ann")
            done.append(key)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for _ in range(4):
            before = len(done)
            time.sleep(0.05)
            with Ledger("memory://") as other:
                assert other.load(io.BytesIO(exported(ledger))).effects >= before
                assert other.verify().sound
                assert len(other.pending()) == len(other.effects())
    finally:
        stop.set()
        thread.join()
    assert done


def test_two_may_import_the_same_at_once(place: Place) -> None:
    """Each record is written by one of them, and known to the other."""
    with Ledger("memory://") as other:
        for n in range(300):
            other.call("charge", receipt, {"n": n}, workflow=f"w{n % 7}")
        fill(other)
        archive, wanted = exported(other), lines(other)
    ledgers, loaded = [place.open() for _ in range(3)], list[Any]()

    async def main() -> None:
        tasks = [ledger.aload(io.BytesIO(archive)) for ledger in ledgers]
        loaded.extend(await asyncio.gather(*tasks))

    asyncio.run(main())
    assert sum(each.imported for each in loaded) == 305
    assert {each.imported + each.known for each in loaded} == {305}
    arrived = lines(ledgers[0])
    assert len(arrived) == 305
    assert sum(a == b for a, b in zip(arrived, wanted, strict=True)) >= 303


@pytest.mark.parametrize("rest", [1, 3, 4])
def test_an_import_goes_on_behind_what_is_here_already(
    place: Place, face: Face, rest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole batches of it may be known; what comes after them is imported all the same."""
    monkeypatch.setattr(_reading, "EFFECTS", 2)
    monkeypatch.setattr(_spool, "TOGETHER", 2)
    with Ledger("memory://") as other:
        for n in range(7 - rest):
            other.call("charge", receipt, {"n": n}, workflow="w")
        part = exported(other)
        for n in range(7 - rest, 7):
            other.call("charge", receipt, {"n": n}, workflow="w")
        whole, wanted = exported(other), lines(other)
    ledger = place.open()
    assert ledger.load(io.BytesIO(part)).imported == 7 - rest
    done = face.do(ledger, "load", io.BytesIO(whole))
    assert (done.effects, done.imported, done.known) == (7, rest, 7 - rest)
    assert lines(ledger) == wanted


@pytest.mark.crash
@pytest.mark.parametrize("store", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_an_import_that_is_killed_is_done_again(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Killed at random moments until it comes to its end: nothing is lost, nothing is twice."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    if store == "postgres":
        url = str(request.getfixturevalue("empty_postgres"))
    Ledger(url, create=True).close()
    file = tmp_path / "archive.jsonl"
    with Ledger("memory://") as other:
        for n in range(4000):
            other.call("charge", receipt, {"n": n}, workflow="w")
        other.export(file)
        wanted = lines(other)
    command = [sys.executable, "-m", "tallystick.cli", "import", str(file), "--ledger", url]
    chance, killed = random.Random(store), 0
    for _ in range(4):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            process.wait(0.7 + chance.random())
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
    with Ledger(url) as ledger:
        last = ledger.load(file)
        assert last.imported + last.known == 4000
        assert lines(ledger) == wanted
        assert ledger.verify().sound
    assert killed
