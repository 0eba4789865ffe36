"""Bookings that are killed at random while they are made and while they are undone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("store", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_no_kill_of_a_booking_undoes_twice_or_not_at_all(store: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.saga_storm", "--kills", "4", "--store", store],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    told = json.loads(done.stdout)
    print(f"seed {told['seed']}")
    assert (told["storms"][0]["kills"], told["storms"][0]["flaws"]) == (4, [])
