"""Values are the dataclasses that they would be, and cost next to nothing before one is made."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import pickle
import subprocess
import sys
import threading
from typing import Any

import pytest

from tallystick._values import Kind, Value


class Point(Value):
    """Two numbers and a name."""

    x: int
    y: int = 2
    said: tuple[str, ...] = dataclasses.field(default_factory=tuple)

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("x")


class Named(Point):
    """One field more, and another default."""

    name: str
    y: int = 3


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """What a point would be."""

    x: int
    y: int = 2
    said: tuple[str, ...] = dataclasses.field(default_factory=tuple)


def _fields(kind: Any) -> list[tuple[Any, ...]]:
    found = dataclasses.fields(kind)
    return [(f.name, f.type, f.default, f.default_factory, f.kw_only) for f in found]


def test_a_value_is_the_dataclass_that_it_would_be() -> None:
    """Fields, signature, equality, hash, text, ``replace`` and ``asdict``."""
    assert _fields(Point) == _fields(Plain)
    one, plain = Point(x=1, said=("a",)), Plain(x=1, said=("a",))
    assert inspect.signature(Point.__init__) == inspect.signature(Plain.__init__)
    assert repr(one) == repr(plain).replace("Plain", "Point")
    assert one == Point(x=1, y=2, said=("a",)) != Point(x=1)
    assert len({one, Point(x=1, said=("a",)), Point(x=2)}) == 2
    assert dataclasses.replace(one, y=5) == Point(x=1, y=5, said=("a",))
    assert dataclasses.asdict(one) == dataclasses.asdict(plain)
    assert not hasattr(one, "__dict__")


def test_what_no_field_is_refused() -> None:
    """As are values without a field that has no default, and by position."""
    wrongs: list[dict[str, Any]] = [{}, {"x": 1, "z": 2}]
    for wrong in wrongs:
        with pytest.raises(TypeError):
            Point(**wrong)
    with pytest.raises(TypeError):
        Point(1)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue] - what is refused
    with pytest.raises(ValueError, match="x"):
        Point(x=-1)


def test_a_value_cannot_be_changed() -> None:
    """Neither a field nor anything beside them."""
    one: Any = Point(x=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.other = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        del one.x
    assert one.x == 1


def test_a_kind_of_a_kind_has_all_fields() -> None:
    """Also where one of the first kind was made before."""
    Point(x=1)
    named = Named(x=1, name="n")
    assert (named.y, named.name) == (3, "n")
    assert named != Point(x=1, y=3)
    with pytest.raises(ValueError, match="x"):
        Named(x=-1, name="n")


def test_copies_and_pickles_are_equal() -> None:
    """As those of a dataclass."""
    one = Named(x=1, name="n")
    unpickled = pickle.loads(pickle.dumps(one))  # noqa: S301 - what was just written
    assert copy.copy(one) == copy.deepcopy(one) == unpickled == one


def test_threads_that_make_the_first_one_at_once_all_get_theirs() -> None:
    """However many classes are new."""
    for n in range(50):
        space = {"__annotations__": {"a": "int", "b": "int"}, "b": n, "__module__": __name__}
        kind: Any = Kind(f"New{n}", (Value,), space)
        gate, made = threading.Barrier(4), list[Any]()

        def make(kind: Any = kind, gate: Any = gate, made: list[Any] = made) -> None:
            gate.wait(30)
            made.append(kind(a=1))

        threads = [threading.Thread(target=make) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert made == [kind(a=1, b=n)] * 4


PROGRAM = """
import dataclasses, json, sys
written = []
plain = dataclasses.dataclass
def counting(*args, **options):
    written.append(1)
    return plain(*args, **options)
dataclasses.dataclass = counting
import {name}
kinds = [m for m in sys.modules if m.partition(".")[0] == "tallystick"]
print(json.dumps([len(written), len(kinds), sorted(sys.modules)]))
"""


def test_an_import_writes_the_code_of_few_classes_and_brings_no_retries() -> None:
    """It is what an import costs, counted and not timed: it was a hundred and more."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(name="tallystick")],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    written, ours, modules = json.loads(done.stdout)
    assert written <= 20
    assert ours <= 170
    assert {"tenacity", "tornado", "portalocker", "importlib.metadata"}.isdisjoint(modules)
