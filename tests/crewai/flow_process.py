"""A flow in a process of its own: ``flow_process.py URL FILE`` dies in it if FILE.die exists."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from crewai.flow import Flow, listen, start

from tallystick import Ledger
from tallystick_crewai import ledgered_step

URL, FILE = sys.argv[1], Path(sys.argv[2])
DIE = FILE.with_suffix(".die")


def act(what: str) -> None:
    """Do it, for everybody to see."""
    with FILE.open("a") as file:
        file.write(f"{what}\n")


with Ledger(URL) as ledger:

    class Order(Flow[dict[str, Any]]):
        """Pays, and tells."""

        @start()
        @ledgered_step(ledger)
        def pay(self) -> str:
            """Pay."""
            act("paid")
            self.state["paid"] = 5
            return "receipt"

        @listen(pay)
        def between(self, receipt: str) -> str:
            """Die, where that is wanted."""
            if DIE.exists():
                os.kill(os.getpid(), signal.SIGKILL)
            return receipt

        @listen(between)
        @ledgered_step(ledger)
        def send(self, receipt: str) -> str:
            """Send."""
            act("sent")
            return f"{receipt} for {self.state['paid']}"

    with ledger.workflow("order-42"):
        print(Order(suppress_flow_events=True).kickoff())
