"""What is recorded of values that are not for everybody, and what they were."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

from tallystick._codec import decode, encode
from tallystick._model import Effect
from tallystick.errors import InvalidCall, LedgerError
from tallystick.redaction import Redact, Redaction
from tallystick.redaction._detectors import scan
from tallystick.redaction._rules import REDACTED, path_of
from tallystick.redaction._trees import Moved, Sieve, leaves, marked, restored

#: shorter ones are in every text, and no secrets
_SECRET = 4


@lru_cache(maxsize=1024)
def _sieve(redact: Redact, part: str) -> Sieve:
    """What arguments, results or facts are seen through."""
    if part == "facts":
        return Sieve((), redact.detectors)
    named = redact.args if part == "args" else redact.result
    if isinstance(named, bool):
        return Sieve(((),) if named else (), redact.detectors)
    return Sieve(tuple(map(path_of, named)), redact.detectors)


def _seen(redact: Redact, part: str, text: str) -> str:
    """What is left of an encoded value."""
    sieve = _sieve(redact, part)
    if not sieve.paths and not sieve.detectors:
        return text
    tree = json.loads(text)
    left = sieve.through(tree)
    return text if left == tree else json.dumps(left, separators=(",", ":"))


def shown_text(args: Mapping[str, Any], redact: Redact | None) -> str:
    """The arguments as they are recorded and shown: encoded, the secret ones left out."""
    text = encode(args, where="args")
    return text if redact is None else _seen(redact, "args", text)


def kept_text(text: str, redact: Redact | None) -> str | None:
    """A result as it is recorded; ``None`` where what is left of it could not be read again."""
    left = text if redact is None else _seen(redact, "result", text)
    if left is not text:
        try:
            decode(left)
        except LedgerError:
            return None
    return left


def facts_text(text: str, redact: Redact | None) -> str:
    """Facts as they are recorded."""
    return text if redact is None else _seen(redact, "facts", text)


def given_back(recorded: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Recorded arguments, with the caller's in the place of those that something is left out of."""
    return {
        name: given[name] if name in given and marked(json.loads(encode(value))) else value
        for name, value in recorded.items()
    }


def as_edited(
    edited: Mapping[str, Any], shown: Mapping[str, Any], real: Mapping[str, Any]
) -> dict[str, Any]:
    """
    An approver's arguments, with the real values where the approver left a mark.

    Raises Moved where a mark does not stand where it was shown.
    """
    trees = [json.loads(encode(dict(each))) for each in (edited, shown, real)]
    if any("$" in tree for tree in trees):
        raise Moved
    return cast("dict[str, Any]", decode(json.dumps(restored(*trees))))


def refuse_moved(effect: Effect, args: Mapping[str, Any]) -> None:
    """
    InvalidCall where an approver's *args* touch what the approver was not shown.

    A mark may stay where it is, or go with all that it is a part of.
    """
    for name, value in args.items():
        before = effect.args.get(name)
        try:
            shown = json.loads(encode(before))
            restored(json.loads(encode(value, where=f"args.{name}")), shown, shown)
        except Moved:
            raise InvalidCall(
                f"{name} holds what was redacted, which can be neither changed nor moved: leave "
                f"the marks where they stand, or deny it and let the agent ask anew"
            ) from None


def refuse_secrets(tool: str, args: Mapping[str, Any], redaction: Redaction) -> None:
    """InvalidCall where an approver's *args* bring in what the ledger never stores."""
    redact = redaction.of(tool)
    text = encode(dict(args), where="args")
    left = _seen(redact, "args", text) if redact else text
    if marked(json.loads(left)) and left is not text:
        raise InvalidCall(
            "the edited arguments hold what this ledger redacts, and what is to run later would "
            "have to be stored: deny it and let the agent ask anew"
        )


def spoken(text: str, redaction: Redaction, tool: str) -> str:
    """What a person says, without what the ledger looks for."""
    return scan(text, redaction.of(tool).detectors)


def hushed(text: str, args: Mapping[str, Any], redact: Redact | None) -> str:
    """*text* without the values of redacted arguments, which tools like to quote in errors."""
    if redact is None:
        return text
    if redact.args:
        paths = _sieve(redact, "args").paths
        words = set(leaves(json.loads(encode(dict(args))), paths))
        said = {form for word in words for form in (word, repr(word)[1:-1])}
        for form in sorted(said, key=len, reverse=True):
            if len(form) >= _SECRET:
                text = text.replace(form, REDACTED)
    return scan(text, redact.detectors)
