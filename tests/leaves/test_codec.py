"""What is encoded comes back equal and of the same type, or is refused."""

from __future__ import annotations

import inspect
import io
import json
import math
import struct
import sys
import types
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tallystick._codec import decode, encode, frozen_copy
from tallystick.errors import NotSerializable

BERLIN = ZoneInfo("Europe/Berlin")
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine


def alike(left: Any, right: Any) -> bool:
    """Equal and of one type all the way down; NaN is like NaN and 0.0 unlike -0.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, (list, tuple)):
        pairs = list(zip(cast("list[object]", left), right, strict=False))
        return len(pairs) == len(right) and all(alike(a, b) for a, b in pairs)
    if isinstance(left, dict):
        return alike(list(cast("dict[object, object]", left).items()), list(right.items()))
    if isinstance(left, (set, frozenset)):
        return cast("set[object]", left) == cast("set[object]", right)
    if isinstance(left, int):
        return left == cast("int", right)
    return repr(left) == repr(right)


# ---------------------------------------------------------------- round trips

plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=8)  # with halves of surrogate pairs
    | st.sampled_from(["$", "\ud83d\ude00", "\U0001f600", "\\ud83d", '"$"', "\0"])
)
zones = st.none() | st.timezones() | st.sampled_from([UTC, timezone(timedelta(minutes=-90), "X")])
hashable = (
    plain.filter(lambda value: value == value)  # noqa: PLR0124 - NaN is in no set twice
    | st.binary(max_size=8)
    | st.dates()
    | st.datetimes(timezones=zones)
    | st.times(timezones=zones)
    | st.timedeltas()
    | st.uuids()
    | st.fractions()
    | st.decimals(allow_nan=False)
    | st.builds(range, st.integers(), st.integers(), st.integers(1))
    | st.sampled_from([PurePosixPath("a/b"), PureWindowsPath("a\\b"), Path(), BERLIN])
)
anything: st.SearchStrategy[Any] = st.recursive(
    hashable | plain | st.decimals() | st.complex_numbers() | st.binary().map(bytearray),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(hashable | st.tuples(hashable), inner, max_size=4),
        st.sets(hashable, max_size=4),
        st.frozensets(hashable, max_size=4),
    ),
    max_leaves=12,
)


@patient
@given(anything)
@example({"$": "Decimal", "v": "1"})
@example("\ud83d\ude00")
@example([{"$": {"$": None}}, {1: 2, "1": 3}, {"\ud83d\ude00": 1, "\U0001f600": 2}])
@example({"b": 1, "a": -0.0, "c": [math.nan, math.inf, 10**5000, -(2**53), 2**53 - 1]})
@example([Decimal("sNaN123"), Decimal("-0.00"), Decimal("1E+999999"), complex(-0.0, math.inf)])
@example(datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1))
@example([time(1, 30, fold=1, tzinfo=BERLIN), {(1, (b"",)): frozenset([frozenset({1})])}])
def test_a_value_comes_back_equal_and_of_the_same_type(value: Any) -> None:
    """Whatever the nesting, and through nothing but ASCII JSON."""
    text = encode(value)
    assert text.isascii()
    json.loads(text)
    assert alike(decode(text), value)


@patient
@given(st.frozensets(hashable))
def test_equal_sets_have_equal_texts(value: frozenset[object]) -> None:
    """The order in which a process happens to hold a set is not part of it."""
    backwards = frozenset(sorted(value, key=repr, reverse=True))
    assert encode(backwards) == encode(value)


@pytest.mark.parametrize("text", ['{"ok":true,"id":"ch_1"}', '[1,2.5,null,"x"]', '"$ \\" \\ud83d"'])
def test_plain_json_is_itself(text: str) -> None:
    """So that other programs can read most of what is stored."""
    assert encode(json.loads(text)) == text


def test_a_fixed_offset_of_any_class_comes_back_as_a_timezone() -> None:
    """Such a moment is equal, prints the same and counts the same."""

    class Fixed(tzinfo):
        def utcoffset(self, dt: datetime | None, /) -> timedelta:
            return timedelta(hours=2)

        def tzname(self, dt: datetime | None, /) -> str:
            return "CEST"

        def dst(self, dt: datetime | None, /) -> None:
            return None

    moment = datetime(2024, 7, 1, tzinfo=Fixed())
    back = decode(encode(moment))
    assert back == moment
    assert isinstance(back, datetime)
    assert back.tzinfo == timezone(timedelta(hours=2))
    assert back.tzname() == "CEST"


# ---------------------------------------------------------------- refusals


class Text(str):
    __slots__ = ()


class Moving(tzinfo):
    """A zone that gives no offset without a date, as one with summer time must."""

    def utcoffset(self, dt: datetime | None, /) -> timedelta | None:
        return None if dt is None else timedelta(hours=1)

    def tzname(self, dt: datetime | None, /) -> None:
        return None

    def dst(self, dt: datetime | None, /) -> None:
        return None


class Broken(Moving):
    """A zone that does not expect to be asked without a date."""

    def tzname(self, dt: datetime | None, /) -> None:
        raise NotImplementedError


REFUSED: list[tuple[object, str]] = [
    ({"a": [0, {"b": object()}]}, r"result\.a\[1\]\.b is a builtins\.object, which cannot be kept"),
    (Text("x"), r"result is a .*\.Text, which cannot be kept: convert it"),
    ({Text("x"): 1}, r"result\.x is a .*\.Text, "),
    ({"o": OrderedDict(a=1)}, r"result\.o is a collections\.OrderedDict, "),
    ({"o": defaultdict(int)}, r"result\.o is a collections\.defaultdict, "),
    ([True, type("Count", (int,), {})(1)], r"result\[1\] is a .*\.Count, "),
    ({"f": (print,)}, r"result\.f\[0\] is a builtins\.builtin_function_or_method, "),
    ({"s": {print}}, r"result\.s\{…\} is a builtins\.builtin_function_or_method, "),
    ({"t": datetime(2024, 1, 1, tzinfo=Moving())}, r"result\.t\[1\] is a .*\.Moving, "),
    ({"t": time(1, tzinfo=Broken())}, r"result\.t\[1\] is a .*\.Broken, "),
    ({"t": UTC, 10**5000: print}, r"result\[int\] is a .*, "),
    (type("Moment", (datetime,), {})(2024, 1, 1), r"result is a .*\.Moment, "),
    (types.MappingProxyType({}), r"result is a builtins\.mappingproxy, "),
]


@pytest.mark.parametrize(("value", "message"), REFUSED)
def test_what_would_come_back_as_something_else_is_refused(value: object, message: str) -> None:
    """The message names the place and the type."""
    with pytest.raises(NotSerializable, match=message):
        encode(value)


def test_a_zone_without_a_name_is_refused() -> None:
    """Nothing could find it again."""
    header = b"TZif" + bytes(16) + struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    zone = ZoneInfo.from_file(io.BytesIO(header + struct.pack(">lbb", 0, 0, 0) + b"UTC\0"))
    with pytest.raises(NotSerializable, match=r"result\[0\] is a time zone without a name"):
        encode([zone])


def test_a_value_nested_in_itself_is_refused() -> None:
    """A cycle ends in our error."""
    knot: dict[str, object] = {}
    knot["again"] = [knot, ()]
    with pytest.raises(NotSerializable, match=r"result\.again.*200 levels deep, or in itself"):
        encode(knot)
    with pytest.raises(NotSerializable, match=r"args\.knot\.again.*200 levels deep, or in itself"):
        frozen_copy({"knot": knot})


WRAPS: list[Callable[[Any], Any]] = [
    lambda value: [value],
    lambda value: (value,),
    lambda value: {"a": value},
    lambda value: {1: value},
]


@pytest.mark.parametrize("wrap", WRAPS)
def test_two_hundred_levels_are_kept_and_more_are_refused(wrap: Callable[[Any], Any]) -> None:
    """What was written can be read; what is deeper is never a RecursionError."""
    value = wrap(1)
    for _ in range(199):
        value = wrap(value)
    assert decode(encode(value)) == value
    for _ in range(300):
        value = wrap(value)
        with pytest.raises(NotSerializable, match="nested"):
            encode(value)


def test_a_stack_that_is_nearly_full_is_no_other_error() -> None:
    """Even where fewer than two hundred levels are left to the caller."""
    value: object = 1
    for _ in range(150):
        value = (value,)

    def descend(levels: int) -> str:
        return descend(levels - 1) if levels else encode(value)

    with pytest.raises(NotSerializable, match="result is nested too deeply"):
        descend(sys.getrecursionlimit() - len(inspect.stack(0)) - 150)
