"""What people and operators do: look, decide, resolve, stop."""

from __future__ import annotations

import hashlib
import re
from typing import Any, NoReturn

from tallystick import _acts as acts
from tallystick._budgets._topups import RAISE, check_edit
from tallystick._codec import encode
from tallystick._flows import approvals, containing, redacting
from tallystick._keys import check_name
from tallystick._model import Effect, Halt, Status, at
from tallystick._ports import Ports
from tallystick._views import effect_of
from tallystick.errors import (
    DecisionRefused,
    InvalidCall,
    LedgerError,
    NotSerializable,
    UnknownEffect,
)
from tallystick.redaction import Redaction

_HEX = re.compile(r"[0-9a-f]{1,64}\Z")
_NOTHING = Redaction(detect=False)


class _Unset:
    def __repr__(self) -> str:
        return "…"


UNSET: Any = _Unset()


async def get(p: Ports, tenant: str, key: str) -> Effect:
    """The effect whose key is, or starts with, *key*."""
    prefix = str(key).lower()
    if not _HEX.match(prefix):
        raise UnknownEffect(f"{key!r} is not a key; keys are hex, at least their first characters")
    found = await p.read(acts.Find(tenant=tenant, prefix=prefix, limit=2))
    if not found:
        raise UnknownEffect(f"there is no effect {key} here; `tallystick effects` lists them")
    if len(found) > 1:
        raise UnknownEffect(f"{key} fits several effects; give more of the key")
    return found[0]


async def find(p: Ports, tenant: str, **filters: Any) -> list[Effect]:
    """Effects, newest first."""
    status = filters.get("status")
    if status is not None:
        try:
            filters["status"] = Status(status).value
        except ValueError:
            known = ", ".join(s.value for s in Status)
            raise InvalidCall(f"{status!r} is no status; one of {known}") from None
    return await p.read(acts.Find(tenant=tenant, **filters))


async def history(p: Ports, tenant: str, key: str) -> list[Any]:
    """The events of one effect, oldest first."""
    effect = await get(p, tenant, key)
    return await p.read(acts.History(key=bytes.fromhex(effect.key), tenant=tenant))


async def pending(p: Ports, tenant: str) -> list[Any]:
    """What a person must see, oldest first."""
    return await p.read(acts.Inbox(tenant=tenant))


async def decide(
    p: Ports,
    tenant: str,
    key: str,
    *,
    approve: bool,
    by: str,
    reason: str = "",
    args: dict[str, Any] | None = None,
    digest: str | None = None,
    redaction: Redaction = _NOTHING,
) -> Effect:
    """Record one person's decision; DecisionRefused when it comes too late or is about others."""
    check_name(by, "by")
    effect = await get(p, tenant, key)
    text, args_digest = _edits(effect, args, redaction)
    decided = await p.do(
        acts.Decide(
            key=bytes.fromhex(effect.key),
            tenant=tenant,
            approve=approve,
            by=by,
            reason=redacting.spoken(reason, redaction, effect.tool),
            args=text,
            args_digest=args_digest,
            shown=_digest(digest),
        )
    )
    return _decided(p, decided, effect, "approved" if approve else "denied")


