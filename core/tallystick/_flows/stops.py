"""What a caller gets when there is nothing to run: a recorded result, or a typed error."""

from __future__ import annotations

import hashlib
import json
import typing
from typing import Any

from tallystick._acts import Halts
from tallystick._changes import runs
from tallystick._codec import decode
from tallystick._flows.call import Call, shown_text
from tallystick._flows.containing import FROZEN
from tallystick._model import Row
from tallystick._ports import Ports
from tallystick._rules import dropped_at, too_final
from tallystick.errors import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalRequired,
    ArgumentsChanged,
    ArgumentsDropped,
    DamagedRecord,
    EffectCancelled,
    EffectCompensated,
    EffectFailed,
    EffectInDoubt,
    Halted,
    ResultNotStored,
    ResultTypeUnknown,
    StillRunning,
)


def replay(call: Call, row: Row) -> Any:
    """The recorded result: equal, of the same type, and provably the one that was recorded."""
    key = call.hex[:12]
    if row.result_note == "unstorable":
        raise call.error(
            ResultNotStored,
            f"{call.tool} succeeded on {row.workflow}, but what it returned could not be stored; "
            f"it is not run again. Ask the downstream, or `tallystick show {key}`; return plain "
            "data, dataclasses or pydantic models to have results replayed",
        )
    if row.result is None:
        raise call.error(
            ResultNotStored,
            f"{call.tool} succeeded in {row.workflow}, and its result was dropped by retention; "
            f"it is not run again. `tallystick show {key}` has what is left",
        )
    if hashlib.sha256(row.result.encode()).digest() != row.result_digest:
        raise call.error(
            DamagedRecord,
            f"the stored result of {key} does not match its digest and is not replayed; "
            "restore the database, or `tallystick verify` to see what else is damaged",
        )
    try:
        return decode(row.result)
    except ResultTypeUnknown:
        return _revalidated(call, row.result)


def _revalidated(call: Call, text: str) -> Any:
    """A result whose class is not imported here, by the tool's own return annotation."""
    try:
        return decode(text, annotation=_hint(call))
    except ResultTypeUnknown as error:
        error.key, error.tool, error.workflow = call.hex, call.tool, call.workflow
        raise


def _hint(call: Call) -> Any:
    """The tool's return annotation, resolved; ``None`` where there is none."""
    try:
        return typing.get_type_hints(call.fn).get("return")
    except Exception:  # noqa: BLE001 - an annotation that cannot be read is none
        return getattr(call.fn, "__annotations__", {}).get("return")


def failed(call: Call, row: Row) -> EffectFailed:
    """The recorded failure."""
    said = json.loads(row.error or "{}")
    words = said.get("message", "") if dropped_at(row) is None else "(dropped by retention)"
    error: EffectFailed = call.error(
        EffectFailed,
        f"{call.tool} failed before and did not happen: {said.get('type', 'unknown')}: {words}",
        error_type=said.get("type", ""),
        error_message=words,
        error_traceback=said.get("traceback", ""),
    )
    return error


def in_doubt(call: Call, row: Row, why: str = "", *, repeatable: bool = False) -> EffectInDoubt:
    """Nobody knows; say so, and who can tell."""
    said = json.loads(row.error or "{}")
    reason = why or said.get("message") or "its worker died"
    ahead = (
        "the same call repeats it under the same key, while the downstream remembers that"
        if repeatable
        else f"it is not run again by itself. Find out and say so: `tallystick resolve "
        f"{call.hex[:12]}`"
    )
    error: EffectInDoubt = call.error(
        EffectInDoubt,
        f"{call.tool} in {row.workflow} may or may not have happened ({reason}); {ahead}",
    )
    return error


def restored(call: Call, row: Row) -> str | None:
    """
    The arguments to record again for an effect that lost them; ``None`` where they are there.

    Nothing runs in the place of recorded arguments that this call does not have.
    """
    if dropped_at(row) is None:
        return None
    if row.shown != call.identity.shown:
        error: ArgumentsDropped = call.error(
            ArgumentsDropped,
            f"{call.tool} in {row.workflow} did not happen and could be tried again, but what was "
            "recorded to run was dropped by retention, and this call has other volatile "
            "arguments; nothing was run: give the new intent another identity",
        )
        raise error
    return shown_text(call)


