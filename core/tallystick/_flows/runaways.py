"""Sessions that go round in circles: looked for before the next call, told of once."""

from __future__ import annotations

import hashlib
import json

from tallystick._acts import Find
from tallystick._budgets import _acts as spending
from tallystick._budgets._amounts import Metric
from tallystick._budgets._bounds import ModelRequest
from tallystick._budgets._topups import CONTINUE
from tallystick._codec import encode
from tallystick._flows import budgets, questions
from tallystick._flows.metering import Payer, facts_of
from tallystick._keys import VERSION, hashed
from tallystick._model import Effect, Status
from tallystick._ports import Ports
from tallystick.errors import LedgerError, RunawayStopped
from tallystick.runaway import Call, Finding, Runaway

#: sessions that are remembered, and how many calls are read where the one before is known
_SESSIONS, _NEWS = 1000, 8


async def look(p: Ports, payer: Payer, request: ModelRequest, watch: Watch) -> None:
    """Tell of what is found, once for each session and rule; RunawayStopped where it must end."""
    session = payer.session or ""
    cap = await _cap(p, payer, request)
    runaway = watch.runaway if cap is None else watch.runaway.under(cap)
    for finding in runaway.look(await _calls(p, payer.tenant, session, watch)):
        alert = _alert(payer, finding)
        if await p.do(spending.PutAlert(alert=alert)):
            await budgets.announce(p, [alert])
        if finding.action == "stop" or (
            finding.action == "ask" and not await _may_go_on(p, payer, finding)
        ):
            raise RunawayStopped(
                f"{session} was stopped: {finding.message}", rule=finding.rule, session=session
            )


class Watch:
    """
    What one process remembers of the sessions that it looks at, so that it reads only news.

    Sessions that were not looked at for long are forgotten first, and read anew.
    """

    def __init__(self, runaway: Runaway) -> None:
        self.runaway = runaway
        self._sessions: dict[str, dict[bytes, Call]] = {}

    def of(self, session: str) -> dict[bytes, Call]:
        """The calls of a session that are remembered, by key."""
        calls = self._sessions.pop(session, {})
        self._sessions[session] = calls
        if len(self._sessions) > _SESSIONS:
            self._sessions.pop(next(iter(self._sessions)))
        return calls


async def _cap(p: Ports, payer: Payer, request: ModelRequest) -> int | None:
    """The smallest limit in money that the call concerns."""
    _, known = await budgets.paying(p, payer.tenant, payer.names, facts_of(payer, request))
    limits = [n for k in known for metric, n in k.terms.limits if metric is Metric.USD]
    return min(limits, default=None)


async def _calls(p: Ports, tenant: str, session: str, watch: Watch) -> list[Call]:
    """The last calls of a session, of models and of tools, the oldest first."""
    met, depth = watch.of(session), watch.runaway.depth
    for limit in (_NEWS, depth):
        news = await _read(p, tenant, session, limit)
        first = not news or next(reversed(news)) in met or len(news) < limit
        met.update(news)
        if first:
            break
    calls = sorted(met.items(), key=lambda item: item[1].at)
    for key, _ in calls[:-depth]:
        del met[key]
    return [call for _, call in calls[-depth:]]


async def _read(p: Ports, tenant: str, session: str, limit: int) -> dict[bytes, Call]:
    scope = spending.session_id(tenant, session)
    models = await p.read(
        spending.ReadReservations(tenant=tenant, scope=scope, kind="model", limit=limit)
    )
    tools = await p.read(Find(tenant=tenant, workflow=session, limit=limit))
    found = {row.id: _of_a_model(row) for row in models}
    found |= {bytes.fromhex(effect.key): _of_a_tool(effect) for effect in tools}
    return dict(sorted(found.items(), key=lambda item: -item[1].at))


def _of_a_model(row: spending.Reservation) -> Call:
    usage: dict[str, int] = json.loads(row.usage or "{}")
    output = sum(usage.get(name, 0) for name in ("output", "reasoning", "output_audio"))
    return Call(
        at=row.created_at,
        kind="model",
        what=row.what,
        request=row.digest or row.id,
        answer=row.answer,
        input_tokens=(row.tokens or 0) - output,
        output_tokens=output,
        nanos=row.cost or 0,
    )


def _of_a_tool(effect: Effect) -> Call:
    return Call(
        at=int(effect.created_at.timestamp() * 1_000_000),
        kind="tool",
        what=effect.tool,
        request=bytes.fromhex(effect.digest),
        answer=_answer(effect),
    )


def _answer(effect: Effect) -> bytes | None:
    """A digest of what came back, a failure included; ``None`` while nothing did."""
    if effect.status == Status.FAILED and effect.error is not None:
        said = f"{effect.error.get('type')}: {effect.error.get('message')}"
        return hashlib.sha256(said.encode()).digest()
    if effect.status != Status.SUCCEEDED:
        return None
    try:
        return hashlib.sha256(encode(effect.result).encode()).digest()
    except LedgerError:  # it is an answer, and like no other
        return hashlib.sha256(effect.key.encode()).digest()


def _alert(payer: Payer, finding: Finding) -> spending.Alert:
    session = payer.session or ""
    parts = (payer.tenant.encode(), session.encode(), finding.rule.encode())
    facts = {
        "rule": finding.rule,
        "message": finding.message,
        "action": finding.action,
        "session": session,
        "workflow": payer.workflow,
        "evidence": dict(finding.evidence),
    }
    return spending.Alert(
        id=hashed(VERSION, b"runaway", *parts),
        tenant=payer.tenant,
        kind="runaway",
        subject=session,
        detail=json.dumps(facts, sort_keys=True, default=str),
        at=0,
    )


async def _may_go_on(p: Ports, payer: Payer, finding: Finding) -> bool:
    """Whether a person said that the session may go on in spite of a finding; they are asked."""
    session = payer.session or ""
    parts = (payer.tenant.encode(), session.encode(), finding.rule.encode())
    row = await questions.put(
        p,
        key=hashed(VERSION, b"go on", *parts),
        tenant=payer.tenant,
        workflow=session,
        tool=CONTINUE,
        args={"session": session, "rule": finding.rule, "why": finding.message},
        kind="approval",
        note=finding.message,
    )
    return row is not None and row.status == Status.APPROVED
