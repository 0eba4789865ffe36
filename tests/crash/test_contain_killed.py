"""A process is killed for real while it contains; another one goes on with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tallystick import Guarantee, Ledger, Policy
from tallystick._undoing._tools import CONTAIN

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
LEASE = 1.0
PATIENCE = 60.0
#: opens the ledger, and hangs in the second compensation until it is killed
CHILD = """
import sys, time
from pathlib import Path
from tallystick import Guarantee, Ledger, Policy, current_effect

ledger = Ledger(sys.argv[1], lease=1.0)
seen = Path(sys.argv[2])

def refund(order):
    with seen.open("a") as file:
        file.write(f"{order} {current_effect().key}\\n")
    if order == "2":
        time.sleep(600)

ledger.compensation("refund", policy=Policy(guarantee=Guarantee.IDEMPOTENT))(refund)
ledger.contain(tool="charge", by="ann", reason="twice")
"""


def charge(order: str) -> str:
    return f"paid for {order}"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    return str(request.getfixturevalue("empty_postgres"))


def test_another_process_goes_on_after_sigkill(url: str, tmp_path: Path) -> None:
    """Nothing is undone twice, all of it is in one report, and it stays frozen."""
    seen, again = tmp_path / "refunds", list[str]()
    with Ledger(url, create=True, lease=LEASE) as ledger:
        for n in range(4):
            ledger.call(
                "charge",
                charge,
                {"order": f"{n}"},
                workflow=f"w{n}",
                policy=Policy(compensate="refund"),
            )
        child = subprocess.Popen([sys.executable, "-c", CHILD, url, str(seen)], cwd=ROOT)
        try:
            end = time.monotonic() + PATIENCE
            while not seen.exists() or len(seen.read_text().splitlines()) < len(("3", "2")):
                assert child.poll() is None, "it ended by itself"
                assert time.monotonic() < end, "it never came so far"
                time.sleep(0.02)
        finally:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
        policy = Policy(guarantee=Guarantee.IDEMPOTENT)

        def refund(order: str) -> None:
            again.append(order)

        ledger.compensation("refund", policy=policy)(refund)
        done = ledger.contain(tool="charge", by="bob", reason="the same", wait=PATIENCE)
        assert again == ["2", "1", "0"], "one that was cut off is repeated under its own key"
        assert [line.split()[0] for line in seen.read_text().splitlines()] == ["3", "2"]
        assert (done.complete, len(done.done), len(done.frozen)) == (True, 4, 5)
        (record,) = ledger.effects(tool=CONTAIN)
        assert (record.key, record.attempt, record.args["by"]) == (done.key, 2, "ann")
        assert len(ledger.effects(tool="refund")) == 4
        assert ledger.verify().sound
