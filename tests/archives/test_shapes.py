"""What is read all at once is what is read one by one: the same values, or the same refusal."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

from tallystick._archive._shapes import Column, Shape, Unfit

COLUMNS = (
    Column("key", bytes, False),
    Column("name", str, False),
    Column("n", int, False),
    Column("note", str, True),
    Column("at", int, True),
    Column("head", bytes, True),
)
GOOD: dict[str, Any] = {"key": "00ff", "name": "a", "n": 1, "note": "b", "at": 2, "head": "aa"}
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1),
    *("", "ab", "AB", "a", "0 0", "00 ff", "zz", "\0", "é", "\ud800", "é" * 2, [], {}),
)


def told(shape: Shape, given: Mapping[str, Any], *, one_by_one: bool) -> Any:
    """The values, or why there are none."""
    read = shape._read if one_by_one else shape.read  # pyright: ignore[reportPrivateUsage]
    try:
        return [(type(value), value) for value in read(given)]
    except Unfit as unfit:
        return str(unfit)


def test_every_value_in_every_place_is_read_alike() -> None:
    shape = Shape(COLUMNS)
    refused = 0
    for name in (*GOOD, "unknown"):
        for value in VALUES:
            given = {**GOOD, name: value}
            found = told(shape, given, one_by_one=False)
            assert found == told(shape, given, one_by_one=True), given
            refused += isinstance(found, str)
    assert 0 < refused < len(VALUES) * 7


def test_columns_may_be_missing_and_in_any_order() -> None:
    shape, chance = Shape(COLUMNS), Random(1)
    for _ in range(500):
        names = chance.sample([*GOOD], chance.randint(0, len(GOOD)))
        given = {name: GOOD[name] for name in names}
        assert told(shape, given, one_by_one=False) == told(shape, given, one_by_one=True), given


@pytest.mark.parametrize("kind", [bytes, str, int])
def test_a_shape_may_have_one_kind_of_column_only(kind: type[Any]) -> None:
    shape = Shape([Column("only", kind, True)])
    for value in VALUES:
        for given in ({"only": value}, {}):
            assert told(shape, given, one_by_one=False) == told(shape, given, one_by_one=True)
