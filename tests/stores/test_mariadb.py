"""What is MariaDB's (and MySQL's) own: how it compares, waits, refuses, and loses connections."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, cast

import pymysql
import pytest
import sqlalchemy
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from tallystick import Guarantee, Halted, Ledger, Policy, current_effect
from tallystick import _acts as acts
from tallystick.errors import EffectInDoubt, InvalidPolicy, StoreBusy, StoreUnavailable
from tallystick.stores._mariadb_sql import SESSION
from tests._mariadb import admin, execute, kill_others
from tests._urls import async_engine_on, engine_on
from tests.checkpoints._acts import Thread

pytestmark = pytest.mark.mariadb

TOGETHER = Policy(guarantee=Guarantee.TRANSACTIONAL)


@pytest.fixture
def ledger(empty_mariadb: str) -> Iterator[Ledger]:
    with Ledger(empty_mariadb) as ledger:
        yield ledger


@pytest.fixture
def rival(empty_mariadb: str) -> Iterator[pymysql.Connection[Any]]:
    """Somebody's own connection, in a transaction that is rolled back at the end."""
    db = admin(empty_mariadb.rpartition("/")[2])
    db.begin()
    yield db
    db.rollback()
    db.close()


def store_of(ledger: Ledger) -> Any:
    """The store itself."""
    return ledger._engine.store  # pyright: ignore[reportPrivateUsage]


def engine_of(ledger: Ledger) -> sqlalchemy.Engine:
    """The engine that it makes its connections with."""
    engine: sqlalchemy.Engine = store_of(ledger).engine
    return engine


def same(x: Any) -> Any:
    """A tool that gives back what it is given."""
    return x


async def same_later(x: Any) -> Any:
    """The same, awaited."""
    return x


@contextmanager
def meanwhile(deed: Callable[..., Any], *args: Any, **options: Any) -> Generator[Future[Any]]:
    """Something that is done in a thread of its own, and is over at the end."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(deed, *args, **options)


def until_somebody_waits(db: pymysql.Connection[Any]) -> None:
    """Until a transaction in this database waits for a lock that another one holds."""
    with db.cursor() as cursor:
        for _ in range(60):
            cursor.execute(
                "SELECT count(*) FROM information_schema.innodb_trx t"
                " JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id"
                " WHERE t.trx_state = 'LOCK WAIT' AND p.db = DATABASE()"
            )
            if cursor.fetchone() != (0,):
                return
            time.sleep(0.15)  # asked more often, the server says the same again
    raise AssertionError("nobody waits")


def locked(db: pymysql.Connection[Any], key: str) -> None:
    """Take the lock of an effect's row."""
    with db.cursor() as cursor:
        where = "SELECT e.seq FROM tallystick_effect e WHERE e.key = %s FOR UPDATE"
        cursor.execute(where, [bytes.fromhex(key)])
        assert cursor.fetchall()


def seen(ledger: Ledger, *keys: str) -> list[acts.Observe]:
    """An event for each of some effects."""
    return [
        acts.Observe(key=bytes.fromhex(k), tenant="default", kind="seen", actor="x", detail={})
        for k in keys
    ]


# -- what is equal --------------------------------------------------------------------------------


def test_a_blank_a_capital_and_an_accent_make_another_tenant(empty_mariadb: str) -> None:
    for tenant in ("acme", "acme ", "Acme", "acmé"):
        with Ledger(empty_mariadb, tenant=tenant) as ledger:
            assert ledger.effects() == []
            assert ledger.call("t", str, {"object": tenant}, workflow="w") == tenant
            assert [effect.result for effect in ledger.effects()] == [tenant]
            ledger.halt(tool="x", by="ann", reason="r")
            assert len(ledger.halts()) == 1


@pytest.mark.parametrize("text", ["\\ ' \" % %s {x} :name ? \n\t\x1a", "é€😀", " ", "\\'; --"])
def test_every_text_comes_back_as_it_was(ledger: Ledger, text: str) -> None:
    args = {"x": text}
    for _ in range(2):
        assert ledger.call(text, same, args, workflow=text) == text
    (effect,) = ledger.effects(workflow=text, tool=text)
    assert (effect.args, effect.tool, effect.workflow) == (args, text, text)


# -- how much -------------------------------------------------------------------------------------


def test_ten_megabytes_of_quotes_are_recorded(ledger: Ledger) -> None:
    big = "\"'\\" * 3_400_000
    for _ in range(2):
        assert ledger.call("t", lambda: big[:6_000_000], workflow="w") == big[:6_000_000]


