"""Recorded results: equal, of the same type, and nobody's to change."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

from tallystick.errors import DamagedRecord, ResultNotStored
from tallystick.testing._contract._base import Contract, raises


class Colour(Enum):
    """An enum of the contract's own."""

    RED = "red"


@dataclass(frozen=True)
class Receipt:
    """A dataclass of the contract's own."""

    id: str
    cents: Decimal
    lines: tuple[int, ...] = ()


VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**200, 1.5, -0.0, float("inf"),
    "", "é\u202e\x00\ud800 ", b"", b"\x00\xff",
    [], (), {}, [1, (2, [3])], {"a": {"b": (1,)}}, {1: "int key", "1": "text key"}, {(1, 2): 3},
    {1, 2}, frozenset({"a"}),
    datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), datetime(2026, 1, 2), date(2026, 1, 2),  # noqa: DTZ001
    timedelta(days=1, microseconds=1), Decimal("1.10"), uuid.UUID(int=7),
    Colour.RED, Receipt("r1", Decimal("9.99"), (1, 2)),
    [Receipt("r1", Decimal(1))],
]  # fmt: skip


class Results(Contract):
    """What is stored is what comes back."""

    def test_a_replayed_result_is_equal_and_of_the_same_type(self) -> None:
        """Every kind of value that the ledger can keep, in this ledger and in another."""
        ledger, other = self.ledger(), self.ledger()
        for n, value in enumerate(VALUES):
            charge = self.tool(value)
            first = ledger.call("charge", charge.fn, {"n": n}, workflow="w")
            assert first is value
            for reader in (ledger, other):
                again = reader.call("charge", charge.fn, {"n": n}, workflow="w")
                assert repr(again) == repr(value)
                assert type(again) is type(value)
                assert again == value
            assert charge.times == 1
            assert ledger.effects(limit=1)[0].result == value

    def test_a_result_that_cannot_be_stored_is_a_success_all_the_same(self) -> None:
        """Its caller has it; later ones get a clear error; nothing is run again."""
        ledger = self.ledger()
        thing = object()
        charge = self.tool(thing)
        assert ledger.call("charge", charge.fn, workflow="w") is thing
        for _ in range(2):
            with raises(ResultNotStored):
                ledger.call("charge", charge.fn, workflow="w")
        effect = ledger.only()
        assert (effect.status, effect.result_stored, charge.times) == ("succeeded", False, 1)
        assert ledger.pending() == []

    def test_nobody_can_change_a_recorded_result(self) -> None:
        """Each caller gets a copy of its own."""
        ledger = self.ledger()
        charge = self.tool({"lines": [1]})
        for _ in range(3):
            result = ledger.call("charge", charge.fn, workflow="w")
            assert result == {"lines": [1]} or charge.times == 1
            result["lines"] = "spoilt"
        assert ledger.call("charge", charge.fn, workflow="w") == {"lines": [1]}

    def test_nobody_can_change_recorded_arguments(self) -> None:
        """Neither the tool that gets them, nor the caller that gave them."""
        ledger = self.ledger()

        def greedy(items: list[int]) -> int:
            items.append(99)
            return len(items)

        given: dict[str, Any] = {"items": [1]}
        charge = self.tool(greedy)
        assert ledger.call("charge", charge.fn, given, workflow="w") == 2
        assert given == {"items": [1]}
        assert ledger.only().args == {"items": [1]}
        given["items"].append(2)
        assert ledger.only().args == {"items": [1]}

    def test_a_large_result_is_kept(self) -> None:
        """Two megabytes, and every byte of them."""
        ledger = self.ledger()
        text = "0123456789abcdef" * (1 << 17)
        charge = self.tool(text)
        assert [ledger.call("charge", charge.fn, workflow="w") for _ in range(2)] == [text] * 2
        assert charge.times == 1

    def test_a_damaged_result_is_an_error_and_never_a_replay(self) -> None:
        """Its digest says that it is not what was recorded."""
        self.needs("damageable")
        ledger = self.ledger()
        charge = self.tool("five")
        ledger.call("charge", charge.fn, workflow="w")
        self.spoil(ledger, ledger.only().key, "result")
        with raises(DamagedRecord):
            ledger.call("charge", charge.fn, workflow="w")
        assert charge.times == 1
