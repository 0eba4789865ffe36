"""Effects that are writes in the ledger's own database: effect and record are one commit."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest
import sqlalchemy
from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlmodel import Field, Session, SQLModel, select
from sqlmodel.ext.asyncio.session import AsyncSession

from tallystick import (
    Approval,
    ApprovalDenied,
    ApprovalRequired,
    ArgumentsChanged,
    Guarantee,
    Halted,
    Ledger,
    NotApplied,
    Policy,
    Retry,
    Status,
    current_effect,
)
from tallystick.errors import (
    ApprovalExpired,
    AsyncTool,
    CalledFromItself,
    InvalidPolicy,
    StoreBusy,
    StoreError,
)
from tallystick.testing import turn_clock
from tests.conftest import Place

TRANSACTIONAL = Policy(guarantee=Guarantee.TRANSACTIONAL)
APPROVED = TRANSACTIONAL.but(approval=True)
KINDS = ["connection", "session", "async connection", "async session"]
durable = pytest.mark.parametrize("place", ["sqlite", "postgres"], indirect=True)


class Note(SQLModel, table=True):
    """What the tools write."""

    __tablename__: ClassVar[Any] = "tests_note"

    id: int | None = Field(default=None, primary_key=True)
    x: int


NOTE: Any = getattr(Note, "__table__")  # noqa: B009 - type checkers do not know of it


class Lender:
    """A caller with transactions of one kind, and a tool that writes in them."""

    def __init__(self, kind: str, place: Place) -> None:
        self.kind = kind
        self.place = place
        self.ledger = place.open()
        self.runs = 0
        self.asynchronous = kind.startswith("async")
        url = place.url.replace("postgresql://", "postgresql+psycopg://")
        self.engine: Engine = sqlalchemy.create_engine(url)
        self._async: AsyncEngine = create_async_engine(
            url.replace("sqlite://", "sqlite+aiosqlite://")
        )
        NOTE.drop(self.engine, checkfirst=True)
        NOTE.create(self.engine)

    async def close(self) -> None:
        """Leave nothing behind."""
        await self._async.dispose()
        self.ledger.close()
        NOTE.drop(self.engine)
        self.engine.dispose()

    @asynccontextmanager
    async def lent(self) -> AsyncGenerator[Any]:
        """A connection or session; what is not committed is rolled back."""
        if self.kind == "connection":
            with self.engine.connect() as connection:
                yield connection
        elif self.kind == "session":
            with Session(self.engine) as session:
                yield session
        elif self.kind == "async connection":
            async with self._async.connect() as connection:
                yield connection
        else:
            async with AsyncSession(self._async) as session:
                yield session

    async def do(self, given: Any, verb: str) -> None:
        """Commit, or roll back."""
        done = getattr(given, verb)()
        if self.asynchronous:
            await done

    async def put(self, given: Any, x: int) -> None:
        """Write a note."""
        if isinstance(given, Session | AsyncSession):
            given.add(Note(x=x))  # flushed by whoever comes next
        elif isinstance(given, Connection):
            given.execute(NOTE.insert().values(x=x))
        else:
            assert isinstance(given, AsyncConnection)
            await given.execute(NOTE.insert().values(x=x))

    def notes(self) -> list[int]:
        """What is committed."""
        with Session(self.engine) as session:
            return sorted(note.x for note in session.exec(select(Note)))

    async def call(self, given: Any, x: int, **options: Any) -> Any:
        """Call the tool with the transaction that is lent."""
        options.setdefault("policy", TRANSACTIONAL)
        raising: BaseException | None = options.pop("raising", None)

        async def add_async(x: int) -> int:
            self.runs += 1
            lent = current_effect().connection
            assert lent is given
            await self.put(lent, x)
            if raising is not None:
                raise raising
            return x

        def add(x: int) -> int:
            self.runs += 1
            lent = current_effect().connection
            assert lent is given
            if isinstance(lent, Session):
                lent.add(Note(x=x))
            else:
                lent.execute(NOTE.insert().values(x=x))
            if raising is not None:
                raise raising
            return x

        args = {"x": x}
        if self.asynchronous:
            return await self.ledger.acall(
                "add", add_async, args, workflow="w", connection=given, **options
            )
        return self.ledger.call("add", add, args, workflow="w", connection=given, **options)


@pytest.fixture(params=KINDS)
async def lender(request: pytest.FixtureRequest, place: Place) -> AsyncGenerator[Lender]:
    """Each kind of connection that can be lent."""
    lender = Lender(str(request.param), place)
    yield lender
    assert lender.ledger.verify().sound
    await lender.close()


# -- what is lent -------------------------------------------------------------------------------


@durable
async def test_effect_and_record_are_committed_together(lender: Lender) -> None:
    """Neither is there before, both are afterwards, and the result is replayed."""
    async with lender.lent() as given:
        assert await lender.call(given, 1) == 1
        assert lender.place.open().effects() == []
        assert lender.notes() == []
        await lender.do(given, "commit")
    assert lender.notes() == [1]
    (effect,) = lender.ledger.effects()
    assert (effect.status, effect.result, effect.attempt) == (Status.SUCCEEDED, 1, 1)
    async with lender.lent() as given:
        assert await lender.call(given, 1) == 1
        await lender.do(given, "commit")
    assert (lender.notes(), lender.runs) == ([1], 1)


@durable
@pytest.mark.parametrize("how", ["rollback", "nothing"])
async def test_a_rollback_takes_both_back(lender: Lender, how: str) -> None:
    """Said, or by leaving without a commit: as if it had never been called."""
    async with lender.lent() as given:
        await lender.put(given, 100)
        assert await lender.call(given, 1) == 1
        if how == "rollback":
            await lender.do(given, "rollback")
    assert lender.notes() == []
    assert lender.ledger.effects() == []
    async with lender.lent() as given:
        assert await lender.call(given, 1) == 1
        await lender.do(given, "commit")
    assert (lender.notes(), lender.runs) == ([1], 2)


@durable
@pytest.mark.parametrize("before", [True, False], ids=["after a write", "at first"])
async def test_an_error_takes_back_what_the_tool_did_and_nothing_else(
    lender: Lender, before: bool
) -> None:
    """The caller's own writes stay, before and after; the transaction can be used on."""
    async with lender.lent() as given:
        if before:
            await lender.put(given, 100)
        with pytest.raises(ValueError, match="no"):
            await lender.call(given, 1, raising=ValueError("no"))
        await lender.put(given, 200)
        assert await lender.call(given, 2) == 2
        await lender.do(given, "commit")
    assert lender.notes() == ([2, 100, 200] if before else [2, 200])
    assert [e.args for e in lender.ledger.effects()] == [{"x": 2}]