def test_what_no_statement_can_hold_is_refused_with_the_setting_to_raise(ledger: Ledger) -> None:
    store = store_of(ledger)
    assert ledger.call("small", lambda: 1, workflow="w") == 1
    store._most = 10_000
    with pytest.raises(EffectInDoubt, match="the server takes 10,000; raise its max_allowed"):
        ledger.call("big", lambda: "x" * 20_000, workflow="w")
    assert ledger.call("small", lambda: 1, workflow="w2") == 1
    store._most = 1 << 24
    ledger._engine.journal.pay()  # pyright: ignore[reportPrivateUsage]
    assert ledger.call("big", str, workflow="w") == "x" * 20_000


def test_a_lineage_is_read_to_its_end(ledger: Ledger) -> None:
    """The server's own limit is a thousand, and what is beyond it is left out without a word."""
    store = store_of(ledger)
    thread, ids = Thread("t"), [f"{n:05}" for n in range(1_200)]
    store.apply([thread.put(b, a) for a, b in zip([None, *ids], ids, strict=False)])
    steps = store.read(thread.lineage(ids[-1], bounded=False, limit=10_000))
    assert [step.id for step in steps] == ids[::-1]


# -- who waits ------------------------------------------------------------------------------------


def test_a_claim_waits_for_a_halt_that_is_about_to_be(
    ledger: Ledger, rival: pymysql.Connection[Any]
) -> None:
    ledger.call("other", int, workflow="w")
    with rival.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tallystick_halt (mode, actor, reason, at) VALUES ('halt', 'a', 'r', 1)"
        )
        with meanwhile(ledger.call, "t", int, workflow="w") as call:
            until_somebody_waits(rival)
            rival.commit()
            assert isinstance(call.exception(10), Halted)
        cursor.execute("DELETE FROM tallystick_halt")
        rival.commit()


def test_a_halt_returns_when_whoever_did_not_see_it_has_ended(empty_mariadb: str) -> None:
    entered, leave = threading.Event(), threading.Event()

    def tool() -> None:
        entered.set()
        assert leave.wait(10)

    def halt_it(desk: Ledger) -> None:
        assert entered.wait(10)
        desk.halt(by="ann", reason="r")

    with (
        Ledger(empty_mariadb) as ledger,
        Ledger(empty_mariadb) as desk,
        meanwhile(ledger.call, "t", tool, workflow="w", policy=TOGETHER) as call,
        meanwhile(halt_it, desk) as halt,
    ):
        with pytest.raises(TimeoutError):
            halt.result(0.5)
        leave.set()
        halt.result(10)
        assert ledger.effects()[0].status == "succeeded"
        call.result(10)


def test_a_deadlock_with_somebody_else_is_tried_again(
    ledger: Ledger, rival: pymysql.Connection[Any]
) -> None:
    """The server ends the lighter of two transactions that wait for each other."""
    for n in (1, 2):
        ledger.call("t", same, {"x": n}, workflow="w")
    first, second = sorted(effect.key for effect in ledger.effects())
    store = store_of(ledger)
    with rival.cursor() as cursor:
        cursor.execute("UPDATE tallystick_guard SET slot = slot + 1000")  # makes it the heavier
    locked(rival, second)
    with meanwhile(store.apply, seen(ledger, first, second)) as applied:
        until_somebody_waits(rival)
        locked(rival, first)
        rival.rollback()
        applied.result(10)
    assert [[e.kind for e in ledger.history(key)] for key in (first, second)] == [["seen"]] * 2


def test_a_row_that_stays_locked_is_busy(
    empty_mariadb: str, rival: pymysql.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SESSION, "innodb_lock_wait_timeout", 1)
    with Ledger(empty_mariadb) as ledger:
        ledger.call("t", int, workflow="w")
        (effect,) = ledger.effects()
        store = store_of(ledger)
        locked(rival, effect.key)
        with pytest.raises(StoreBusy, match="look for a long transaction"):
            store.apply(seen(ledger, effect.key))
        rival.rollback()
        store.apply(seen(ledger, effect.key))
        assert [event.kind for event in ledger.history(effect.key)] == ["seen"]


def test_a_rival_that_waits_for_a_lent_transaction_keeps_nobody_else_waiting(
    empty_mariadb: str,
) -> None:
    """An insert that waits would keep out its neighbours, or hold the lock of all numbers."""
    entered, leave = threading.Event(), threading.Event()
    new = uuid.uuid4().hex  # the place of an effect that a test removed is locked as a whole

    def tool() -> str:
        entered.set()
        assert leave.wait(10)
        return "once"

    def once(ledger: Ledger) -> Any:
        return ledger.call("t", tool, workflow=new, policy=TOGETHER)

    with Ledger(empty_mariadb) as ledger, Ledger(empty_mariadb) as other:
        with meanwhile(once, ledger) as first:
            assert entered.wait(10)
            with meanwhile(once, other) as second, Ledger(empty_mariadb) as third:
                with admin(empty_mariadb.rpartition("/")[2]) as db:
                    until_somebody_waits(db)
                began = time.monotonic()
                for n in range(40):
                    assert third.call("u", same, {"x": n}, workflow=new) == n
                assert time.monotonic() - began < 4
                leave.set()
            assert (first.result(10), second.result(10)) == ("once", "once")
        assert [effect.attempt for effect in ledger.effects(tool="t")] == [1]