def _digest(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        return bytes.fromhex(text)
    except (TypeError, ValueError):
        raise InvalidCall(
            f"digest={text!r}: give the hex digest of ApprovalRequired or Effect"
        ) from None


def _edits(
    effect: Effect, args: dict[str, Any] | None, redaction: Redaction
) -> tuple[str | None, bytes | None]:
    if args is None:
        return None, None
    if effect.tool == RAISE:
        check_edit(effect.args, args)
    unknown = set(args) - set(effect.args)
    if unknown:
        names = ", ".join(effect.args) or "none"
        raise InvalidCall(
            f"edited arguments must be among {names}; got {', '.join(map(str, args))}"
        )
    redacting.refuse_moved(effect, args)
    redacting.refuse_secrets(effect.tool, args, redaction)
    return approvals.edited({**effect.args, **args})


def _decided(p: Ports, decided: acts.Decided, effect: Effect, what: str) -> Effect:
    if decided.refusal is not None or decided.row is None:
        _refuse(effect, f"{effect.key[:12]} cannot be {what}: {decided.refusal}")
    p.emit("decided" if what in {"approved", "denied"} else what, decided.row, what=what)
    return effect_of(decided.row)


def _refuse(effect: Effect, message: str) -> NoReturn:
    raise DecisionRefused(message, key=effect.key, tool=effect.tool, workflow=effect.workflow)


async def resolve(
    p: Ports,
    tenant: str,
    key: str,
    *,
    by: str,
    succeeded: Any = UNSET,
    failed: Any = UNSET,
    reason: str = "",
    redaction: Redaction = _NOTHING,
) -> Effect:
    """Say what became of an effect in doubt: it happened, with its result, or it did not."""
    check_name(by, "by")
    if (succeeded is UNSET) == (failed is UNSET):
        raise InvalidCall("resolve needs exactly one of succeeded=<the result> and failed=<why>")
    effect = await get(p, tenant, key)
    outcome: dict[str, Any] = {"to": Status.FAILED.value, "note": "retryable"}
    if succeeded is not UNSET:
        try:
            said = encode(succeeded)
        except LedgerError as error:
            raise NotSerializable(f"the result cannot be stored: {error}") from error
        text = redacting.kept_text(said, redaction.of(effect.tool))
        if text is None:
            raise NotSerializable(
                "the result cannot be stored: what is left of it when it is redacted is of no kind"
            )
        result_digest = hashlib.sha256(text.encode()).digest()
        outcome = {"to": Status.SUCCEEDED.value, "result": text, "result_digest": result_digest}
    else:
        reason = reason or str(failed)
    decided = await p.do(
        acts.Resolve(
            key=bytes.fromhex(effect.key),
            tenant=tenant,
            by=by,
            reason=redacting.spoken(reason, redaction, effect.tool),
            kind="person",
            **outcome,
        )
    )
    return _decided(p, decided, effect, "resolved")


async def cancel(
    p: Ports,
    tenant: str,
    key: str,
    *,
    by: str,
    reason: str = "",
    redaction: Redaction = _NOTHING,
) -> Effect:
    """Withdraw an effect that is pending, approved or in doubt."""
    check_name(by, "by")
    effect = await get(p, tenant, key)
    said = redacting.spoken(reason, redaction, effect.tool)
    act = acts.Cancel(key=bytes.fromhex(effect.key), tenant=tenant, by=by, reason=said)
    return _decided(p, await p.do(act), effect, "cancelled")


async def halt(p: Ports, stop: Halt) -> None:
    """Forbid effects to start."""
    if stop.mode not in {"halt", "drain"}:
        raise InvalidCall(f"mode={stop.mode!r}: 'halt' or 'drain'")
    check_name(stop.by, "by")
    check_name(stop.reason, "reason")
    for what in ("tool", "workflow"):
        if getattr(stop, what) is not None:
            check_name(getattr(stop, what), what)
    await p.do(acts.PutHalt(halt=stop))


def a_halt(
    tenant: str, *, by: str, reason: str, tool: Any, workflow: Any, everywhere: bool, mode: str
) -> Halt:
    """The halt that an operator describes."""
    return Halt(
        tenant=scope(tenant, everywhere=everywhere),
        tool=tool,
        workflow=workflow,
        mode=mode,
        by=by,
        reason=reason,
        at=at(0),
    )


def scope(tenant: str, *, everywhere: bool) -> str | None:
    """Whose effects a halt concerns; only the default tenant's ledger may speak for all."""
    if not everywhere:
        return tenant
    if tenant != "default":
        raise InvalidCall(
            f"a halt of everything needs the ledger of the default tenant, not of {tenant!r}"
        )
    return None


async def unhalt(
    p: Ports,
    tenant: str,
    *,
    by: str,
    reason: str,
    tool: Any,
    workflow: Any,
    everywhere: bool,
    containment: str | None = None,
) -> int:
    """Allow again what exactly this halt forbade, or all that a containment froze."""
    check_name(by, "by")
    whose = scope(tenant, everywhere=everywhere)
    if containment is not None:
        if everywhere or not (tool is workflow is None):
            raise InvalidCall("containment=… says by itself what is lifted; leave the rest out")
        key = (await get(p, tenant, containment)).key
        return await containing.thaw(p, tenant, key, by=by, reason=reason)
    return await p.do(
        acts.LiftHalt(tenant=whose, tool=tool, workflow=workflow, by=by, reason=reason)
    )


async def recover(p: Ports) -> int:
    """Put what dead workers left running in doubt; how many effects that were."""
    total = 0
    while True:
        found = await p.do(acts.Sweep(actor=p.holder, dead=None))
        total += found
        if found == 0:
            return total
