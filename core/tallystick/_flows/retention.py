"""Forgetting what is over: payloads go, the fact stays."""

from __future__ import annotations

from typing import NamedTuple

from tallystick._acts import Clock
from tallystick._ports import Ports
from tallystick._retention import Gone, ReadStale, Retain

#: rows that are looked at in one go
_PAGE = 1000
#: seconds that a transaction may take before the next ones are made smaller, and larger again
_LONG, _SHORT = 0.015, 0.005


class Rate(NamedTuple):
    """How much is dropped at once, and how long others are left alone in between."""

    most: int
    pause: float


async def retain(
    p: Ports, tenant: str, age: int, rate: Rate, *, by: str, dry: bool = False
) -> Gone:
    """
    Drop the payloads of what was over *age* microseconds ago; *dry*: only count them.

    The tables are walked in the order of writing, in pieces that nobody notices.
    """
    before = await p.read(Clock()) - age
    total = Gone(0, 0)
    batch = Batch(p, tenant, before, by, rate)
    for calls in (False, True):
        page = await p.read(ReadStale(tenant=tenant, before=before, calls=calls, limit=_PAGE))
        while page.through is not None:
            gone = _counted(page.due, calls) if dry else await batch.drop(page.due, calls=calls)
            total = Gone(total.effects + gone.effects, total.calls + gone.calls)
            after = page.through
            page = await p.read(
                ReadStale(tenant=tenant, before=before, calls=calls, after=after, limit=_PAGE)
            )
    return total


def _counted(due: tuple[bytes, ...], calls: bool) -> Gone:
    return Gone(0, len(due)) if calls else Gone(len(due), 0)


class Batch:
    """Transactions that grow while they are short, and shrink where one takes long."""

    def __init__(self, p: Ports, tenant: str, before: int, by: str, rate: Rate) -> None:
        self._p = p
        self._tenant = tenant
        self._before = before
        self._by = by
        self._rate = rate
        self._size = max(1, rate.most // 8)

    async def drop(self, due: tuple[bytes, ...], *, calls: bool) -> Gone:
        """Drop what these hold, in as many transactions as it takes."""
        gone, at = Gone(0, 0), 0
        while at < len(due):
            some = due[at : at + self._size]
            at += len(some)
            done = await self._drop(some, calls=calls)
            gone = Gone(gone.effects + done.effects, gone.calls + done.calls)
        return gone

    async def _drop(self, some: tuple[bytes, ...], *, calls: bool) -> Gone:
        p, began = self._p, self._p.monotonic()
        act = Retain(
            tenant=self._tenant,
            before=self._before,
            by=self._by,
            keys=() if calls else some,
            calls=some if calls else (),
        )
        done = await p.do(act)
        took = p.monotonic() - began
        if took > _LONG:
            self._size = max(1, self._size // 2)
        elif took < _SHORT:
            self._size = min(self._rate.most, self._size * 2)
        if self._rate.pause:
            await p.pause(self._rate.pause)
        return done
