"""Tools that write into the ledger's own database, side by side in a graph."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from langchain_core.tools import tool

from tallystick import Guarantee, Ledger, Policy, current_effect
from tallystick_checkpoint import LedgerSaver
from tallystick_langchain import wrap_tools
from tests.adapters.langchain_agents import agent_of

from ._world import in_turn, said, thread

POLICIES = {"book": Policy(guarantee=Guarantee.TRANSACTIONAL, wait=5)}


@tool
def book(amount: int) -> str:
    """Write into the ledger's database."""
    rows = current_effect().connection.execute(sqlalchemy.text("INSERT INTO booked VALUES (1)"))
    return f"{amount} is {rows.rowcount} row"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database with a table of somebody's own."""
    kind = str(request.param)
    sqlite = f"sqlite:///{tmp_path}/ledger.db"
    url = sqlite if kind == "sqlite" else str(request.getfixturevalue("empty_postgres"))
    _run(url, "CREATE TABLE booked (n integer)")
    yield url
    _run(url, "DROP TABLE booked")


def _run(url: str, statement: str) -> Any:
    engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        with engine.begin() as db:
            done = db.execute(sqlalchemy.text(statement))
            return done.scalar_one() if done.returns_rows else None
    finally:
        engine.dispose()


@pytest.mark.parametrize("face", ["invoke", "ainvoke"])
def test_parallel_identical_bookings_are_all_made(url: str, face: str) -> None:
    """One that finds another one beside it looks again, and claims inside of its transaction."""
    three = [("book", {"amount": 1})] * 3
    with Ledger(url) as ledger:
        tools = wrap_tools([book], ledger, policies=POLICIES)
        agent = agent_of(tools, in_turn(three, three), checkpointer=LedgerSaver(ledger))
        if face == "invoke":
            agent.invoke(said(), thread())
        else:
            asyncio.run(agent.ainvoke(said(), thread()))
        assert {effect.status for effect in ledger.effects()} == {"succeeded"}
        assert len(ledger.effects()) == 6
    assert _run(url, "SELECT count(*) FROM booked") == 6
