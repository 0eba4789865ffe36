"""Group commit: everybody gets his answer, whoever is cancelled, dies, forks, or leaves."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

from tallystick import Approval, EffectInDoubt, Guarantee, Ledger, Policy, Status, _journal
from tallystick import _acts as acts
from tallystick.errors import LedgerClosed, StoreBusy, StoreUnavailable
from tests.conftest import Face, Place

durable = pytest.mark.parametrize("place", ["sqlite", "postgres"], indirect=True)


def nothing(acts: Sequence[Any]) -> None:
    """Neither spoil nor lose anything."""


class Gate:
    """Stands before a ledger's store: counts transactions, holds them up, spoils them."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.groups: list[int] = []
        self.arrived = threading.Event()
        self._open = threading.Event()
        self._open.set()
        self._store = cast("Any", ledger._engine.store)  # pyright: ignore[reportPrivateUsage]
        self._apply = self._store.apply
        self._store.apply = self._through
        self._store.attempt = nothing  # everything goes through the writer
        self.spoil: Callable[[Sequence[Any]], None] = nothing
        self.lose: Callable[[Sequence[Any]], None] = nothing

    def _through(self, acts: Sequence[Any]) -> Any:
        self.arrived.set()
        assert self._open.wait(30)
        self.groups.append(len(acts))
        self.spoil(acts)
        applied = self._apply(acts)
        self.lose(acts)
        return applied

    def shut(self) -> None:
        """Hold up what comes."""
        self._open.clear()
        self.arrived.clear()

    def open(self) -> None:
        """Let it through."""
        self._open.set()


@pytest.fixture
def gate(place: Place) -> Generator[Gate]:
    """A ledger with a gate before its store."""
    gate = Gate(place.open())
    yield gate
    gate.open()


def call(ledger: Ledger, n: int = 0, answer: Any = "done", **options: Any) -> Any:
    """Call a tool."""

    def tool(n: int) -> Any:
        return answer

    options.setdefault("workflow", "w")
    return ledger.call("t", tool, {"n": n}, **options)


def acall(ledger: Ledger, n: int = 0, **options: Any) -> Any:
    """The same, awaited."""

    async def tool(n: int) -> int:
        return n

    return ledger.acall("t", tool, {"n": n}, workflow="w", **options)


def until(ledger: Ledger, status: Status, count: int = 1) -> None:
    """Wait until so many effects are there."""
    deadline = time.monotonic() + 10
    while len(ledger.effects(status=status)) != count:
        assert time.monotonic() < deadline, [e.status for e in ledger.effects()]
        time.sleep(0.005)


# -- groups -------------------------------------------------------------------------------------


@durable
async def test_what_waits_together_is_written_together(gate: Gate) -> None:
    """Three hundred calls are a handful of transactions, and each gets its own answer."""
    answers = await asyncio.gather(*[acall(gate.ledger, n) for n in range(300)])
    assert answers == list(range(300))
    assert sum(gate.groups) == 600
    assert len(gate.groups) < 60


@durable
async def test_a_poisonous_act_fails_alone(gate: Gate) -> None:
    """The group is written again, one by one; only one caller gets the error."""

    def spoil(acts: Sequence[Any]) -> None:
        if any('"n":13' in getattr(act, "args", "") for act in acts):
            raise ArithmeticError("poison")

    gate.spoil = spoil
    gate.shut()
    calls = [asyncio.create_task(acall(gate.ledger, n)) for n in range(40)]
    await asyncio.sleep(0.05)
    gate.open()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [n for n, answer in enumerate(answers) if answer != n] == [13]
    assert isinstance(answers[13], ArithmeticError)
    assert len(gate.ledger.effects(status="succeeded")) == 39


@durable
def test_what_no_database_can_keep_fails_alone(place: Place) -> None:
    """A real one: a number that is too large, among others that are fine."""
    ledger = place.open()
    journal = ledger._engine.journal  # pyright: ignore[reportPrivateUsage]

    async def main() -> list[Any]:
        good = acts.Look(key=b"k" * 32, tenant="default")
        bad = acts.Sweep(actor="me", dead=("w",), limit=1 << 70)
        mixed: list[Any] = [good, bad, good]
        return await asyncio.gather(*map(journal.asubmit, mixed), return_exceptions=True)

    first, second, third = asyncio.run(main())
    assert isinstance(first, acts.Found)
    assert isinstance(second, Exception)
    assert isinstance(third, acts.Found)


@durable
async def test_an_outage_is_everybodys_error_once(gate: Gate) -> None:
    """A database that is not there is not asked again for each act of the group."""

    def spoil(acts: Sequence[Any]) -> None:
        raise StoreUnavailable("down")

    gate.spoil = spoil
    gate.shut()
    calls = [asyncio.create_task(acall(gate.ledger, n)) for n in range(40)]
    await asyncio.sleep(0.05)
    gate.open()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(answer, StoreUnavailable) for answer in answers)
    assert len(gate.groups) < 10


