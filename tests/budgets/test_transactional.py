"""Budgets of effects that are writes in the ledger's own database: all of it is one commit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from tallystick import Guarantee, Policy, current_effect
from tallystick.errors import BudgetExceeded
from tallystick.hooks import Details
from tests.conftest import Place

WRITES = Policy(guarantee=Guarantee.TRANSACTIONAL)
NOTE = sqlalchemy.Table(
    "budgets_note", sqlalchemy.MetaData(), sqlalchemy.Column("n", sqlalchemy.BigInteger)
)
pytestmark = pytest.mark.parametrize("place", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def engine(place: Place) -> Iterator[sqlalchemy.Engine]:
    """The user's own way into the ledger's database."""
    place.open().budget("writes", requests=2, tool="write", soft=(0.5,))
    engine = sqlalchemy.create_engine(_url(place))
    NOTE.drop(engine, checkfirst=True)
    NOTE.create(engine)
    yield engine
    engine.dispose()


def _url(place: Place) -> str:
    return place.url.replace("postgresql://", "postgresql+psycopg://")


def write(n: int) -> int:
    current_effect().connection.execute(NOTE.insert().values(n=n))
    return n


def notes(engine: sqlalchemy.Engine) -> list[int]:
    with engine.connect() as db:
        return sorted(n for (n,) in db.execute(sqlalchemy.select(NOTE)))


def test_what_a_budget_paid_for_is_kept_where_a_connection_was_lent(
    place: Place, engine: sqlalchemy.Engine
) -> None:
    """The effect, its record and its money: all of it, or with a rollback nothing."""
    ledger = place.open()
    options: dict[str, Any] = {"workflow": "w", "policy": WRITES}
    with engine.connect() as db:
        ledger.call("write", write, {"n": 1}, connection=db, **options)
        db.rollback()
    assert (notes(engine), ledger.budget("writes").remaining) == ([], 2)
    with engine.begin() as db:
        ledger.call("write", write, {"n": 1}, connection=db, **options)
    assert (notes(engine), ledger.budget("writes").spent) == ([1], 1)
    assert ledger.verify().sound


def test_the_same_awaited(place: Place, engine: sqlalchemy.Engine) -> None:
    ledger = place.open()

    async def awrite(n: int) -> int:
        await current_effect().connection.execute(NOTE.insert().values(n=n))
        return n

    async def main() -> None:
        mine = create_async_engine(_url(place).replace("sqlite://", "sqlite+aiosqlite://"))
        async with mine.begin() as db:
            args = {"n": 1}
            await ledger.acall("write", awrite, args, workflow="w", policy=WRITES, connection=db)
        await mine.dispose()

    asyncio.run(main())
    assert (notes(engine), ledger.budget("writes").spent) == ([1], 1)


def test_thresholds_are_told_after_the_commit(place: Place, engine: sqlalchemy.Engine) -> None:
    """Telling is a write; before the commit it would wait for its own transaction."""
    heard: list[str] = []

    def hear(details: Details) -> None:
        if details.kind == "budget_threshold":
            heard.append(str(notes(engine)))

    ledger = place.open(hooks=[hear])
    ledger.call("write", write, {"n": 1}, workflow="w", policy=WRITES)
    assert heard == ["[1]"]


def test_more_is_asked_for_outside_of_the_transaction(
    place: Place, engine: sqlalchemy.Engine
) -> None:
    """The request stays although the effect is rolled back; with a lock that is lent nobody is."""
    ledger = place.open()
    ledger.budget("writes", requests=0, tool="write", on_exceed="ask", raise_by=1)
    options: dict[str, Any] = {"workflow": "w", "policy": WRITES}
    with engine.connect() as db:
        db.execute(NOTE.insert().values(n=7))
        with pytest.raises(BudgetExceeded) as no:
            ledger.call("write", write, {"n": 1}, connection=db, **options)
    assert (no.value.request is None) == (place.kind == "sqlite")
    with pytest.raises(BudgetExceeded) as no:
        ledger.call("write", write, {"n": 1}, **options)
    assert no.value.request is not None
    ledger.approve(no.value.request, by="ann")
    assert ledger.call("write", write, {"n": 1}, **options) == 1
    assert (notes(engine), ledger.budget("writes").limit) == ([1], 1)
