"""
Budgets on the way of a call: who pays, whether they can, and what is said when they cannot.

The reservation for an effect is made in the transaction that begins it. Nothing here trusts what
this process remembers of the budgets: each reservation names the versions it goes by.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple

from tallystick._acts import Claim, Found, Start
from tallystick._budgets import _acts as spending
from tallystick._budgets._amounts import shown
from tallystick._budgets._facts import Facts
from tallystick._budgets._register import Wanted, demands, of_a_tool
from tallystick._budgets._rules import Demand, Refusal
from tallystick._budgets._terms import Known, proposal
from tallystick._budgets._topups import RAISE, workflow_of
from tallystick._flows import questions
from tallystick._flows.call import Call
from tallystick._hooks import Details
from tallystick._keys import VERSION, hashed
from tallystick._model import Row, Status, at
from tallystick._ports import Ports
from tallystick._undoing._tools import RESUMABLE
from tallystick.errors import BudgetExceeded, StoreBusy, UnknownBudget

#: how often the budgets may be declared anew while one call tries to reserve
_DECLARED = 200


async def learn(p: Ports, tenant: str) -> None:
    """Read the standing budgets."""
    version, known = await p.read(spending.ReadTerms(tenant=tenant, standing=True))
    p.budgets.learn(version, known)


class Paying(NamedTuple):
    """The budgets that pay for a call, and which version of the standing ones they go by."""

    standing: int
    known: list[Known]


async def paying(p: Ports, tenant: str, names: Iterable[str], facts: Facts) -> Paying:
    """The budgets that are named or concerned; UnknownBudget if one is not there."""
    names = tuple(dict.fromkeys(names))
    known, missing = p.budgets.named(names)
    if missing:
        _, read = await p.read(spending.ReadTerms(tenant=tenant, names=tuple(missing)))
        p.budgets.remember(read)
        known, missing = p.budgets.named(names)
        if missing:
            raise UnknownBudget(
                f"nobody declared the budget {missing[0]}, so {facts.what} was not started; "
                "declare it with ledger.budget(…)"
            )
    ids, standing = {k.id for k in known}, p.budgets.standing
    known += [k for k in standing.concerned(facts) if k.id not in ids]
    return Paying(standing.version, known)


def facts_of(call: Call) -> Facts:
    """What budgets may ask of a call."""
    labels = call.around.labels
    said = {"workflow": call.workflow, "session": call.workflow, **labels, "tool": call.tool}
    if call.policy.risk is not None:
        said["risk"] = call.policy.risk
    return Facts(what=f"{call.tool} in {call.workflow}", said=said, args=call.args)


async def paid(p: Ports, call: Call, act: Claim | Start) -> Claim | Start | spending.Reserve:
    """
    *act* as the budgets are known here; the reservation that goes with it where one pays.

    The version it goes by is the one that the budgets were taken from: whatever was declared since
    is told by the database.
    """
    standing, demanded = await _wants(p, call)
    if act.standing != standing:
        if isinstance(act, Claim):
            act = act._replace(standing=standing)
        else:
            act = replace(act, standing=standing)
    if not demanded:
        return act
    row = _record(call, act.nonce, p.holder)
    if isinstance(act, Claim):
        return spending.Reserve(row=row, demands=demanded, claim=act)
    return spending.Reserve(row=row, demands=demanded, start=act)


async def _wants(p: Ports, call: Call) -> tuple[int, tuple[Demand, ...]]:
    """What an effect wants of the budgets that pay for it; nothing where none does."""
    named, standing = call.policy.budgets or call.around.budgets, p.budgets.standing
    if (not named and not standing.budgets) or call.tool in RESUMABLE:
        return standing.version, ()
    facts, amounts = facts_of(call), call.policy.paid_by
    payers = await paying(p, call.tenant, (*amounts, *call.around.budgets), facts)
    wanted = of_a_tool(facts, cost=call.policy.cost, amounts=amounts, named=frozenset(amounts))
    return payers.standing, demands(call.tenant, payers.known, facts, wanted)


def _record(call: Call, nonce: bytes, holder: str) -> spending.Reservation:
    """The reservation of an effect, which has the effect's key."""
    return blank(
        id_=call.identity.key,
        tenant=call.tenant,
        kind="tool",
        what=call.tool,
        workflow=call.workflow,
        holder=holder,
        nonce=nonce,
    )


