"""Texts sealed with a workflow's key, each bound to its column of its effect, and opened again."""

from __future__ import annotations

import base64
import json
from typing import Any

from tallystick._undoing._plan import image_of, with_image_text
from tallystick.encryption._keyring import opened, sealed_with
from tallystick.errors import WrongKey
from tallystick.stores._sealing._keys import DataKeys, Place

_SAID = {"type": "", "message": "", "traceback": ""}


class Sealer(DataKeys):
    """What seals texts, and opens them."""

    def seal(self, text: str, place: Place, column: str, key: Any, digest: bytes = b"") -> str:
        """*text* as only the workflow's key opens it, in this column of this effect."""
        about = _about(place.key, column, digest.hex())
        sealed = sealed_with(key, text.encode("utf-8", "surrogatepass"), about)
        tag = {"$": "sealed", "c": column, "d": digest.hex(), "s": place.scope.hex()}
        tag["v"] = base64.b64encode(sealed).decode("ascii")
        return json.dumps(tag, separators=(",", ":"))

    def unseal(self, text: str, key: bytes, *columns: str) -> str | None:
        """What was sealed in one of these columns; ``None`` where its workflow's key is gone."""
        column, digest, scope, sealed = _read(text)
        if column not in columns:
            raise WrongKey(f"what is sealed here belongs into the column {column}")
        found = self.found(scope)
        if found is None or isinstance(found, int):
            return None
        about = _about(key, column, digest)
        return opened(found, sealed, about).decode("utf-8", "surrogatepass")

    def planned(self, text: str | None, place: Place, key: Any) -> str | None:
        """How an effect is undone, with what was there before it sealed."""
        image = image_of(text)
        if text is None or image is None:
            return text
        return with_image_text(text, self.seal(image, place, "before", key))

    def maybe(
        self, text: str | None, place: Place, column: str, key: Any, digest: bytes = b""
    ) -> str | None:
        """*text* sealed, or nothing: where there is none, or no key."""
        if text is None or key is None:
            return None
        return self.seal(text, place, column, key, digest)

    def facts(self, text: str | None, place: Place, key: Any) -> str | None:
        """What an approver saw, sealed."""
        if text is None:
            return None
        said = json.loads(text)
        return json.dumps({**said, "facts": self.seal(said["facts"], place, "facts", key)})

    def error(self, text: str | None, place: Place, key: Any) -> str | None:
        """What an attempt ended with, sealed but for its kind."""
        if text is None:
            return None
        sealed = self.maybe(text, place, "error", key)
        said = {**_SAID, "type": json.loads(text).get("type", "")}
        return json.dumps(said if sealed is None else {**said, "sealed": sealed})


def _read(text: str) -> tuple[str, str, bytes, bytes]:
    """The parts of a sealed text: column, digest, scope, and what is sealed."""
    try:
        tag = json.loads(text)
        sealed = base64.b64decode(tag["v"], validate=True)
        return tag["c"], tag["d"], bytes.fromhex(tag["s"]), sealed
    except (ValueError, KeyError, TypeError) as error:
        raise WrongKey("what is sealed was damaged") from error


def _about(key: bytes, column: str, digest: str) -> bytes:
    """What a sealed text is bound to."""
    return b"|".join(
        (b"tallystick/1 payload", key.hex().encode(), column.encode(), digest.encode())
    )