def test_whoever_looks_out_for_the_like_of_its_effect_waits_for_the_like(
    ledger: Ledger, rival: pymysql.Connection[Any]
) -> None:
    with rival.cursor() as cursor:
        cursor.execute("SELECT slot FROM tallystick_guard FOR UPDATE")
    assert ledger.call("plain", int, workflow="w") == 0
    wary = Policy(on_suspect="replay")
    with meanwhile(ledger.call, "t", int, workflow="w", call_id="1", policy=wary) as call:
        until_somebody_waits(rival)
        rival.rollback()
        assert call.result(10) == 0


# -- lent connections -----------------------------------------------------------------------------


def test_only_a_transaction_that_sees_what_others_commit_can_be_lent(ledger: Ledger) -> None:
    url = engine_of(ledger).url
    for level, said in (("REPEATABLE READ", "at REPEATABLE READ"), ("AUTOCOMMIT", "AUTOCOMMIT")):
        engine = sqlalchemy.create_engine(url, isolation_level=level)
        with engine.connect() as lent, pytest.raises(InvalidPolicy, match=said):
            ledger.call("t", int, workflow="w", policy=TOGETHER, connection=lent)
        engine.dispose()
    assert ledger.effects() == []


def test_a_session_keeps_effect_and_record_together(empty_mariadb: str, ledger: Ledger) -> None:
    """Also where the ledger's URL says mysql, and the session's mariadb."""
    engine = engine_on(empty_mariadb)

    def tool() -> int:
        write = sqlalchemy.text("INSERT INTO tallystick_guard (slot) VALUES (9999)")
        current_effect().connection.execute(write)
        return 1

    with Ledger(empty_mariadb.replace("mariadb:", "mysql:")) as other:
        with Session(engine) as session, suppress(ZeroDivisionError), session.begin():
            other.call("t", tool, workflow="w", policy=TOGETHER, connection=session)
            _ = 1 // 0
        assert other.effects() == []
        with Session(engine) as session, session.begin():
            other.call("t", tool, workflow="w", policy=TOGETHER, connection=session)
    assert [effect.status for effect in ledger.effects()] == ["succeeded"]
    execute("DELETE FROM tallystick_guard WHERE slot = 9999", database=engine.url.database)
    engine.dispose()


GUARD = sqlalchemy.text("SELECT slot FROM tallystick_guard WHERE slot = :slot FOR UPDATE")


def heavier(rival: pymysql.Connection[Any]) -> None:
    """Let it be the other one of two in a deadlock that is ended."""
    with rival.cursor() as cursor:
        cursor.execute("UPDATE tallystick_guard SET slot = slot + 1000 WHERE slot > 9")


@pytest.mark.parametrize("lender", ["connection", "session", "awaited"])
def test_a_deadlock_in_a_lent_transaction_is_told_as_one(
    empty_mariadb: str, ledger: Ledger, rival: pymysql.Connection[Any], lender: str
) -> None:
    """The server takes the whole transaction back; there is no savepoint to return to."""
    options: dict[str, Any] = {"workflow": "w", "policy": TOGETHER}
    ledger.call("other", int, workflow="w")
    heavier(rival)
    with rival.cursor() as cursor:  # which the claim waits for
        cursor.execute(
            "INSERT INTO tallystick_halt (mode, actor, reason, at) VALUES ('halt', 'a', 'r', 1)"
        )

    def lent() -> None:
        engine = engine_on(empty_mariadb, poolclass=sqlalchemy.NullPool)
        with Session(engine) if lender == "session" else engine.connect() as db, db.begin():
            db.execute(GUARD, {"slot": 1})
            ledger.call("t", int, **options, connection=db)

    async def alent() -> None:
        engine = async_engine_on(empty_mariadb)
        try:
            async with engine.begin() as db:
                await db.execute(GUARD, {"slot": 1})
                await ledger.acall("t", same_later, {"x": 1}, **options, connection=db)
        finally:
            await engine.dispose()

    deed = (lambda: asyncio.run(alent())) if lender == "awaited" else lent
    with meanwhile(deed) as call:
        until_somebody_waits(rival)
        with rival.cursor() as cursor:
            cursor.execute("SELECT slot FROM tallystick_guard WHERE slot = 1 FOR UPDATE")
        with pytest.raises(StoreBusy, match="Deadlock"):
            call.result(10)
    assert ledger.effects(tool="t") == []


