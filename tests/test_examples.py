"""The examples run, twice, and tell the same story."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name: str, folder: Path, *args: str, code: int = 0) -> str:
    """Run an example as a newcomer would, in an empty folder."""
    return command([str(EXAMPLES / name), *args], folder, code=code)


def command(words: list[str], folder: Path, *, code: int = 0) -> str:
    """What Python says when it runs *words*."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def test_the_quick_start_charges_once_however_often_it_runs(tmp_path: Path) -> None:
    """The second run replays the first one's charge."""
    first, second = run("quickstart.py", tmp_path), run("quickstart.py", tmp_path)
    assert first.count("charging 500 cents") == 1
    assert "charging" not in second
    assert "refunded 42" in first
    assert "refunded 42" in second


APPROVED = "About order 42: 42.00 is on its way\n"


def test_an_approval_is_asked_decided_and_resumed_however_often(tmp_path: Path) -> None:
    """Three processes, some of them twice; the money is given back once."""
    asked = run("approval.py", tmp_path, "ask")
    assert asked.startswith("waiting for a person: refund {'order': '42', 'cents': 4200}\n")
    assert run("approval.py", tmp_path, "resume") == ""
    assert run("approval.py", tmp_path, "decide") == "refund is approved\n"
    assert run("approval.py", tmp_path, "resume") == f"order-42: {APPROVED}"
    assert run("approval.py", tmp_path, "ask") == APPROVED
    assert (tmp_path / "refunds.txt").read_text() == "42: 42.00\n"


def test_an_approval_is_given_by_the_command_that_the_example_prints(tmp_path: Path) -> None:
    """``tallystick approve``, in a process that knows nothing of the graph."""
    _, *words = shlex.split(run("approval.py", tmp_path, "ask").splitlines()[1])
    assert "approved" in command(["-m", "tallystick.cli", *words, "--yes"], tmp_path)
    assert run("approval.py", tmp_path, "resume") == f"order-42: {APPROVED}"


def test_a_support_agent_is_killed_and_goes_on(tmp_path: Path) -> None:
    """The money has gone out when it is killed; it goes out once, and so does the mail."""
    question = "a person must decide: refund {'order': '42', 'cents': 12000}\n"
    assert run("support.py", tmp_path) == run("support.py", tmp_path) == question
    killed = run("support.py", tmp_path, "--answer", "approve", "--kill", code=-signal.SIGKILL)
    assert killed == ""
    assert [file.read_text() for file in (tmp_path / "bank").iterdir()] == ["42: 120.00"]
    assert run("support.py", tmp_path) == run("support.py", tmp_path) == "Bob has his money.\n"
    assert len(list((tmp_path / "bank").iterdir())) == 1
    assert (tmp_path / "outbox.txt").read_text().count("to bob") == 1


def test_a_support_agent_is_told_no(tmp_path: Path) -> None:
    """No money goes out, and the model hears it."""
    run("support.py", tmp_path)
    assert "could not help" in run("support.py", tmp_path, "--answer", "reject")
    assert not (tmp_path / "bank").exists()
