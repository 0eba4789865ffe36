"""The files that the demo runs on: the agent and its orders."""

from __future__ import annotations

import csv
from pathlib import Path

from tallystick.errors import StoreUnavailable

_HERE = Path(__file__).parent
#: in a wheel they lie beside this file, in a working copy where people read them
_PLACES = (_HERE, _HERE.parents[3] / "examples")


def agent() -> Path:
    """The agent's program."""
    return _found("payments.py")


def orders() -> Path:
    """The orders to be charged."""
    return _found("orders.csv")


def batches() -> dict[str, list[str]]:
    """The names of the orders in each batch."""
    found: dict[str, list[str]] = {}
    with orders().open(encoding="utf-8") as file:
        for line in csv.DictReader(file):
            found.setdefault(line["batch"], []).append(line["order"])
    return found


def _found(name: str) -> Path:
    for place in _PLACES:
        if (place / name).is_file():
            return place / name
    raise StoreUnavailable(f"this installation lacks {name}; install tallystick again")
