"""Equal intents have equal canonical bytes, different ones never do."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import OrderedDict, defaultdict
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from itertools import combinations
from pathlib import Path, PureWindowsPath
from types import MappingProxyType
from typing import Any, NamedTuple, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import rfc8785
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, RootModel

from tallystick._canonical import canonical, digest

SAFE = 2**53
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine
BERLIN = ZoneInfo("Europe/Berlin")


class Color(Enum):
    RED = "red"


class Size(StrEnum):
    S = "s"


class Level(IntEnum):
    LOW = 1


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    sku: str
    count: int = 1


class Order(BaseModel):
    model_config = ConfigDict(extra="allow")

    number: int = Field(alias="orderNumber")
    size: Size = Size.S
    lines: list[Line] = []


class Tags(RootModel[list[str]]):
    pass


# ---------------------------------------------------------------- JSON

names = st.text(max_size=6).filter(lambda name: name != "$")
numbers = (
    st.integers(-SAFE + 1, SAFE - 1)
    | st.floats(allow_nan=False, allow_infinity=False).filter(
        lambda number: not number.is_integer() or abs(number) < SAFE
    )
    | st.floats(-1e-3, 1e-3)
)
trees: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(names, inner, max_size=5),
    max_leaves=20,
)


@patient
@given(trees)
@example({"\U0001f600": 1, "\uffff": 2, "\ud7ff": 3, "é": 4, "e\u0301": 5, "": 6})
@example([5e-324, 1e-7, 1.5e-7, 1e-6, 1.25e-5, 1e-4, -2.5e-6, 4503599627370495.5, -0.0])
@example("".join(map(chr, range(0x100))))
def test_where_both_are_defined_the_bytes_are_those_of_rfc_8785(value: Any) -> None:
    """An independent implementation agrees on every tree of its domain."""
    assert canonical(value) == rfc8785.dumps(value)


@patient
@given(st.dictionaries(names, trees, max_size=5))
def test_the_short_way_writes_what_the_rules_write(value: dict[str, Any]) -> None:
    """A dict subclass takes the long way and arrives at the same bytes."""
    assert canonical(OrderedDict(value)) == canonical(value)


@patient
@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False), st.integers())
@example(2.0**60, 2**60)
@example(float(2**53), 2**53 + 1)
@example(1e308, int(1e308) + 1)
@example(0.1, 10**17)
def test_numbers_have_equal_text_exactly_when_they_are_equal(left: float, right: int) -> None:
    """Python compares an int with a float exactly, and so does the text."""
    assert (canonical(left) == canonical(right)) == (left == right)
    assert canonical(left) == canonical(int(left) if left == int(left) else left)


@pytest.mark.parametrize("bits", [2047, 2048, 2049, 20_000])
def test_an_integer_of_any_size_is_exact(bits: int) -> None:
    """Neither a double nor the limit of digits comes in between."""
    texts = {canonical(sign * (2**bits + step)) for sign in (1, -1) for step in (-1, 0, 1)}
    assert len(texts) == 6


# ---------------------------------------------------------------- one intent, one text

MOMENT = datetime(2024, 10, 27, 0, 30, tzinfo=UTC)
NAIVE = datetime.fromisoformat("2024-01-01T00:00:00")
SAME: list[tuple[object, object]] = [
    (1, 1.0),
    (0, -0.0),
    ({"a": 1, "b": 2}, {"b": 2.0, "a": 1}),
    ((1, (2,)), [1, [2]]),
    (Point(1, 2), [1, 2]),
    (Decimal("1.10"), Decimal("1.1")),
    (Decimal("1E+2"), Decimal(100)),
    (Decimal("-0.00"), Decimal(0)),
    (Color.RED, "red"),
    (Size.S, "s"),
    (Level.LOW, 1),
    ({Color.RED: 1}, {"red": 1}),
    (Path("a/b"), "a/b"),
    (PureWindowsPath("a/b"), "a\\b"),
    (bytearray(b"x"), b"x"),
    ({1, 2, "a"}, frozenset(["a", 2.0, 1])),
    (defaultdict(int, a=1), MappingProxyType({"a": 1})),
    (Line("x"), {"sku": "x", "count": 1}),
    (Tags(["a"]), ["a"]),
    (
        Order.model_validate({"orderNumber": 7, "lines": [Line("x")], "note": None}),
        {"number": 7, "size": "s", "lines": [{"sku": "x", "count": 1}], "note": None},
    ),
    (MOMENT, MOMENT.astimezone(BERLIN)),
    (MOMENT, MOMENT.astimezone(timezone(timedelta(hours=-5), "EST"))),
    (NAIVE, NAIVE.replace(fold=1)),
    (time(12, tzinfo=UTC), time(12, tzinfo=timezone(timedelta(0)))),
    (UTC, timezone(timedelta(0), "Z")),
]


@pytest.mark.parametrize(("left", "right"), SAME)
def test_one_intent_has_one_text(left: object, right: object) -> None:
    """What means the same is the same, alone and inside something."""
    assert canonical(left) == canonical(right)
    assert digest({"a": [left]}) == digest({"a": [right]})


# ---------------------------------------------------------------- two intents, two texts

ATOMS: list[object] = [
    *(None, True, False, 0, 1, -1, 0.1, 1e-7, 2**53, 2**53 + 1, 2**4000, 2**4000 + 1),
    *("", "1", "true", "null", "$", "decimal", "1e0", "é", "e\u0301", "\0", "a\0", " "),
    *("\ud83d", "\ude00", "\ud83d\ude00", "\U0001f600", "2024-01-01", "00", '"', "\\"),
    *(Decimal(0), Decimal(1), Decimal("0.1"), Decimal("1e999999"), b"", b"\0", b"1"),
    *(date(2024, 1, 1), NAIVE, datetime(2024, 1, 1, tzinfo=UTC)),
    *(datetime(2024, 1, 1, tzinfo=BERLIN), time(0), time(0, tzinfo=UTC)),
    *(time(0, tzinfo=BERLIN), timedelta(0), timedelta(microseconds=1), UTC, BERLIN),
    *(datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=fold) for fold in (0, 1)),
    *(UUID(int=0), UUID(int=1), str(UUID(int=0))),
]
HOLDERS: list[object] = [
    *([], {}, set[int](), [[]], [{}], {"a": None}, {"b": None}, {"a": {}}, {"$": None}),
    *({1: None}, {1: None, "1": None}, {"1": None}, {True: None}, {None: None}, {"null": None}),
    *({"\ud83d\ude00": 0, "\U0001f600": 1}, {"\ud83d\ude00": 1, "\U0001f600": 0}),
    *({"$": "decimal", "v": "1e0"}, {"v": "1e0"}, [["$", "decimal"]]),
    *({"$": "set", "v": []}, {"$": "dict", "v": [["$", None]]}, {"$": {"$": 1}}),
    *({(1, 2): 0}, {"[1,2]": 0}, {frozenset([1]): 0}, [["a", None]], [1, 2], {1, 2}, [2, 1]),
]


@pytest.mark.parametrize("inside", [False, True])
def test_no_two_of_these_share_a_text(*, inside: bool) -> None:
    """Types, tags and what only looks like a tag are told apart."""
    values = [*ATOMS, *HOLDERS, *([atom] for atom in ATOMS), *({"$": atom} for atom in ATOMS[1:])]
    texts = [canonical({"a": [value, "x"]} if inside else value) for value in values]
    clashes = [(a, b) for a, b in combinations(range(len(texts)), 2) if texts[a] == texts[b]]
    assert [(values[a], values[b]) for a, b in clashes] == []


def meaning(value: object) -> object:
    """What the text has to tell apart, said in another way."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return "number", Fraction(value)
    if isinstance(value, (list, set)):
        inside = [meaning(item) for item in cast("list[object]", value)]
        return ("set", frozenset(inside)) if isinstance(value, set) else ("list", tuple(inside))
    if isinstance(value, dict):
        items = cast("dict[object, object]", value).items()
        return "object", frozenset((meaning(key), meaning(item)) for key, item in items)
    return type(value).__name__, value


leaves = st.sampled_from(
    [None, True, False, 0, 1, 1.0, "", "$", "v", "1", "set", "dict", Decimal(1), b"", b"\1"]
)
few = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.sets(leaves, max_size=2),
        st.dictionaries(st.sampled_from(["$", "v", "a", 1, None, b""]), inner, max_size=2),
    ),
    max_leaves=4,
)


@patient
@given(few, few)
def test_texts_are_equal_exactly_when_meanings_are(left: object, right: object) -> None:
    """From so few building blocks equal pairs are common, and clashes would be."""
    assert (canonical(left) == canonical(right)) == (meaning(left) == meaning(right))


def test_a_digest_is_sha256_over_the_bytes() -> None:
    """It is 32 bytes long, and lone surrogates do not stop it."""
    assert digest({"b": "\ud800", "a": 1}) == hashlib.sha256(b'{"a":1,"b":"\xed\xa0\x80"}').digest()