@durable
async def test_it_happens_once_within_one_transaction(lender: Lender) -> None:
    """The second call finds the first one's record, which nobody else can see yet."""
    async with lender.lent() as given:
        assert [await lender.call(given, 1) for _ in range(3)] == [1, 1, 1]
        assert [await lender.call(given, 1, call_id=c) for c in ("a", "b", "a")] == [1, 1, 1]
        await lender.do(given, "commit")
    assert (lender.notes(), lender.runs) == ([1, 1, 1], 3)


@durable
async def test_a_cancellation_takes_both_back(lender: Lender) -> None:
    """So does everything else that is no ``Exception``."""
    error = asyncio.CancelledError() if lender.asynchronous else KeyboardInterrupt()
    async with lender.lent() as given:
        with pytest.raises(type(error)):
            await lender.call(given, 1, raising=error)
        await lender.do(given, "commit")
    assert lender.notes() == []
    assert lender.ledger.effects() == []


@durable
async def test_the_same_business_key_with_other_arguments_is_refused(lender: Lender) -> None:
    """In the same transaction and in a later one."""
    policy = TRANSACTIONAL.but(identity=())
    async with lender.lent() as given:
        await lender.call(given, 1, policy=policy)
        with pytest.raises(ArgumentsChanged):
            await lender.call(given, 2, policy=policy)
        await lender.do(given, "commit")
    async with lender.lent() as given:
        with pytest.raises(ArgumentsChanged):
            await lender.call(given, 3, policy=policy)
    assert lender.notes() == [1]


@durable
async def test_a_halt_stops_it(lender: Lender) -> None:
    """Nothing is written, and lifting it lets it go."""
    lender.ledger.halt(by="ann", reason="wrong", tool="add")
    async with lender.lent() as given:
        with pytest.raises(Halted, match="wrong"):
            await lender.call(given, 1)
        await lender.do(given, "commit")
    lender.ledger.unhalt(by="ann", tool="add")
    async with lender.lent() as given:
        await lender.call(given, 1)
        await lender.do(given, "commit")
    assert (lender.notes(), lender.runs) == ([1], 1)


@durable
async def test_a_suspected_repeat_is_replayed(lender: Lender) -> None:
    """Under another call id, in the same transaction."""
    policy = TRANSACTIONAL.but(on_suspect="replay")
    async with lender.lent() as given:
        assert await lender.call(given, 1, call_id="a", policy=policy) == 1
        assert await lender.call(given, 1, call_id="b", policy=policy) == 1
        await lender.do(given, "commit")
    assert (lender.notes(), lender.runs) == ([1], 1)


