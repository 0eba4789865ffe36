"""One call as the flows see it."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from tallystick._acts import Claim, Found
from tallystick._canonical import digest
from tallystick._codec import decode
from tallystick._context import Around
from tallystick._flows import redacting
from tallystick._keys import Identity, scope_of
from tallystick._model import Guarantee, Row
from tallystick._places import WITHIN, Place
from tallystick._policy import Policy, Seconds, in_seconds
from tallystick.errors import DamagedRecord, LedgerError, RunFinished
from tallystick.redaction import Redact
from tallystick.redaction._trees import Moved


class Call(NamedTuple):
    """A tool, its frozen arguments, and who is calling."""

    tenant: str
    workflow: str
    tool: str
    call_id: str | None
    fn: Callable[..., Any]
    is_async: bool
    args: dict[str, Any]
    identity: Identity
    nonce: bytes
    policy: Policy
    within: frozenset[bytes]
    connection: Any = None
    #: where the call stands, for a framework that may run it again
    place: Place | None = None
    #: twins up to this one were seen, and are other intents
    after: int = 0
    #: what holds for everything in the workflow's scope
    around: Around = Around()
    #: the lines of budgets that the effect holds a reservation in
    held: tuple[bytes, ...] | None = None
    #: how it is undone, or which effect it undoes, as it is recorded
    undo: str | None = None
    #: whether it is part of undoing something
    undoing: bool = False
    #: what is left out of what is recorded
    redact: Redact | None = None

    @property
    def hex(self) -> str:
        """The key as users see it."""
        return self.identity.key.hex()

    @property
    def placed(self) -> bool:
        """Whether the place says which effect this is; a business identity says it by itself."""
        policy = self.policy
        return (
            self.place is not None
            and policy.identity is None
            and policy.repeat != "same"
            and policy.guarantee is not Guarantee.READ_ONLY
        )

    @property
    def timeout(self) -> float | None:
        """Seconds that one attempt may take."""
        timeout = self.policy.timeout
        return None if timeout is None else in_seconds(timeout)

    def error(self, kind: type[Any], message: str, **facts: Any) -> Any:
        """An error about this effect, with *facts* as attributes."""
        error = kind(message, key=self.hex, tool=self.tool, workflow=self.workflow)
        for name, value in facts.items():
            setattr(error, name, value)
        return error


def micros(duration: Seconds) -> int:
    """Whole microseconds."""
    return int(in_seconds(duration) * 1_000_000)


def claim_of(call: Call, holder: str, status: str = "running", **asked: Any) -> Claim:
    """The claim that starts (or with ``status="pending"`` asks for) this call."""
    refuse_closed(call)
    policy = call.policy
    lifetime = None
    if policy.guarantee is Guarantee.IDEMPOTENT:
        whole = micros(policy.key_lifetime)
        # a repeat sent in the last moments would arrive after the downstream forgot the key
        lifetime = whole - min(60_000_000, whole // 20)
    quiet = micros(policy.quiet) if policy.guarantee is Guarantee.RECONCILE else 0
    identity = call.identity
    suspect = asked.pop("suspect", policy.on_suspect)
    return Claim(
        identity.key,
        call.tenant,
        call.workflow,
        call.tool,
        call.call_id,
        policy.guarantee._value_,
        status,
        holder,
        call.nonce,
        identity.digest,
        identity.shown,
        shown_text(call),
        scope_of(call.tenant, call.workflow),
        identity.twin,
        "ask" if call.placed else suspect,
        quiet,
        lifetime,
        after=call.after,
        place=_place_of(call),
        undo=call.undo,
        undoing=call.undoing,
        **asked,
    )


def _place_of(call: Call) -> str | None:
    """What is stored of where a call stands, and inside of which effects it is made."""
    keys = sorted(key.hex() for key in call.within)
    texts = [json.dumps({WITHIN: keys})] if keys else []
    if call.place is not None:
        texts.append(call.place.text)
    return f"[{','.join(texts)}]" if texts else None


def refuse_closed(call: Call) -> None:
    """Where a run has its outcome nothing begins, apart from what changes nothing."""
    if call.around.closed and call.policy.guarantee is not Guarantee.READ_ONLY:
        raise call.error(
            RunFinished,
            f"{call.tool} was not done while the run {call.workflow} was open, and it has its "
            "outcome: what is recorded replays, and nothing begins. Begin a run with another id",
            status="succeeded",
        )


def shown_text(call: Call) -> str:
    """The arguments as they are recorded and shown: encoded, the secret ones left out."""
    return redacting.shown_text(call.args, call.redact)


def recorded_args(call: Call, row: Row) -> dict[str, Any]:
    """
    What runs: the edited arguments, else the recorded ones, never the caller's volatile ones.

    Redacted values were never recorded and come from the caller; they are equal to the ones that
    were hashed, or volatile.
    """
    if row.edited is None and row.shown == call.identity.shown:
        return call.args
    recorded = cast("dict[str, Any]", decode(row.args))
    real = recorded if call.redact is None else redacting.given_back(recorded, call.args)
    if row.edited is not None:
        return _edited_args(call, row.edited, recorded, real)
    unknowable = [n for n in call.policy.volatile if real.get(n) is not recorded.get(n)]
    if not unknowable and digest(real) != row.shown:
        raise call.error(
            DamagedRecord,
            f"the recorded arguments of {call.hex[:12]} do not match their digest; nothing was "
            "run; `tallystick verify` shows what else is damaged",
        )
    return real


def _edited_args(
    call: Call, text: str, recorded: dict[str, Any], real: dict[str, Any]
) -> dict[str, Any]:
    """What an approver put there, with the values that the approver never saw."""
    edited = cast("dict[str, Any]", decode(text))
    if call.redact is None:
        return edited
    try:
        return redacting.as_edited(edited, recorded, real)
    except Moved:
        raise call.error(
            DamagedRecord,
            f"what was approved of {call.hex[:12]} is no longer where it was redacted; nothing was "
            "run; cancel it and ask again",
        ) from None


def describe(error: BaseException, call: Call) -> str:
    """Type, message and traceback of an exception, as JSON text that every database keeps."""
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - a broken __str__ must not hide the error
        message = "(its message could not be read)"
    kind = type(error)
    try:
        trace = "".join(traceback.format_exception(error, limit=-25))
    except Exception:  # noqa: BLE001 - nor must anything else about it
        trace = "(its traceback could not be read)"
    return json.dumps(
        {
            "type": f"{kind.__module__}.{kind.__qualname__}",
            "message": hushed(message, call)[:10_000],
            "traceback": hushed(trace, call)[-20_000:],
        }
    )


def summary(error: BaseException, call: Call) -> str:
    """One line about an exception."""
    try:
        return hushed(f"{type(error).__name__}: {error}", call)[:500]
    except Exception:  # noqa: BLE001
        return type(error).__name__


def hushed(text: str, call: Call) -> str:
    """*text* without what the policy and the ledger leave out."""
    return redacting.hushed(text, call.args, call.redact)


def seen(found: Found) -> Row:
    """The row of an answer that has one."""
    if found.row is None:
        raise LedgerError("the effect's row is gone; rows are never deleted while they matter")
    return found.row
