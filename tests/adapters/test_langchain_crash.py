"""A real agent, a real bank, kill -9 in the middle, and one charge in the bank's book."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tallystick import Ledger, Status
from tests.adapters.processes import ENVIRON, HERE, ROOT

pytestmark = pytest.mark.crash

AGENT = [sys.executable, "-m", "tests.adapters.crashing_agent"]
DOUBT = 3

faces = pytest.mark.parametrize("face", [[], ["--asynchronous"]], ids=["sync", "async"])

Start = Callable[[list[str]], tuple[int, str]]


@dataclass
class World:
    """A bank, and the place where an agent keeps its things."""

    place: Path
    url: str
    start: Start

    def agent(self, *options: str) -> tuple[int, str]:
        """Start the agent; how it ended and what it said."""
        return self.start([str(self.place), self.url, *options])

    def killed(self, *options: str) -> None:
        """Start the agent, which is killed."""
        code, said = self.agent(*options)
        assert code == -signal.SIGKILL, said

    def finished(self, *options: str) -> str:
        """Start the agent, and return its last word."""
        code, said = self.agent(*options)
        assert code == 0, said
        return said.strip()

    def stopped(self, *options: str) -> str:
        """Start the agent, which stops in doubt, and return the key."""
        code, said = self.agent(*options)
        assert code == DOUBT, said
        return said.strip()

    def charges(self) -> list[str]:
        """What the bank's book says."""
        book = sqlite3.connect(self.place / "book.db")
        try:
            return [row[0] for row in book.execute("SELECT seen FROM charges ORDER BY id")]
        finally:
            book.close()

    def ledger(self) -> Ledger:
        """The agent's ledger, looked at by another process."""
        return Ledger(f"sqlite:///{self.place / 'ledger.db'}")


def alone(arguments: list[str]) -> tuple[int, str]:
    """A process that is started from nothing."""
    ended = subprocess.run(
        [*AGENT, *arguments], cwd=ROOT, env=ENVIRON, capture_output=True, timeout=50, check=False
    )
    return ended.returncode, (ended.stdout or ended.stderr).decode()


@pytest.fixture(scope="module")
def nursery() -> Iterator[Start]:
    """Processes forked from one that has imported everything."""
    command = [*AGENT, "--nursery"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, env=ENVIRON, text=True, stdin=pipe, stdout=pipe
    ) as mother:
        asked, told = mother.stdin, mother.stdout
        assert asked is not None
        assert told is not None

        def start(arguments: list[str]) -> tuple[int, str]:
            print(json.dumps(arguments), file=asked, flush=True)
            ended = json.loads(told.readline())
            return ended["code"], ended["said"]

        try:
            yield start
        finally:
            mother.kill()


@pytest.fixture
def world(tmp_path: Path, nursery: Start) -> Iterator[World]:
    server = [sys.executable, str(HERE / "payment_server.py"), str(tmp_path / "book.db")]
    with subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as bank:
        assert bank.stdout is not None
        try:
            yield World(tmp_path, f"http://127.0.0.1:{int(bank.stdout.readline())}", nursery)
        finally:
            bank.kill()


def test_killed_and_started_anew_it_is_charged_once(world: World) -> None:
    world.start = alone
    world.killed("--guarantee", "idempotent", "--die", "after")
    assert world.charges() == ["A-1"]
    assert world.finished("--guarantee", "idempotent") == "charged A-1 as ch_1"
    assert world.charges() == ["A-1"]


@faces
@pytest.mark.parametrize("guarantee", ["idempotent", "reconcile"])
def test_killed_after_the_charge_it_is_charged_once(
    guarantee: str, face: list[str], world: World
) -> None:
    options = ["--guarantee", guarantee, *face]
    world.killed(*options, "--die", "after")
    assert world.charges() == ["A-1"]
    assert world.finished(*options) == "charged A-1 as ch_1"
    assert world.charges() == ["A-1"]
    with world.ledger() as ledger:
        [effect] = ledger.effects()
        assert (effect.status, effect.workflow) == (Status.SUCCEEDED, "order A-1")
        assert ledger.pending() == []
        assert ledger.verify().sound


@faces
def test_killed_after_the_charge_a_person_says_what_happened(face: list[str], world: World) -> None:
    world.killed("--die", "after", *face)
    key = world.stopped(*face)
    with world.ledger() as ledger:
        [item] = ledger.pending()
        assert (item.kind, item.effect.key) == ("in_doubt", key)
        assert item.effect.args == {"order": "A-1", "cents": 500}
        [charged] = world.charges()
        ledger.resolve(item.effect.key, by="ann", succeeded=f"charged {charged}, says the book")
    assert world.finished(*face) == "charged A-1, says the book"
    assert world.charges() == ["A-1"]


def test_killed_before_the_charge_a_person_says_that_it_did_not_happen(world: World) -> None:
    world.killed("--die", "before")
    assert world.charges() == []
    key = world.stopped()
    with world.ledger() as ledger:
        ledger.resolve(key, by="ann", failed="not in the book")
    assert world.finished() == "charged A-1 as ch_1"
    assert world.charges() == ["A-1"]


def test_killed_before_the_charge_the_probe_finds_nothing_and_it_is_made(world: World) -> None:
    world.killed("--guarantee", "reconcile", "--die", "before")
    assert world.finished("--guarantee", "reconcile") == "charged A-1 as ch_1"
    assert world.charges() == ["A-1"]


def test_killed_between_record_and_checkpoint_the_result_is_replayed(world: World) -> None:
    world.killed("--die", "recorded")
    assert world.finished() == "charged A-1 as ch_1"
    assert world.charges() == ["A-1"]


def test_an_agent_without_checkpoints_charges_an_order_once_by_its_identity(world: World) -> None:
    options = ["--guarantee", "idempotent", "--forgetful"]
    world.killed(*options, "--die", "after")
    assert world.finished(*options) == "charged A-1 as ch_1"
    assert world.finished(*options) == "charged A-1 as ch_1"
    assert world.charges() == ["A-1"]


def test_without_the_ledger_the_same_kill_charges_twice(world: World) -> None:
    world.killed("--unprotected", "--die", "after")
    world.finished("--unprotected")
    assert world.charges() == ["A-1", "A-1"]
