"""Which values of a result are names that a later effect can be recognised by."""

from __future__ import annotations

import enum
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from tallystick._codec import encode
from tallystick._undoing._traces import traces


class Colour(enum.Enum):
    RED = "red-1234567"


@dataclass(frozen=True)
class Order42Record:
    ident: str


def of(value: Any) -> set[str]:
    return set(traces(encode(value, where="value")))


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("ord_42", {"ord_42"}),
        ("A-1001", {"A-1001"}),
        ("made order A-1001.", {"A-1001"}),
        (4200001, {"4200001"}),
        (-4200001, {"4200001"}),
        ([{"id": ["x9y8z7"]}], {"x9y8z7"}),
        ("averyverylongwordthatnobodysays", {"averyverylongwordthatnobodysays"}),
        ("ann.smith@example.com", {"ann.smith@example.com"}),
        ("<ann.smith@example.com>,", {"ann.smith@example.com"}),
        ("/srv/out/final.pdf", {"/srv/out/final.pdf"}),
        ("Straße-4711", {"Straße-4711"}),
        (Order42Record("A-1001"), {"A-1001"}),
        (("A-1001", {"A-1002"}), {"A-1001", "A-1002"}),
        ({"$": "A-1001"}, {"A-1001"}),
        (uuid.UUID(int=7), {"00000000-0000-0000-0000-000000000007"}),
    ],
)
def test_names_are_found_in_whatever_they_stand(value: Any, names: set[str]) -> None:
    assert of(value) == names


@pytest.mark.parametrize(
    "value",
    [
        None, True, 3.14, 99_999, "ch_1", "confirmed", "requires_payment_method", "a/b", "1.2.3",
        "2026-11-21", "2026-11-21T19:06:31+00:00", "on 2026-11-21 at 19:06:31Z", "",
        "it was sent to the customer yesterday", {"field_name_77": 1},
        datetime(2026, 11, 21, 19, 6, tzinfo=UTC), date(2026, 11, 21), Decimal("1234567.89"),
        Colour.RED, b"1234567890",
    ],
)  # fmt: skip
def test_what_many_have_in_common_is_no_name(value: Any) -> None:
    assert of(value) == set()


def test_what_is_not_there_or_cannot_be_read_has_no_names() -> None:
    assert traces(None) == traces("not json: A-1001") == frozenset()