# -- answers that are lost ----------------------------------------------------------------------


@durable
def test_a_claim_whose_answer_was_lost_is_given_back(gate: Gate) -> None:
    """Its caller heard that the database is down; nobody performs it; so it can start again."""
    gate.lose = lose = Losing(acts.Claim)
    with pytest.raises(StoreUnavailable):
        call(gate.ledger)
    assert gate.ledger.effects()[0].status is Status.RUNNING
    lose.over = True
    keep_house(gate.ledger)
    assert call(gate.ledger, answer="again") == "again"
    kinds = [e.kind for e in gate.ledger.history(gate.ledger.effects()[0].key)]
    assert kinds == ["released", "started"]


@durable
@pytest.mark.parametrize("lost", ["before", "after"])
def test_an_outcome_whose_answer_was_lost_is_recorded_later(gate: Gate, lost: str) -> None:
    """The caller hears that nobody knows; the ledger does as soon as the database is back."""
    losing = Losing(acts.Settle)
    setattr(gate, "lose" if lost == "after" else "spoil", losing)
    with pytest.raises(EffectInDoubt, match="could not be recorded"):
        call(gate.ledger)
    losing.over = True
    keep_house(gate.ledger)
    assert call(gate.ledger, answer="again") == "done"


class Losing:
    """The connection is cut at each act of a kind, until it is over."""

    def __init__(self, kind: type[Any]) -> None:
        self.over = False
        self._kind = kind

    def __call__(self, acts: Sequence[Any]) -> None:
        if not self.over and any(isinstance(act, self._kind) for act in acts):
            raise StoreUnavailable("the connection was cut")


def keep_house(ledger: Ledger) -> None:
    """What a ledger does every few seconds."""
    ledger._keeper.round()  # pyright: ignore[reportPrivateUsage]


# -- callers who go -----------------------------------------------------------------------------


@durable
@pytest.mark.parametrize("when", ["waiting", "at the database"])
async def test_a_claim_of_a_cancelled_task_is_given_back(gate: Gate, when: str) -> None:
    """Cancelled before its claim was written, or meanwhile: the tool did not start."""
    gate.shut()
    tasks = [asyncio.create_task(acall(gate.ledger, n)) for n in range(3)]
    if when == "at the database":
        await asyncio.to_thread(gate.arrived.wait, 5)
    else:
        await asyncio.sleep(0.02)
    for task in tasks[1:]:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    gate.open()
    assert await tasks[0] == 0
    await asyncio.to_thread(until, gate.ledger, Status.RUNNING, 0)
    assert gate.ledger.pending() == []
    assert await asyncio.gather(*[acall(gate.ledger, n) for n in range(3)]) == [0, 1, 2]


@durable
async def test_a_retry_of_a_cancelled_task_is_given_back(gate: Gate) -> None:
    """The same for the start of an attempt at what exists."""
    ledger = gate.ledger
    with ledger.claim("t", {"n": 1}, workflow="w") as claim:
        claim.fail("busy", retryable=True)
    gate.shut()
    task = asyncio.create_task(acall(ledger, 1))
    await asyncio.to_thread(gate.arrived.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.open()
    await asyncio.to_thread(until, ledger, Status.RUNNING, 0)
    assert await acall(ledger, 1) == 1


@durable
def test_a_claim_of_a_loop_that_was_closed_is_given_back(gate: Gate) -> None:
    """Its tasks are gone, and nobody can be told."""
    loop = asyncio.new_event_loop()
    calling = acall(gate.ledger)
    gate.shut()

    async def begin() -> None:
        calling.send(None)
        await asyncio.to_thread(gate.arrived.wait, 5)

    loop.run_until_complete(begin())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    calling.close()
    gate.open()
    until(gate.ledger, Status.APPROVED)
    assert call(gate.ledger) == "done"


@pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(),
    reason="signals go to the main thread",
)
@durable
def test_a_claim_of_a_caller_who_pressed_ctrl_c_is_given_back(gate: Gate) -> None:
    """Interrupted while it waits for the database, like at a prompt."""
    gate.shut()
    press = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
    open_later = threading.Timer(0.3, gate.open)
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        press.start()
        open_later.start()
        with pytest.raises(KeyboardInterrupt):
            call(gate.ledger)
    finally:
        press.join()
        open_later.join()
        signal.signal(signal.SIGUSR1, before)
    until(gate.ledger, Status.APPROVED)
    assert call(gate.ledger) == "done"


def interrupt(*_: Any) -> None:
    """As Python does it on Ctrl-C."""
    raise KeyboardInterrupt


