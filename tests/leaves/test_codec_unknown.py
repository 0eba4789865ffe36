"""A class that is not there, or has changed, is never guessed; and data is never trusted."""

from __future__ import annotations

import dataclasses
import sys
import types
from enum import Enum
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, field_validator

from tallystick._codec import decode, encode
from tallystick.errors import DamagedRecord, NotSerializable, ResultTypeUnknown

HERE = __name__


class Color(Enum):
    RED = "red"


class Point(NamedTuple):
    x: int
    y: object = None


@dataclasses.dataclass(frozen=True)
class Line:
    sku: str
    tags: tuple[str, ...] = ()
    notes: list[str] = dataclasses.field(default_factory=list[str], hash=False)


class Order(BaseModel):
    model_config = ConfigDict(extra="allow")

    number: int = Field(alias="orderNumber")
    color: Color = Color.RED
    parent: Order | None = None


class Charge(BaseModel):
    id: str


class Refund(BaseModel):
    id: str
    parts: list[int] = []


class Tags(RootModel[list[str]]):
    pass


def local() -> BaseModel:
    class Local(BaseModel):
        n: int = 1

    return Local()


def moved(value: object, module: str = "gone.away") -> str:
    """The text of *value* as if its classes had been defined in another module."""
    return encode(value).replace(f'"{HERE}:', f'"{module}:')


KNOWN: list[tuple[object, object]] = [
    (Order(orderNumber=1, parent=Order(orderNumber=2)), Order),
    ([Charge(id="a")], list[Charge]),
    ({"a": Charge(id="a"), "b": None}, dict[str, Charge | None]),
    (Refund(id="a"), Refund | None),
    (Line("x"), Line),
    ((Point(1, 2), Color.RED), tuple[Point, Color]),
    (Tags(["a"]), Tags),
]


@pytest.mark.parametrize(("value", "annotation"), KNOWN)
def test_the_annotation_finds_a_class_that_moved(value: object, annotation: object) -> None:
    """Without it the error names the class and what to do."""
    assert decode(moved(value), annotation=annotation) == value
    for nothing in (None, "Order"):
        with pytest.raises(ResultTypeUnknown, match=r"gone\.away:\w+, .*: import gone\.away befor"):
            decode(moved(value), annotation=nothing)
    with pytest.raises(ResultTypeUnknown, match="move the class from the script to a module"):
        decode(moved(value, "__main__.py").replace("__main__.py", "__main__"))


class Twin(BaseModel):
    id: str
    parts: list[int] = []


class Rounded(BaseModel):
    n: int

    @field_validator("n")
    @classmethod
    def tens(cls, n: int) -> int:
        return n // 10 * 10


MISTAKEN: list[tuple[object, object]] = [
    (Charge(id="a"), dict[str, str]),
    ({"a": Charge(id="a")}, Any),
    (Charge(id="a"), Twin),
    (Refund(id="a"), Charge | Twin),
    ((Charge(id="a"),), list[Charge]),
    (Rounded.model_construct(n=7), Rounded),
    ({Line("x")}, set[Line]),
    (Charge(id="a"), lambda: None),
]


@pytest.mark.parametrize(("value", "annotation"), MISTAKEN)
def test_an_annotation_never_changes_a_value(value: object, annotation: object) -> None:
    """A validator may drop, convert and guess; a replay may not."""
    with pytest.raises(ResultTypeUnknown, match=r"gone\.away"):
        decode(moved(value), annotation=annotation)


def test_an_annotation_makes_a_local_class_keepable() -> None:
    """It is tried out before anything is stored."""
    value = local()
    assert decode(encode(value, annotation=type(value)), annotation=type(value)) == value
    with pytest.raises(NotSerializable, match="cannot be found again"):
        encode([value], annotation=list[Any])


