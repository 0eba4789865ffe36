"""
A crew that is killed at the points of its effects, and kicked off again by its workflow's name.

``python -m tests.crewai._mortal FOLDER STEP`` takes every STEP-th point. Children are forked from
this process, which has CrewAI but no thread of its yet: importing it takes seconds.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from tallystick import EffectInDoubt, Ledger, _points
from tallystick.testing import Witness
from tallystick_crewai import wrap_tools
from tests.crewai._world import Model, crew_of

CALLS = [("pay", {"amount": 5}), ("mail", {"to": "bob"})]


def work(url: str, witness: Path, native: bool) -> None:
    """Pay and mail; a person who looked decides what is in doubt."""
    seen = Witness(witness)

    def pay(amount: int) -> str:
        """Pay."""
        seen.saw("pay")
        return "paid"

    def mail(to: str) -> str:
        """Mail."""
        seen.saw("mail")
        return "mailed"

    with Ledger(url) as ledger, ledger.workflow("order-42"):
        tools = wrap_tools([pay, mail], ledger)
        while True:
            model = Model.of([CALLS[0]], [CALLS[1]], "done", native=native)
            try:
                assert crew_of(model, tools).kickoff().raw == "done"
                return
            except EffectInDoubt as doubt:
                if seen.times(doubt.tool):
                    ledger.resolve(doubt.key, by="ann", succeeded="it went through")
                else:
                    ledger.resolve(doubt.key, by="ann", failed="it did not")


def child(at: int | None, *args: Any) -> int:
    """Run :func:`work` in a process that is killed when it reaches that point."""
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    code = 1
    try:
        left = at

        def reached(_: str) -> None:
            nonlocal left
            if left is not None:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        signal.alarm(25)
        _points.arm(reached)
        work(*args)
        code = 0
    finally:
        os._exit(code)


def kill_everywhere(folder: Path, step: int, native: bool) -> int:
    """How often a crew was killed, until it ended by itself; each thing happened once."""
    kills, at = 0, step
    while True:
        url = f"sqlite:///{folder / f'{native}-{at}.db'}"
        witness = folder / f"{native}-{at}.witness"
        ended = child(at, url, witness, native)
        if ended == 0:
            return kills
        assert os.WTERMSIG(ended) == signal.SIGKILL, ended
        assert child(None, url, witness, native) == 0
        assert Witness(witness).counts() == {"mail": 1, "pay": 1}
        kills, at = kills + 1, at + step


if __name__ == "__main__":
    where, every = Path(sys.argv[1]), int(sys.argv[2])
    print(json.dumps([kill_everywhere(where, every, native) for native in (True, False)]))
