"""
Calls of models, whatever client makes them: reserved before, settled after.

:class:`tallystick.clients.watch` and the frameworks' adapters are made of this; use it for a model
that none of them reaches.

>>> from tallystick import Ledger
>>> from tallystick.prices import Overrides, Usage
>>> ledger = Ledger("memory://")
>>> _ = ledger.budget("session:42", usd="0.01")
>>> prices = Overrides({"toy": {"input": "1", "output": "2"}})
>>> meter = Meter(ledger, "session:42", session="42", prices=prices)
>>> call = meter.begin(ModelRequest(model="toy", input_bound=1000, output_bound=1000))
>>> call.settle(Usage(input=900, output=100))
>>> ledger.budget("session:42").spent, call.iteration
(Decimal('0.0011'), 1)
>>> ledger.close()
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tallystick._budgets._acts import Reckon, Reservation, Reserve, session_id
from tallystick._budgets._bounds import ModelRequest
from tallystick._budgets._rules import State
from tallystick._classify import classify
from tallystick._context import AROUND, WORKFLOW
from tallystick._faces import run_sync
from tallystick._flows import budgets, metering, runaways
from tallystick._flows.metering import Held, Payer
from tallystick._hooks import Details
from tallystick._keys import check_name, is_a
from tallystick._policy import Seconds, seconds
from tallystick._ports import Ports
from tallystick.errors import BudgetError, InvalidCall, LedgerError, StoreError
from tallystick.prices import GenaiPrices, Overrides, PriceBook, Usage
from tallystick.runaway import Runaway
from tallystick.stores._clock import wall_micros

if TYPE_CHECKING:
    from tallystick.ledger import Ledger

__all__ = ["Meter", "Metered", "ModelRequest", "refused"]

_log = logging.getLogger("tallystick")
#: seconds for which a ledger that did not answer is not asked again, where a budget allows that
_BREAK = 5.0
#: nobody knew, and then somebody did
_LATE = (State.UNRECONCILED.value, State.SETTLED.value)


class Meter:
    """
    What pays for the calls of one client, and under which names they are recorded.

    *budgets* are names of budgets; those that concern every call with its facts (``model``,
    ``provider``, ``workflow``, ``session``, labels) pay too, all or none. *session* counts its
    calls in the ledger, over processes and restarts; without one the workflow around counts.
    *prices* is a :class:`~tallystick.prices.PriceBook`, by default genai-prices where the extra
    ``prices`` is installed; without it a budget of money is UnpricedModel, and others need none.
    *runaway* looks for sessions that go round in circles. After *lasts* seconds without a word a
    call counts as lost: it stays charged, and is shown as unreconciled.
    """

    def __init__(
        self,
        ledger: Ledger,
        *budgets: str,
        session: str | None = None,
        prices: PriceBook | None = None,
        runaway: Runaway | None = None,
        lasts: Seconds = 900.0,
    ) -> None:
        self.ledger = ledger
        self.budgets = tuple(check_name(name, "budget") for name in budgets)
        self.session = None if session is None else check_name(session, "session")
        if runaway is not None and not is_a(runaway, Runaway):
            raise InvalidCall(f"runaway={runaway!r}: give a tallystick.runaway.Runaway")
        self.prices = _known_prices() if prices is None else prices
        self._watch = None if runaway is None else runaways.Watch(runaway)
        self._lasts = int(seconds(lasts, "lasts") * 1_000_000)
        #: until when the ledger is not asked, on the monotonic clock
        self._broken = 0.0

    # -- before the call ----------------------------------------------------------------------

    def begin(
        self,
        request: ModelRequest,
        *,
        session: str | None = None,
        workflow: str | None = None,
        budgets: tuple[str, ...] = (),
        labels: Mapping[str, str] | None = None,
    ) -> Metered:
        """
        Reserve the most that the call can use; after this it may be made.

        Raises BudgetExceeded, UnpricedModel, UnknownBudget, RunawayStopped or another BudgetError
        where it may not, and StoreError where the ledger does not answer, unless every budget that
        pays says ``on_error="allow"``. In each case nothing was reserved.
        """
        p = _faces(self.ledger)[0]
        payer = self._payer(session, workflow, budgets, labels)
        return run_sync(self._begin(p, payer, request))

    async def abegin(
        self,
        request: ModelRequest,
        *,
        session: str | None = None,
        workflow: str | None = None,
        budgets: tuple[str, ...] = (),
        labels: Mapping[str, str] | None = None,
    ) -> Metered:
        """As :meth:`begin`, awaited."""
        p = _faces(self.ledger)[1]
        payer = self._payer(session, workflow, budgets, labels)
        return await self._begin(p, payer, request)

    def _payer(
        self,
        session: str | None,
        workflow: str | None,
        names: tuple[str, ...],
        labels: Mapping[str, str] | None,
    ) -> Payer:
        around = AROUND.get()
        workflow = workflow or WORKFLOW.get()
        return Payer(
            tenant=self.ledger.tenant,
            names=tuple(dict.fromkeys((*self.budgets, *names, *around.budgets))),
            book=self.prices,
            workflow=workflow,
            session=session or self.session or around.labels.get("session") or workflow,
            labels={**around.labels, **(labels or {})},
        )

    async def _begin(self, p: Ports, payer: Payer, request: ModelRequest) -> Metered:
        row = self._row(p, payer, request)
        if self._broken > time.monotonic() and metering.bypassable(p, payer, request):
            return await self._unheld(p, payer, request, "the ledger did not answer a moment ago")
        try:
            if self._watch is not None and payer.session is not None:
                await runaways.look(p, payer, request, self._watch)
            held = await metering.begin(p, payer, request, row)
        except StoreError as error:
            if not metering.bypassable(p, payer, request):
                raise
            self._broken = time.monotonic() + _BREAK
            return await self._unheld(p, payer, request, str(error))
        return Metered(self, payer, held)

    def _row(self, p: Ports, payer: Payer, request: ModelRequest) -> Reservation:
        id_ = os.urandom(32)
        session = payer.session
        return budgets.blank(
            id_=id_,
            tenant=payer.tenant,
            kind="model",
            what=request.model,
            provider=request.provider,
            workflow=payer.workflow,
            session=session,
            scope=None if session is None else session_id(payer.tenant, session),
            holder=p.holder,
            nonce=id_[:16],
            until=self._lasts,
            digest=request.digest,
        )

    async def _unheld(self, p: Ports, payer: Payer, request: ModelRequest, why: str) -> Metered:
        """Let a call go that nobody could check, as its budgets want it; and say so."""
        # a row of its own: the journal releases the one that failed as soon as it can
        row = self._row(p, payer, request)
        _log.warning("%s goes on without its budget being checked: %s", request.model, why)
        p.tell(
            Details(
                kind="budget_bypassed",
                key=row.id.hex(),
                tenant=payer.tenant,
                workflow=payer.workflow or "",
                tool=request.model,
                facts={"why": why, "budgets": payer.names, "session": payer.session},
            )
        )
        held = Held(row=row, lines=(), request=request, iteration=0, at=await _moment(p))
        return Metered(self, payer, held, unheld=True)


class Metered:
    """
    One call that may be made now.

    Say what became of it: the first word counts, but for a settle after it was left. Saying nothing
    is safe: it stays charged. None of the methods raises because the ledger does not answer: the
    word is kept and written down as soon as it does.
    """

    def __init__(self, meter: Meter, payer: Payer, held: Held, *, unheld: bool = False) -> None:
        self._meter = meter
        self._payer = payer
        self._held = held
        self._unheld = unheld
        #: the state that was said last
        self._said: str | None = None

    @property
    def key(self) -> str:
        """The reservation's key in hex."""
        return self._held.row.id.hex()

    @property
    def output_bound(self) -> int | None:
        """Output tokens that the call may have: less than was asked for where only that fitted."""
        return self._held.request.output_bound

    @property
    def iteration(self) -> int:
        """Its number among the calls of its session, from 1; 0 without a session."""
        return self._held.iteration

    @property
    def session(self) -> str | None:
        """The session it is counted in."""
        return self._payer.session

    def settle(
        self,
        usage: Usage,
        *,
        model: str | None = None,
        answer: bytes | None = None,
        context: str | None = None,
    ) -> None:
        """
        It used this.

        *model* and *context* are the answer's names for the model and the service tier, *answer*
        is a sha256 of what it said.
        """
        self._say(self._settled(usage, model, answer, context))

    async def asettle(
        self,
        usage: Usage,
        *,
        model: str | None = None,
        answer: bytes | None = None,
        context: str | None = None,
    ) -> None:
        """As :meth:`settle`, awaited."""
        await self._asay(self._settled(usage, model, answer, context))

    def leave(self, usage: Usage | None, *, reason: str, model: str | None = None) -> None:
        """
        Nobody knows all that it used.

        *usage* is what is known; it is spent. The rest of the reservation stays charged and is
        shown as unreconciled.
        """
        self._say(self._left(usage, reason, model))

    async def aleave(self, usage: Usage | None, *, reason: str, model: str | None = None) -> None:
        """As :meth:`leave`, awaited."""
        await self._asay(self._left(usage, reason, model))

    def release(self, *, reason: str) -> None:
        """It certainly was not made, or not processed: nothing was used."""
        self._say(self._released(reason))

    async def arelease(self, *, reason: str) -> None:
        """As :meth:`release`, awaited."""
        await self._asay(self._released(reason))

    def _settled(
        self, usage: Usage, model: str | None, answer: bytes | None, context: str | None
    ) -> Reckon:
        state = State.SETTLED
        return metering.said(
            self._payer, self._held, state, usage, model, context=context, answer=answer
        )

    def _left(self, usage: Usage | None, reason: str, model: str | None) -> Reckon:
        state = State.UNRECONCILED
        return metering.said(self._payer, self._held, state, usage, model, note=reason)

    def _released(self, reason: str) -> Reckon:
        return metering.said(self._payer, self._held, State.RELEASED, None, None, note=reason)

    def _say(self, act: Reckon) -> None:
        p = _faces(self._meter.ledger)[0]
        run_sync(self._record(p, act))

    async def _asay(self, act: Reckon) -> None:
        await self._record(_faces(self._meter.ledger)[1], act)

    async def _record(self, p: Ports, act: Reckon) -> None:
        if self._said is not None and (self._said, act.state) != _LATE:
            return
        self._said = act.state
        if self._unheld:
            await self._book(p, act)
            return
        try:
            await p.do(act)
        except StoreError as error:  # the journal owes it now; the answer was paid for
            _log.warning("what %s used is recorded later: %s", self._held.request.model, error)

    async def _book(self, p: Ports, act: Reckon) -> None:
        """What was used while the ledger did not answer, charged whatever the limits say."""
        if act.state == State.RELEASED:
            return
        with contextlib.suppress(StoreError, BudgetError):
            await metering.book(p, self._payer, self._held)
            await p.do(act)
            return
        row = self._held.row
        p.owe(Reserve(row=row, demands=(), force=True))
        p.owe(act)


async def _moment(p: Ports) -> int:
    """When a call begins, for its price; by this machine's clock where the ledger does not say."""
    try:
        return await p.clock()
    except StoreError:
        return wall_micros()


def _known_prices() -> PriceBook:
    """Those of genai-prices where it is installed, else none."""
    try:
        return GenaiPrices()
    except LedgerError:
        return Overrides({})


def _faces(ledger: Ledger) -> tuple[Ports, Ports]:
    return ledger._blocking, ledger._awaiting  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - our own


def refused(error: BaseException) -> bool:
    """
    Whether *error*, raised by a client, certainly means that the provider processed nothing.

    Refused connections, failed name look-ups, and answers that say no (4xx). A timeout, a reset
    and a 5xx say nothing.

    >>> refused(ConnectionRefusedError()), refused(TimeoutError())
    (True, False)
    """
    return classify(error, None) in {"failed", "retryable"}
