"""Signatures that any library for Standard Webhooks verifies, and the clock that dates them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Sequence
from typing import Any, cast

from tallystick.errors import InvalidCall

_PREFIX = "whsec_"
#: bytes of a key, by the specification
_KEY = (24, 64)
#: the new secret and the old one, until every receiver knows the new one
_ACTIVE = 2


def wall_micros() -> int:
    """Microseconds since 1970 by this machine's clock: receivers compare it with theirs."""
    return time.time_ns() // 1000


def keys_of(secret: Any) -> tuple[bytes, ...]:
    """The keys in one secret or two; InvalidCall, which does not show them, for anything else."""
    given: Sequence[Any] = (secret,) if isinstance(secret, str) else secret
    if not isinstance(cast("Any", given), tuple | list) or not 1 <= len(given) <= _ACTIVE:
        raise InvalidCall("secret=…: give one secret, or while it is being replaced a pair")
    return tuple(_key(one) for one in given)


def _key(secret: Any) -> bytes:
    if isinstance(secret, str) and secret.startswith(_PREFIX):
        text = secret.removeprefix(_PREFIX)
        try:
            key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if _KEY[0] <= len(key) <= _KEY[1]:
            return key
    raise InvalidCall(
        "secret=…: give 'whsec_' and 24 to 64 random bytes in base64; "
        "`python -c \"import base64, os; print('whsec_' + "
        'base64.b64encode(os.urandom(32)).decode())"` makes one'
    )


def signed(keys: Sequence[bytes], name: str, seconds: int, body: bytes) -> dict[str, str]:
    """The three headers of message *name*, sent at *seconds* since 1970: one signature a key."""
    content = b".".join((name.encode(), str(seconds).encode(), body))
    signatures = [base64.b64encode(hmac.digest(key, content, hashlib.sha256)) for key in keys]
    return {
        "webhook-id": name,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(f"v1,{signature.decode()}" for signature in signatures),
    }
