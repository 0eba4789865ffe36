"""One call as the flows see it."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Generator, Mapping
from typing import Any, NamedTuple, cast

from tallystick._acts import Claim, Found
from tallystick._canonical import digest
from tallystick._codec import decode, encode
from tallystick._keys import Identity, scope_of
from tallystick._model import Guarantee, Row
from tallystick._places import Place
from tallystick._policy import Policy, Seconds, in_seconds
from tallystick.errors import DamagedRecord, LedgerError

REDACTED = "[redacted]"
#: shorter ones are in every text, and no secrets
_SECRET = 4


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
        place=f"[{call.place.text}]" if call.place is not None else None,
        **asked,
    )


def shown_text(call: Call) -> str:
    """The arguments as they are recorded and shown: encoded, the secret ones left out."""
    if not call.policy.redact:
        return encode(call.args, where="args")
    hidden = {n: REDACTED if n in call.policy.redact else v for n, v in call.args.items()}
    return encode(hidden, where="args")


def recorded_args(call: Call, row: Row) -> dict[str, Any]:
    """
    What runs: the edited arguments, else the recorded ones, never the caller's volatile ones.

    Redacted values were never recorded and come from the caller; they are equal to the ones that
    were hashed, or volatile.
    """
    if row.edited is None and row.shown == call.identity.shown:
        return call.args
    text = row.edited if row.edited is not None else row.args
    recorded = cast("dict[str, Any]", decode(text))
    for name in call.policy.redact:
        if recorded.get(name) == REDACTED and name in call.args:
            recorded[name] = call.args[name]
    unknowable = set(call.policy.redact).intersection(call.policy.volatile)
    if row.edited is None and not unknowable and digest(recorded) != row.shown:
        raise call.error(
            DamagedRecord,
            f"the recorded arguments of {call.hex[:12]} do not match their digest; nothing was "
            "run; `tallystick verify` shows what else is damaged",
        )
    return recorded


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
    """*text* without the values of redacted arguments, which tools like to quote in errors."""
    if not call.policy.redact:
        return text
    values = [call.args[name] for name in call.policy.redact if name in call.args]
    said = {form for leaf in _leaves(values) for form in (str(leaf), repr(leaf)[1:-1])}
    for form in sorted(said, key=len, reverse=True):
        if len(form) >= _SECRET:
            text = text.replace(form, REDACTED)
    return text


def _leaves(value: Any) -> Generator[Any]:
    given: Any = value
    if isinstance(value, Mapping):
        parts: list[Any] = [*given.keys(), *given.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        parts = [*given]
    else:
        yield value
        return
    for part in parts:
        yield from _leaves(part)


def seen(found: Found) -> Row:
    """The row of an answer that has one."""
    if found.row is None:
        raise LedgerError("the effect's row is gone; rows are never deleted while they matter")
    return found.row
