"""Asking the owner whether it happened."""

from __future__ import annotations

import hashlib
from typing import Any

from tallystick import _rules as rules
from tallystick._acts import Found, Observe, Resolve
from tallystick._codec import encode
from tallystick._context import CurrentEffect
from tallystick._flows import redacting
from tallystick._flows.call import Call, hushed, recorded_args, summary
from tallystick._model import Row, Status
from tallystick._policy import ProbeAnswer
from tallystick._ports import Ports
from tallystick.errors import LedgerError


class Undecided(Exception):
    """The owner cannot tell, or not yet."""


async def probe(p: Ports, call: Call, found: Found, row: Row, patience: float) -> None:
    """
    Resolve the doubt by asking; raises Undecided where only a person can, or later.

    A "no" counts only after the quiet period, in which an old attempt may still arrive: it is
    waited for within *patience* seconds and asked again.
    """
    answer = await _ask(p, call, row)
    if answer.verdict == "not_happened":
        left = (rules.quiet_until(row) - found.now) / 1e6
        if left > 0:
            if left > patience:
                raise Undecided(f"the probe found nothing yet; a no counts in {left:.0f} s")
            await p.pause(left)
            answer = await _ask(p, call, row)
    if answer.verdict == "happened":
        await _happened(p, call, row, answer.result)
    elif answer.verdict == "not_happened":
        await _resolve(p, row, "it did not happen", to=Status.FAILED.value, note="retryable")
    elif answer.verdict == "conflict":
        reason = hushed(answer.detail, call) or "more than one trace was found"
        detail = {"reason": reason}
        await p.do(
            Observe(
                key=row.key,
                tenant=row.tenant,
                kind="conflict",
                actor="probe",
                detail=detail,
                inbox="conflict",
            )
        )
        raise Undecided(f"the probe found a conflict: {detail['reason']}")
    else:
        raise Undecided(f"the probe cannot tell{': ' + answer.detail if answer.detail else ''}")


async def _ask(p: Ports, call: Call, row: Row) -> ProbeAnswer:
    current = CurrentEffect(
        key=row.key.hex(),
        tool=call.tool,
        workflow=call.workflow,
        attempt=row.attempt,
        epoch=row.epoch,
        args=recorded_args(call, row),
        within=call.within | {row.key},
    )
    fn = call.policy.probe
    assert fn is not None
    try:
        answer: Any = await p.ask(fn, current)
    except LedgerError:
        raise
    except Exception as error:
        raise Undecided(f"the probe failed: {summary(error, call)}") from error
    if not isinstance(answer, ProbeAnswer):
        raise Undecided(f"the probe returned {answer!r} instead of a ProbeAnswer")
    return answer


async def _happened(p: Ports, call: Call, row: Row, result: Any) -> None:
    try:
        text = redacting.kept_text(encode(result, annotation=None), call.redact)
    except LedgerError:
        text = None
    digest = None if text is None else hashlib.sha256(text.encode()).digest()
    note = "unstorable" if text is None else None
    await _resolve(
        p,
        row,
        "it happened",
        to=Status.SUCCEEDED.value,
        result=text,
        result_digest=digest,
        note=note,
    )


async def _resolve(p: Ports, row: Row, reason: str, **outcome: Any) -> None:
    decided = await p.do(
        Resolve(
            key=row.key,
            tenant=row.tenant,
            by="probe",
            reason=reason,
            kind="probe",
            epoch=row.epoch,
            **outcome,
        )
    )
    if decided.refusal is None and decided.row is not None:
        p.emit("resolved", decided.row, by="probe")
