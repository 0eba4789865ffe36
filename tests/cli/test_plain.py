"""Values as JSON, and as text for a terminal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from tallystick.cli._plain import ago, document, plain, visible


class Colour(Enum):
    RED = 1


class Person(BaseModel):
    name: str


@dataclass
class Point:
    x: int
    when: date


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05+00:00"),
        (Decimal("1.20"), "1.20"),
        (b"\xff\x00", "/wA="),
        (Colour.RED, 1),
        (Person(name="Ann"), {"name": "Ann"}),
        (Point(1, date(2026, 1, 2)), {"x": 1, "when": "2026-01-02"}),
        ({1: {(2, 3): None}}, {"1": {"[2, 3]": None}}),
        ((1, [2]), [1, [2]]),
        (float("inf"), "inf"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour, "<enum 'Colour'>"),
    ],
)
def test_every_value_has_a_plain_form(value: Any, expected: Any) -> None:
    assert plain(value) == expected
    json.loads(document(value))


def test_a_document_is_ascii_and_one() -> None:
    assert document({"a": "ä\ud83d"}).isascii()


def test_what_would_not_be_seen_is_written_out() -> None:
    assert visible("plain ä\n") == "plain ä\n"
    assert visible("\x1b[2J\x9b\u202e\ud83d\t|") == "\\u001b[2J\\x9b\\u202e\\ud83d    |"


def test_ages_are_told_in_one_word() -> None:
    now = datetime.now(UTC)
    assert ago(None) == ""
    assert ago(now) == "0 s"
    assert ago(now - timedelta(minutes=5)) == "5 min"
    assert ago(now + timedelta(hours=30)) == "30 h"
    assert ago(now - timedelta(days=9)) == "9 d"