# -- approvals ----------------------------------------------------------------------------------


async def ask(lender: Lender, policy: Policy = APPROVED, x: int = 1) -> ApprovalRequired:
    """Be sent for an approval."""
    async with lender.lent() as given:
        with pytest.raises(ApprovalRequired) as caught:
            await lender.call(given, x, policy=policy)
    return caught.value


@durable
async def test_a_request_outlives_the_transaction_that_needed_it(lender: Lender) -> None:
    """It is recorded beside it; once approved, the effect runs in the next transaction, once."""
    asked = await ask(lender)
    assert asked.arguments == {"x": 1}
    await ask(lender)
    assert lender.runs == 0
    lender.ledger.approve(str(asked.key), by="ann")
    for _ in range(2):
        async with lender.lent() as given:
            assert await lender.call(given, 1, policy=APPROVED) == 1
            await lender.do(given, "commit")
    assert (lender.notes(), lender.runs) == ([1], 1)
    kinds = [e.kind for e in lender.ledger.history(str(asked.key))]
    assert kinds == ["asked", "approved", "started"]


@durable
async def test_a_rollback_gives_the_approval_back(lender: Lender) -> None:
    """What was not committed has not used it."""
    asked = await ask(lender)
    lender.ledger.approve(str(asked.key), by="ann")
    async with lender.lent() as given:
        await lender.call(given, 1, policy=APPROVED)
        await lender.do(given, "rollback")
    assert lender.ledger.get(str(asked.key)).status is Status.APPROVED
    async with lender.lent() as given:
        await lender.call(given, 1, policy=APPROVED)
        await lender.do(given, "commit")
    assert lender.notes() == [1]


@durable
async def test_what_was_edited_is_what_is_written(lender: Lender) -> None:
    """As outside of transactions."""
    asked = await ask(lender)
    lender.ledger.approve(str(asked.key), by="ann", args={"x": 5})
    async with lender.lent() as given:
        assert await lender.call(given, 1, policy=APPROVED) == 5
        await lender.do(given, "commit")
    assert lender.notes() == [5]


@durable
async def test_a_denial_and_an_expiry_are_final(lender: Lender) -> None:
    """Both are errors in every later transaction."""
    asked = await ask(lender, x=1)
    lender.ledger.deny(str(asked.key), by="ann", reason="no")
    await ask(lender, TRANSACTIONAL.but(approval=Approval(expires=60)), x=2)
    turn_clock(lender.ledger, 61)
    async with lender.lent() as given:
        with pytest.raises(ApprovalDenied, match="no"):
            await lender.call(given, 1, policy=APPROVED)
        with pytest.raises(ApprovalExpired):
            await lender.call(given, 2, policy=APPROVED)
    assert lender.runs == 0


@durable
async def test_facts_that_changed_are_asked_about_again(lender: Lender) -> None:
    """The approval is void, and the new request is recorded although nothing is written."""
    stock = [5]
    policy = TRANSACTIONAL.but(approval=Approval(preconditions=lambda args: {"stock": stock[0]}))
    asked = await ask(lender, policy)
    lender.ledger.approve(str(asked.key), by="ann")
    stock[0] = 4
    await ask(lender, policy)
    assert "changed" in lender.ledger.pending()[0].note
    lender.ledger.approve(str(asked.key), by="ann")
    async with lender.lent() as given:
        assert await lender.call(given, 1, policy=policy) == 1
        await lender.do(given, "commit")
    assert lender.notes() == [1]


@durable
async def test_who_waits_for_an_approval_keeps_no_lock(lender: Lender) -> None:
    """The approver is not kept waiting by the transaction that waits for him."""
    policy = TRANSACTIONAL.but(approval=Approval(wait=20.0))
    desk, took = lender.place.open(), list[float]()

    def approve() -> None:
        while not desk.pending():
            time.sleep(0.01)
        time.sleep(0.1)
        began = time.monotonic()
        desk.approve(desk.pending()[0].effect.key, by="ann")
        took.append(time.monotonic() - began)

    approver = threading.Thread(target=approve)
    approver.start()
    async with lender.lent() as given:
        assert await lender.call(given, 1, policy=policy) == 1
        await lender.do(given, "commit")
    approver.join()
    assert took[0] < 2.0
    assert lender.notes() == [1]


# -- connections that cannot be lent ------------------------------------------------------------


