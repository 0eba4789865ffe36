"""
Concurrent histories of every store, checked against the sequential model, effect by effect.

``TALLYSTICK_HISTORIES=1000`` is the long run.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.model._checker import explain, linearizable
from tests.model._faults import FAULTS, Fault, Faulty
from tests.model._histories import KEYS, History
from tests.model._rigs import KINDS, Bench, fast_database, quick_folder

HISTORIES = int(os.environ.get("TALLYSTICK_HISTORIES", "150"))
WORKERS = 3
#: with this many histories a fault of a store must have shown itself
TRIES = 400


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """Databases for all histories."""
    with quick_folder(Path.cwd()) as folder, fast_database() as url:
        bench = Bench(folder, url)
        yield bench
        bench.close()


@pytest.fixture(autouse=True)
def _hurried() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    """Threads take turns often, so that histories are concurrent where nothing waits."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.timeout(max(120, HISTORIES * 2))
@pytest.mark.parametrize("kind", KINDS)
def test_every_concurrent_history_could_have_happened_one_by_one(bench: Bench, kind: str) -> None:
    """Claims, settles, decisions, starts, doubts, halts and deaths from threads and tasks."""
    first = random.randrange(1 << 30)
    for seed in range(first, first + HISTORIES // len(KINDS)):
        rig = bench.rig(kind, WORKERS)
        history = History(rig, seed)
        try:
            history.run()
            for key in KEYS:
                ops = history.of(key)
                assert linearizable(ops, history.start), f"seed {seed}\n{explain(ops)}"
            assert rig.flaws() == []
        finally:
            rig.close()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_checker_finds_a_store_that(bench: Bench, fault: Fault) -> None:
    """A checker that has never found anything proves nothing: here are stores that are wrong."""
    for seed in range(TRIES):
        rig = bench.rig("memory", WORKERS)
        history = History(rig, seed, lambda store: Faulty(store, fault))
        try:
            history.run()
            if not all(linearizable(history.of(key), history.start) for key in KEYS):
                return
        finally:
            rig.close()
    pytest.fail(f"{TRIES} histories of a store that {fault.name.replace('_', ' ')} looked right")
