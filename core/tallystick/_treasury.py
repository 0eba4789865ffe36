"""The ledger's half that is about money: budgets, costs, reservations; each with two faces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from tallystick._budgets._acts import ReadSession, SessionState
from tallystick._budgets._amounts import Amount
from tallystick._budgets._reports import BudgetLine, CostLine, Repriced, ReservationView
from tallystick._budgets._terms import OnError, OnExceed, Terms, declared
from tallystick._faces import Awaiting, Blocking, run_sync
from tallystick._flows import treasury
from tallystick._keys import check_name
from tallystick._ports import Ports
from tallystick.budgets import Budget
from tallystick.errors import InvalidCall
from tallystick.prices import PriceBook

By = Literal["model", "tool", "provider", "workflow", "session", "day", "what"]
WindowLike = Literal["hour", "day", "week", "month"] | timedelta | None


class Treasury:
    """What a ledger knows of money."""

    tenant: str
    _blocking: Blocking
    _awaiting: Awaiting

    def budget(
        self,
        name: str,
        *,
        usd: Amount | None = None,
        tokens: int | None = None,
        requests: int | None = None,
        amount: Amount | None = None,
        of: str | None = None,
        window: WindowLike = None,
        zone: str = "UTC",
        per: str | Iterable[str] = (),
        tool: str | None = None,
        model: str | None = None,
        risk: str | None = None,
        where: Mapping[str, Any] | None = None,
        require: Mapping[str, Any] | None = None,
        on_exceed: OnExceed = "deny",
        on_error: OnError = "deny",
        soft: Iterable[float] = (),
        raise_by: Amount | Mapping[str, Amount] | None = None,
        by: str = "code",
    ) -> Budget:
        """
        Declare a budget; with a name alone, the one that was declared before.

        usd, tokens, requests, amount
            Limits: dollars, tokens of models, calls, and a value among the arguments of tools.
        of
            What ``amount`` adds up: a path among the arguments, ``"args.order.total"``.
        window
            ``None`` for all time, ``"hour"``, ``"day"``, ``"week"``, ``"month"`` by the calendar of
            *zone*, or a timedelta for a window that rolls, in sixty steps.
        per
            Facts by which the budget is split, each value with limits of its own: ``tool``,
            ``risk``, ``model``, ``provider``, ``workflow``, ``session``, ``args.…``, or a label of
            ``ledger.workflow(labels=…)``.
        tool, model, risk, where
            Facts that a call must have for the budget to concern it wherever it is made, by any
            process on the ledger. Without any of them it concerns what names it.
        require
            Facts without which a call is refused, such as ``{"args.currency": "EUR"}``.
        on_exceed
            ``"deny"``; ``"ask"`` puts a request to raise the limit into the inbox; ``"warn"`` lets
            it go on and tells; ``"downgrade"`` lets who calls take something cheaper.
        on_error
            What happens to a model call while the ledger does not answer; ``"allow"`` is told and
            booked later.
        soft
            Fractions of a limit at which the hooks hear ``budget_threshold``, once per window.
        raise_by
            What a request proposes, by metric or for the first one; the limit itself by default.

        Declared again with other terms, it keeps what is charged to it and by how much it was
        raised. Raises InvalidCall, or UnknownBudget for a name that nobody declared.

        >>> from tallystick import BudgetExceeded, Ledger
        >>> ledger = Ledger("memory://")
        >>> _ = ledger.budget(
        ...     "refunds", amount=500, of="args.eur", window="day", per="args.customer",
        ...     tool="refund",
        ... )
        >>> args = {"customer": "c-1", "eur": 450}
        >>> ledger.call("refund", lambda customer, eur: "done", args, workflow="w")
        'done'
        >>> args = {"customer": "c-1", "eur": 51}
        >>> try:
        ...     ledger.call("refund", lambda customer, eur: "done", args, workflow="w")
        ... except BudgetExceeded as no:
        ...     print(no.budget, dict(no.per), no.remaining, no.needed)
        refunds {'args.customer': 'c-1'} 50.00 51.00
        >>> ledger.close()
        """
        limits = {"usd": usd, "tokens": tokens, "requests": requests, "amount": amount}
        terms = _terms(
            name,
            limits,
            {"tool": tool, "model": model, "risk": risk, **(where or {})},
            of=of,
            window=window,
            zone=zone,
            per=per,
            require=require or {},
            on_exceed=on_exceed,
            on_error=on_error,
            soft=soft,
            raise_by=raise_by,
        )
        return run_sync(self._budget(self._blocking, name, terms, by))

    async def abudget(
        self,
        name: str,
        *,
        usd: Amount | None = None,
        tokens: int | None = None,
        requests: int | None = None,
        amount: Amount | None = None,
        of: str | None = None,
        window: WindowLike = None,
        zone: str = "UTC",
        per: str | Iterable[str] = (),
        tool: str | None = None,
        model: str | None = None,
        risk: str | None = None,
        where: Mapping[str, Any] | None = None,
        require: Mapping[str, Any] | None = None,
        on_exceed: OnExceed = "deny",
        on_error: OnError = "deny",
        soft: Iterable[float] = (),
        raise_by: Amount | Mapping[str, Amount] | None = None,
        by: str = "code",
    ) -> Budget:
        """As :meth:`budget`, awaited."""
        limits = {"usd": usd, "tokens": tokens, "requests": requests, "amount": amount}
        terms = _terms(
            name,
            limits,
            {"tool": tool, "model": model, "risk": risk, **(where or {})},
            of=of,
            window=window,
            zone=zone,
            per=per,
            require=require or {},
            on_exceed=on_exceed,
            on_error=on_error,
            soft=soft,
            raise_by=raise_by,
        )
        return await self._budget(self._awaiting, name, terms, by)

    async def _budget(self, p: Ports, name: str, terms: Terms | None, by: str) -> Budget:
        check_name(by, "by")
        if terms is None:
            known = await treasury.known(p, self.tenant, name)
        else:
            known = await treasury.declare(p, self.tenant, terms, by)
        return Budget(self._blocking, self._awaiting, self.tenant, known.terms)

    def budgets(self) -> list[BudgetLine]:
        """All lines of all budgets, as they are in the windows that are now."""
        return run_sync(treasury.lines(self._blocking, self.tenant))

    async def abudgets(self) -> list[BudgetLine]:
        """As :meth:`budgets`, awaited."""
        return await treasury.lines(self._awaiting, self.tenant)

    def declared(self) -> list[Budget]:
        """All budgets that were declared, by whomever, in the order of their names."""
        return run_sync(self._declared(self._blocking))

    async def adeclared(self) -> list[Budget]:
        """As :meth:`declared`, awaited."""
        return await self._declared(self._awaiting)

    async def _declared(self, p: Ports) -> list[Budget]:
        found = await treasury.declared(p, self.tenant)
        return [Budget(self._blocking, self._awaiting, self.tenant, each.terms) for each in found]

    def reservations(
        self, *, state: str | None = None, session: str | None = None, limit: int = 1000
    ) -> list[ReservationView]:
        """What was reserved and what became of it, newest first, at most *limit*."""
        flow = treasury.reservations(
            self._blocking, self.tenant, state=state, session=session, limit=limit
        )
        return run_sync(flow)

    async def areservations(
        self, *, state: str | None = None, session: str | None = None, limit: int = 1000
    ) -> list[ReservationView]:
        """As :meth:`reservations`, awaited."""
        return await treasury.reservations(
            self._awaiting, self.tenant, state=state, session=session, limit=limit
        )

    def reservation(self, key: str) -> ReservationView:
        """The reservation whose key is, or starts with, *key*; InvalidCall where none is."""
        return run_sync(treasury.reservation(self._blocking, self.tenant, key))

    async def areservation(self, key: str) -> ReservationView:
        """As :meth:`reservation`, awaited."""
        return await treasury.reservation(self._awaiting, self.tenant, key)

    def reconcile(
        self,
        key: str,
        *,
        by: str,
        usd: Amount | None = None,
        tokens: int | None = None,
        requests: int | None = None,
        amount: Amount | None = None,
        reason: str = "",
    ) -> ReservationView:
        """
        Say what a reservation did cost that nobody knew of; the rest of it is free again.

        *key* is its hex key or the beginning of it. Raises BudgetError where there is nothing to
        reconcile, InvalidCall where no reservation has this key or a metric that it holds is left
        out.
        """
        given = {"usd": usd, "tokens": tokens, "requests": requests, "amount": amount}
        flow = treasury.reconcile(self._blocking, self.tenant, key, given, by=by, reason=reason)
        return run_sync(flow)

    async def areconcile(
        self,
        key: str,
        *,
        by: str,
        usd: Amount | None = None,
        tokens: int | None = None,
        requests: int | None = None,
        amount: Amount | None = None,
        reason: str = "",
    ) -> ReservationView:
        """As :meth:`reconcile`, awaited."""
        given = {"usd": usd, "tokens": tokens, "requests": requests, "amount": amount}
        return await treasury.reconcile(
            self._awaiting, self.tenant, key, given, by=by, reason=reason
        )

    def costs(
        self, *, by: By = "model", since: datetime | None = None, until: datetime | None = None
    ) -> list[CostLine]:
        """What was spent by model, tool, provider, workflow, session or day, the dearest first."""
        flow = treasury.costs(self._blocking, self.tenant, by=by, since=since, until=until)
        return run_sync(flow)

    async def acosts(
        self, *, by: By = "model", since: datetime | None = None, until: datetime | None = None
    ) -> list[CostLine]:
        """As :meth:`costs`, awaited."""
        return await treasury.costs(self._awaiting, self.tenant, by=by, since=since, until=until)

    def reprice(
        self, prices: PriceBook, *, since: datetime | None = None, write: bool = False
    ) -> list[Repriced]:
        """
        Model calls that cost something else by *prices*; with *write* that is their cost from now.

        What the usage was is not touched, nor calls whose usage nobody knows; a call that was
        unreconciled for the want of a price is settled. Each call is its own transaction.
        """
        flow = treasury.repriced(self._blocking, self.tenant, prices, since=since, write=write)
        return run_sync(flow)

    async def areprice(
        self, prices: PriceBook, *, since: datetime | None = None, write: bool = False
    ) -> list[Repriced]:
        """As :meth:`reprice`, awaited."""
        return await treasury.repriced(
            self._awaiting, self.tenant, prices, since=since, write=write
        )

    def session(self, name: str) -> SessionState:
        """What a session has used so far: ``calls``, ``tokens``, ``nanos`` of a dollar."""
        check_name(name, "session")
        return run_sync(self._blocking.read(ReadSession(tenant=self.tenant, session=name)))

    async def asession(self, name: str) -> SessionState:
        """As :meth:`session`, awaited."""
        check_name(name, "session")
        return await self._awaiting.read(ReadSession(tenant=self.tenant, session=name))


def _terms(
    name: str, limits: Mapping[str, Any], where: Mapping[str, Any], **options: Any
) -> Terms | None:
    """The terms that are declared, or ``None`` where only a name is given."""
    facts = {fact: value for fact, value in where.items() if value is not None}
    if all(value is None for value in limits.values()):
        plain = {"zone": "UTC", "on_exceed": "deny", "on_error": "deny"}
        said = [n for n, v in options.items() if v not in (None, (), {}) and plain.get(n) != v]
        if facts or said:
            raise InvalidCall(
                f"the budget {name} limits nothing; give usd=…, tokens=…, requests=… or amount=…"
            )
        return None
    return declared(name, limits=limits, where=facts, **options)
