"""Ed25519 signatures, and keys in files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tallystick.errors import DriverMissing, InvalidCall

KeyFile = str | os.PathLike[str]
#: what is said where the extra is missing
NEEDED = 'seals need cryptography, which is not installed: pip install "tallystick[seal]"'
#: what is signed is nothing else's signature
_CONTEXT = b"tallystick seal 1\0"


def signer(file: KeyFile) -> Callable[[bytes], bytes]:
    """What signs with a private key; InvalidCall where the file holds none."""
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise DriverMissing(NEEDED) from error
    key: Any = _loaded(file, lambda text: load_pem_private_key(text, None))
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidCall(f"{file} holds no private Ed25519 key; `tallystick seal-key` makes one")
    return lambda text: key.sign(_CONTEXT + text)


def checker(file: KeyFile) -> Callable[[bytes, bytes], bool]:
    """What tells whether a signature is of a text; InvalidCall where the file holds no key."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as error:
        raise DriverMissing(NEEDED) from error
    key: Any = _loaded(file, load_pem_public_key)
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidCall(f"{file} holds no public Ed25519 key, as `tallystick seal-key` writes it")

    def fits(text: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, _CONTEXT + text)
        except InvalidSignature:
            return False
        return True

    return fits


def public_of(file: KeyFile) -> Callable[[bytes, bytes], bool]:
    """What tells whether a signature was made with this very private key."""
    sign = signer(file)
    # Ed25519 signs the same text always in the same way
    return lambda text, signature: sign(text) == signature


def _loaded(file: KeyFile, load: Callable[[bytes], Any]) -> Any:
    try:
        return load(Path(file).read_bytes())
    except OSError as error:
        raise InvalidCall(f"the key {file} cannot be read: {error}") from error
    except (ValueError, TypeError):
        raise InvalidCall(f"{file} holds no key in PEM; `tallystick seal-key` makes one") from None


def new_key(file: KeyFile) -> Path:
    """
    Make a private Ed25519 key that only this user can read; the path of its public key beside it.

    Whoever has the private key can seal; keep it away from whoever can write the database. Raises
    InvalidCall where the file exists or cannot be written, DriverMissing without `cryptography`.
    """
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise DriverMissing(NEEDED) from error
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    path = Path(file)
    beside = path.with_name(f"{path.name}.pub")
    try:
        _write_new(path, private, 0o600)
        _write_new(beside, public, 0o644)
    except OSError as error:
        raise InvalidCall(f"a key cannot be written to {path}: {error}") from error
    return beside


def _write_new(path: Path, text: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
