"""A run with every kind of call, and whether what it came to is equal the second time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tallystick import (
    ApprovalRequired,
    EffectFailed,
    EffectInDoubt,
    Guarantee,
    Ledger,
    NotApplied,
    Policy,
)
from tests.conftest import Face
from tests.replays._world import Shop, same


@dataclass(frozen=True)
class Receipt:
    """What a card machine prints."""

    cents: int
    at: datetime
    total: Decimal


class DeclinedError(NotApplied):
    """The bank said no."""

    def __init__(self, cents: int, bank: str) -> None:
        super().__init__(f"{cents} declined by {bank}")
        self.bank = bank


READING = Policy(guarantee=Guarantee.READ_ONLY)


class Run:
    """A run of a shop, told through one face."""

    def __init__(self, ledger: Ledger, face: Face, shop: Shop) -> None:
        self._ledger = ledger
        self._shop = shop
        self._face = face
        self._seen = 0

    async def call(self, tool: str, fn: Callable[..., Any], **options: Any) -> Any:
        """Call a tool; an error is what it came to."""

        def body(**args: Any) -> Any:
            self._shop.ran.append(tool)
            return fn(**args)

        try:
            if self._face.awaiting:
                return await self._ledger.acall(tool, body, **options)
            return self._ledger.call(tool, body, **options)
        except Exception as error:  # noqa: BLE001 - what it raised is what it came to
            return error

    def read(self, **_: Any) -> int:
        """Something else each time."""
        self._seen += 1
        return self._seen

    async def charge(self, cents: int = 5) -> Any:
        """A charge in the dollars of the day."""
        when = datetime(2026, 1, 1, tzinfo=UTC)

        def charge(cents: int) -> Receipt:
            return Receipt(cents, when, Decimal(cents) / 100)

        return await self.call("charge", charge, args={"cents": cents})

    async def nested(self) -> Any:
        """A tool that calls tools, one of them in another workflow."""

        def pack(**_: Any) -> list[Any]:
            inner = [self._ledger.call("fold", same, {"n": n}) for n in (1, 2)]
            with self._ledger.workflow("elsewhere"):
                return [*inner, self._ledger.call("stamp", lambda: "stamped")]

        return await self.call("pack", pack)

    async def all(self) -> list[Any]:
        """Every kind of call, each with what it came to."""
        told = [await self.charge(), await self.charge(), await self.charge(7)]
        told += [await self.call("read", self.read, policy=READING) for _ in range(3)]
        told.append(await self.call("send", _send, args={"to": "ann"}))
        told.append(await self.call("pay", decline, args={"cents": 9}))
        told.append(await self.call("pay", decline, args={"cents": 9}))
        told.append(await self.call("wire", _lost))
        told.append(await self.nested())
        with self._ledger.workflow("sub"):
            told.append(await self.call("ship", lambda: {"parcel": (1, 2)}))
        told.append(await self.call("ask", lambda: "done", policy=Policy(approval=True)))
        return told


def decline(cents: int) -> None:
    raise DeclinedError(cents, "the bank")


def _send(to: str) -> tuple[str, dict[str, int]]:
    return to, {"n": 1}


def _lost() -> None:
    raise RuntimeError("the line went dead")


def told(ledger: Ledger, face: Face, run: Run, scope: Any) -> list[Any]:
    """What a run comes to inside of *scope*."""

    async def main() -> list[Any]:
        if face.awaiting:
            async with scope:
                return await run.all()
        with scope:
            return await run.all()

    return asyncio.run(main())


def alike(before: Any, after: Any) -> bool:
    """Whether a replayed answer is what the run got: type and value, or class and message."""
    if isinstance(before, EffectInDoubt | ApprovalRequired):
        return type(before) is type(after) and str(before) == str(after)
    if isinstance(before, Exception):
        kind = DeclinedError if isinstance(before, DeclinedError) else EffectFailed
        return isinstance(after, kind) and isinstance(after, EffectFailed)
    return type(before) is type(after) and before == after
