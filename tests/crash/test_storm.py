"""A short storm on each store, and processes that were only slow."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from tallystick import EffectInDoubt, Guarantee, Ledger, Status
from tallystick.errors import StillRunning
from tallystick.testing import Witness
from tests._storms import StoreName

from ._freezing import LEASE, policy
from .storm import Report

pytestmark = pytest.mark.crash

ROOT = Path(__file__).parents[2]
SECONDS = 10


@pytest.mark.storm
@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_no_kill_at_any_moment_breaks_a_promise(store: StoreName) -> None:
    command = [sys.executable, "-m", "tests.crash.storm", "--json", "--store", store]
    done = subprocess.run(
        [*command, "--seconds", str(SECONDS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=140,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    report = Report(**told["storms"][0])
    print(f"{store}: {report.kills} kills, {report.effects} effects, seed {told['seed']}")
    assert report.broken() == []
    assert report.in_doubt <= report.kills
    assert report.kills >= 2 * SECONDS
    assert report.effects >= 50 * SECONDS  # some hundred per second, unless the machine is busy
    assert min(report.of_kind.get(kind, 0) for kind in "uirt") > 0


# -- slow, not dead -----------------------------------------------------------------------------


@contextlib.contextmanager
def _frozen(
    url: str, witness: Witness, guarantee: Guarantee, point: str
) -> Generator[Callable[[], str]]:
    """A process that stands still at *point*; the way to let it go on and hear what it got."""
    command = [sys.executable, "-m", "tests.crash._freezing"]
    process = subprocess.Popen(
        [*command, url, str(witness.path), guarantee, point],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)

        def thaw() -> str:
            process.send_signal(signal.SIGCONT)
            said, _ = process.communicate(timeout=30)
            return said.strip()

        yield thaw
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _charge(witness: Witness) -> Callable[..., str]:
    def charge(order: str) -> str:
        witness.saw("charged")
        return "other"

    return charge


@pytest.fixture
def other(empty_postgres: str) -> Generator[Ledger]:
    """Another process's ledger."""
    with Ledger(empty_postgres, lease=LEASE) as ledger:
        yield ledger


def _call(ledger: Ledger, witness: Witness, guarantee: Guarantee) -> Any:
    options = {"workflow": "w", "policy": policy(guarantee, witness)}
    return ledger.call("charge", _charge(witness), {"order": "A"}, **options)  # type: ignore[arg-type]


def _kinds(ledger: Ledger) -> list[str]:
    return [event.kind for event in ledger.history(ledger.effects()[0].key)]


@pytest.mark.postgres
def test_a_frozen_holder_leaves_a_doubt_and_resolves_it_late(
    other: Ledger, empty_postgres: str, witness: Witness
) -> None:
    guarantee = Guarantee.AT_MOST_ONCE
    with _frozen(empty_postgres, witness, guarantee, "tool.before") as thaw:
        time.sleep(LEASE)
        with pytest.raises(EffectInDoubt):
            _call(other, witness, guarantee)
        assert [item.kind for item in other.pending()] == ["in_doubt"]
        assert thaw() == "frozen"
    assert other.effects()[0].status is Status.SUCCEEDED
    assert _call(other, witness, guarantee) == "frozen"
    assert witness.times("charged") == 1
    assert other.pending() == []
    assert _kinds(other) == ["in_doubt", "settled_late"]


@pytest.mark.postgres
def test_a_holder_frozen_before_its_tool_began_does_not_begin_it_any_more(
    other: Ledger, empty_postgres: str, witness: Witness
) -> None:
    guarantee = Guarantee.AT_MOST_ONCE
    with _frozen(empty_postgres, witness, guarantee, "Claim.committed") as thaw:
        time.sleep(LEASE)
        with pytest.raises(EffectInDoubt):
            _call(other, witness, guarantee)
        key = other.effects()[0].key
        other.resolve(key, by="ann", failed="nobody was charged")
        assert _call(other, witness, guarantee) == "other"
        assert thaw() == "other"
    assert witness.times("charged") == 1


@pytest.mark.postgres
def test_what_a_frozen_holder_says_after_it_was_taken_over_is_evidence_only(
    other: Ledger, empty_postgres: str, witness: Witness
) -> None:
    guarantee = Guarantee.IDEMPOTENT
    with _frozen(empty_postgres, witness, guarantee, "tool.after") as thaw:
        time.sleep(LEASE)
        assert _call(other, witness, guarantee) == "other"
        assert thaw() == "other"
    effect = other.effects()[0]
    assert (effect.status, effect.epoch, effect.result) == (Status.SUCCEEDED, 2, "other")
    assert _kinds(other)[-1] == "observed"
    assert other.verify().sound


@pytest.mark.postgres
def test_a_probe_that_sees_nothing_waits_for_the_frozen_holder(
    other: Ledger, empty_postgres: str, witness: Witness
) -> None:
    guarantee = Guarantee.RECONCILE
    with _frozen(empty_postgres, witness, guarantee, "tool.before") as thaw:
        time.sleep(LEASE)
        with pytest.raises(EffectInDoubt, match="counts in"):
            _call(other, witness, guarantee)
        assert thaw() == "frozen"
    assert _call(other, witness, guarantee) == "frozen"
    assert witness.times("charged") == 1


def test_a_stopped_process_is_never_taken_for_dead_on_sqlite(
    tmp_path: Path, witness: Witness
) -> None:
    url, guarantee = f"sqlite:///{tmp_path / 'ledger.db'}", Guarantee.AT_MOST_ONCE
    with Ledger(url) as other:
        with _frozen(url, witness, guarantee, "tool.before") as thaw:
            with pytest.raises(StillRunning):
                _call(other, witness, guarantee)
            assert other.recover() == 0
            assert other.pending() == []
            assert thaw() == "frozen"
        assert _call(other, witness, guarantee) == "frozen"
        assert _kinds(other) == []
    assert witness.times("charged") == 1