@durable
async def test_each_face_has_its_own_connections(place: Place) -> None:
    """An asynchronous one on the blocking face is refused with the method to use."""
    lender = Lender("async connection", place)
    async with lender.lent() as given:
        with pytest.raises(AsyncTool, match=r"await ledger\.acall"):
            lender.ledger.call(
                "add", lambda: None, workflow="w", policy=TRANSACTIONAL, connection=given
            )
    assert lender.ledger.effects() == []
    await lender.close()


@durable
async def test_a_thread_with_a_connection_cannot_be_given_a_time(place: Place) -> None:
    """Nobody could take the connection away from it; an awaited tool can be cancelled."""
    policy = TRANSACTIONAL.but(timeout=0.05)
    lender = Lender("async connection", place)
    with pytest.raises(InvalidPolicy, match="statement_timeout"):
        lender.ledger.call("add", lambda: None, workflow="w", policy=policy)
    assert lender.ledger.effects() == []

    async def slow() -> None:
        await asyncio.sleep(5)

    async with lender.lent() as given:
        with pytest.raises(TimeoutError):
            await lender.ledger.acall("add", slow, workflow="w", policy=policy, connection=given)
    assert lender.ledger.effects() == []
    await lender.close()


@durable
async def test_a_database_that_stays_locked_is_a_typed_error(place: Place) -> None:
    """The tool does not run, and nothing is recorded."""
    lender = Lender("connection", place)
    options = {"timeout": 0.1} if place.kind == "sqlite" else {"options": "-c lock_timeout=100"}
    url = place.url.replace("postgresql://", "postgresql+psycopg://")
    impatient = sqlalchemy.create_engine(url, connect_args=options)
    with lender.engine.begin() as rival, impatient.connect() as given:
        if place.kind == "sqlite":
            rival.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            rival.exec_driver_sql("LOCK TABLE tallystick_effect IN EXCLUSIVE MODE")
        with pytest.raises(StoreBusy, match="long transaction"):
            await lender.call(given, 1)
    assert (lender.runs, lender.ledger.effects()) == (0, [])
    impatient.dispose()
    await lender.close()


# -- transactions of the ledger's own -----------------------------------------------------------


@pytest.fixture
def own(place: Place) -> Generator[Lender]:
    """A caller who lends nothing."""
    lender = Lender("connection", place)
    yield lender
    asyncio.run(lender.close())


def write(x: int, then: Callable[[], Any] | None = None) -> int:
    """Write a note with the connection that there is."""
    current_effect().connection.execute(NOTE.insert().values(x=x))
    if then is not None:
        then()
    return x


def call_own(lender: Lender, fn: Callable[[], Any], **options: Any) -> Any:
    """Call a tool without a connection."""
    options.setdefault("policy", TRANSACTIONAL)
    name = options.pop("tool", "add")
    return lender.ledger.call(name, fn, workflow="w", **options)


@durable
def test_without_a_connection_the_ledger_commits(own: Lender) -> None:
    """Effect and record, in one commit of its own."""
    for _ in range(2):
        assert call_own(own, lambda: write(1)) == 1
    assert own.notes() == [1]
    assert own.ledger.effects()[0].status is Status.SUCCEEDED


@durable
def test_without_a_connection_an_error_is_a_rollback(own: Lender) -> None:
    """Nothing is there afterwards, and the next call runs."""

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        call_own(own, lambda: write(1, fail))
    assert (own.notes(), own.ledger.effects()) == ([], [])
    assert call_own(own, lambda: write(1)) == 1


@durable
def test_a_rolled_back_attempt_may_be_tried_again(own: Lender) -> None:
    """As the policy says, whatever was raised; what certainly failed is not."""
    troubles: list[Exception] = [ValueError("1"), RuntimeError("2")]
    policy = TRANSACTIONAL.but(retry=Retry(attempts=3, initial=0, jitter=0))

    def trouble() -> None:
        if troubles:
            raise troubles.pop(0)

    assert call_own(own, lambda: write(1, trouble), policy=policy) == 1
    assert own.notes() == [1]
    final = [NotApplied("final"), NotApplied("again")]

    def fail() -> None:
        raise final.pop(0)

    with pytest.raises(NotApplied, match="final"):
        call_own(own, lambda: write(2, fail), tool="other", policy=policy)
    assert own.notes() == [1]


@durable
def test_two_threads_write_it_once(own: Lender) -> None:
    """The second one waits for the first one's commit and replays it."""
    other = own.place.open()
    gate = threading.Barrier(2)

    def call(ledger: Ledger) -> Any:
        gate.wait(10)
        return ledger.call(
            "add", lambda: write(1, lambda: time.sleep(0.1)), workflow="w", policy=TRANSACTIONAL
        )

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(call, [own.ledger, other])) == [1, 1]
    assert own.notes() == [1]


