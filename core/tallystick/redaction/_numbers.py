"""Payment cards and IBANs: numbers that prove themselves by a check digit."""

from __future__ import annotations

import re
from collections.abc import Iterator

#: from the first digit on: in one piece, or in groups as they stand on cards; what follows four
#: times four may be part of it, or not
_CARD = re.compile(
    r"[0-9](?<![0-9]{2})"
    r"(?=([0-9]{12,18}|[0-9]{3}[ -][0-9]{6}[ -][0-9]{4,5}|[0-9]{3}(?:[ -][0-9]{4}){3})(?![0-9])"
    r"([ -][0-9]{1,3}(?![0-9]))?)"
)
_VISA, _MOST, _LONG = frozenset({13, 16, 19}), frozenset({16}), frozenset(range(16, 20))
#: by its first two digits, how long a number may be: Visa, Mastercard, American Express, Diners,
#: JCB, Discover and UnionPay, Maestro
_LENGTHS: dict[str, frozenset[int]] = {
    **{f"4{n}": _VISA for n in range(10)},
    **dict.fromkeys(("51", "52", "53", "54", "55", "22", "23", "24", "25", "26", "27"), _MOST),
    **dict.fromkeys(("34", "37"), frozenset({15})),
    **dict.fromkeys(("30", "36", "38", "39"), frozenset({14, 16, 19})),
    **dict.fromkeys(("35", *(f"6{n}" for n in range(10))), _LONG),
    **dict.fromkeys(("50", "56", "57", "58"), frozenset(range(13, 20))),
}
_NONE = frozenset[int]()
#: what a digit counts, and what every other one does
_ONCE = bytes([max(0, n - 48) % 10 for n in range(256)])
_TWICE = bytes([b"\0\2\4\6\x08\1\3\5\7\x09"[digit] for digit in _ONCE])
#: where an IBAN may begin
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?=[ ]?[A-Za-z0-9])")
_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22,
    "BR": 29, "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28,
    "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23,
    "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26,
    "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20,
    "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30,
    "NL": 18, "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22,
    "SA": 24, "SC": 31, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23,
    "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip
_REST = {length: re.compile(rf"(?: ?[A-Za-z0-9]){{{length}}}") for length in range(11, 29)}
_NEXT = re.compile(r"[A-Za-z0-9]")


def cards(text: str) -> Iterator[tuple[int, int]]:
    """
    Where payment cards stand: digits in one piece or in groups that begin so and add up.

    However many other digits stand before or after them.
    """
    for found in _CARD.finditer(text):
        start, end, further = found.start(), found.end(1), found.end(2)
        lengths = _LENGTHS.get(text[start : start + 2], _NONE)
        if further > end and _is_card(text[start:further], lengths):
            yield start, further
        elif lengths and _is_card(text[start:end], lengths):
            yield start, end


def _is_card(written: str, lengths: frozenset[int]) -> bool:
    digits = written.encode().translate(None, b" -")
    return len(digits) in lengths and _adds_up(digits)


def _adds_up(digits: bytes) -> bool:
    """Luhn's formula."""
    every = sum(digits[-1::-2].translate(_ONCE)) + sum(digits[-2::-2].translate(_TWICE))
    return every % 10 == 0


def ibans(text: str) -> Iterator[tuple[int, int]]:
    """Where IBANs stand: as long as their country's are, with a remainder of 1 by 97."""
    for found in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(text[found.start() : found.start() + 2].upper())
        rest = None if length is None else _REST[length - 4].match(text, found.end())
        if rest is None or _NEXT.match(text, rest.end()):
            continue
        moved = (rest.group() + found.group()).replace(" ", "").upper()
        if int("".join([str(int(letter, 36)) for letter in moved])) % 97 == 1:
            yield found.start(), rest.end()
