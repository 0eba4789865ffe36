"""A flow whose process is killed goes on in another one."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.crewai._nursery import Nursery

_SCRIPT = Path(__file__).with_name("flow_process.py")


@pytest.mark.slow
@pytest.mark.crash
@pytest.mark.timeout(90)
def test_a_flow_that_was_killed_goes_on_where_it_was(nursery: Nursery, tmp_path: Path) -> None:
    file, die = tmp_path / "done.txt", tmp_path / "done.die"
    words = [str(_SCRIPT), f"sqlite:///{tmp_path / 'ledger.db'}", str(file)]
    die.touch()
    assert nursery.run(words).returncode == -signal.SIGKILL
    assert file.read_text().split() == ["paid"]
    die.unlink()
    again = nursery.run(words)
    assert again.stdout.splitlines()[-1:] == ["receipt for 5"], again.stderr
    assert file.read_text().split() == ["paid", "sent"]
