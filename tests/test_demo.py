"""``tallystick demo`` keeps what it says, and cleans up behind itself."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tallystick import Ledger

ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-m", "tallystick.cli", "demo"]
ENVIRON = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(ROOT / "core"), str(ROOT / "adapters")]),
}

pytestmark = pytest.mark.timeout(240)
pytest.importorskip("langchain")


def demo(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *args],
        cwd=folder,
        env=ENVIRON,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=200,
        check=False,
    )


def test_each_order_is_charged_once_with_the_ledger_and_more_often_without(tmp_path: Path) -> None:
    done = demo(tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert set(said) == {
        "orders", "kills", "charges_with_ledger", "charges_without_ledger", "in_doubt_resolved",
        "ledger",
    }  # fmt: skip
    assert said["orders"] == said["charges_with_ledger"] == 20
    assert said["charges_without_ledger"] > said["orders"]
    assert said["kills"] == said["in_doubt_resolved"] == 6
    _the_book_agrees(tmp_path, said)
    _the_ledger_agrees(said)


def _the_book_agrees(folder: Path, said: dict[str, Any]) -> None:
    with closing(sqlite3.connect(folder / "tallystick-demo-bank.db")) as db:
        lines = db.execute('SELECT account, kind, "order" FROM book').fetchall()
    charged = Counter(order for account, kind, order in lines if _with(account, kind))
    assert set(charged.values()) == {1}
    assert len(charged) == said["orders"]
    assert [kind for _, kind, _ in lines].count("refunds") == 1


def _with(account: str, kind: str) -> bool:
    return kind == "charges" and account.endswith("-with")


def _the_ledger_agrees(said: dict[str, Any]) -> None:
    path = Path(said["ledger"])
    assert path.name == "tallystick-demo.db"
    with Ledger(f"sqlite:///{path}") as ledger:
        effects = ledger.effects()
        assert Counter(effect.status.value for effect in effects) == {"succeeded": 21}
        assert ledger.pending() == []
        assert ledger.verify().sound
        refund = ledger.effects(tool="refund")[0]
        assert "approved" in [event.kind for event in ledger.history(refund.key)]


def test_a_second_run_leaves_the_first_ledger_alone_and_people_are_told(tmp_path: Path) -> None:
    (tmp_path / "tallystick-demo.db").write_text("mine")
    done = demo(tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "tallystick-demo.db").read_text() == "mine"
    assert (tmp_path / "tallystick-demo-2.db").exists()
    assert "\x1b" not in done.stdout
    for words in ("kill -9", "with the ledger", "charges in the bank's book", "tallystick effects"):
        assert words in done.stdout
    assert re.search(r"charges in the bank's book +20 +3\d", done.stdout)
    key = re.findall(r"tallystick show (\w+)", done.stdout)[0]
    look = [*COMMAND[:-1], "show", key, "--ledger", "tallystick-demo-2.db", "--json"]
    shown = subprocess.run(look, cwd=tmp_path, env=ENVIRON, capture_output=True, check=True)
    assert json.loads(shown.stdout)["effect"]["tool"] == "refund"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_no_process_behind(tmp_path: Path, number: int) -> None:
    marked = {**ENVIRON, "TALLYSTICK_TEST_MARK": str(tmp_path)}
    child = subprocess.Popen(
        COMMAND, cwd=tmp_path, env=marked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    while "kill -9 before the answer" not in child.stdout.readline():
        assert child.poll() is None
    child.send_signal(number)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "Traceback" not in err
    deadline = time.monotonic() + 15
    while (left := _marked(str(tmp_path))) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


def _marked(mark: str) -> list[str]:
    """The processes that were started under this test's demo."""
    found: list[str] = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if f"TALLYSTICK_TEST_MARK={mark}".encode() in (place / "environ").read_bytes():
                found.append((place / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def test_a_memory_ledger_is_refused(tmp_path: Path) -> None:
    done = demo(tmp_path, "--ledger", "memory://")
    assert done.returncode == 2
    assert "memory://" in done.stderr


def test_without_langchain_the_demo_says_what_to_install(tmp_path: Path) -> None:
    blocker = (
        "import sys, importlib.util as u; find = u.find_spec;"
        "u.find_spec = lambda name, *a: None if name == 'langchain' else find(name, *a);"
        "from tallystick.cli import main; sys.argv = ['tallystick', 'demo']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", blocker],
        cwd=tmp_path,
        env=ENVIRON,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert 'pip install "tallystick[langchain]"' in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_example_charges_each_order_once_however_often_it_runs(tmp_path: Path) -> None:
    program = str(ROOT / "examples" / "payments.py")
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, program],
            cwd=tmp_path,
            env=ENVIRON,
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
        )
        assert len(done.stdout.splitlines()) == 4
