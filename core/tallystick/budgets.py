"""
Budgets that cannot be overshot: a limit, and reservations in it.

``ledger.budget(…)`` declares a budget and returns a :class:`Budget`; tools and models that it pays
for reserve by themselves. What is spent otherwise is reserved by hand.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

from tallystick._budgets._amounts import Amount
from tallystick._budgets._reports import BudgetLine, CostLine, Repriced, ReservationView
from tallystick._budgets._rules import State
from tallystick._budgets._terms import Terms, described, said_of
from tallystick._faces import run_sync
from tallystick._flows import treasury
from tallystick._keys import VERSION, check_name, hashed
from tallystick._policy import Seconds, seconds
from tallystick._ports import Ports
from tallystick.errors import BudgetError, InvalidCall

__all__ = ["Budget", "BudgetLine", "CostLine", "Repriced", "Reservation", "ReservationView"]


class Budget:
    """
    A budget that was declared, by this process or another one.

    The sum of what was spent, what is reserved and what nobody knows never passes the limit, over
    threads, processes and machines on one ledger. Figures are read from the ledger each time.

    >>> from tallystick import Ledger
    >>> ledger = Ledger("memory://")
    >>> budget = ledger.budget("session:42", usd="2.00")
    >>> held = budget.reserve(usd="0.05")
    >>> budget.reserved, budget.remaining
    (Decimal('0.05'), Decimal('1.95'))
    >>> held.settle(usd="0.03")
    >>> budget.spent, budget.reserved
    (Decimal('0.03'), Decimal('0.00'))
    >>> ledger.close()
    """

    def __init__(self, blocking: Ports, awaiting: Ports, tenant: str, terms: Terms) -> None:
        self._blocking = blocking
        self._awaiting = awaiting
        self._tenant = tenant
        self._terms = terms

    def __repr__(self) -> str:
        return f"<Budget {self.name}: {self.described}>"

    @property
    def name(self) -> str:
        """Its name."""
        return self._terms.name

    @property
    def terms(self) -> dict[str, Any]:
        """What was declared: ``ledger.budget(budget.name, **budget.terms)`` declares it again."""
        return said_of(self._terms)

    @property
    def described(self) -> str:
        """Its terms in a few words, for people."""
        return described(self._terms)

    # -- figures ------------------------------------------------------------------------------

    def lines(self) -> list[BudgetLine]:
        """One line for each metric, and where the budget is split for each set of values."""
        return run_sync(treasury.lines(self._blocking, self._tenant, self.name))

    async def alines(self) -> list[BudgetLine]:
        """As :meth:`lines`, awaited."""
        return await treasury.lines(self._awaiting, self._tenant, self.name)

    @property
    def limit(self) -> Decimal | int:
        """The limit with what it was raised by; of a budget with one line."""
        return self._only().limit

    @property
    def spent(self) -> Decimal | int:
        """What is known to be spent in this window; of a budget with one line."""
        return self._only().spent

    @property
    def reserved(self) -> Decimal | int:
        """What is held for calls that are under way; of a budget with one line."""
        return self._only().reserved

    @property
    def unreconciled(self) -> Decimal | int:
        """What is charged and nobody knows whether it was spent; of a budget with one line."""
        return self._only().unreconciled

    @property
    def remaining(self) -> Decimal | int:
        """What may still be reserved; of a budget with one line."""
        return self._only().remaining

    def _only(self) -> BudgetLine:
        lines = self.lines()
        if len(lines) == 1:
            return lines[0]
        raise BudgetError(
            f"the budget {self.name} has {len(lines)} lines ({described(self._terms)}); "
            "look at lines()"
        )

    # -- raising ------------------------------------------------------------------------------

    def raise_limit(
        self,
        *,
        by: str,
        usd: Amount | None = None,
        tokens: int | None = None,
        requests: int | None = None,
        amount: Amount | None = None,
        per: Mapping[str, str] | None = None,
        lasting: bool = False,
        reason: str = "",
    ) -> list[BudgetLine]:
        """
        Raise a line's limit by an amount, for this window or for good; who did so is recorded.

        *per* names the line of a budget that is split. Raises UnknownBudget or InvalidCall.
        """
        given = _given(usd, tokens, requests, amount)
        flow = self._raising(self._blocking, given, per, by, reason, lasting=lasting)
        return run_sync(flow)

    async def araise_limit(
        self,
        *,
        by: str,
        usd: Amount | None = None,
        tokens: int | None = None,
        requests: int | None = None,
        amount: Amount | None = None,
        per: Mapping[str, str] | None = None,
        lasting: bool = False,
        reason: str = "",
    ) -> list[BudgetLine]:
        """As :meth:`raise_limit`, awaited."""
        given = _given(usd, tokens, requests, amount)
        return await self._raising(self._awaiting, given, per, by, reason, lasting=lasting)

    async def _raising(
        self,
        p: Ports,
        given: Mapping[str, Any],
        per: Mapping[str, str] | None,
        by: str,
        reason: str,
        *,
        lasting: bool,
    ) -> list[BudgetLine]:
        return await treasury.raise_limit(
            p,
            self._tenant,
            self.name,
            given,
            per=per or {},
            by=by,
            reason=reason,
            lasting=lasting,
            once=os.urandom(16),
        )

    # -- reserving ----------------------------------------------------------------------------

    def reserve(
        self,
        *,
        usd: Amount | None = None,
        tokens: int | None = None,
        requests: int | None = None,
        amount: Amount | None = None,
        per: Mapping[str, str] | None = None,
        key: str | None = None,
        ttl: Seconds = 900.0,
    ) -> Reservation:
        """
        Hold an upper bound of what is about to be spent, before it is.

        *key* names the reservation where it may be asked for twice; a request, where the budget
        counts them and nothing else is said, is one. After *ttl* seconds without a word it counts
        as lost: still charged, and shown as unreconciled. Raises BudgetExceeded.
        """
        given = _given(usd, tokens, requests, amount)
        return run_sync(self._reserving(self._blocking, given, per, key, ttl))

    async def areserve(
        self,
        *,
        usd: Amount | None = None,
        tokens: int | None = None,
        requests: int | None = None,
        amount: Amount | None = None,
        per: Mapping[str, str] | None = None,
        key: str | None = None,
        ttl: Seconds = 900.0,
    ) -> Reservation:
        """As :meth:`reserve`, awaited."""
        given = _given(usd, tokens, requests, amount)
        return await self._reserving(self._awaiting, given, per, key, ttl)

    async def _reserving(
        self,
        p: Ports,
        given: Mapping[str, Any],
        per: Mapping[str, str] | None,
        key: str | None,
        ttl: Seconds,
    ) -> Reservation:
        lasts = seconds(ttl, "ttl")
        if lasts <= 0:
            raise InvalidCall(f"ttl={ttl!r}: give seconds above 0")
        name = os.urandom(16) if key is None else check_name(key, "key").encode()
        id_ = hashed(VERSION, b"manual", self._tenant.encode(), self.name.encode(), name)
        await treasury.hold(
            p,
            self._tenant,
            self.name,
            given,
            key=id_,
            ttl=int(lasts * 1_000_000),
            per=per or {},
        )
        return Reservation(self._blocking, self._awaiting, self._tenant, id_)


class Reservation:
    """
    An amount that is held in a budget until somebody says what became of it.

    As a context manager, sync or async: left without a word it is *unreconciled*, for nobody knows
    what was spent.
    """

    def __init__(self, blocking: Ports, awaiting: Ports, tenant: str, key: bytes) -> None:
        self._blocking = blocking
        self._awaiting = awaiting
        self._tenant = tenant
        self._key = key
        self._said = False

    @property
    def key(self) -> str:
        """Its key in hex."""
        return self._key.hex()

    def settle(
        self,
        *,
        usd: Amount | None = None,
        tokens: int | None = None,
        requests: int | None = None,
        amount: Amount | None = None,
    ) -> None:
        """This was spent; what is not said was spent as it was reserved. Again: no change."""
        given = _given(usd, tokens, requests, amount)
        run_sync(self._reckon(self._blocking, State.SETTLED, given))

    async def asettle(
        self,
        *,
        usd: Amount | None = None,
        tokens: int | None = None,
        requests: int | None = None,
        amount: Amount | None = None,
    ) -> None:
        """As :meth:`settle`, awaited."""
        given = _given(usd, tokens, requests, amount)
        await self._reckon(self._awaiting, State.SETTLED, given)

    def release(self, *, reason: str = "") -> None:
        """Nothing was spent, for certain. Again, or after a settle: no change."""
        run_sync(self._reckon(self._blocking, State.RELEASED, {}, reason))

    async def arelease(self, *, reason: str = "") -> None:
        """As :meth:`release`, awaited."""
        await self._reckon(self._awaiting, State.RELEASED, {}, reason)

    async def _reckon(
        self, p: Ports, state: State, given: Mapping[str, Any], reason: str = ""
    ) -> None:
        await treasury.reckon(p, self._tenant, self._key, state, given, reason)
        self._said = True

    def __enter__(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._said:
            run_sync(self._reckon(self._blocking, State.UNRECONCILED, {}, _why(error)))

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._said:
            await self._reckon(self._awaiting, State.UNRECONCILED, {}, _why(error))


def _why(error: BaseException | None) -> str:
    return "nobody said what was spent" if error is None else f"left by {type(error).__name__}"


def _given(
    usd: Amount | None, tokens: int | None, requests: int | None, amount: Amount | None
) -> dict[str, Any]:
    return {"usd": usd, "tokens": tokens, "requests": requests, "amount": amount}