@durable
def test_a_transactional_effect_inside_another_is_part_of_its_transaction(own: Lender) -> None:
    """It needs no connection of its own; and goes with the outer one, whatever becomes of that."""
    fail = [True]

    def inner() -> int:
        return write(2)

    def outer() -> int:
        write(1)
        call_own(own, inner, tool="inner")
        if fail.pop():
            raise ValueError("after the inner one")
        return 3

    with pytest.raises(ValueError, match="after the inner one"):
        call_own(own, outer, tool="outer")
    assert (own.notes(), own.ledger.effects()) == ([], [])
    fail.append(False)
    assert call_own(own, outer, tool="outer") == 3
    assert own.notes() == [1, 2]
    assert {e.tool: e.status for e in own.ledger.effects()} == {
        "inner": Status.SUCCEEDED,
        "outer": Status.SUCCEEDED,
    }


@durable
def test_an_error_inside_can_be_caught_outside(own: Lender) -> None:
    """The inner effect is taken back, the outer one goes on."""

    def refuse() -> None:
        raise ValueError("no")

    def outer() -> int:
        write(1)
        with pytest.raises(ValueError, match="no"):
            call_own(own, lambda: write(2, refuse), tool="inner")
        return write(3)

    assert call_own(own, outer, tool="outer") == 3
    assert own.notes() == [1, 3]
    assert [e.tool for e in own.ledger.effects()] == ["outer"]


@durable
def test_a_transactional_effect_that_calls_itself_is_told_at_once(own: Lender) -> None:
    """Nobody waits for his own commit."""

    def loop() -> None:
        call_own(own, loop)

    with pytest.raises(CalledFromItself):
        call_own(own, loop)
    assert own.ledger.effects() == []


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
def test_an_ordinary_effect_inside_is_recorded_for_itself(own: Lender) -> None:
    """On PostgreSQL: it happened, whatever becomes of the transaction around it."""

    def outer() -> None:
        write(1)
        own.ledger.call("mail", lambda: "sent", workflow="w")
        raise ValueError("rolled back")

    with pytest.raises(ValueError, match="rolled back"):
        call_own(own, outer, tool="outer")
    assert own.notes() == []
    assert {e.tool: e.status for e in own.ledger.effects()} == {"mail": Status.SUCCEEDED}


@durable
async def test_an_effect_inside_a_lent_transaction_uses_the_same_one(lender: Lender) -> None:
    """Without being told: both are there after the commit, and neither before."""
    ledger = lender.ledger

    async def inner_async(x: int) -> int:
        await lender.put(current_effect().connection, x)
        return x

    def inner(x: int) -> int:
        current_effect().connection.add(Note(x=x))
        return x

    async def outer_async() -> int:
        args = {"x": 2}
        return await ledger.acall("inner", inner_async, args, workflow="w", policy=TRANSACTIONAL)

    def outer() -> int:
        fn = inner if lender.kind == "session" else write
        return ledger.call("inner", fn, {"x": 2}, workflow="w", policy=TRANSACTIONAL)

    async with lender.lent() as given:
        options: dict[str, Any] = {"workflow": "w", "policy": TRANSACTIONAL, "connection": given}
        if lender.asynchronous:
            assert await ledger.acall("outer", outer_async, **options) == 2
        else:
            assert ledger.call("outer", outer, **options) == 2
        assert lender.notes() == []
        await lender.do(given, "commit")
    assert lender.notes() == [2]
    assert {e.tool for e in ledger.effects()} == {"inner", "outer"}


@durable
@pytest.mark.parametrize("committed", [True, False])
def test_a_commit_whose_answer_was_lost_is_looked_up(own: Lender, committed: bool) -> None:
    """Committed, and it is the result; not committed, and the caller hears it, and may repeat."""
    store: Any = own.ledger._engine.store  # pyright: ignore[reportPrivateUsage]
    dialect: Any = store.engine.dialect
    real, lost = dialect.do_commit, [True]

    def commit(connection: Any) -> None:
        if not lost:
            real(connection)
            return
        lost.clear()
        (real if committed else dialect.do_rollback)(connection)
        error = dialect.dbapi.OperationalError("the connection was cut")
        error.sqlite_errorname = "SQLITE_PROTOCOL"
        raise error

    dialect.do_commit = commit
    if committed:
        assert call_own(own, lambda: write(1)) == 1
    else:
        with pytest.raises(StoreError, match="the connection was cut"):
            call_own(own, lambda: write(1))
        assert (own.notes(), own.ledger.effects()) == ([], [])
    assert call_own(own, lambda: write(1)) == 1
    assert own.notes() == [1]
