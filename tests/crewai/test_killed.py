"""A crew that is killed, and kicked off again by its workflow's name, does each thing once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.crewai._nursery import Nursery

#: every point with TALLYSTICK_MATRIX=both, as for `make crash`
STEP = 1 if os.environ.get("TALLYSTICK_MATRIX") == "both" else 12


@pytest.mark.crash
@pytest.mark.timeout(300)
def test_a_killed_crew_does_each_thing_once(nursery: Nursery, tmp_path: Path) -> None:
    """On both of CrewAI's paths to a tool."""
    ended = nursery.run(["-m", "tests.crewai._mortal", str(tmp_path), str(STEP)])
    assert ended.returncode == 0, ended.stderr
    kills = json.loads(ended.stdout.splitlines()[-1])
    assert min(kills) >= 12 // STEP
