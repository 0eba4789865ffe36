"""Keys of the user, and what they open."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from typing import Any

from tallystick.errors import DriverMissing, InvalidCall, WrongKey

_SIZE, _NONCE = 32, 12


class Keyring:
    """
    Your key, and those that it follows.

    *key* is 32 random bytes, or their base64, as :meth:`generate` makes them. *old* are keys that
    data keys may still be wrapped in: after a change of key give both until ``ledger.rewrap()``
    has gone through. Keep the key apart from the database and its backups; without it every
    payload is lost. Needs the extra ``encryption``.

    >>> Keyring(Keyring.generate()).id == Keyring(Keyring.generate()).id
    False
    """

    def __init__(self, key: bytes | str, *old: bytes | str) -> None:
        self._keys = {_id(raw): _aead(raw) for raw in map(_raw, (key, *old))}
        #: names the key that wraps what is new; says nothing about it
        self.id = next(iter(self._keys))

    @staticmethod
    def generate() -> str:
        """A new key, in base64."""
        return base64.b64encode(os.urandom(_SIZE)).decode("ascii")

    def __repr__(self) -> str:
        return f"<Keyring {self.id}>"

    def wrap(self, key: bytes, scope: bytes) -> bytes:
        """A workflow's data key as it is stored."""
        nonce = os.urandom(_NONCE)
        sealed: bytes = self._keys[self.id].encrypt(nonce, key, b"tallystick/1 key " + scope)
        return nonce + sealed

    def unwrap(self, wrapped: bytes, scope: bytes, kek: str) -> bytes:
        """The data key again; WrongKey where none of these keys opens it."""
        found = self._keys.get(kek)
        if found is None:
            raise WrongKey(
                f"the ledger's payloads are sealed with the key {kek}, and the keyring has "
                f"{', '.join(self._keys)}; give that one, too: Keyring(new, old)"
            )
        key: bytes = opened(found, wrapped, b"tallystick/1 key " + scope)
        return key


def opened(aead: Any, sealed: bytes, about: bytes) -> bytes:
    """What was sealed; WrongKey where it is not what was written."""
    from cryptography.exceptions import InvalidTag

    try:
        found: bytes = aead.decrypt(sealed[:_NONCE], sealed[_NONCE:], about)
    except (InvalidTag, ValueError) as error:
        raise WrongKey(
            "what is sealed cannot be opened: it was damaged or moved, or the key is another one"
        ) from error
    return found


def sealed_with(aead: Any, plain: bytes, about: bytes) -> bytes:
    """*plain* as only the key opens it, where it is about *about*."""
    nonce = os.urandom(_NONCE)
    found: bytes = nonce + aead.encrypt(nonce, plain, about)
    return found


def new_key() -> bytes:
    """A data key."""
    return os.urandom(_SIZE)


def aead_of(key: bytes) -> Any:
    """What encrypts and decrypts with a key."""
    return _aead(key)


def _raw(key: bytes | str) -> bytes:
    try:
        raw = key if isinstance(key, bytes) else base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raw = b""
    if len(raw) != _SIZE:
        raise InvalidCall("a key is 32 bytes, or their base64; Keyring.generate() makes one")
    return raw


def _id(raw: bytes) -> str:
    return hashlib.sha256(b"tallystick/1 key id " + raw).hexdigest()[:12]


def _aead(raw: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise DriverMissing(
            'encryption needs cryptography, which is not installed: pip install "tallystick'
            '[encryption]"'
        ) from error
    return AESGCM(raw)