async def begin(p: Ports, call: Call, act: Claim | Start) -> tuple[Found, tuple[bytes, ...] | None]:
    """Claim or start, and reserve in the same transaction; the lines that hold it."""
    doing = await paid(p, call, act)
    if isinstance(doing, spending.Reserve):
        return await _reserving(p, call, doing)
    return await (p.claim(doing) if isinstance(doing, Claim) else p.do(doing)), None


async def _reserving(
    p: Ports, call: Call, act: spending.Reserve
) -> tuple[Found, tuple[bytes, ...] | None]:
    """Reserve for an effect, or raise BudgetExceeded."""
    reserved = await p.do(act)
    await announce(p, reserved.alerts)
    if reserved.refusal is not None:
        raise await refused(p, call, reserved.refusal)
    return taken(p, act, reserved)


def taken(
    p: Ports, act: spending.Reserve, reserved: spending.Reserved
) -> tuple[Found, tuple[bytes, ...] | None]:
    """What an effect's claim met, and the lines that hold it; what is stale is forgotten."""
    if reserved.stale:
        p.budgets.forget(demand.terms.name for demand in act.demands)
        return Found(False, None, False, reserved.now, stale=True), None
    assert reserved.found is not None
    return reserved.found, act.lines if reserved.fresh else None


async def refused(p: Ports, call: Call, refusal: Refusal, *, asks: bool = True) -> BudgetExceeded:
    """The error for an effect that no longer fits."""
    return await exceeded(p, call.tenant, refusal, f"{call.tool} in {call.workflow}", asks=asks)


def blank(
    *,
    id_: bytes,
    tenant: str,
    kind: str,
    what: str,
    holder: str,
    nonce: bytes,
    provider: str | None = None,
    workflow: str | None = None,
    session: str | None = None,
    scope: bytes | None = None,
    until: int | None = None,
    digest: bytes | None = None,
) -> spending.Reservation:
    """A reservation that is about to be made."""
    return spending.Reservation(
        seq=0,
        id=id_,
        tenant=tenant,
        kind=kind,
        what=what,
        provider=provider,
        workflow=workflow,
        session=session,
        scope=scope,
        iteration=None,
        state="held",
        holder=holder,
        nonce=nonce,
        until=until,
        parts="[]",
        bound=None,
        cost=None,
        tokens=None,
        usage=None,
        price=None,
        digest=digest,
        answer=None,
        note=None,
        created_at=0,
        settled_at=None,
    )


async def reserve(
    p: Ports,
    tenant: str,
    names: tuple[str, ...],
    facts: Facts,
    wanted: Wanted,
    row: spending.Reservation,
    *,
    standing: bool = True,
    force: bool = False,
) -> tuple[spending.Reserved, tuple[Demand, ...]]:
    """Reserve for something that is no effect; the answer may be a refusal."""
    for _ in range(_DECLARED):
        version, known = await paying(p, tenant, names, facts)
        if not standing:
            known = [k for k in known if k.terms.name in names]
        demanded = demands(tenant, known, facts, wanted)
        by = version if standing else None
        act = spending.Reserve(row=row, demands=demanded, standing=by, force=force)
        reserved = await p.do(act)
        await announce(p, reserved.alerts)
        if not reserved.stale:
            return reserved, demanded
        p.budgets.forget(names)
        await learn(p, tenant)
    raise StoreBusy("the budgets are declared anew each time; try later")


async def announce(p: Ports, alerts: Iterable[spending.Alert]) -> None:
    """Tell the hooks of what somebody should hear of, and remember it once they all took it."""
    for alert in alerts:
        if p.listening and p.tell(details_of(alert)):
            await p.do(spending.Told(id=alert.id))


def details_of(alert: spending.Alert, **more: Any) -> Details:
    """An alert as hooks see it."""
    facts = {**json.loads(alert.detail), "subject": alert.subject, **more}
    return Details(
        kind=alert.kind,
        key=alert.id.hex(),
        tenant=alert.tenant,
        workflow=facts.get("workflow") or "",
        tool=facts.get("by") or "",
        facts=facts,
    )


# -- no room --------------------------------------------------------------------------------------


