"""A short storm through graphs on each store, and what it would do without the ledger."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ._storm_judge import Report

pytestmark = pytest.mark.crash

ROOT = Path(__file__).parents[2]


def storm(*options: str) -> list[Report]:
    """What storms in a process of their own say."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.langgraph.storm", "--json", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=140,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    print(f"seed {told['seed']}")
    return [Report(**one) for one in told["storms"]]


@pytest.mark.storm
@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.timeout(150)
def test_no_kill_of_an_agent_repeats_or_loses_an_effect() -> None:
    reports = storm("--kills", "12", "--store", "both")
    assert [report.store for report in reports] == ["sqlite", "postgres"]
    for report in reports:
        assert report.broken() == []
        assert report.kills == 12
        assert report.threads >= 8
        assert report.intended >= 5 * report.threads  # else there was nothing to repeat
        assert report.resumed > 0


@pytest.mark.storm
@pytest.mark.slow
@pytest.mark.timeout(150)
def test_the_same_storm_without_the_ledger_repeats_effects() -> None:
    [report] = storm("--kills", "20", "--store", "sqlite", "--unprotected")
    assert report.kills == 20
    assert report.twice > 0
