"""Asking a person, waiting for the answer, and checking that what was shown is what runs."""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple, cast

from tallystick._acts import Ask, AskAgain, Found, History, Look, Notified
from tallystick._canonical import digest
from tallystick._changes import runs
from tallystick._codec import encode
from tallystick._flows import redacting, stops
from tallystick._flows.call import Call, claim_of, micros, shown_text
from tallystick._model import Row, Status, at
from tallystick._policy import Approval, in_seconds
from tallystick._ports import Ports
from tallystick._rules import too_final
from tallystick.errors import AsyncTool, DamagedRecord


def of(call: Call) -> Approval:
    """The call's approval policy, or the default one where something else has to be asked."""
    approval = call.policy.approval
    return cast("Approval", approval) if approval is not False else Approval()


async def required(p: Ports, call: Call) -> bool:
    """Whether this call needs a person; a predicate that raises means yes."""
    if too_final(call.policy, undoing=call.undoing):
        return True
    when = of(call).when
    if when is None or isinstance(when, bool):
        return bool(when)
    try:
        return bool(await p.ask(when, dict(call.args)))
    except AsyncTool:
        raise
    except Exception:  # noqa: BLE001 - nobody may act because a policy service was down
        return True


async def ask(p: Ports, call: Call, *, kind: str = "approval", note: str = "") -> Found:
    """Insert the effect as pending: there is no moment in which it could run unapproved."""
    approval = of(call)
    note = note or too_final(call.policy, undoing=call.undoing)
    facts = await _facts(p, call, approval)
    claim = claim_of(
        call,
        p.holder,
        Status.PENDING.value,
        suspect="run",
        expires=micros(approval.expires),
        quorum=approval.quorum,
        facts=facts,
    )
    found = await p.do(Ask(claim=claim, actor=p.holder, kind=kind, note=note))
    if found.row is not None and found.row.nonce == call.nonce:
        await notify(p, found.row, kind)
    return found


async def notify(p: Ports, row: Row, kind: str) -> None:
    """Tell the hooks of a request, and remember it once they all took it."""
    until = at(row.approval_until).isoformat() if row.approval_until else None
    if p.emit("approval_required", row, digest=row.shown.hex(), inbox=kind, until=until):
        await p.do(Notified(key=row.key, kind=kind))


async def _facts(p: Ports, call: Call, approval: Approval) -> str | None:
    if approval.preconditions is None:
        return None
    facts = await p.ask(approval.preconditions, dict(call.args))
    text = redacting.facts_text(encode(facts, where="facts"), call.redact)
    return json.dumps({"digest": digest(facts).hex(), "facts": text})


async def recheck(p: Ports, call: Call, row: Row) -> Found | None:
    """
    Take the preconditions again right before the effect.

    A difference voids the approval and asks again, showing what changed; ``None`` means go.
    """
    news = await changed(p, call, row)
    if news is None:
        return None
    await ask_again(p, call, row, news.reason, facts=news.facts)
    return await p.read(Look(key=row.key, tenant=row.tenant))


class News(NamedTuple):
    """The facts that an approval was bound to are no longer so."""

    reason: str
    facts: str | None


async def changed(p: Ports, call: Call, row: Row) -> News | None:
    """Compare what an approval was bound to with what is; ``None`` where it holds."""
    if row.edited is not None:
        await _edited_as_approved(p, call, row)
    approval = of(call)
    if row.facts is None or approval.preconditions is None:
        return None
    now = await _facts(p, call, approval)
    before, after = json.loads(row.facts), json.loads(now or "{}")
    if before["digest"] == after["digest"]:
        return None
    reason = f"the facts changed since they were approved: {before['facts']} → {after['facts']}"
    return News(reason, now)


async def _edited_as_approved(p: Ports, call: Call, row: Row) -> None:
    """The chain of events says which edit was approved; nothing else may run."""
    events = await p.read(History(key=row.key, tenant=row.tenant))
    approved = [event.detail.get("digest") for event in events if event.kind == "approved"]
    if not approved or approved[-1] != runs(row).hex():
        raise call.error(
            DamagedRecord,
            f"the edited arguments of {call.hex[:12]} are not the ones that were approved; "
            "nothing was run; `tallystick verify` shows what else is damaged",
        )


async def ask_again(
    p: Ports, call: Call, row: Row, reason: str, *, facts: str | None = None
) -> None:
    """Open a new round of decisions."""
    approval = of(call)
    also = too_final(call.policy, undoing=call.undoing)
    after = await p.do(
        AskAgain(
            key=row.key,
            tenant=row.tenant,
            epoch=row.epoch,
            status=row.status,
            expires=micros(approval.expires),
            quorum=approval.quorum,
            facts=facts if facts is not None else await _facts(p, call, approval),
            actor=p.holder,
            reason=f"{reason}; {also}" if also else reason,
            args=shown_text(call),
            shown=call.identity.shown,
        )
    )
    if after is not None:
        await notify(p, after, "approval")


async def decision(p: Ports, call: Call, row: Row, began: float) -> Found:
    """Wait for the decision as long as the policy says, or raise ApprovalRequired."""
    wait = of(call).wait
    left = in_seconds(wait) - (p.monotonic() - began) if wait is not None else 0.0
    if left <= 0:
        raise stops.approval_required(call, row)
    changed = await p.wait(row, left)
    if changed is None:
        raise stops.approval_required(call, row)
    return changed


def edited(args: dict[str, Any] | None) -> tuple[str | None, bytes | None]:
    """Edited arguments as they are stored and voted on."""
    if args is None:
        return None, None
    text = encode(args, where="args")
    return text, hashlib.sha256(text.encode()).digest()
