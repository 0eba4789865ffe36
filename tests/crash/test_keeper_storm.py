"""Processes that keep records, killed at random while they forget, seal and carry away."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ._keepers_world import Report

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
KILLS = 6


@pytest.mark.parametrize("store", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_no_kill_of_those_who_keep_records_loses_one_or_repeats_an_effect(store: str) -> None:
    command = [sys.executable, "-m", "tests.crash.keeper_storm", "--json", "--store", store]
    done = subprocess.run(
        [*command, "--kills", str(KILLS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    told = json.loads(done.stdout)
    report = Report(**told["storms"][0])
    print(f"seed {told['seed']}: {report.effects} effects, {report.retained} tombstones")
    assert (report.kills, report.flaws) == (KILLS, [])
    assert report.effects
    assert report.seals