async def exceeded(
    p: Ports, tenant: str, refusal: Refusal, what: str, *, asks: bool = True
) -> BudgetExceeded:
    """The error that says so; with ``on_exceed="ask"`` a person was asked for more."""
    demand, figures, ends = refusal
    terms, metric, weight = demand.terms, demand.metric, figures.weight
    wanted = asks and terms.on_exceed == "ask"
    row = await _ask(p, tenant, refusal, what) if wanted else None
    per = json.loads(demand.label)
    facts: dict[str, Any] = {
        "budget": terms.name,
        "per": per,
        "metric": metric.value,
        "limit": shown(metric, figures.limit),
        "spent": shown(metric, weight.spent),
        "reserved": shown(metric, weight.reserved),
        "unreconciled": shown(metric, weight.unreconciled),
        "needed": shown(metric, demand.amount),
        "resets_at": None if ends is None else at(ends),
        "on_exceed": terms.on_exceed,
        "request": None if row is None else row.key.hex(),
    }
    return BudgetExceeded(_sentence(what, facts, row), **facts)


def _sentence(what: str, facts: dict[str, Any], row: Row | None) -> str:
    unit = {"usd": " USD", "tokens": " tokens", "requests": " requests"}.get(facts["metric"], "")
    whose = ", ".join(f"{name} {value}" for name, value in facts["per"].items())
    left: Decimal | int = max(
        facts["limit"] - facts["spent"] - facts["reserved"] - facts["unreconciled"], 0
    )
    parts = [f"{facts['spent']} spent", f"{facts['reserved']} reserved"]
    if facts["unreconciled"]:
        parts.append(f"{facts['unreconciled']} unreconciled")
    text = (
        f"the budget {facts['budget']}{f' ({whose})' if whose else ''} has {left}{unit} left of "
        f"{facts['limit']} ({', '.join(parts)}) and {what} needs up to {facts['needed']}; "
        "nothing was started"
    )
    if row is None:
        until = facts["resets_at"]
        next_ = f"wait until {until:%Y-%m-%d %H:%M %Z}, or raise it" if until else "raise it"
        return f"{text}; {next_} with `{_raising(facts)}`"
    if row.status == Status.DENIED:
        return f"{text}; more was asked for and denied by {json.loads(row.error or '{}').get('by')}"
    if row.status != Status.PENDING:
        return f"{text}; more was asked for, which is {row.status}: `{_raising(facts)}`"
    return f"{text}; more was asked for: `tallystick approve {row.key.hex()[:12]} --by you`"


def _raising(facts: dict[str, Any]) -> str:
    """The command that raises a line."""
    per = [f"--per {shlex.quote(f'{name}={value}')}" for name, value in facts["per"].items()]
    command = ["tallystick budgets raise", shlex.quote(facts["budget"]), *per]
    return " ".join([*command, f"--{facts['metric']} AMOUNT"])


async def _ask(p: Ports, tenant: str, refusal: Refusal, what: str) -> Row | None:
    """Put a top-up request into the inbox: one for each line, window, limit and declared limit."""
    demand, figures, _ = refusal
    terms, metric = demand.terms, demand.metric
    limits = (str(figures.limit).encode(), str(terms.limit(metric)).encode())
    once = (demand.line, _window(refusal).encode(), *limits)
    args = {
        "budget": terms.name,
        "metric": metric.value,
        "per": json.loads(demand.label),
        "raise": str(shown(metric, max(proposal(terms, metric), demand.amount))),
        "lasting": False,
        "limit": str(shown(metric, figures.limit)),
        "charged": str(shown(metric, figures.weight.total)),
        "needed": str(shown(metric, demand.amount)),
        "for": what,
    }
    return await questions.put(
        p,
        key=hashed(VERSION, b"topup", tenant.encode(), *once),
        tenant=tenant,
        workflow=workflow_of(terms.name),
        tool=RAISE,
        args=args,
        kind="budget",
        note=f"{what} needs more than is left",
    )


def _window(refusal: Refusal) -> str:
    """A name for the window that a request is about; a rolling one is named anew at its pace."""
    window = refusal.demand.terms.window
    if refusal.ends is None:
        return ""
    if window.kind == "rolling":
        return str(refusal.ends // (window.seconds * 1_000_000))
    return str(window.start(refusal.ends - 1))
