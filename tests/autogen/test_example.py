"""The example runs, is killed, and goes on."""

from __future__ import annotations

import shlex
import signal
from pathlib import Path

from tests._warm import Warm
from tests.adapters.processes import ROOT


def test_a_team_is_killed_and_goes_on(warm: Warm, tmp_path: Path) -> None:
    """Money and mail go out once, and no model is asked twice."""

    def python(*words: str, code: int = 0) -> list[str]:
        done = warm.run([*words], tmp_path)
        assert (done.returncode, done.stderr) == (code, "")
        return done.stdout.splitlines()

    example = str(ROOT / "examples" / "autogen_team.py")
    payer, clerk = "(a model is asked about pay)", "(a model is asked about send_email)"
    question = "a person must decide: pay {'invoice': 'R-7', 'cents': 12000}"
    *told, command = python(example)
    assert told == [payer, question]
    _, *words = shlex.split(command)
    assert "approved" in python("-m", "tallystick.cli", *words, "--yes")[-1]
    assert python(example, "--kill", code=-signal.SIGKILL) == []
    assert [file.read_text() for file in (tmp_path / "bank").iterdir()] == ["R-7: 120.00"]
    assert python(example) == [payer, clerk, clerk, "Bob knows. DONE"]
    assert python(example) == ["Bob knows. DONE"]
    assert len(list((tmp_path / "bank").iterdir())) == 1
    assert (tmp_path / "outbox.txt").read_text() == "to bob: R-7 is paid.\n"