def test_what_a_tool_does_after_a_deadlock_that_it_caught_is_not_kept(
    empty_mariadb: str, ledger: Ledger, rival: pymysql.Connection[Any]
) -> None:
    """Its claim is gone: what it wrote then would be done, and done again."""
    heavier(rival)
    with rival.cursor() as cursor:
        cursor.execute("SELECT slot FROM tallystick_guard WHERE slot = 2 FOR UPDATE")

    def tool() -> str:
        db = current_effect().connection
        with suppress(OperationalError):
            db.execute(GUARD, {"slot": 1})
            db.execute(GUARD, {"slot": 2})
        db.execute(sqlalchemy.text("INSERT INTO tallystick_guard (slot) VALUES (-1)"))
        return "done"

    options: dict[str, Any] = {"workflow": "w", "policy": TOGETHER}
    with meanwhile(ledger.call, "t", tool, **options) as call:
        until_somebody_waits(rival)
        with rival.cursor() as cursor:
            cursor.execute("SELECT slot FROM tallystick_guard WHERE slot = 1 FOR UPDATE")
        with pytest.raises(StoreBusy, match="call again"):
            call.result(10)
    rival.rollback()
    assert ledger.effects() == []
    assert ledger.call("t", tool, **options) == "done"
    execute("DELETE FROM tallystick_guard WHERE slot < 0", database=engine_of(ledger).url.database)


# -- lost connections -----------------------------------------------------------------------------


def test_connections_that_the_server_ended_are_made_anew(ledger: Ledger) -> None:
    """As wait_timeout ends those that were idle; and in the middle of a tool."""
    name = str(engine_of(ledger).url.database)
    assert ledger.call("t", lambda: 1, workflow="a") == 1
    assert kill_others(name) > 0
    assert ledger.call("t", lambda: 1, workflow="a") == 1
    assert kill_others(name) > 0
    assert ledger.call("t", lambda: kill_others(name) > 0, workflow="b") is True
    assert [effect.attempt for effect in ledger.effects()] == [1, 1]


def test_a_commit_whose_answer_is_lost_is_found_again(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every commit of a call, one after the other: it is performed once and recorded once."""
    whole = pymysql.Connection.commit

    left, ran = [0], list[str]()

    def cut(db: pymysql.Connection[Any]) -> None:
        whole(db)
        left[0] -= 1
        if left[0] == 0:
            cast("Any", db)._force_close()
            raise pymysql.OperationalError(2013, "Lost connection to server during query")

    def tool(order: str) -> None:
        ran.append(order)

    monkeypatch.setattr(pymysql.Connection, "commit", cut)
    for nth in (1, 2):
        left[0] = nth
        ledger.call("t", tool, {"order": str(nth)}, workflow="w")
        assert left[0] < 0
    assert ran == ["1", "2"]
    assert {(e.status, e.attempt) for e in ledger.effects()} == {("succeeded", 1)}
    assert ledger.verify().sound


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mariadb://root@127.0.0.1:3306/tallystick_no_such_base", "Unknown database"),
        ("mysql://nobody:wrong@127.0.0.1:3306/test", "Access denied"),
        ("mysql://root@127.0.0.1:1/test", "Can't connect"),
    ],
)
def test_a_server_that_does_not_let_us_in_is_unavailable(
    url: str, said: str, empty_mariadb: str
) -> None:
    with pytest.raises(StoreUnavailable, match=f"{said}.*check that the database runs"):
        Ledger(url)


# -- waiting --------------------------------------------------------------------------------------


def test_a_follower_elsewhere_hears_soon(empty_mariadb: str, ledger: Ledger) -> None:
    """It looks ten times a second, as nobody can tell it."""
    entered, leave, done = threading.Event(), threading.Event(), list[float]()

    def tool() -> int:
        entered.set()
        assert leave.wait(10)
        return 1

    def follow(other: Ledger) -> Any:
        value = other.call("t", tool, workflow="w", policy=Policy(wait=10))
        done.append(time.monotonic())
        return value

    with Ledger(empty_mariadb) as other, meanwhile(ledger.call, "t", tool, workflow="w") as first:
        assert entered.wait(10)
        with meanwhile(follow, other) as second:
            time.sleep(0.3)
            leave.set()
            first.result(10)
            began = time.monotonic()
            assert second.result(10) == 1
    assert done[0] - began < 2
