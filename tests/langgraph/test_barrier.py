"""A tool acts once the checkpoint that asked for it is durable; a crash keeps both or neither."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tallystick import EffectInDoubt, Ledger
from tallystick._checkpoints import thread_key
from tallystick._faces import run_sync
from tallystick._ports import Ports
from tallystick.errors import CheckpointLate, ThreadDeleted, WrongLedger
from tallystick_checkpoint import LedgerSaver
from tests._sqlite import empty_database
from tests.checkpoints._acts import Thread, store_of

from ._slow import PATIENCE, SlowSaver, eventually
from ._world import World, in_turn, said, thread

PAY = ("pay", {"amount": 1})
NAME = "order-42"
KEY = thread_key("default", NAME)


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def bank(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A ledger in every store, and who is paid."""
    url = "memory://" if request.param == "memory" else empty_database(tmp_path)
    if request.param == "postgres":
        url = str(request.getfixturevalue("empty_postgres"))
    with Ledger(url, create=True) as ledger:
        yield World(ledger)


@pytest.fixture(params=["blocking", "awaiting"])
def face(request: pytest.FixtureRequest) -> str:
    """Both faces of a graph."""
    return str(request.param)


def going(pool: ThreadPoolExecutor, agent: Any, given: Any, face: str) -> Future[Any]:
    """A run on a thread of its own that does not wait for its checkpoints."""
    if face == "blocking":
        return pool.submit(agent.invoke, given, thread(NAME), durability="async")
    return pool.submit(lambda: asyncio.run(agent.ainvoke(given, thread(NAME), durability="async")))


# -- real graphs ---------------------------------------------------------------------------------


def test_a_tool_waits_for_the_checkpoint_that_asked_for_it(bank: World, face: str) -> None:
    saver = SlowSaver(bank.ledger)
    agent = bank.agent(in_turn([PAY, PAY]), checkpointer=saver)
    with ThreadPoolExecutor(1) as pool:
        run = going(pool, agent, said(), face)
        eventually(lambda: saver.awaited)
        assert (bank.book, bank.ledger.effects()) == ([], [])
        saver.gate.set()
        run.result(PATIENCE)
    assert bank.book == [1, 1]