def changed(call: Call, row: Row) -> ArgumentsChanged:
    """The key is taken by a call with other arguments."""
    error: ArgumentsChanged = call.error(
        ArgumentsChanged,
        f"{call.tool} in {row.workflow} is recorded with other arguments under the same key "
        f"{call.hex[:12]}; give the new intent another identity, or name what a model invents anew "
        "in Policy(volatile=…)",
        recorded=row.digest.hex(),
        given=call.identity.digest.hex(),
    )
    return error


def approval_required(call: Call, row: Row) -> ApprovalRequired:
    """A person must decide."""
    shown = decode(row.edited or row.args)
    why = too_final(call.policy, undoing=call.undoing)
    said = f" ({why})" if why else ""
    error: ApprovalRequired = call.error(
        ApprovalRequired,
        f"{call.tool} in {row.workflow} waits for approval{said}: "
        f"`tallystick approve {call.hex[:12]}`",
        reason=why,
        arguments=shown,
        digest=runs(row).hex(),
    )
    return error


def denied(call: Call, row: Row) -> ApprovalDenied:
    """A person said no."""
    said = json.loads(row.error or "{}")
    by, reason = said.get("by", ""), said.get("reason", "")
    error: ApprovalDenied = call.error(
        ApprovalDenied,
        f"{call.tool} was denied by {by}" + (f": {reason}" if reason else ""),
        by=by,
        reason=reason,
    )
    return error


def expired(call: Call, row: Row) -> ApprovalExpired:
    """Nobody decided, or nobody used the decision, in time."""
    error: ApprovalExpired = call.error(
        ApprovalExpired,
        f"the approval of {call.tool} in {row.workflow} expired; ask again with a new call, or "
        "use Approval(after_expiry='ask')",
    )
    return error


def cancelled(call: Call, row: Row) -> EffectCancelled:
    """It was withdrawn."""
    error: EffectCancelled = call.error(
        EffectCancelled, f"{call.tool} in {row.workflow} was cancelled and will not run"
    )
    return error


def undone(call: Call, row: Row) -> EffectCompensated:
    """It happened, and was taken back, or is about to be."""
    error: EffectCompensated = call.error(
        EffectCompensated,
        f"{call.tool} in {row.workflow} is {row.status.replace('_', ' ')}: it happened and its "
        f"result no longer holds; it is not run again under the key {call.hex[:12]}. Give the new "
        "intent another identity (a call id, an occurrence, or another workflow)",
        status=row.status,
    )
    return error


def still_running(call: Call, row: Row) -> StillRunning:
    """Its holder is alive and takes long."""
    error: StillRunning = call.error(
        StillRunning,
        f"{call.tool} in {row.workflow} is still being performed by worker "
        f"{(row.holder or '?')[:8]} after {call.policy.wait:g} s; call again later, or raise "
        "Policy(wait=…)",
    )
    return error


async def halted(p: Ports, call: Call) -> Halted:
    """Say which halt forbids it."""
    halts = [
        h
        for h in await p.read(Halts(tenant=call.tenant))
        if h.tool in (None, call.tool)
        and h.workflow in (None, call.workflow)
        and not (h.mode == "contain" and call.undoing)
    ]
    by = halts[0].by if halts else ""
    reason = halts[0].reason if halts else "lifted meanwhile; call again"
    contained = bool(halts) and all(h.reason == FROZEN for h in halts)
    verb = f"compensate {call.workflow}" if contained else "unhalt"
    ahead = "goes on with that" if contained else "allows it again"
    error: Halted = call.error(
        Halted,
        f"{call.tool} may not start: halted by {by or 'somebody'} ({reason}); "
        f"`tallystick {verb}` {ahead}",
        by=by,
        reason=reason,
    )
    return error
