"""The example of a crew: asked, approved, killed, and gone on with."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crewai._nursery import Nursery

EXAMPLE = str(Path(__file__).parents[2] / "examples" / "crew.py")


@pytest.mark.timeout(120)
def test_a_crew_is_killed_and_goes_on(nursery: Nursery, tmp_path: Path) -> None:
    """Four processes; the bank has one payment, and one letter was sent."""

    def run(*words: str, code: int = 0) -> str:
        done = nursery.run(list(words), tmp_path)
        assert done.returncode == code, done.stderr
        return done.stdout

    cold = subprocess.run(
        [sys.executable, EXAMPLE],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert cold.returncode == 0, cold.stderr
    asked = cold.stdout
    assert "has to be approved" in asked
    _, *words = shlex.split(asked[asked.index("tallystick approve") :])
    assert "approved" in run("-m", "tallystick.cli", *words, "--yes")
    run(EXAMPLE, "--kill", code=-signal.SIGKILL)
    assert not (tmp_path / "letters.txt").exists()
    assert "pay: paid 120.00 for 7\npost: sent to ann\n" in run(EXAMPLE)
    assert [paid.read_text() for paid in (tmp_path / "bank").iterdir()] == ["7: 120.00"]
    assert (tmp_path / "letters.txt").read_text() == "to ann: invoice 7 is paid\n"