def test_a_checkpoint_that_takes_too_long_stops_the_tool(
    bank: World, face: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was started, and the thread goes on from there."""
    saver = SlowSaver(bank.ledger, barrier=0.1)
    memory, gave_up = saver._memory, threading.Event()  # pyright: ignore[reportPrivateUsage]
    give_up = memory.give_up

    def giving_up(key: bytes, id_: str) -> None:
        give_up(key, id_)
        gave_up.set()

    monkeypatch.setattr(memory, "give_up", giving_up)
    agent = bank.agent(in_turn([PAY]), checkpointer=saver)
    with ThreadPoolExecutor(1) as pool:
        run = going(pool, agent, said(), face)
        assert gave_up.wait(PATIENCE)
        assert not saver.awaited
        assert (bank.book, bank.ledger.effects()) == ([], [])
        saver.gate.set()
        with pytest.raises(CheckpointLate, match="nothing was started") as caught:
            run.result(PATIENCE)
    assert caught.value.thread == NAME
    assert agent.get_state(thread(NAME)).next == ("tools",)
    agent.invoke(None, thread(NAME))
    assert bank.book == [1]


def test_a_put_that_fails_tells_those_who_wait(bank: World, face: str) -> None:
    """At once, or they would wait for a minute; be it that one or one before it."""
    saver = SlowSaver(bank.ledger, barrier=60)
    agent = bank.agent(in_turn([PAY]), checkpointer=saver)
    with ThreadPoolExecutor(1) as pool:
        run = going(pool, agent, said(), face)
        eventually(lambda: saver.awaited)
        saver.delete_thread(NAME)
        saver.gate.set()
        with pytest.raises((CheckpointLate, ThreadDeleted)):
            run.result(PATIENCE)
    assert (bank.book, bank.ledger.effects()) == ([], [])


def test_tools_and_checkpoints_in_two_ledgers_are_refused(bank: World, tmp_path: Path) -> None:
    """By mistake, after a change of the settings: nothing was started, and the thread goes on."""
    script = in_turn([PAY])
    with Ledger(f"sqlite:///{tmp_path}/other.db") as other:
        elsewhere = World(other)
        wrong = elsewhere.agent(script, checkpointer=bank.saver)
        with pytest.raises(WrongLedger, match="one and the same ledger") as caught:
            wrong.invoke(said(), thread(NAME))
        assert caught.value.thread == NAME
        assert (elsewhere.book, other.effects()) == ([], [])
    right = bank.agent(script)
    assert right.get_state(thread(NAME)).next == ("tools",)
    right.invoke(None, thread(NAME))
    assert bank.book == [1]


@pytest.mark.crash
def test_a_process_that_dies_in_its_tool_has_kept_what_asked_for_it(
    tmp_path: Path, face: str
) -> None:
    """The thread goes on with the very call that the effect was recorded under."""
    url, paid = f"sqlite:///{tmp_path}/ledger.db", tmp_path / "paid"
    command = [sys.executable, "-m", "tests.langgraph._mortal", url, str(paid), face]
    dead = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert dead.returncode == 9, dead.stderr
    assert paid.read_text() == "paid"
    with Ledger(url) as ledger:
        bank = World(ledger)
        agent = bank.agent(in_turn([PAY]))
        state = agent.get_state(thread(NAME))
        assert state.next == ("tools",)
        [asked] = state.values["messages"][-1].tool_calls
        [effect] = ledger.effects()
        assert (effect.call_id, effect.workflow, effect.status) == (asked["id"], NAME, "running")
        with pytest.raises(EffectInDoubt):
            agent.invoke(None, thread(NAME))
        ledger.resolve(effect.key, by="ann", succeeded="paid by the dead")
        result = agent.invoke(None, thread(NAME))
        answer = next(m for m in result["messages"] if m.type == "tool")
        assert (answer.tool_call_id, answer.content) == (asked["id"], "paid by the dead")
        assert bank.book == []


# -- the barrier by itself -----------------------------------------------------------------------


class Barrier:
    """A saver's barrier through one face, for a thread whose root graph runs here."""

    def __init__(self, ledger: Ledger, face: str, patience: float = PATIENCE) -> None:
        self.saver = LedgerSaver(ledger, barrier=patience)
        self.memory = self.saver._memory  # pyright: ignore[reportPrivateUsage]
        self._face = face
        inner: Any = ledger
        self._p: Ports = inner._awaiting if face == "awaiting" else inner._blocking
        self.memory.runs(KEY, "", None)

    def wait(self, places: Mapping[str, str]) -> float:
        """Wait for these checkpoints; for how long."""
        began = time.monotonic()
        waiting = self.saver.history.durable(self._p, NAME, places)
        if self._face == "awaiting":
            asyncio.run(_done(waiting))
        else:
            run_sync(waiting)
        return time.monotonic() - began


CONFIG: Any = {"configurable": {"thread_id": NAME}}


def empty(id_: str) -> Any:
    """A checkpoint of nothing."""
    return {"id": id_, "channel_versions": {}, "channel_values": {}}


async def _done(waiting: Any) -> None:
    await waiting


def test_only_graphs_that_run_here_are_waited_for(bank: World, face: str) -> None:
    """Others keep no checkpoints: a subgraph without a checkpointer never asks for one."""
    barrier = Barrier(bank.ledger, face)
    assert barrier.wait({"agent:1": "x", "agent:1|2": "y"}) < 1
    assert not barrier.saver.history.persists(NAME, "agent:1")
    barrier.memory.runs(KEY, "agent:1", 3)
    assert barrier.saver.history.persists(NAME, "agent:1")
    assert barrier.saver.history.attempt(NAME, "agent:1") == 3
    assert not barrier.saver.history.persists("another", "agent:1")


def test_a_checkpoint_is_known_by_its_id_alone(bank: World, face: str) -> None:
    """A task of the functional API puts it under a name that its callers don't see."""
    barrier = Barrier(bank.ledger, face)
    config: Any = {"configurable": {"thread_id": NAME, "checkpoint_ns": "wf:task"}}
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(barrier.wait, {"": "7"})
        eventually(lambda: barrier.memory._awaited)  # pyright: ignore[reportPrivateUsage]
        barrier.saver.put(config, empty("7"), {}, {})
        waiting.result(PATIENCE)
    assert barrier.wait({"": "7"}) < 1


def test_a_checkpoint_of_another_process_is_found_by_reading(bank: World, face: str) -> None:
    """Nobody here ever says that it is durable."""
    barrier, t = Barrier(bank.ledger, face, patience=0.05), Thread(NAME)
    store_of(bank.ledger).apply([t.put("7")])
    barrier.wait({"": "7"})
    for missing in ({"": "8"}, {"": "7", "sub": "7"}):
        barrier.memory.runs(KEY, "sub", None)
        with pytest.raises(CheckpointLate, match="nothing was started"):
            barrier.wait(missing)
    assert not barrier.memory._awaited  # pyright: ignore[reportPrivateUsage]


def test_after_a_put_that_failed_nobody_waits(bank: World, face: str) -> None:
    """What LangGraph would put next does not come, until a graph begins anew in the thread."""
    barrier = Barrier(bank.ledger, face)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(barrier.wait, {"": id_}) for id_ in ("7", "8")]
        eventually(lambda: len(barrier.memory._awaited) == 2)  # pyright: ignore[reportPrivateUsage]
        barrier.memory.failed((KEY, "", "7"), OSError("disk"))
        for wait in waiting:
            assert isinstance(wait.exception(PATIENCE), CheckpointLate)
    with pytest.raises(CheckpointLate, match="disk"):
        barrier.wait({"": "9"})
    store_of(bank.ledger).apply([Thread(NAME).put("9")])
    barrier.wait({"": "9"})  # it is there all the same
    barrier.memory.runs(KEY, "", None)
    with ThreadPoolExecutor(1) as pool:
        again = pool.submit(barrier.wait, {"": "10"})
        eventually(lambda: barrier.memory._awaited)  # pyright: ignore[reportPrivateUsage]
        barrier.saver.put(CONFIG, empty("10"), {}, {})
        again.result(PATIENCE)


