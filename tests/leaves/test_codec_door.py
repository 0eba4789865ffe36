"""Arguments are copied before anybody can change them; adapters bring codecs for their types."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import PurePath, PurePosixPath
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallystick._codec import Codec, decode, encode, frozen_copy, register
from tallystick.errors import NotSerializable, ResultTypeUnknown

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine
atoms = st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.dates() | st.uuids()
trees = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner),
        st.dictionaries(atoms, inner, max_size=3),
        st.sets(atoms, max_size=2),
    ),
    max_leaves=8,
)


@patient
@given(st.dictionaries(st.text(max_size=4), trees, max_size=4))
def test_a_frozen_copy_is_the_arguments(args: dict[str, object]) -> None:
    """Equal, of the same types, and a dict of its own."""
    copy = frozen_copy(args)
    assert copy == args
    assert encode(copy) == encode(args)
    assert copy is not args


@pytest.mark.parametrize("extra", [{}, {"when": datetime(2024, 1, 1, tzinfo=UTC)}, {"set": {1}}])
def test_what_the_caller_changes_never_reaches_the_copy(extra: dict[str, object]) -> None:
    """At any depth, on the short way and on the long one."""
    inner = {"sku": "x"}
    args = {"items": [inner, ([inner],)], "raw": bytearray(b"x"), "n": 1, **extra}
    copy = frozen_copy(args)
    before = encode(copy)
    inner["sku"] = "y"
    args["n"] = 2
    cast("list[object]", args["items"]).clear()
    cast("bytearray", args["raw"]).clear()
    assert encode(copy) == before


def test_an_argument_that_cannot_be_kept_is_refused() -> None:
    """Its path starts at the arguments."""
    with pytest.raises(NotSerializable, match=r"args\.session\.x\[0\] is a builtins\.object, "):
        frozen_copy({"session": {"x": [object()]}})


# ---------------------------------------------------------------- the door


class Money:
    """A class that nothing here knows how to keep."""

    def __init__(self, amount: Decimal, notes: list[PurePath]) -> None:
        self.amount = amount
        self.notes = notes


class MoneyCodec:
    """Keeps Money; ``factor`` tells two of them apart."""

    kind = "test.money"

    def __init__(self, factor: int = 1) -> None:
        self.factor = factor

    def matches(self, value: object, /) -> bool:
        return isinstance(value, Money)

    def encode(self, value: object, /) -> object:
        assert isinstance(value, Money)
        return {"amount": value.amount * self.factor, "notes": value.notes}

    def decode(self, data: object, /) -> object:
        fields = cast("dict[str, Any]", data)
        return Money(fields["amount"], fields["notes"])


@pytest.fixture
def codecs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tallystick._codec._registry._codecs", {})


@pytest.mark.usefixtures("codecs")
def test_a_registered_codec_keeps_a_type_of_others() -> None:
    """Its data may hold anything that can be kept, and tags inside are resolved."""
    codec: Codec = MoneyCodec()
    register(codec)
    back = decode(encode({"paid": Money(Decimal("1.10"), [PurePosixPath("a")])}))
    paid = cast("dict[str, Money]", back)["paid"]
    assert isinstance(paid, Money)
    assert decode(encode(PurePosixPath("a"))) == PurePosixPath("a")
    with pytest.raises(NotSerializable):
        encode(object())
    assert (repr(paid.amount), paid.notes) == ("Decimal('1.10')", [PurePosixPath("a")])


@pytest.mark.usefixtures("codecs")
def test_of_one_kind_the_last_codec_counts() -> None:
    """So that a module may be reloaded, and registering twice changes nothing."""
    for codec in (MoneyCodec(2), MoneyCodec(), MoneyCodec()):
        register(codec)
    assert encode(Money(Decimal(1), [])).count('"1"') == 1


@pytest.mark.usefixtures("codecs")
def test_a_kind_without_its_codec_is_named() -> None:
    """And what to import is said."""
    register(MoneyCodec())
    text = encode([Money(Decimal(1), [])])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tallystick._codec._registry._codecs", {})
        with pytest.raises(ResultTypeUnknown, match=r"'test\.money'.*import its adapter"):
            decode(text)
        with pytest.raises(NotSerializable, match=r"result\[0\] is a .*\.Money"):
            encode([Money(Decimal(1), [])])
