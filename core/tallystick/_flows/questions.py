"""
Questions to a person about something that is no effect: to raise a limit, to let a session go on.

They are rows like any effect that waits for approval, so inbox, decision, expiry and history are
the same; nothing is ever run for them.
"""

from __future__ import annotations

import hashlib
from typing import Any

from tallystick._acts import Ask, AskAgain, Claim, Lapse
from tallystick._canonical import canonical
from tallystick._codec import encode
from tallystick._flows import approvals
from tallystick._keys import hashed, scope_of
from tallystick._model import Guarantee, Row, Status
from tallystick._ports import Ports
from tallystick._rules import lapsed

#: microseconds that a question waits for its decision
WAITS = 7 * 86_400 * 1_000_000


async def put(
    p: Ports,
    *,
    key: bytes,
    tenant: str,
    workflow: str,
    tool: str,
    args: dict[str, Any],
    kind: str,
    note: str,
) -> Row | None:
    """Ask once for each *key*, anew where nobody answered in time; what is recorded of it."""
    claim = _claim(p, key, tenant, workflow, tool, args)
    found = await p.do(Ask(claim=claim, actor=p.holder, kind=kind, note=note))
    row = found.row
    if row is None:
        return None
    if row.status == Status.EXPIRED or (row.status == Status.PENDING and lapsed(row, found.now)):
        expired = await p.do(Lapse(key=key, tenant=tenant, actor=p.holder))
        again = await p.do(_again(p, expired or row, claim, kind, note))
        if again is not None:
            row = again
            await approvals.notify(p, row, kind)
    elif row.status == Status.PENDING and row.nonce == claim.nonce:
        await approvals.notify(p, row, kind)
    return row


def _again(p: Ports, row: Row, claim: Claim, kind: str, note: str) -> AskAgain:
    return AskAgain(
        key=row.key,
        tenant=row.tenant,
        epoch=row.epoch,
        status=row.status,
        expires=WAITS,
        quorum=1,
        facts=None,
        actor=p.holder,
        reason=note,
        args=claim.args,
        shown=claim.shown,
        kind=kind,
    )


def _claim(
    p: Ports, key: bytes, tenant: str, workflow: str, tool: str, args: dict[str, Any]
) -> Claim:
    digest = hashlib.sha256(canonical(args)).digest()
    return Claim(
        key,
        tenant,
        workflow,
        tool,
        None,
        Guarantee.AT_MOST_ONCE.value,
        Status.PENDING.value,
        p.holder,
        hashed(key, p.holder.encode(), str(p.monotonic()).encode())[:16],
        digest,
        digest,
        encode(args, where="args"),
        scope_of(tenant, workflow),
        hashed(key)[:16],
        "run",
        0,
        None,
        expires=WAITS,
        quorum=1,
    )
