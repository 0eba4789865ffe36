"""
A kill storm through sagas; see :mod:`tests._mortals`.

    python -m tests.crash.saga_storm --kills 50 --store both
    python -m tests.crash.saga_storm --points --every 1

Every process runs a booking whose last step fails, so that all of it is undone; one compensation
fails at first, one is idempotent, and a person says what became of what is in doubt.
"""

from __future__ import annotations

import sys
import time
from random import Random
from typing import Any

from tallystick import Guarantee, Ledger, NotApplied, Policy, current_effect
from tallystick._model import Status
from tallystick.errors import CompensationIncomplete, EffectInDoubt, RunFinished
from tallystick.runs import Undo
from tests._mortals import LEASE, Camp, Mortals, main

STEPS = ("flight", "hotel", "car")
CAREFUL = Undo(
    steps="unbook",
    policy=Policy(guarantee=Guarantee.IDEMPOTENT, key_lifetime=1000),
    when_in_doubt="ask",
)
POLICIES = {
    "flight": Policy(compensate="unbook"),
    "hotel": Policy(compensate="unbook", guarantee=Guarantee.IDEMPOTENT, key_lifetime=1000),
    "car": Policy(compensate=CAREFUL),
}


class Refused(Exception):
    """The last step of a booking."""


class Mortal:
    """One process that works on a booking."""

    def __init__(self, camp: Camp, order: str, seed: int) -> None:
        self.camp = camp
        self.order = order
        self.chance = Random(seed)
        self.witness = camp.witness()

    def live(self) -> None:
        """Work on the booking until it is undone."""
        with Ledger(self.camp.url, lease=LEASE) as ledger:
            ledger.compensation("unbook")(self._unbook)
            while True:
                try:
                    self._book(ledger)
                except (Refused, CompensationIncomplete, EffectInDoubt):
                    self._resolve(ledger)
                except RunFinished as over:
                    self.camp.ended(self.order, over.status)
                    return

    def _book(self, ledger: Ledger) -> None:
        with ledger.workflow(self.order, input=self.order, compensate="on_error"):
            for step in STEPS:
                args = {"step": step}
                ledger.call("book", self._booked, args, policy=POLICIES[step])
            raise Refused

    def _booked(self, step: str) -> str:
        return self._happen("book", step)

    def _unbook(self, step: str, result: str) -> str:
        assert result.endswith(f"book-{step}")
        if step == "hotel" and self.chance.random() < 0.5:
            raise NotApplied("nobody answers")
        return self._happen("unbook", step)

    def _happen(self, deed: str, step: str) -> str:
        """It happens in the world, which knows a key again."""
        time.sleep(self.chance.random() * self.camp.pause)
        if self._seen(key := current_effect().key) is None:
            self.witness.saw(f"{deed}-{step} {self.order} {key}")
        return f"{deed}-{step}"

    def _seen(self, key: str) -> str | None:
        lines = [what.split() for what in self.witness.counts()]
        return next((words[0] for words in lines if words[-1] == key), None)

    def _resolve(self, ledger: Ledger) -> None:
        """A person asks the witness."""
        ledger.recover()
        for item in ledger.pending():
            effect: Any = item.effect
            if item.kind == "in_doubt" and effect.workflow == self.order:
                seen = self._seen(effect.key)
                said = {"failed": "no trace"} if seen is None else {"succeeded": seen}
                ledger.resolve(effect.key, by="ann", **said)


SAGAS = Mortals(
    live=lambda camp, order, seed: Mortal(camp, order, seed).live(),
    tools=tuple(f"{deed}-{step}" for deed in ("book", "unbook") for step in STEPS),
    by_key=(),
    end="compensated",
    statuses=frozenset({Status.SUCCEEDED, Status.COMPENSATED, Status.FAILED}),
)

if __name__ == "__main__":
    sys.exit(main(SAGAS, "A kill storm through sagas: see the module."))
