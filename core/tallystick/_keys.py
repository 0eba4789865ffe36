"""
The name of an effect: one hash over length-prefixed parts.

No part is joined to another by a separator, so no two different identities share a key.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from tallystick._canonical import canonical
from tallystick._policy import Policy
from tallystick.errors import InvalidCall, InvalidPolicy

VERSION = b"tallystick/1"

#: names are stored as text; this is far beyond any name a person gave
MAX_NAME = 1_000_000


class Identity(NamedTuple):
    """
    What a call is called.

    ``digest`` compares arguments (volatile ones left out), ``shown`` covers all of them, ``twin``
    is equal for the same tool and arguments in the same workflow and turn whatever the call id.
    """

    key: bytes
    digest: bytes
    shown: bytes
    twin: bytes
    size: int


def hashed(*parts: bytes) -> bytes:
    """sha256 over *parts*, each preceded by its length."""
    return hashlib.sha256(b"".join([_prefixed(part) for part in parts])).digest()


def _prefixed(part: bytes) -> bytes:
    return len(part).to_bytes(8, "big") + part


#: what an identity is made of; each kind is length-prefixed like every other part
_NONCE, _BUSINESS, _CALL, _CONTENT, _TWIN = map(
    _prefixed, (b"nonce", b"business", b"call", b"content", b"twin")
)


def check_name(value: object, what: str) -> str:
    """*value* if it can name something, else InvalidCall saying why not."""
    if type(value) is str and 0 < len(value) <= MAX_NAME and value.isascii() and "\0" not in value:
        return value
    if not isinstance(value, str):
        raise InvalidCall(f"{what} must be a string, not {value!r}; convert it with str()")
    if not value:
        raise InvalidCall(f"{what} is empty; give it a name that is stable over retries")
    if len(value) > MAX_NAME:
        raise InvalidCall(f"{what} is {len(value):,} characters long; the limit is {MAX_NAME:,}")
    if "\0" in value or not _encodable(value):
        raise InvalidCall(f"{what} {value[:40]!r} holds a NUL or half a surrogate pair")
    return value


def is_a(value: object, kind: type | tuple[type, ...]) -> bool:
    """``isinstance`` for what the type checker trusts and a running program must not."""
    return isinstance(value, kind)


def _encodable(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


@functools.lru_cache(maxsize=4096)
def scope_of(tenant: str, workflow: str) -> bytes:
    """Sixteen bytes that stand for a workflow in an index."""
    return hashed(VERSION, b"scope", tenant.encode(), workflow.encode())[:16]


def identify(
    *,
    tenant: str,
    workflow: str,
    tool: str,
    args: Mapping[str, Any],
    call_id: str | None,
    occurrence: int,
    policy: Policy,
    turn: str | None = None,
    nonce: bytes | None = None,
) -> Identity:
    """
    The identity of calling *tool* with *args* in *workflow*, or in one *turn* of it.

    With *nonce* (a ``READ_ONLY`` call) every call is its own. Raises NotSerializable for arguments
    without a canonical form and InvalidPolicy when ``Policy(identity=…)`` names what is not there.
    """
    text = canonical(args)
    shown = hashlib.sha256(text).digest()
    if policy.volatile:
        kept = {name: value for name, value in args.items() if name not in policy.volatile}
        digest = hashlib.sha256(canonical(kept)).digest()
    else:
        digest = shown
    if nonce is not None:
        kind, name = _NONCE, nonce
    elif policy.identity is not None:
        kind, name = _BUSINESS, _business(policy, args)
    elif call_id is not None and policy.repeat != "same":
        kind, name = _CALL, hashed(call_id.encode(), digest)
    else:
        kind, name = _CONTENT, digest
    place = _place(tenant, workflow, turn, tool)
    which = occurrence.to_bytes(8, "big")
    return Identity(
        hashlib.sha256(place + kind + _prefixed(name) + which).digest(),
        digest,
        shown,
        hashlib.sha256(place + _TWIN + digest).digest()[:16],
        len(text),
    )


def own_key(tenant: str, workflow: str, tool: str, which: Any) -> bytes:
    """The key of an effect of the ledger's own, of which there is one for each *which*."""
    place = _place(tenant, workflow, None, tool)
    name = b"custom" + canonical(which)
    return hashlib.sha256(place + _BUSINESS + _prefixed(name) + bytes(8)).digest()


@functools.lru_cache(maxsize=4096)
def _place(tenant: str, workflow: str, turn: str | None, tool: str) -> bytes:
    """What all effects of a tool in a workflow, or a turn, have in common, ready to be hashed."""
    parts: tuple[bytes, ...] = (VERSION, tenant.encode(), workflow.encode(), tool.encode())
    if turn is not None:
        parts = (VERSION, b"turn", tenant.encode(), workflow.encode(), turn.encode(), tool.encode())
    return b"".join(_prefixed(part) for part in parts)


def _business(policy: Policy, args: Mapping[str, Any]) -> bytes:
    identity = policy.identity
    if identity is not None and not callable(identity):
        missing = [name for name in identity if name not in args]
        if missing:
            raise InvalidPolicy(
                f"Policy(identity=…) names {', '.join(missing)}, which the call does not have; "
                f"its arguments are {', '.join(args) or 'none'}"
            )
        return b"fields" + canonical({name: args[name] for name in identity})
    return b"custom" + canonical(identity(args) if identity is not None else None)


def halts_chain(tenant: str | None) -> bytes:
    """The key of the chain of events that records a tenant's halts."""
    return hashed(VERSION, b"halts", (tenant or "").encode(), b"all" if tenant is None else b"one")
