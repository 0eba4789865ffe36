"""The examples run, twice, and tell the same story."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name: str, folder: Path) -> str:
    """Run an example as a newcomer would, in an empty folder."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_quick_start_charges_once_however_often_it_runs(tmp_path: Path) -> None:
    """The second run replays the first one's charge."""
    first, second = run("quickstart.py", tmp_path), run("quickstart.py", tmp_path)
    assert first.count("charging 500 cents") == 1
    assert "charging" not in second
    assert "refunded 42" in first
    assert "refunded 42" in second