def test_a_put_that_was_cancelled_is_nobody_else_s(bank: World, face: str) -> None:
    """Another run may be at the same thread."""
    barrier = Barrier(bank.ledger, face)
    with ThreadPoolExecutor(2) as pool:
        mine, other = (pool.submit(barrier.wait, {"": id_}) for id_ in ("7", "8"))
        eventually(lambda: len(barrier.memory._awaited) == 2)  # pyright: ignore[reportPrivateUsage]
        barrier.memory.failed((KEY, "", "7"), asyncio.CancelledError())
        assert isinstance(mine.exception(PATIENCE), CheckpointLate)
        assert not other.done()
        barrier.saver.put(CONFIG, empty("8"), {}, {})
        other.result(PATIENCE)


def test_all_levels_share_one_patience(bank: World, face: str) -> None:
    """Twenty of another process do not take twenty times as long as one."""
    barrier = Barrier(bank.ledger, face, patience=0.2)
    t, names = Thread(NAME), [f"sub{n}" for n in range(20)]
    for name in names:
        barrier.memory.runs(KEY, name, None)
        store_of(bank.ledger).apply([t.put(f"in {name}", ns=name)])
    assert barrier.wait({name: f"in {name}" for name in names}) < 20 * 0.2


def test_one_who_goes_takes_it_from_nobody(bank: World) -> None:
    """A task that is cancelled while it waits leaves the others waiting."""
    barrier = Barrier(bank.ledger, "awaiting")
    inner: Any = bank.ledger

    async def main() -> None:
        def waits() -> asyncio.Task[None]:
            waiting = barrier.saver.history.durable(inner._awaiting, NAME, {"": "7"})
            return asyncio.ensure_future(waiting)

        one, two = waits(), waits()
        await asyncio.to_thread(eventually, lambda: barrier.memory._awaited)  # pyright: ignore[reportPrivateUsage]
        one.cancel()
        await asyncio.wait([one], timeout=PATIENCE)
        assert not two.done()
        await barrier.saver.aput(CONFIG, empty("7"), {}, {})
        await asyncio.wait_for(two, PATIENCE)
        assert one.cancelled()

    asyncio.run(main())


def test_a_clone_shares_what_its_saver_knows(bank: World, face: str) -> None:
    """LangGraph makes one where it allows the classes of a graph's state."""
    barrier = Barrier(bank.ledger, face)
    clone: Any = barrier.saver.with_allowlist([("tests.langgraph._world", "World")])
    assert clone is not barrier.saver
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(barrier.wait, {"": "7"})
        eventually(lambda: barrier.memory._awaited)  # pyright: ignore[reportPrivateUsage]
        clone.put(CONFIG, empty("7"), {}, {})
        waiting.result(PATIENCE)
    assert clone.history is barrier.saver.history
