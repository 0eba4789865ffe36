"""What other processes do in the scenarios, and what they say to the test meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tallystick import Approval, ApprovalRequired, Guarantee, Ledger, LedgerError, Policy, _points
from tallystick.hooks import Details
from tallystick.testing import Witness


def skew(seconds: float) -> None:
    """Set this machine's clock wrong, as this process sees it."""
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + seconds
    time.time_ns = lambda: real_ns() + int(seconds * 1e9)


def many(test: Connection, ledger: Ledger, witness: Witness, calls: int) -> None:
    """Make the same call *calls* times at once."""

    async def charge(order: str) -> dict[str, str]:
        witness.saw("charge")
        await asyncio.sleep(0.2)
        return {"id": f"ch_{order}"}

    async def main() -> list[Any]:
        one = [ledger.acall("charge", charge, {"order": "A"}, workflow="w") for _ in range(calls)]
        return await asyncio.gather(*one, return_exceptions=True)

    test.send("ready")
    test.recv()
    test.send(
        [answer if isinstance(answer, dict) else repr(answer) for answer in asyncio.run(main())]
    )


def hold(
    test: Connection, ledger: Ledger, witness: Witness, guarantee: str, wait: float = 600.0
) -> None:
    """Perform an effect that lasts until a line is read, and say what came of it."""

    def charge(order: str) -> str:
        witness.saw("charge")
        test.send("in the tool")
        test.recv()
        return f"by {os.getpid()}"

    policy = Policy(guarantee=Guarantee(guarantee), wait=wait)
    try:
        test.send(ledger.call("charge", charge, {"order": "A"}, workflow="w", policy=policy))
    except LedgerError as error:
        test.send(type(error).__name__)


def steps(test: Connection, ledger: Ledger, witness: Witness, die_before: int) -> None:
    """A run of three effects; killed before the one with this number."""

    def step(n: int) -> str:
        if n == die_before:
            os.kill(os.getpid(), signal.SIGKILL)
        witness.saw(f"step {n}")
        return f"done {n}"

    with ledger.workflow("run-1"):
        try:
            test.send([ledger.call("step", step, {"n": n}) for n in (1, 2, 3)])
        except LedgerError as error:
            test.send(type(error).__name__)


def ask(test: Connection, ledger: Ledger, witness: Witness) -> None:
    """Call something that needs an approval; the environment says where to die."""
    policy = Policy(approval=True)

    def charge(order: str) -> None:
        witness.saw("charge")

    try:
        ledger.call("charge", charge, {"order": "A"}, workflow="w", policy=policy)
    except ApprovalRequired:
        test.send("asked")


def await_approval(test: Connection, ledger: Ledger, witness: Witness) -> None:
    """Call something that waits for its approval, and say when it began to run."""
    started: list[float] = []

    def charge(order: str) -> str:
        started.append(time.monotonic())
        witness.saw("charge")
        return "charged"

    policy = Policy(approval=Approval(wait=60.0))
    threading.Timer(0.3, test.send, ["waiting"]).start()
    ledger.call("charge", charge, {"order": "A"}, workflow="w", policy=policy)
    test.send(started[0])


def approve(test: Connection, ledger: Ledger, witness: Witness, key: str) -> None:
    """Approve, and say when."""
    now = time.monotonic()
    ledger.approve(key, by="ann")
    test.send(now)


VERBS: dict[str, Callable[..., None]] = {
    verb.__name__: verb for verb in (many, hold, steps, ask, await_approval, approve)
}


def dying_hook(details: Details) -> None:
    """A listener whose process dies as it is told of a request."""
    if details.kind == "approval_required":
        os.kill(os.getpid(), signal.SIGKILL)


def main(test: Connection, verb: str, url: str, witness: Path, options: dict[str, Any]) -> None:
    """Do it."""
    skew(options.pop("skew", 0.0))
    crash_at = options.pop("crash_at", None)
    if crash_at is not None:
        _points.arm(lambda reached: os._exit(137) if reached == crash_at else None)
    hooks = [dying_hook] if options.pop("dies_when_told", False) else []
    with Ledger(url, lease=options.pop("lease"), hooks=hooks) as ledger:
        VERBS[verb](test, ledger, Witness(witness), **options)
