"""
A process that stops itself at a named point, as if the machine had forgotten it for a while.

``python -m tests.crash._freezing URL WITNESS GUARANTEE POINT``; it prints what its call came to.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from tallystick import Guarantee, Ledger, LedgerError, Policy, ProbeAnswer, _points
from tallystick.testing import Witness

LEASE = 1.0


def policy(guarantee: Guarantee, witness: Witness) -> Policy:
    """What the tool declares, here and in the other process."""
    if guarantee is not Guarantee.RECONCILE:
        return Policy(guarantee=guarantee, wait=1.5)

    def probe(effect: object) -> ProbeAnswer:
        times = witness.times("charged")
        return ProbeAnswer.happened("frozen") if times else ProbeAnswer.not_happened()

    return Policy(guarantee=guarantee, probe=probe, quiet=3.0, wait=0.2)


def main() -> None:
    """Stop once at the point, go on when somebody says so."""
    url, place, guarantee, point = sys.argv[1:]
    witness = Witness(Path(place))
    left = [point]

    def stop(reached: str) -> None:
        if reached in left:
            left.remove(reached)
            os.kill(os.getpid(), signal.SIGSTOP)

    def charge(order: str) -> str:
        witness.saw("charged")
        return "frozen"

    with Ledger(url, lease=LEASE) as ledger:
        _points.arm(stop)
        options = {"workflow": "w", "policy": policy(Guarantee(guarantee), witness)}
        try:
            print(ledger.call("charge", charge, {"order": "A"}, **options))  # type: ignore[arg-type]
        except LedgerError as error:
            print(type(error).__name__)
        _points.arm(None)


if __name__ == "__main__":
    main()
