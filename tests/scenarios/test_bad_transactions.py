"""Transactions that cannot be one with the ledger's are refused before anything happens in them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from tallystick import Guarantee, Ledger, Policy, Retry, current_effect
from tallystick.errors import InvalidCall, InvalidPolicy
from tests.conftest import Face, Place
from tests.scenarios._processes import durable, on_memory, on_postgres, on_sqlite

TRANSACTIONAL = Policy(guarantee=Guarantee.TRANSACTIONAL)


class Tool:
    """Counts how often it ran."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self) -> str:
        self.runs += 1
        return "charged"


@pytest.fixture
def tool(place: Place) -> Generator[Tool]:
    """A tool; afterwards it must not have run, and nothing may be recorded."""
    ledger, tool = place.open(), Tool()
    yield tool
    assert tool.runs == 0
    assert ledger.effects() == []
    assert ledger.pending() == []


@pytest.mark.parametrize("connection", [5, "conn", object()])
def test_a_connection_that_is_none_is_refused(
    place: Place, face: Face, tool: Tool, connection: Any
) -> None:
    """The error lists what can be lent."""
    match = "memory://" if place.kind == "memory" else "Connection or Session"
    with pytest.raises(InvalidPolicy, match=match):
        face.do(
            place.open(),
            "call",
            "charge",
            tool,
            workflow="w",
            policy=TRANSACTIONAL,
            connection=connection,
        )


def test_a_connection_needs_a_transactional_tool(place: Place, face: Face, tool: Tool) -> None:
    """Otherwise effect and record would not be one commit, though it looks like it."""
    with pytest.raises(InvalidPolicy, match="TRANSACTIONAL"):
        face.do(place.open(), "call", "charge", tool, workflow="w", connection=object())
    with pytest.raises(InvalidPolicy, match=r"ledger\.call\("):
        place.open().claim("charge", workflow="w", policy=TRANSACTIONAL)


@on_memory
def test_memory_keeps_no_transactions(place: Place, face: Face, tool: Tool) -> None:
    """The error says to use a database."""
    with pytest.raises(InvalidPolicy, match="a ledger in a database"):
        face.do(place.open(), "call", "charge", tool, workflow="w", policy=TRANSACTIONAL)


@durable
def test_a_connection_to_another_database_is_refused(
    place: Place, tool: Tool, tmp_path: Path
) -> None:
    """The error names both, without a password, and says what to lend."""
    other = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'other.db'}")
    with other.connect() as connection, pytest.raises(InvalidPolicy, match=r"other\.db.*lend"):
        place.open().call("charge", tool, workflow="w", policy=TRANSACTIONAL, connection=connection)
    other.dispose()


@durable
def test_a_connection_that_is_closed_is_refused(place: Place, tool: Tool) -> None:
    """Before anything is done on it."""
    engine = engine_of(place)
    with engine.connect() as connection:
        pass
    with pytest.raises(InvalidPolicy, match="closed"):
        place.open().call("charge", tool, workflow="w", policy=TRANSACTIONAL, connection=connection)
    engine.dispose()


@on_postgres
def test_a_connection_that_commits_by_itself_is_refused(place: Place, tool: Tool) -> None:
    """In AUTOCOMMIT there is no transaction to be part of."""
    engine = engine_of(place)
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    with autocommit.connect() as connection, pytest.raises(InvalidPolicy, match="AUTOCOMMIT"):
        place.open().call("charge", tool, workflow="w", policy=TRANSACTIONAL, connection=connection)
    engine.dispose()


def engine_of(place: Place) -> sqlalchemy.Engine:
    """An engine of the caller's own for the ledger's database."""
    return sqlalchemy.create_engine(place.url.replace("postgresql://", "postgresql+psycopg://"))


@durable
def test_an_awaited_transaction_needs_a_connection(place: Place, tool: Tool) -> None:
    """The ledger's own connections block; the error says so, at once and without a retry."""
    policy = TRANSACTIONAL.but(retry=Retry(attempts=3, initial=5))
    began = time.monotonic()
    with pytest.raises(InvalidPolicy, match="AsyncConnection or AsyncSession"):
        asyncio.run(place.open().acall("charge", tool, workflow="w", policy=policy))
    assert time.monotonic() - began < 2


@on_sqlite
@pytest.mark.parametrize("how", ["call", "claim"])
def test_an_ordinary_effect_inside_a_transaction_on_sqlite_is_refused_at_once(
    place: Place, how: str
) -> None:
    """The outer transaction holds the only write lock, so the inner one could not be recorded."""
    ledger, tool = place.open(), Tool()

    def book() -> None:
        assert current_effect().connection is not None
        if how == "call":
            ledger.call("charge", tool, workflow="w")
        else:
            ledger.claim("charge", workflow="w")

    began = time.monotonic()
    with pytest.raises(InvalidCall, match=r"only write lock.*TRANSACTIONAL too, or use PostgreSQL"):
        ledger.call("book", book, workflow="w", policy=TRANSACTIONAL)
    assert time.monotonic() - began < 2
    assert tool.runs == 0
    assert ledger.effects() == []


@on_sqlite
def test_an_ordinary_effect_of_another_ledger_inside_a_transaction_is_fine(
    place: Place, tmp_path: Path
) -> None:
    """Another file has another lock."""
    ledger, tool = place.open(), Tool()
    with Ledger(f"sqlite:///{tmp_path / 'other.db'}") as other:

        def book() -> str:
            return other.call("charge", tool, workflow="w")

        assert ledger.call("book", book, workflow="w", policy=TRANSACTIONAL) == "charged"
        assert [e.tool for e in other.effects()] == ["charge"]
    assert [e.tool for e in ledger.effects()] == ["book"]


@on_sqlite
def test_what_must_be_decided_by_others_cannot_wait_inside_a_write_on_sqlite(
    place: Place, tool: Tool
) -> None:
    """A request for approval could not be recorded while the caller's transaction writes."""
    engine, ledger = engine_of(place), place.open()
    policy = TRANSACTIONAL.but(approval=True)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE note (x INTEGER)")
        connection.exec_driver_sql("INSERT INTO note VALUES (1)")
        began = time.monotonic()
        with pytest.raises(InvalidCall, match="before the first write"):
            ledger.call("charge", tool, workflow="w", policy=policy, connection=connection)
        assert time.monotonic() - began < 2
    engine.dispose()
