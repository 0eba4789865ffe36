"""What has no canonical form is refused, by its path and with the next step."""

from __future__ import annotations

import dataclasses
import inspect
import io
import math
import struct
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel

import tallystick
from tallystick._canonical import canonical
from tallystick.errors import NotSerializable


class Color(Enum):
    RED = "red"


@dataclasses.dataclass
class Line:
    sku: str


class Moment(datetime):
    """May know more than a datetime does."""


class Nested(BaseModel):
    prices: list[float]


UNFINISHED = Nested.model_construct()
HEADER = b"TZif" + bytes(16) + struct.pack(">6l", 0, 0, 0, 0, 1, 4)
UNNAMED = ZoneInfo.from_file(io.BytesIO(HEADER + struct.pack(">lbb", 0, 0, 0) + b"UTC\0"))
LATE = datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))
REFUSED: list[tuple[object, str]] = [
    ({"items": [0, 1, 2, {"price": math.nan}]}, r"args\.items\[3\]\.price is nan: send a finite"),
    ({"a b": math.inf}, r"args\['a b'\] is inf: "),
    ({"n": Nested(prices=[-math.inf])}, r"args\.n\.prices\[0\] is -inf: "),
    ({"d": Decimal("sNaN")}, r"args\.d is Decimal\('sNaN'\): "),
    ({"d": Decimal("-Infinity")}, r"args\.d is Decimal\('-Infinity'\): "),
    ({"c": 1j}, r"args\.c is a builtins\.complex, which .*Policy\(identity="),
    ({"f": print}, r"args\.f is a builtins\.builtin_function_or_method, "),
    ({"k": Nested}, r"args\.k is a pydantic.*ModelMetaclass, "),
    ({"k": Line}, r"args\.k is a builtins\.type, "),
    ({"s": {object}}, r"args\.s\{…\} is a builtins\.type, "),
    ({"m": {10**5000: 1j}}, r"args\.m\[int\] is a builtins\.complex, "),
    ({"m": {1j: 0}}, r"args\.m\[1j\] is a builtins\.complex, "),
    ({"m": {Color.RED: 0, "red": 1}}, r'args\.m has two keys that are both "red": rename'),
    ({"m": {Path("a"): 0, "a": 1}}, r'args\.m has two keys that are both "a": rename'),
    ({"o": UNFINISHED}, r"args\.o is a Nested without a value for prices: "),
    ({"z": UNNAMED}, r"args\.z is a time zone without a name: "),
    ({"t": LATE}, r"args\.t is a datetime outside the years 1 to 9999 of UTC: "),
    ({"t": Moment(2024, 1, 1, tzinfo=UTC)}, r"args\.t is a .*\.Moment, "),
]


@pytest.mark.parametrize(("value", "message"), REFUSED)
def test_what_has_no_form_is_refused_by_its_path(value: object, message: str) -> None:
    """The message names the place, the reason and the next step."""
    with pytest.raises(NotSerializable, match=message):
        canonical(value)


def test_a_value_nested_in_itself_is_refused() -> None:
    """A cycle ends in our error, with a path that a person can read."""
    knot: dict[str, object] = {}
    knot["again"] = [knot, Path("x")]
    with pytest.raises(NotSerializable, match="more than 200 levels deep, or in itself") as caught:
        canonical(knot)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(("depth", "refused"), [(200, False), (201, True), (100_000, True)])
def test_two_hundred_levels_are_the_limit(depth: int, *, refused: bool) -> None:
    """Deeper values end in our error as well, never in a RecursionError."""
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    if refused:
        with pytest.raises(NotSerializable, match="nested more than 200"):
            canonical(value)
    else:
        assert canonical(value) == b"[" * (depth + 1) + b"]" * (depth + 1)


def test_a_stack_that_is_nearly_full_is_no_other_error() -> None:
    """Even where fewer than two hundred levels are left to the caller."""
    value: list[object] = []
    for _ in range(150):
        value = [value]

    def descend(levels: int) -> bytes:
        return descend(levels - 1) if levels else canonical(value)

    with pytest.raises(NotSerializable, match="args is nested too deeply"):
        descend(sys.getrecursionlimit() - len(inspect.stack(0)) - 150)


@pytest.mark.parametrize("module", ["_canonical", "_codec"])
def test_the_leaves_import_no_pydantic(module: str) -> None:
    """Who does not use models does not pay for them."""
    # The package itself may import it: only the leaf is asked.
    script = (
        "import sys, types; package = types.ModuleType('tallystick');"
        f"package.__path__ = {list(tallystick.__path__)!r}; sys.modules['tallystick'] = package;"
        f"import tallystick.{module} as leaf;"
        "assert (leaf.canonical if hasattr(leaf, 'canonical') else leaf.encode)({'a': b''});"
        "assert 'pydantic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
