"""Rules applied to what is stored: every kind of value, and back again."""

from __future__ import annotations

import json
import pathlib
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from tallystick._codec import decode, encode
from tallystick._flows.redacting import hushed, kept_text, shown_text
from tallystick.redaction import Redact
from tallystick.redaction._rules import REDACTED, path_of
from tallystick.redaction._trees import Moved, marked, restored

CARD = 4111111111111111
MAIL = "ann@example.com"
FOUND = Redact(detect=True)


@dataclass
class Person:
    name: str
    mail: str


class Pair(NamedTuple):
    left: str
    right: str


class Model(BaseModel):
    mail: str
    inner: list[dict[str, str]] = []


class Colour(Enum):
    RED = MAIL


def left_of(value: object, redact: Redact = FOUND) -> Any:
    text = kept_text(encode(value), redact)
    assert text is not None
    return decode(text)


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (MAIL, "[redacted:email]"),
        (CARD, "[redacted:card]"),
        (CARD * 1000 + 5, CARD * 1000 + 5),
        (6304000000000000000 + 0, "[redacted:card]"),
        (Decimal(CARD), "[redacted:card]"),
        (True, True),
        (None, None),
        (1.5, 1.5),
        ([MAIL, (MAIL, 1)], ["[redacted:email]", ("[redacted:email]", 1)]),
        ({"a": {MAIL: MAIL}}, {"a": {"[redacted:email]": "[redacted:email]"}}),
        ({1: MAIL, MAIL: 2}, {1: "[redacted:email]", "[redacted:email]": 2}),
        ({MAIL}, {"[redacted:email]"}),
        (frozenset({MAIL, "b"}), frozenset({"[redacted:email]", "b"})),
        (f"to {MAIL}".encode(), b"to [redacted:email]"),
        (b"\xff\xfe", b"\xff\xfe"),
        (pathlib.PurePosixPath(f"/home/{MAIL}"), pathlib.PurePosixPath("/home/[redacted:email]")),
        (Person("Ann", MAIL), Person("Ann", "[redacted:email]")),
        (Pair("a", MAIL), Pair("a", "[redacted:email]")),
        (Model(mail=MAIL), Model(mail="[redacted:email]")),
        (Colour.RED, Colour.RED),
        (f"\ud83d {MAIL}", None),
    ],
)
def test_a_detector_looks_into_every_kind_of_value(value: object, left: object) -> None:
    """And what is left is of the same kind, where the kind can say it."""
    found = left_of(value)
    if left is None and value is not None:
        assert MAIL not in found
    else:
        assert (found, type(found)) == (left, type(left))


@pytest.mark.parametrize(
    ("path", "left"),
    [
        ("person.mail", {"person": Person("Ann", REDACTED)}),
        ("person", {"person": REDACTED}),
        ("*.name", {"person": Person(REDACTED, MAIL)}),
        ("person.nothing", {"person": Person("Ann", MAIL)}),
    ],
)
def test_a_path_leads_through_a_class(path: str, left: dict[str, Any]) -> None:
    """Fields are steps like keys."""
    redact = Redact(args=(path,))
    assert decode(shown_text({"person": Person("Ann", MAIL)}, redact)) == left


@pytest.mark.parametrize(
    ("path", "left"),
    [
        ("a[].b", {"a": [{"b": REDACTED, "c": 1}, {"b": REDACTED}]}),
        ("a.b", {"a": [{"b": REDACTED, "c": 1}, {"b": REDACTED}]}),
        ("a[]", {"a": [REDACTED, REDACTED]}),
        ("a", {"a": REDACTED}),
        ("*", {"a": REDACTED}),
        ("b", {"a": [{"b": 2, "c": 1}, {"b": 3}]}),
        ("a[][].b", {"a": [{"b": 2, "c": 1}, {"b": 3}]}),
    ],
)
def test_a_path_leads_through_lists(path: str, left: dict[str, Any]) -> None:
    """With brackets, or without: whoever forgets them leaves out no less."""
    args = {"a": [{"b": 2, "c": 1}, {"b": 3}]}
    assert decode(shown_text(args, Redact(args=(path,)))) == left


def test_a_path_is_read_as_it_is_written() -> None:
    assert path_of("cards[].number") == ("cards", "[]", "number")
    assert path_of("grid[][]") == ("grid", "[]", "[]")


def test_two_secret_names_do_not_become_one() -> None:
    """Nothing that stood beside another one is lost."""
    assert left_of({MAIL: 1, "bob@example.com": 2}) == {
        "[redacted:email]": 1,
        "[redacted:email] 2": 2,
    }


def test_words_of_errors_go_with_the_values_they_quote() -> None:
    """As they are, as Python writes them, and keys of what is left out whole."""
    args = {"card": {"holder's": "Änn\n", "cvc": 7}, "memo": "Ann pays"}
    redact = Redact(args=("card",))
    assert hushed("no Änn\n here, no 'Änn\\n', no holder's", args, redact) == (
        "no [redacted] here, no '[redacted]', no [redacted]"
    )
    assert hushed("Ann pays 7", args, redact) == "Ann pays 7"


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
TREES = st.recursive(
    LEAVES | st.just("secret"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), TREES, min_size=1), st.sampled_from("abc"))
def test_whatever_is_shown_stands_for_what_it_was(args: dict[str, Any], name: str) -> None:
    """Unedited marks are the real values again; nothing else is touched."""
    real = json.loads(encode(args))
    shown = json.loads(shown_text(args, Redact(args=(name,))))
    assert restored(shown, shown, real) == real
    assert marked(shown) == (name in args)
    for other, value in shown.items():
        assert (value == REDACTED) if other == name else (value == real[other])


@settings(max_examples=50, deadline=None)
@given(TREES, TREES)
def test_a_mark_stands_only_where_it_was_shown(one: Any, other: Any) -> None:
    """What an edit brings is itself, or it is refused; a mark never stands for another value."""
    shown, real = {"a": REDACTED, "b": one}, {"a": 42, "b": one}
    assert restored({"a": REDACTED, "b": other}, shown, real) == {"a": 42, "b": other}
    for edited in ({"b": REDACTED}, {"a": [REDACTED]}, {"a": 1}, {"c": REDACTED}):
        with pytest.raises(Moved):
            restored(edited, shown, real)
