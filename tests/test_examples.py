"""The examples run, twice, and tell the same story."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ._warm import Warm

EXAMPLES = Path(__file__).parent.parent / "examples"


Run = Callable[..., str]


@pytest.fixture
def command(warm: Warm, tmp_path: Path) -> Run:
    """What Python says when it runs some words."""

    def command(*words: str, code: int = 0) -> str:
        done = warm.run([*words], tmp_path)
        assert done.returncode == code, done.stderr
        return done.stdout

    return command


@pytest.fixture
def run(command: Run) -> Run:
    """Run an example as a newcomer would, in an empty folder."""

    def run(name: str, *args: str, code: int = 0) -> str:
        return command(str(EXAMPLES / name), *args, code=code)

    return run


def test_an_example_needs_nothing_that_it_does_not_import(tmp_path: Path) -> None:
    """A process that starts cold says the same."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "budget.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("writing chapter 1\n")


def test_the_quick_start_charges_once_however_often_it_runs(run: Run) -> None:
    """The second run replays the first one's charge."""
    first, second = run("quickstart.py"), run("quickstart.py")
    assert first.count("charging 500 cents") == 1
    assert "charging" not in second
    assert "refunded 42" in first
    assert "refunded 42" in second


APPROVED = "About order 42: 42.00 is on its way\n"


def test_an_approval_is_asked_decided_and_resumed_however_often(run: Run, tmp_path: Path) -> None:
    """Three processes, some of them twice; the money is given back once."""
    asked = run("approval.py", "ask")
    assert asked.startswith("waiting for a person: refund {'order': '42', 'cents': 4200}\n")
    assert run("approval.py", "resume") == ""
    assert run("approval.py", "decide") == "refund is approved\n"
    assert run("approval.py", "resume") == f"order-42: {APPROVED}"
    assert run("approval.py", "ask") == APPROVED
    assert (tmp_path / "refunds.txt").read_text() == "42: 42.00\n"


def test_an_approval_is_given_by_the_command_that_the_example_prints(
    run: Run, command: Run
) -> None:
    """``tallystick approve``, in a process that knows nothing of the graph."""
    _, *words = shlex.split(run("approval.py", "ask").splitlines()[1])
    assert "approved" in command("-m", "tallystick.cli", *words, "--yes")
    assert run("approval.py", "resume") == f"order-42: {APPROVED}"


def test_a_support_agent_is_killed_and_goes_on(run: Run, tmp_path: Path) -> None:
    """The money has gone out when it is killed; it goes out once, and so does the mail."""
    question = "a person must decide: refund {'order': '42', 'cents': 12000}\n"
    assert run("support.py") == run("support.py") == question
    killed = run("support.py", "--answer", "approve", "--kill", code=-signal.SIGKILL)
    assert killed == ""
    assert [file.read_text() for file in (tmp_path / "bank").iterdir()] == ["42: 120.00"]
    assert run("support.py") == run("support.py") == "Bob has his money.\n"
    assert len(list((tmp_path / "bank").iterdir())) == 1
    assert (tmp_path / "outbox.txt").read_text().count("to bob") == 1


def test_a_support_agent_is_told_no(run: Run, tmp_path: Path) -> None:
    """No money goes out, and the model hears it."""
    run("support.py")
    assert "could not help" in run("support.py", "--answer", "reject")
    assert not (tmp_path / "bank").exists()


def test_an_agent_stops_at_its_budget_asks_and_goes_on_when_topped_up(
    run: Run, command: Run
) -> None:
    """The person who tops it up uses the command that the example prints."""
    stopped = run("budget.py").splitlines()
    assert stopped[:4] == [f"writing chapter {n}" for n in (1, 2, 3, 4)]
    assert stopped[4:6] == ["1.80 of 2.00 dollars are spent", "more is asked for: 2.00 dollars"]
    assert run("budget.py").splitlines() == stopped[4:]
    _, *words = shlex.split(stopped[6])
    command("-m", "tallystick.cli", *words, "--yes")
    done = ["writing chapter 5", "2.70 of 4.00 dollars are spent", "The report is written."]
    assert run("budget.py").splitlines() == done
    assert run("budget.py").splitlines() == done[1:]


def test_a_booking_is_killed_while_it_is_undone_and_undone_once(run: Run, tmp_path: Path) -> None:
    """The second process finishes what the first one began; the third one finds it finished."""
    assert "flight" not in run("booking.py", "--kill", code=-signal.SIGKILL).partition("cancel")[2]
    ended = "the trip is compensated\nhotel: compensated\nflight: compensated\n"
    assert run("booking.py").endswith(ended)
    assert run("booking.py") == ended
    asked = (tmp_path / "agency.txt").read_text().splitlines()
    deeds = [" ".join(line.split()[:4]) for line in asked]
    assert [deed.strip(",") for deed in deeds] == [
        "flight for Oslo booked",
        "hotel for Oslo booked",
        "hotel for Oslo cancelled",
        "flight for Oslo cancelled",
    ]
