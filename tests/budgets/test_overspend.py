"""A budget for one: whoever asks at the same time, one is paid and not a billionth too much."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tallystick import Ledger
from tallystick.testing import Witness
from tests.budgets import _rivals as rivals
from tests.conftest import Place

ROOT = Path(__file__).parents[2]
#: as in S30
CALLS = 40
PROCESSES = 16
#: of each process
THREADS = 3

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.budgets._rivals"])

durable = pytest.mark.parametrize("place", ["sqlite", "postgres"], indirect=True)
kinds = pytest.mark.parametrize("kind", rivals.KINDS)


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    """Somebody outside who counts what was really paid."""
    return Witness(tmp_path / "witness")


def one_was_paid(ledger: Ledger, kind: str, told: list[str], witness: Witness) -> None:
    """Exactly one, by the witness, by what callers were told, and by what is charged."""
    assert Counter(told) == {"paid": 1, "refused": len(told) - 1}
    assert witness.times(f"paid {kind}") == 1
    charged = {(line.budget, line.metric): line for line in ledger.budgets()}
    for name in rivals.KINDS[kind]:
        for (budget, metric), paid in rivals.PAID.items():
            if budget == name:
                line = charged[budget, metric]
                assert (line.spent, line.reserved, line.unreconciled) == (paid, 0, 0)
    assert ledger.verify().sound


@kinds
def test_of_forty_threads_one_is_paid(place: Place, kind: str, witness: Witness) -> None:
    """Money, tokens, requests, values among arguments; nested ones all or none."""
    ledger = place.open()
    rivals.declare(ledger)
    told = rivals.at_once(ledger, kind, 0, CALLS, witness)
    one_was_paid(ledger, kind, told, witness)


@kinds
def test_of_forty_tasks_one_is_paid(place: Place, kind: str, witness: Witness) -> None:
    ledger = place.open()
    rivals.declare(ledger)
    told = rivals.side_by_side(ledger, kind, CALLS, witness)
    one_was_paid(ledger, kind, told, witness)


@durable
def test_of_sixteen_processes_one_is_paid(place: Place, witness: Witness) -> None:
    """Each with several threads, for each sort of limit."""
    ledger = place.open()
    rivals.declare(ledger)
    pipes = [_FORKS.Pipe() for _ in range(PROCESSES)]
    running = [
        _FORKS.Process(
            target=rivals.process, args=(theirs, place.url, witness.path, n, THREADS), daemon=True
        )
        for n, (_, theirs) in enumerate(pipes)
    ]
    for process in running:
        process.start()
    ours = [pipe for pipe, _ in pipes]
    assert [pipe.recv() for pipe in ours] == ["ready"] * PROCESSES
    for kind in rivals.KINDS:
        for pipe in ours:
            pipe.send(kind)
        told = [said for pipe in ours for said in pipe.recv()]
        one_was_paid(ledger, kind, told, witness)
    for pipe in ours:
        pipe.send("")
    for process in running:
        process.join(30)
        assert process.exitcode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_killed_at_any_moment_nothing_is_overspent_and_nothing_forgotten(store: str) -> None:
    """A short storm; ``python -m tests.budgets.storm`` is the long one."""
    told = subprocess.run(
        [sys.executable, "-m", "tests.budgets.storm", "--store", store, "--kills", "12", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(told.stdout)
    assert report["broken"] == [], told.stderr
    assert report["storms"][0]["paid"] > 20