def test_without_pydantic_the_class_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing library is no other error."""
    monkeypatch.setitem(sys.modules, "pydantic", None)
    with pytest.raises(ResultTypeUnknown):
        decode(moved(Line("x")), annotation=Line)


# ---------------------------------------------------------------- classes that changed


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"$":"dataclass","t":"HERE:Line","v":{"sku":"x"}}', Line("x")),
        ('{"$":"model","t":"HERE:Order","v":{"number":1}}', Order(orderNumber=1)),
        ('{"$":"model","t":"HERE:Refund","v":{"id":"x"}}', Refund(id="x")),
        ('{"$":"namedtuple","t":"HERE:Point","v":{"x":1}}', Point(1)),
    ],
)
def test_a_field_that_is_new_gets_its_default(text: str, value: object) -> None:
    """As if the code of now had made the value then."""
    assert decode(text.replace("HERE", HERE)) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"$":"dataclass","t":"HERE:Line","v":{"sku":"x","old":1}}', "Line has no old any more"),
        ('{"$":"dataclass","t":"HERE:Line","v":{}}', "Line needs sku, which was not recorded"),
        ('{"$":"model","t":"HERE:Charge","v":{"id":"x","old":1}}', "Charge has no old any more"),
        ('{"$":"model","t":"HERE:Charge","v":{"id":"x"},"x":{"e":1}}', "Charge has no e any more"),
        ('{"$":"model","t":"HERE:Charge","v":{}}', "Charge needs id, which was not recorded"),
        ('{"$":"namedtuple","t":"HERE:Point","v":{"z":1}}', "Point has no z any more"),
        ('{"$":"namedtuple","t":"HERE:Point","v":{}}', "Point needs x, which was not recorded"),
        ('{"$":"enum","t":"HERE:Color","n":"BLUE","v":"blue"}', "Color has no BLUE any more"),
    ],
)
def test_a_class_of_another_shape_is_said_to_have_changed(text: str, reason: str) -> None:
    """Nothing that was recorded is dropped, and nothing that is needed is made up."""
    with pytest.raises(ResultTypeUnknown, match=rf"another shape \({reason}\): load the code"):
        decode(text.replace("HERE", HERE))


# ---------------------------------------------------------------- data is not trusted


def test_data_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a module that is absent, nor one that loads things for whoever asks."""
    lazy = types.ModuleType("lazy")
    asked: list[str] = []
    monkeypatch.setattr(lazy, "__getattr__", asked.append, raising=False)
    monkeypatch.setitem(sys.modules, "lazy", lazy)
    monkeypatch.delitem(sys.modules, "antigravity", raising=False)
    for name in ("lazy:Line", "antigravity:Line", "lazy:Line.Inner"):
        with pytest.raises(ResultTypeUnknown, match=name):
            decode(f'{{"$":"dataclass","t":"{name}","v":{{}}}}')
    assert "antigravity" not in sys.modules
    assert asked == []


@pytest.mark.parametrize("kind", ["dataclass", "model", "namedtuple", "enum"])
@pytest.mark.parametrize("name", ["subprocess:Popen", "os:system", "builtins:object", "os:", ":"])
def test_only_classes_of_the_kind_are_made(kind: str, name: str) -> None:
    """Whatever else a name stands for is never touched."""
    with pytest.raises(ResultTypeUnknown, match=f"a {name}, which is not known in this process"):
        decode(f'{{"$":"{kind}","t":"{name}","n":"x","v":{{"args":"true"}}}}')


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "NaN",
        "[1] 2",
        '{"$":null}',
        '{"$":[]}',
        '{"$":"Decimal"}',
        '{"$":"Decimal","v":"x"}',
        '{"$":"bytes","v":"*"}',
        '{"$":"int","v":7}',
        '{"$":"set","v":[[]]}',
        '{"$":"dict","v":[1]}',
        '{"$":"tuple","v":1}',
        '{"$":"pickle","t":"os:system","v":{}}',
        '{"$":"dataclass","v":{}}',
        '{"$":"enum","t":"http:HTTPStatus"}',
        '{"$":"WindowsPath","v":"c"}',
    ],
)
def test_a_damaged_text_is_said_to_be_damaged(text: str) -> None:
    """Whatever it contains, no other error gets out."""
    with pytest.raises(DamagedRecord, match="restore it from a backup"):
        decode(text)


def test_a_time_zone_that_this_machine_lacks_is_named() -> None:
    """The record is sound: the message says what to install."""
    with pytest.raises(ResultTypeUnknown, match=r"Mars/Olympus.*install tzdata"):
        decode('{"$":"ZoneInfo","v":"Mars/Olympus"}')
