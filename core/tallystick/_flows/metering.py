"""One call of a model: bounded and reserved before it is made, settled by what it used."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any, NamedTuple

from tallystick._budgets import _acts as spending
from tallystick._budgets._amounts import Metric
from tallystick._budgets._bounds import Bound, ModelRequest
from tallystick._budgets._facts import Facts
from tallystick._budgets._rules import UNPRICED, State
from tallystick._flows import budgets
from tallystick._model import at
from tallystick._ports import Ports
from tallystick.prices import Cost, PriceBook, Usage

#: how often fewer tokens are tried before the budget is said to be exceeded
_SHRINKS = 8


class Payer(NamedTuple):
    """Who pays for a call, and under which names it is recorded."""

    tenant: str
    names: tuple[str, ...]
    book: PriceBook
    workflow: str | None
    session: str | None
    labels: dict[str, str]


class Held(NamedTuple):
    """A call that may be made now."""

    row: spending.Reservation
    lines: tuple[bytes, ...]
    request: ModelRequest
    iteration: int
    at: int


async def begin(p: Ports, payer: Payer, request: ModelRequest, row: spending.Reservation) -> Held:
    """Reserve the most that the call can use; BudgetExceeded where that does not fit."""
    moment = await p.clock()
    for left in range(_SHRINKS, -1, -1):
        bound = Bound(payer.book, request, moment)
        row = row._replace(bound=bound.usd_or_none())
        reserved, demanded = await budgets.reserve(
            p, payer.tenant, payer.names, facts_of(payer, request), bound.wanted, row
        )
        if reserved.refusal is None:
            lines = tuple([demand.line for demand in demanded])
            return Held(
                row=row,
                lines=lines,
                request=request,
                iteration=reserved.iteration,
                at=reserved.now,
            )
        fewer = bound.fitting(reserved.refusal) if left else None
        if fewer is None:
            raise await budgets.exceeded(p, payer.tenant, reserved.refusal, _what(payer, request))
        request = replace(request, output_bound=fewer)
    raise AssertionError("the last round returns or raises")


async def book(p: Ports, payer: Payer, held: Held) -> None:
    """Charge a call that was made while the ledger did not answer, whatever the limits say."""
    wanted = Bound(payer.book, held.request, held.at).wanted
    facts = facts_of(payer, held.request)
    await budgets.reserve(p, payer.tenant, payer.names, facts, wanted, held.row, force=True)


def facts_of(payer: Payer, request: ModelRequest) -> Facts:
    """What budgets may ask of a model call."""
    said = {**payer.labels, "model": request.model}
    for name in ("workflow", "session"):
        if (value := getattr(payer, name)) is not None:
            said.setdefault(name, value)
    if request.provider is not None:
        said["provider"] = request.provider
    return Facts(what=_what(payer, request), said=said)


def _what(payer: Payer, request: ModelRequest) -> str:
    where = payer.session or payer.workflow
    return f"{request.model} in {where}" if where else request.model


def said(
    payer: Payer,
    held: Held,
    state: State,
    usage: Usage | None,
    model: str | None,
    *,
    context: str | None = None,
    **more: Any,
) -> spending.Reckon:
    """What to record of a call that was made, or was not."""
    cost, tier = None, context or held.request.context
    if usage is not None:
        cost, tier = price(payer.book, held, usage, model, context)
    unpriced = usage is not None and cost is None and state is State.SETTLED
    if unpriced and held.row.bound is not None and held.lines:
        # it could be bounded and cannot be priced: what it cost is not known, and not nothing
        state, more["note"] = State.UNRECONCILED, UNPRICED
    actual: dict[str, int] = {}
    if usage is not None:
        actual[Metric.TOKENS.value] = usage.total
        actual[Metric.REQUESTS.value] = 1
    if cost is not None:
        actual[Metric.USD.value] = cost.nanos
    return spending.Reckon(
        key=held.row.id,
        tenant=payer.tenant,
        state=state.value,
        actual=actual or None,
        cost=None if cost is None else cost.nanos,
        tokens=None if usage is None else usage.total,
        usage=None if usage is None else json.dumps(usage.to_json()),
        price=spending.price_text(cost, tier),
        model=model,
        lines=held.lines,
        **more,
    )


def price(
    book: PriceBook, held: Held, usage: Usage, model: str | None, context: str | None
) -> tuple[Cost | None, str | None]:
    """
    What the call cost, and the service tier by which it did.

    By what was asked for, where what was answered has no price.
    """
    request = held.request
    tiers = (request.context,) if context is None else (context, request.context)
    for tier, name in itertools.product(tiers, (model, request.model)):
        cost = name and book.price(
            name, usage, provider=request.provider, at=at(held.at), context=tier
        )
        if cost:
            return cost, tier
    return None, tiers[0]


def bypassable(p: Ports, payer: Payer, request: ModelRequest) -> bool:
    """Whether every budget that would pay is known, and says that a broken ledger stops nobody."""
    known, missing = p.budgets.named(payer.names)
    concerned = [*known, *p.budgets.standing.concerned(facts_of(payer, request))]
    return not missing and bool(concerned) and all(k.terms.on_error == "allow" for k in concerned)
