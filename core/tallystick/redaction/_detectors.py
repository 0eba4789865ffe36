"""
What looks like a secret, found in linear time.

No pattern begins again inside of what it has read in vain, so that no text is left unread because
it is long, and none takes long because it was made to.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tallystick.redaction._numbers import cards, ibans

Spans = Iterable[tuple[int, int]]

#: each begins with letters of its own, which is what makes looking for it quick
_TOKENS = (
    r"sk-[A-Za-z0-9_-]{20,}",  # OpenAI, Anthropic and those who do as they do
    r"AKIA[0-9A-Z]{16}",
    r"ASIA[0-9A-Z]{16}",
    r"AIza[0-9A-Za-z_-]{35}",
    r"gh[oprsu]_[A-Za-z0-9]{36,}",
    r"github_pat_[A-Za-z0-9_]{22,}",
    r"glpat-[A-Za-z0-9_-]{20,}",
    r"xox[abceoprs]-[A-Za-z0-9-]{10,}",
    r"xapp-[A-Za-z0-9-]{10,}",
    r"hooks\.slack\.com/services/[A-Za-z0-9/]{20,}",
    r"sk_live_[A-Za-z0-9]{10,}",
    r"sk_test_[A-Za-z0-9]{10,}",
    r"rk_live_[A-Za-z0-9]{10,}",
    r"rk_test_[A-Za-z0-9]{10,}",
    r"whsec_[A-Za-z0-9+/=]{16,}",
    r"hf_[A-Za-z0-9]{30,}",
    r"npm_[A-Za-z0-9]{36}",
    r"pypi-[A-Za-z0-9_-]{50,}",
)
_WORD = re.compile(r"\w")
_JWT = re.compile(r"eyJ[\w-]+(?:\.[\w-]+)*")
_PARTS, _PART = 3, 10
_SECRET = re.compile(
    r"[\w-]{0,20}[\"']?\s{0,4}[:=]\s{0,4}[\"']?([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])"
)
_BEGIN = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(r"-----END [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]+@[\w-]+(?:\.[\w-]+)+")
_TOP = re.compile(r"\.[^\W\d_][\w-]+\Z")


@dataclass(frozen=True, slots=True)
class Detector:
    """
    Something to look for: a name, and a function that gives where in a text it stands.

    *find* gives pairs of positions; what is between them is replaced by ``[redacted:name]``.

    >>> import re
    >>> ticket = Detector("ticket", lambda text: (m.span() for m in re.finditer(r"T-[0-9]+", text)))
    >>> scan("see T-42", (ticket,))
    'see [redacted:ticket]'
    """

    name: str
    find: Callable[[str], Spans]


@functools.cache
def _tokens_compiled() -> tuple[re.Pattern[str], ...]:
    """Not at import: compiling them takes long, and few processes redact."""
    return tuple([re.compile(pattern) for pattern in _TOKENS])


def _tokens(text: str) -> Iterator[tuple[int, int]]:
    for pattern in _tokens_compiled():
        for found in pattern.finditer(text):
            if not found.start() or not _WORD.match(text[found.start() - 1]):
                yield found.span()
    for found in _JWT.finditer(text):
        parts = found.group().split(".")
        if len(parts) >= _PARTS and all(len(part) >= _PART for part in parts[:2]):
            yield found.span()
    yield from _aws_secrets(text)


def _aws_secrets(text: str) -> Iterator[tuple[int, int]]:
    """Forty characters that only their name makes a secret."""
    lower, at = text.lower(), 0
    if len(lower) != len(text):  # a letter that becomes two
        lower = text
    while (at := lower.find("secret", at)) >= 0:
        at += len("secret")
        found = _SECRET.match(text, at)
        if found is not None:
            yield found.span(1)


def _private_keys(text: str) -> Iterator[tuple[int, int]]:
    at = 0
    while (begin := _BEGIN.search(text, at)) is not None:
        end = _END.search(text, begin.end())
        at = len(text) if end is None else end.end()  # one that was cut off is a secret, too
        yield begin.start(), at


def _emails(text: str) -> Iterator[tuple[int, int]]:
    if "@" in text:
        for found in _EMAIL.finditer(text):
            if _TOP.search(found.group()):
                yield found.span()


#: what is looked for unless somebody says otherwise
DETECTORS = (
    Detector("private_key", _private_keys),
    Detector("token", _tokens),
    Detector("card", cards),
    Detector("iban", ibans),
    Detector("email", _emails),
)


def scan(text: str, detectors: Iterable[Detector]) -> str:
    """*text* with everything replaced that the detectors find; of what overlaps the first."""
    found = [(start, -end, d.name) for d in detectors for start, end in d.find(text)]
    if not found:
        return text
    parts, at = list[str](), 0
    for start, minus, name in sorted(found):
        if start >= at:
            parts += (text[at:start], f"[redacted:{name}]")
            at = -minus
        elif -minus > at:  # it goes on beyond the other one
            at = -minus
    return "".join([*parts, text[at:]])
