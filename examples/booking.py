"""
A booking of three steps whose last one fails, killed while it is being undone.

    python examples/booking.py --kill   # books, is refused the money, is killed while it cancels
    python examples/booking.py          # finishes what the first one began: nothing twice
    tallystick runs --ledger sqlite:///booking.db
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from tallystick import Guarantee, Ledger, NotApplied, Policy, current_effect
from tallystick.errors import RunFinished
from tallystick.runs import Undo

AGENCY = Path("agency.txt")
KILL = "--kill" in sys.argv


def agency(words: str) -> str:
    """The travel agency's side: a request under a key that it knows already changes nothing."""
    key = current_effect().idempotency_key
    known = AGENCY.read_text() if AGENCY.exists() else ""
    if key not in known:
        AGENCY.write_text(f"{known}{words} under {key}\n")
        print(words)
    return f"{words} confirmed"


def book(what: str, trip: str) -> str:
    """Book a part of the trip."""
    return agency(f"{what} for {trip} booked")


def cancel(what: str, trip: str, result: str) -> str:
    """Undo a booking: a compensation gets the arguments and the result of what it undoes."""
    if KILL and what == "flight":
        os.kill(os.getpid(), signal.SIGKILL)
    return agency(f"{what} for {trip} cancelled, was: {result}")


def pay(trip: str) -> str:
    """Charge the card."""
    raise NotApplied(f"the card was declined for {trip}")


AGAIN = Policy(guarantee=Guarantee.IDEMPOTENT)
BOOKING = AGAIN.but(compensate=Undo(steps=cancel, policy=AGAIN))


def main() -> None:
    """Book a trip, or undo what was booked of it."""
    with Ledger("sqlite:///booking.db") as ledger:
        try:
            with ledger.workflow("trip-7", input="Oslo", compensate="on_error") as run:
                for what in ("flight", "hotel"):
                    ledger.call("book", book, {"what": what, "trip": run.input}, policy=BOOKING)
                ledger.call("pay", pay, {"trip": run.input})
                run.set_output("have a nice trip")
        except NotApplied as error:
            print(f"undone, because {error}")
        except RunFinished as over:
            print(f"the trip is {over.status}")
        for effect in ledger.effects(workflow="trip-7", tool="book"):
            print(f"{effect.args['what']}: {effect.status}")


if __name__ == "__main__":
    main()
