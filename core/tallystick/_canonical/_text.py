"""JSON of the standard library, without its preparations for each text."""

from __future__ import annotations

import json
from collections.abc import Callable
from json import encoder as _encoder
from typing import Any


def writer(*, ascii_only: bool, sort_keys: bool) -> Callable[[Any], str]:
    """
    A function that writes plain JSON trees, compactly, without looking for circles.

    It makes the C encoder once where ``json`` makes one for each text; without one (not CPython),
    it is ``json`` itself.
    """
    plain = json.JSONEncoder(
        ensure_ascii=ascii_only,
        check_circular=False,
        allow_nan=False,
        sort_keys=sort_keys,
        separators=(",", ":"),
    )
    make: Any = getattr(_encoder, "c_make_encoder", None)
    name = "encode_basestring_ascii" if ascii_only else "encode_basestring"
    quote: Any = getattr(_encoder, name)
    if make is None:
        return plain.encode
    write: Any = make(None, plain.default, quote, None, ":", ",", sort_keys, False, False)

    def text(value: Any) -> str:
        return quote(value) if type(value) is str else "".join(write(value, 0))

    return text


def reader(parse_constant: Callable[[str], Any]) -> Callable[[str], Any]:
    """
    A function that reads JSON; *parse_constant* is given what is none, such as ``NaN``.

    A text without blanks around it is not searched for them.
    """
    decoder: Any = json.JSONDecoder(parse_constant=parse_constant)
    scan, slow = decoder.scan_once, decoder.decode

    def value(text: str) -> Any:
        try:
            found, end = scan(text, 0)
        except StopIteration:
            return slow(text)
        return found if end == len(text) else slow(text)

    return value
