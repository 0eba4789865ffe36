"""One attempt: the tool runs, and what became of it is recorded by whoever ran it."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext, suppress
from typing import Any, Literal, NamedTuple

from tallystick import _points
from tallystick._acts import Doubt, Look, Release, Settle, Settled
from tallystick._budgets._acts import SettleHeld
from tallystick._classify import classify
from tallystick._codec import encode
from tallystick._context import CURRENT, CurrentEffect
from tallystick._flows import redacting
from tallystick._flows.call import Call, describe, summary
from tallystick._model import Guarantee, Row, Status
from tallystick._policy import Verdict
from tallystick._ports import Ports
from tallystick._rules import UNSURE
from tallystick.errors import ApprovalRequired, EffectInDoubt, LedgerError, StoreError

_UNHEARD = nullcontext()


class Outcome(NamedTuple):
    """
    What an attempt came to.

    ``again`` means that somebody else took over meanwhile: the row tells what holds.
    """

    kind: Literal["value", "failed", "retryable", "unknown", "again"]
    value: Any = None
    error: BaseException | None = None


async def attempt(p: Ports, call: Call, row: Row, args: dict[str, Any]) -> Outcome:
    """
    Run the tool and record its outcome.

    The outcome of an Exception is returned; what is not an Exception (a cancellation, Ctrl-C) is
    recorded and raised.
    """
    try:
        if not await p.lively() and not await _still_ours(p, row):
            return Outcome("again")
    except BaseException as error:
        with suppress(StoreError):  # the tool has not started: give the claim back
            p.post(given_back(row, error))
        raise
    token = CURRENT.set(current(call, row, args))
    try:
        with p.around("call", row, call_id=call.call_id) if p.listening else _UNHEARD:
            if _points.armed:
                _points.reach("tool.before")
            value = await p.invoke(call.fn, args, call.timeout)
            if _points.armed:
                _points.reach("tool.after")
    except BaseException as error:  # noqa: BLE001 - whatever it is, its outcome is recorded
        CURRENT.reset(token)
        return await _raised(p, call, row, error)
    CURRENT.reset(token)
    outcome = await _returned(p, call, row, value)
    if _points.armed and outcome.kind == "value":
        _points.reach("tool.recorded")
    return outcome


async def _still_ours(p: Ports, row: Row) -> bool:
    """After a time in which this worker may have been taken for dead, whether the claim is good."""
    now = (await p.read(Look(key=row.key, tenant=row.tenant))).row
    return now is not None and (now.status, now.nonce) == (row.status, row.nonce)


def current(call: Call, row: Row, args: dict[str, Any]) -> CurrentEffect:
    """What the code that performs the effect can ask about it."""
    return CurrentEffect(
        key=row.key.hex(),
        tool=call.tool,
        workflow=call.workflow,
        attempt=row.attempt,
        epoch=row.epoch,
        args=args,
        connection=call.connection,
        within=call.within | {row.key},
        undoing=call.undo if call.undoing else None,
    )


def success(call: Call, row: Row, value: Any) -> Settle:
    """Record *value*; one that cannot be stored is recorded as such, never as a failure."""
    try:
        said = encode(value, annotation=_returns(call))
        text = redacting.kept_text(said, call.redact)
    except LedgerError:
        text = None
    return Settle(
        key=row.key,
        tenant=row.tenant,
        epoch=row.epoch,
        nonce=row.nonce or b"",
        status=Status.SUCCEEDED._value_,
        result=text,
        result_digest=None if text is None else hashlib.sha256(text.encode()).digest(),
        note="unstorable" if text is None else None,
    )


def held(call: Call, act: Settle) -> Settle | SettleHeld:
    """*act*, with what becomes of the effect's reservation where it has one."""
    return act if call.held is None else SettleHeld(settle=act, lines=call.held)


async def settle(p: Ports, call: Call, act: Settle) -> Settled:
    """Record an outcome, and in the same transaction what becomes of the reservation."""
    saying = held(call, act)
    return await (p.settle(saying) if isinstance(saying, Settle) else p.do(saying))


def _returns(call: Call) -> Any:
    return getattr(call.fn, "__annotations__", {}).get("return")


async def _returned(p: Ports, call: Call, row: Row, value: Any) -> Outcome:
    with p.around("settle", row) if p.listening else _UNHEARD:
        try:
            settled = await settle(p, call, success(call, row, value))
        except StoreError as error:
            raise call.error(
                EffectInDoubt,
                f"{call.tool} returned, but its outcome could not be recorded ({error}); the "
                f"ledger will show it in doubt: `tallystick show {call.hex[:12]}`",
            ) from error
    if settled.how == "fenced":
        p.emit("fenced", row)
        return Outcome("again")
    return Outcome("value", value)


def verdict_on(error: BaseException, call: Call, row: Row) -> Verdict:
    """What *error*, raised past the effect, says about it."""
    verdict = classify(error, call.policy.classify, attempt=row.attempt)
    if isinstance(error, ApprovalRequired) and verdict == "unknown":
        return "interrupted"  # an effect inside this one waits for a person; run again then
    return verdict


async def _raised(p: Ports, call: Call, row: Row, error: BaseException) -> Outcome:
    verdict = verdict_on(error, call, row)
    if verdict == "interrupted":
        p.post(given_back(row, error))
        raise error
    if verdict == "unknown" or row.result_note == UNSURE:  # "no" goes for this attempt only
        return await _unknown(p, call, row, error)
    note = "retryable" if verdict == "retryable" else None
    failed = Settle(
        key=row.key,
        tenant=row.tenant,
        epoch=row.epoch,
        nonce=row.nonce or b"",
        status=Status.FAILED.value,
        note=note,
        error=describe(error, call),
    )
    if not isinstance(error, Exception):
        p.post(held(call, failed))
        raise error
    with p.around("settle", row):
        settled = await settle(p, call, failed)
    if settled.how == "fenced":
        p.emit("fenced", row)
        return Outcome("again")
    return Outcome(verdict, error=error)


async def _unknown(p: Ports, call: Call, row: Row, error: BaseException) -> Outcome:
    doubt = Doubt(
        key=row.key,
        tenant=row.tenant,
        epoch=row.epoch,
        nonce=row.nonce,
        actor=p.holder,
        error=describe(error, call),
        reason=summary(error, call),
    )
    if not isinstance(error, Exception):
        p.post(doubt)  # a cancelled task must not suspend again
        raise error
    after = await p.do(doubt)
    if after is not None and after.status == Status.IN_DOUBT:
        p.emit("in_doubt", after, reason=summary(error, call))
    harmless = call.policy.guarantee is Guarantee.READ_ONLY
    return Outcome("retryable" if harmless else "unknown", error=error)


def given_back(row: Row, error: BaseException) -> Release:
    """A claim whose holder was interrupted, not refused: it is as if it had not been made."""
    return Release(
        key=row.key,
        tenant=row.tenant,
        nonce=row.nonce or b"",
        actor=row.holder or "",
        reason=f"interrupted by {type(error).__name__}",
    )