# -- limits -------------------------------------------------------------------------------------


@durable
async def test_a_queue_that_is_full_refuses_at_once(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was started for who is refused; the others are served when it goes on."""
    monkeypatch.setattr(_journal, "QUEUE", 5)
    gate.shut()
    first = asyncio.create_task(acall(gate.ledger, 0))
    await asyncio.to_thread(gate.arrived.wait, 5)
    rest = [asyncio.create_task(acall(gate.ledger, n)) for n in range(1, 10)]
    await asyncio.sleep(0.05)
    refused = [task for task in rest if task.done()]
    assert len(refused) == 4
    assert all(isinstance(task.exception(), StoreBusy) for task in refused)
    gate.open()
    answers = await asyncio.gather(first, *rest, return_exceptions=True)
    assert answers[:6] == list(range(6))
    assert len(gate.ledger.effects()) == 6


@durable
def test_a_database_that_does_not_answer_is_not_waited_for_for_ever(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller gets a typed error; what still happens is given back."""
    monkeypatch.setattr(_journal, "PATIENCE", 0.1)
    gate.shut()
    with pytest.raises(StoreBusy, match="given back"):
        call(gate.ledger)
    monkeypatch.undo()
    gate.open()
    until(gate.ledger, Status.APPROVED)
    assert call(gate.ledger) == "done"


# -- a writer that dies -------------------------------------------------------------------------


@durable
def test_when_the_writer_dies_every_waiter_gets_the_error(gate: Gate, place: Place) -> None:
    """Threads and tasks, those in its hands and those in the queue, and all who come later."""
    journal: Any = gate.ledger._engine.journal  # pyright: ignore[reportPrivateUsage]
    gather, dying = journal._gather, [False]

    def dies(group: Any) -> Any:
        last = gather(group)
        if dying[0]:
            raise MemoryError("no more")
        return last

    journal._gather = dies
    gate.shut()

    async def task(n: int) -> Any:
        return await acall(gate.ledger, n)

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(call, gate.ledger, 0)
        assert gate.arrived.wait(5)
        dying[0] = True
        waiting = [pool.submit(call, gate.ledger, n) for n in range(1, 4)]
        waiting += [pool.submit(asyncio.run, task(n)) for n in range(4, 7)]
        time.sleep(0.1)
        gate.open()
        errors = [future.exception(timeout=10) for future in [first, *waiting]]
    assert all(isinstance(error, StoreUnavailable | EffectInDoubt) for error in errors)
    assert isinstance(errors[-1], StoreUnavailable)
    assert isinstance(errors[-1].__cause__, MemoryError)
    with pytest.raises(StoreUnavailable, match="writer died"):
        call(gate.ledger, 8)
    with pytest.raises(StoreUnavailable, match="writer died"):
        asyncio.run(task(9))
    gate.ledger.close()
    assert call(place.reopen(), 10) == "done"


@durable
def test_who_wakes_the_waiters_cannot_kill_the_writer(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """A hint that fails is logged; the answers are delivered."""
    journal: Any = gate.ledger._engine.journal  # pyright: ignore[reportPrivateUsage]

    def fail(touched: Any) -> None:
        raise ArithmeticError("a bad hint")

    journal._announce = fail
    assert [call(gate.ledger, n) for n in range(3)] == ["done"] * 3
    assert "a bad hint" in caplog.text


# -- closing ------------------------------------------------------------------------------------


def test_closing_answers_those_who_wait(place: Place, face: Face) -> None:
    """For a person, or for another holder: with a typed error, and soon."""
    ledger, other = place.open(), place.open()
    leave, entered = threading.Event(), threading.Event()

    def slow() -> None:
        entered.set()
        assert leave.wait(20)

    waiting = Policy(approval=Approval(wait=30.0))
    with ThreadPoolExecutor(3) as pool:
        holder = pool.submit(other.call, "slow", slow, workflow="w")
        assert entered.wait(10)
        follower = pool.submit(face.do, ledger, "call", "slow", slow, workflow="w")
        asker = pool.submit(
            face.do, ledger, "call", "ask", lambda: None, workflow="w", policy=waiting
        )
        while not other.pending():
            time.sleep(0.01)
        time.sleep(0.1)
        began = time.monotonic()
        ledger.close()
        for waiter in (follower, asker):
            assert isinstance(waiter.exception(timeout=10), LedgerClosed)
        assert time.monotonic() - began < 5
        leave.set()
        holder.result()


@durable
async def test_closing_writes_what_waits(place: Place) -> None:
    """The doubts of tasks that were cancelled just before."""
    ledger, entered = place.open(), asyncio.Event()

    async def slow() -> None:
        entered.set()
        await asyncio.sleep(20)

    task = asyncio.create_task(ledger.acall("slow", slow, workflow="w"))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await ledger.aclose()
    (effect,) = place.open().effects()
    assert effect.status is Status.IN_DOUBT
    assert effect.error is not None
    assert effect.error["type"] == "asyncio.exceptions.CancelledError"


# -- processes ----------------------------------------------------------------------------------


def run(verb: str, url: str) -> Any:
    """What a process does, and what it says at its end."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.flows.process", verb, url]
    done = subprocess.run(
        command,
        check=False,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_is_another_worker_and_its_parent_stays_who_it_was(place: Place) -> None:
    """Both go on with the same ledger, also one that was forked in the middle of a tool."""
    told = run("fork", place.url)
    parent, child = told["parent"][0], told["child"]
    assert told["status"] == 0
    assert told["parent"] == [parent, parent]
    assert child != parent
    assert (told["first"], told["third"]) == ("by the parent", "by the child")
    assert (told["slow"], told["late"]) == ("by the parent", "by the parent")
    assert told["sound"]
    expected = {"first": parent, "second": parent, "slow": parent, "late": parent}
    if place.kind == "memory":  # the child has a copy, in which the parent's attempt is in doubt
        assert told["slow in the child"] == "EffectInDoubt"
    else:
        assert told["slow in the child"] == "StillRunning"
        expected["third"] = child
    assert told["effects"] == {tool: ["succeeded", who] for tool, who in expected.items()}


@durable
def test_the_interpreter_writes_what_waits_before_it_ends(place: Place) -> None:
    """Nobody closed the ledger; the doubts of three hundred cancelled tasks are recorded."""
    run("leave", place.url)
    ledger = place.open()
    statuses = {(e.tool, e.status) for e in ledger.effects()}
    assert statuses == {
        ("slow", Status.IN_DOUBT),
        ("quick", Status.IN_DOUBT),
        ("late", Status.SUCCEEDED),
    }
    assert len(ledger.effects(tool="slow")) == 300
    assert ledger.recover() == 0


@durable
async def test_many_slow_tools_do_not_hold_up_the_rest(place: Place) -> None:
    """Sync tools have threads of their own; looking and deciding do not wait for them."""
    ledger, leave = place.open(), threading.Event()
    count = 130

    def slow(n: int) -> int:
        assert leave.wait(30)
        return n

    tasks = [
        asyncio.create_task(ledger.acall("slow", slow, {"n": n}, workflow="w"))
        for n in range(count)
    ]
    await asyncio.to_thread(until, ledger, Status.RUNNING, count)
    began = time.monotonic()
    assert len(await ledger.aeffects(status="running")) == count
    assert await acall(ledger, 1) == 1
    assert await acall(ledger, 1) == 1
    assert time.monotonic() - began < 5
    leave.set()
    assert await asyncio.gather(*tasks) == list(range(count))


@durable
async def test_who_is_cancelled_before_the_tool_starts_gives_the_claim_back(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the claim and the tool a worker makes sure that it still counts as alive."""
    ledger = place.open()
    awaiting: Any = ledger._awaiting  # pyright: ignore[reportPrivateUsage]
    unsure = asyncio.Event()

    async def lively() -> bool:
        unsure.set()
        await asyncio.sleep(20)
        return True

    monkeypatch.setattr(awaiting, "lively", lively)
    task = asyncio.create_task(acall(ledger))
    await unsure.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    monkeypatch.undo()
    await asyncio.to_thread(until, ledger, Status.APPROVED)
    assert ledger.pending() == []
    assert await acall(ledger) == 0


@durable
async def test_a_worker_that_lost_its_claim_while_it_was_unsure_does_not_run(place: Place) -> None:
    """Somebody else took it over meanwhile; their result is the answer."""
    ledger, other = place.open(), place.open()
    awaiting: Any = ledger._awaiting  # pyright: ignore[reportPrivateUsage]
    runs: list[int] = []

    async def tool(n: int) -> int:
        runs.append(n)
        return n

    async def lively() -> bool:
        (effect,) = other.effects()
        engine: Any = other._engine  # pyright: ignore[reportPrivateUsage]
        place: dict[str, Any] = {"key": bytes.fromhex(effect.key), "tenant": "default"}
        nonce = engine.store.read(acts.Look(**place)).row.nonce
        doubt = acts.Doubt(**place, epoch=1, nonce=nonce, actor="x", error=None, reason="x")
        engine.journal.submit(doubt)
        other.resolve(effect.key, by="ann", succeeded=99)
        return False

    awaiting.lively = lively
    policy = Policy(guarantee=Guarantee.IDEMPOTENT)
    assert await ledger.acall("t", tool, {"n": 0}, workflow="w", policy=policy) == 99
    assert runs == []
