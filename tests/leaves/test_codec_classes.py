"""Values of the user's own classes come back by the name of the class, or by the annotation."""

from __future__ import annotations

import dataclasses
import functools
from collections import namedtuple
from enum import Enum, Flag, IntFlag, StrEnum
from http import HTTPStatus
from typing import Generic, NamedTuple, TypeVar, cast

import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    RootModel,
    computed_field,
)
from pydantic.dataclasses import dataclass as validated
from sqlmodel import Field as Column
from sqlmodel import SQLModel

from tallystick._codec import decode, encode
from tallystick.errors import NotSerializable

T = TypeVar("T")
HERE = __name__


class Color(StrEnum):
    RED = "red"
    ROSE = "red"


class Shape(Enum):
    DOT = object()


class Grade(Enum):
    A = 1

    @classmethod
    def _missing_(cls, value: object) -> Grade:
        made = object.__new__(cls)
        made._name_, made._value_ = "X", 7
        return made


class Right(Flag):
    READ = 1
    WRITE = 2


class Open(IntFlag):
    READ = 1


class Point(NamedTuple):
    x: int
    y: object = None


Pair = namedtuple("Pair", ["left", "right"])  # noqa: PYI024 # pyright: ignore[reportUntypedNamedTuple]


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    sku: str
    tags: tuple[str, ...] = ()
    total: int = dataclasses.field(init=False, default=3)


@dataclasses.dataclass
class Cart(Generic[T]):
    lines: list[T]
    calls: list[int] = dataclasses.field(default_factory=list[int])

    def __post_init__(self) -> None:
        self.calls.append(1)

    @functools.cached_property
    def size(self) -> int:
        return len(self.lines)


@validated
class Checked:
    n: int


class Order(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    number: int = Field(alias="orderNumber")
    color: Color = Color.RED
    parent: Order | None = None
    _seen: bool = PrivateAttr(default=False)

    @computed_field
    def label(self) -> str:
        return f"#{self.number}, seen: {self._seen}"


class Crossed(BaseModel):
    a: int = Field(alias="b")
    b: int = Field(alias="a")


class Derived(BaseModel):
    n: int
    _twice: int = PrivateAttr()

    def model_post_init(self, context: object, /) -> None:
        self._twice = self.n * 2

    @property
    def twice(self) -> int:
        return self._twice


class Box(BaseModel, Generic[T]):
    inside: T


class Tags(RootModel[list[str]]):
    pass


class Charge(SQLModel):
    id: str


class Refund(SQLModel):
    id: str


class Row(SQLModel, table=True):
    id: int = Column(primary_key=True)


USED = Cart([1])
USED.size  # noqa: B018 - cached from here on
VALUES: list[object] = [
    *(Color.RED, Color.ROSE, Shape.DOT, Right.READ, Right.READ | Right.WRITE, Right(0)),
    *(Open(5), HTTPStatus.OK, Point(1), Point(2, Point(3, (4,))), Pair(1, {"$": 2})),
    *(Line("x", ("a",)), Cart([Line("x")]), Cart[int]([1]), USED, Checked(1)),
    Order(orderNumber=1),
    Order.model_validate({"orderNumber": 2, "parent": Order(orderNumber=1), "x": [Line("y")]}),
    Crossed.model_validate({"a": 1, "b": 2}),
    *(Derived(n=1), Box[int](inside=1), Box(inside=Box[str](inside="x")), Tags(["a"])),
    *(Charge(id="ch_1"), {Line("x"): frozenset([Line("y"), Color.RED])}),
]


@pytest.mark.parametrize("value", VALUES)
def test_a_value_of_a_class_comes_back_equal_and_of_its_class(value: object) -> None:
    """No constructor runs on the way: what __post_init__ counts does not grow."""
    back = decode(encode({"value": [value]}))
    assert back == {"value": [value]}
    assert type(cast("dict[str, list[object]]", back)["value"][0]) is type(value)


def test_a_model_comes_back_as_it_was_set() -> None:
    """Which fields were set is kept, private attributes start anew."""
    order = Order.model_validate({"orderNumber": 1, "note": "x"})
    back = decode(encode(order))
    expected = {"number": 1, "label": "#1, seen: False", "note": "x"}
    assert isinstance(back, Order)
    assert back.model_dump(exclude_unset=True) == expected
    assert back.model_extra == {"note": "x"}
    derived = decode(encode(Derived(n=2)))
    assert isinstance(derived, Derived)
    assert derived.twice == 4


# ---------------------------------------------------------------- refusals


@dataclasses.dataclass
class Extra:
    n: int

    def __post_init__(self) -> None:
        self.beyond = self.n


@dataclasses.dataclass
class Problem(Exception):
    n: int


@dataclasses.dataclass
class Table(dict[str, int]):
    n: int = 1


@dataclasses.dataclass
class Late:
    n: int = dataclasses.field(init=False)


def local() -> BaseModel:
    class Local(BaseModel):
        n: int = 1

    return Local()


def shadowed() -> object:
    return dataclasses.make_dataclass("Line", [], namespace={"__module__": HERE})()


REFUSED: list[tuple[object, str]] = [
    (Extra(1), r"is a Extra with 'beyond', which is no field of it: convert it to plain data"),
    (Problem(1), r"is a Problem beyond its fields"),
    (Table(), r"is a Table beyond its fields"),
    (Late(), r"is a Late beyond its fields .*'n'"),
    (Grade(7), r"is no named member of Grade"),
    (Row(id=1), r"is a Row with '_sa_instance_state'"),
    (Order.model_construct(), r"is a Order without a value for number"),
    (local(), r"is a local\.<locals>\.Local, which cannot be found again in .*: define the class"),
    (shadowed(), r"is of a class whose name, .*:Line, belongs to another one"),
]


@pytest.mark.parametrize(("value", "message"), REFUSED)
def test_a_value_that_would_lose_something_is_refused(value: object, message: str) -> None:
    """When it is stored, not when it is needed."""
    with pytest.raises(NotSerializable, match=r"result\.a\[0\] " + message):
        encode({"a": [value]})
