"""Recorded runs are replayed as what they were: nothing is opened, undone or written."""

from __future__ import annotations

from typing import Any

import pytest

from tallystick import Policy
from tallystick.errors import ArgumentsChanged, InvalidCall
from tests.conftest import Place
from tests.replays._world import Shop, kept


def test_a_run_replays_with_its_input_and_output(place: Place) -> None:
    ledger, shop = place.open(), Shop()

    def go(**options: Any) -> Any:
        with ledger.workflow("w", **options) as run:
            run.savepoint("begun")
            with ledger.workflow("sub", input=7) as inner:
                inner.set_output(ledger.call("send", shop.send, {"n": inner.input}))
            run.set_output({"sent": run.input["n"]})
            return run.input, inner.output

    first = go(input={"n": 5})
    rows = kept(place, ledger)
    with ledger.replay("w"):
        assert go(input={"n": 5}) == first
    with ledger.replay("w", mode="lenient"), pytest.raises(ArgumentsChanged):
        go(input={"n": 6})
    assert (kept(place, ledger), shop.ran) == (rows, [7])
    assert ledger.run("w").output == {"sent": 5}


def test_what_was_undone_replays_and_is_not_undone_again(place: Place) -> None:
    """Nor is the undoing missed: nobody but the ledger called it."""
    ledger, shop = place.open(), Shop()

    @ledger.compensation(name="refund")
    def refund(**args: Any) -> str:
        shop.ran.append(("refund", args["n"]))
        return "refunded"

    def go() -> Any:
        with ledger.workflow("w", input=1, compensate="on_error"):
            got = ledger.call("send", shop.send, {"n": 1}, policy=Policy(compensate=refund))
            raise ZeroDivisionError(got)

    with pytest.raises(ZeroDivisionError, match="1"):
        go()
    assert shop.ran == [1, ("refund", 1)]
    rows = kept(place, ledger)
    with pytest.raises(ZeroDivisionError, match="1"), ledger.replay("w") as replay:
        go()
    assert (replay.served, replay.divergences) == (1, ())
    assert (kept(place, ledger), len(shop.ran)) == (rows, 2)
    opened = ledger.workflow("w", input=1)
    with ledger.replay("w", mode="lenient"), opened, pytest.raises(InvalidCall, match="undoes no"):
        opened.compensate()
