"""Two processes whose calls are the same intent under two ids: only one of them may be first."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tallystick import Ledger, Policy
from tallystick._keys import identify
from tallystick.stores._postgres import PostgresTx
from tallystick.testing._contract._spot import Spot
from tests._postgres import until_somebody_waits

pytestmark = pytest.mark.postgres

ORDER = {"order": "A"}
IDS = ("c1", "c2")
_COPY = """
INSERT INTO tallystick_effect (key, {}) SELECT %s, {} FROM tallystick_effect LIMIT 1"""


@contextmanager
def _in_flight(url: str) -> Generator[None]:
    """
    Somebody's uncommitted inserts under the keys of both calls, rolled back at the end.

    Each claim sees that nothing is there, waits for them, and goes on with what it saw.
    """
    with Ledger(url) as other, psycopg.connect(url) as rival:
        other.call("other", int, workflow="other")
        found = rival.execute("SELECT * FROM tallystick_effect LIMIT 1")
        columns = [c.name for c in found.description or () if c.name not in ("seq", "key")]
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        insert = sql.SQL(_COPY).format(names, names)
        for call_id in IDS:
            key = identify(
                tenant="default",
                workflow="w",
                turn="t1",
                tool="charge",
                args=ORDER,
                call_id=call_id,
                occurrence=0,
                policy=Policy(),
            ).key
            rival.execute(insert, [key])
        yield
        rival.rollback()


def _race(url: str) -> list[str]:
    """What was charged by two ledgers whose claims are under way at the same time."""
    charged: list[str] = []

    def charge(order: str) -> str:
        charged.append(order)
        return f"charged {order}"

    with Ledger(url) as one, Ledger(url) as two, ThreadPoolExecutor(2) as pool:
        with _in_flight(url):
            calls = [
                pool.submit(
                    ledger.call,
                    "charge",
                    charge,
                    ORDER,
                    workflow="w",
                    call_id=call_id,
                    place=Spot(call_id),
                )
                for ledger, call_id in zip((one, two), IDS, strict=True)
            ]
            until_somebody_waits(url, count=2)
        assert [call.result(20) for call in calls] == ["charged A"] * 2
        assert len(one.effects(workflow="w")) == len(charged)
        assert one.verify().sound
    return charged


def test_of_two_that_are_the_same_one_is_first(empty_postgres: str) -> None:
    assert _race(empty_postgres) == ["A"]


def test_without_the_lock_both_would_be(
    empty_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race is a real one: neither statement can see what the other has not committed."""

    def unguarded(*_: Any) -> None:
        """Lock nothing."""

    monkeypatch.setattr(PostgresTx, "_guard", unguarded)
    assert _race(empty_postgres) == ["A", "A"]
