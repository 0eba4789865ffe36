"""Workflows over a small world, in which one compensation may lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tallystick import Ledger, NotApplied, Policy
from tallystick.runs import Undo


class Deposit(NamedTuple):
    """A step: so much onto that account."""

    to: str
    amount: int


THREE = (Deposit("ann", 2), Deposit("bob", 4), Deposit("cid", 6))


@dataclass
class Bank:
    """Accounts, and a saga of deposits; the undoing of one step may be a lie."""

    deposits: tuple[Deposit, ...] = THREE
    lie: str = ""
    #: number of the step whose undoing lies
    at: int = 0
    accounts: dict[str, int] = field(default_factory=dict[str, int])
    #: what the run does when an error leaves it
    compensate: Any = "on_error"

    def world(self) -> dict[str, int]:
        """The accounts themselves, not a copy."""
        return self.accounts

    def add(self, to: str, amount: int) -> str:
        self.accounts[to] = self.accounts.get(to, 0) + amount
        return f"{amount} for {to}"

    def take(self, to: str, amount: int) -> None:
        left = self.accounts[to] - amount
        if left:
            self.accounts[to] = left
        else:
            del self.accounts[to]

    def undo(self, n: int, to: str, amount: int) -> None:
        """The compensation, which may lie."""
        LIES[self.lie if n == self.at else ""](self, to, amount)

    def __call__(self, ledger: Ledger) -> None:
        """The workflow."""
        ledger.compensation("undo")(self.undo)
        policy = Policy(compensate="undo", volatile=("n",))

        def add(n: int, to: str, amount: int) -> str:
            return self.add(to, amount)

        with ledger.workflow("saga", input="deposits", compensate=self.compensate):
            for n, step in enumerate(self.deposits, 1):
                args = {"n": n, **step._asdict()}
                ledger.call("add", add, args, occurrence=n, policy=policy)


def _nothing(bank: Bank, to: str, amount: int) -> None:
    pass


def _half(bank: Bank, to: str, amount: int) -> None:
    bank.take(to, amount // 2)


def _twice(bank: Bank, to: str, amount: int) -> None:
    bank.add(to, -2 * amount)


def _anothers(bank: Bank, to: str, amount: int) -> None:
    bank.add("eve", -amount)


def _swallows(bank: Bank, to: str, amount: int) -> None:
    try:
        raise ConnectionError("the bank does not answer")
    except ConnectionError:
        return


def _refuses(bank: Bank, to: str, amount: int) -> None:
    raise NotApplied("the bank says no")


LIES: dict[str, Callable[[Bank, str, int], None]] = {
    "": Bank.take,
    "does nothing": _nothing,
    "undoes half": _half,
    "undoes twice": _twice,
    "undoes another's": _anothers,
    "swallows its error": _swallows,
    "refuses": _refuses,
}


class Cells:
    """A world of two numbers; what is done to the second one is undone in two steps."""

    def __init__(self, *, order: tuple[str, ...]) -> None:
        self.values = [0, 7]
        self._order = order

    def __call__(self, ledger: Ledger) -> None:
        ledger.compensation("down")(lambda: self._set(0, self.values[0] - 1))
        ledger.compensation("subtract")(lambda: self._set(1, self.values[1] - 3))
        ledger.compensation("halve")(lambda: self._set(1, self.values[1] // 2))
        up = Policy(compensate="down")
        twice = Policy(compensate=Undo(steps=self._order))
        with ledger.workflow("w"):
            ledger.call("up", lambda: self._set(0, self.values[0] + 1), policy=up)
            ledger.call("twice", lambda: self._set(1, self.values[1] * 2 + 3), policy=twice)

    def _set(self, place: int, value: int) -> None:
        self.values[place] = value
