"""Callers that wait for one another, and callers that leave."""

from __future__ import annotations

import asyncio
import threading
import unittest
from functools import partial
from typing import Any

from tallystick import _journal
from tallystick._model import Guarantee, Status
from tallystick._policy import Policy
from tallystick.errors import EffectFailed, EffectInDoubt, NotApplied, StillRunning, StoreBusy
from tallystick.testing._contract._base import PATIENCE, Contract, Faced, Tool, raises, run

AGAIN = Policy(guarantee=Guarantee.IDEMPOTENT)


class Gate:
    """A tool that waits to be let through."""

    def __init__(self, *outcomes: Any) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()
        self._then = Tool(*outcomes)
        self.tool = Tool(self._pass)

    def _pass(self, **args: Any) -> Any:
        self.entered.set()
        assert self.open.wait(PATIENCE)
        return self._then.fn(**args)


class Waiting(Contract):
    """Followers, and what becomes of a claim that nobody waits for."""

    def _together(self, ledger: Faced, tool: Tool, times: int, workflow: str = "w") -> list[Any]:
        """The same call, *times* times at once."""
        if self.awaiting:

            async def all_of_them() -> list[Any]:
                calls = [
                    ledger.ledger.acall("charge", tool.fn, workflow=workflow) for _ in range(times)
                ]
                return await asyncio.gather(*calls, return_exceptions=True)

            return run(all_of_them())
        calls = [
            self.meanwhile(ledger.call, "charge", tool.fn, workflow=workflow) for _ in range(times)
        ]
        return [call.exception(PATIENCE) or call.result() for call in calls]

    def test_identical_calls_at_once_are_one_effect(self) -> None:
        """One of them performs it; the others follow and get its result."""
        ledger = self.ledger()
        charge = self.tool({"id": "ch_1"})
        assert self._together(ledger, charge, 12) == [{"id": "ch_1"}] * 12
        assert charge.times == 1

    def test_different_calls_at_once_are_all_performed(self) -> None:
        """Each is its own."""
        ledger = self.ledger()

        def echo(n: int) -> int:
            return n

        charge = self.tool(echo)
        calls = [
            self.meanwhile(ledger.call, "charge", charge.fn, {"n": n}, workflow="w")
            for n in range(12)
        ]
        assert [call.result(PATIENCE) for call in calls] == list(range(12))
        assert charge.times == 12

    def test_a_follower_in_another_process_gets_the_leader_s_outcome(self) -> None:
        """It waits for as long as the policy allows, and is woken."""
        outcomes: list[tuple[Any, Any]] = [
            ("done", "done"),
            (NotApplied("no"), EffectFailed),
            (ValueError("?"), EffectInDoubt),
        ]
        leader, follower = self.ledger(), self.ledger()
        for n, (outcome, expected) in enumerate(outcomes):
            gate = Gate(outcome)
            options: dict[str, Any] = {"args": {"n": n}, "workflow": "w"}
            first = self._apart(leader, gate.tool, options)
            assert gate.entered.wait(PATIENCE)
            second = self._apart(follower, gate.tool, options)
            gate.open.set()
            first.exception(PATIENCE)
            got = second.exception(PATIENCE) or second.result()
            assert got == expected or isinstance(got, expected), got
            assert gate.tool.times == 1

    def _apart(self, ledger: Faced, tool: Tool, options: dict[str, Any]) -> Any:
        return self.meanwhile(ledger.call, "charge", tool.fn, **options)

    def test_a_follower_s_patience_ends(self) -> None:
        """The holder is alive and goes on; the caller is told to come again."""
        ledger, other = self.ledger(), self.ledger()
        held = ledger.hold("charge", workflow="w")
        charge = self.tool("done")
        for caller in (ledger, other):
            with raises(StillRunning):
                caller.call("charge", charge.fn, workflow="w", policy=Policy(wait=0.05))
        held.succeed("mine")
        for caller in (ledger, other):
            assert caller.call("charge", charge.fn, workflow="w") == "mine"
        assert charge.times == 0

    def test_a_follower_whose_leader_dies_does_not_wait_for_ever(self) -> None:
        """It takes over where the guarantee allows it, and else is told that it is in doubt."""
        for policy, expected in ((AGAIN, "taken over"), (Policy(), EffectInDoubt)):
            leader, follower = self.ledger(), self.ledger()
            workflow = policy.guarantee.value
            leader.hold("charge", workflow=workflow, policy=policy)
            charge = self.tool("taken over")
            call = self._apart(follower, charge, {"workflow": workflow, "policy": policy})
            self.eventually(partial(_waits, follower))
            self.die(leader)
            got = call.exception(PATIENCE) or call.result()
            assert got == expected or isinstance(got, expected), got  # type: ignore[arg-type]

    def test_a_follower_that_leaves_leaves_nothing_behind(self) -> None:
        """Its leader goes on, and nobody waits any more."""
        if not self.awaiting:
            raise unittest.SkipTest("a thread that waits cannot be cancelled")
        ledger = self.ledger()
        held = ledger.hold("charge", workflow="w")
        charge = self.tool("done")

        async def leave() -> None:
            task = asyncio.ensure_future(ledger.ledger.acall("charge", charge.fn, workflow="w"))
            while not _waits(ledger):  # noqa: ASYNC110 - it is another thread's doing
                await asyncio.sleep(0.005)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        run(leave())
        assert not _waits(ledger)
        held.succeed("mine")
        assert ledger.call("charge", charge.fn, workflow="w") == "mine"

    def test_a_claim_whose_caller_has_gone_is_given_back(self) -> None:
        """It was granted to nobody, and the tool never started: the next call performs it."""
        ledger = self.ledger()
        if ledger.engine.store.immediate:
            raise unittest.SkipTest("a store that answers at once cannot be left")
        charge = self.tool("done")
        with ledger.engine.journal._turn:  # noqa: SLF001 - nothing is written meanwhile
            if self.awaiting:
                run(self._cancel(ledger, charge))
            else:
                self._impatient(ledger, charge)
        self.eventually(lambda: _kinds(ledger) == ["released"])
        assert charge.times == 0
        assert ledger.pending() == []
        assert ledger.call("charge", charge.fn, workflow="w") == "done"

    async def _cancel(self, ledger: Faced, tool: Tool) -> None:
        task = asyncio.ensure_future(ledger.ledger.acall("charge", tool.fn, workflow="w"))
        while ledger.engine.journal._thread is None:  # noqa: ASYNC110, SLF001 - until the claim waits
            await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    def _impatient(self, ledger: Faced, tool: Tool) -> None:
        patience, _journal.PATIENCE = _journal.PATIENCE, 0.05
        try:
            with raises(StoreBusy):
                ledger.call("charge", tool.fn, workflow="w")
        finally:
            _journal.PATIENCE = patience

    def test_a_cancelled_tool_is_in_doubt(self) -> None:
        """Whoever cancels a call in the middle does not know how far it came."""
        if not self.awaiting:
            raise unittest.SkipTest("a thread cannot be cancelled")
        ledger = self.ledger()
        entered = threading.Event()

        async def endless() -> None:
            entered.set()
            await asyncio.sleep(PATIENCE)

        async def cancel() -> None:
            task = asyncio.ensure_future(ledger.ledger.acall("charge", endless, workflow="w"))
            while not entered.is_set():  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()

        run(cancel())
        self.eventually(lambda: ledger.only().status is Status.IN_DOUBT)

    def test_a_cancelled_caller_does_not_stop_a_tool_in_its_thread(self) -> None:
        """A sync tool is carried to its end, and its outcome is recorded."""
        if not self.awaiting:
            raise unittest.SkipTest("a thread cannot be cancelled")
        ledger, gate = self.ledger(), Gate("done")

        async def cancel() -> None:
            call = ledger.ledger.acall("charge", gate.tool.fn, workflow="w")
            task = asyncio.ensure_future(call)
            while not gate.entered.is_set():  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()

        run(cancel())
        gate.open.set()
        self.eventually(lambda: ledger.only().status is Status.SUCCEEDED)
        assert ledger.call("charge", gate.tool.fn, workflow="w") == "done"
        assert gate.tool.times == 1

    def test_an_awaited_tool_that_outlasts_its_timeout_is_in_doubt(self) -> None:
        """It is cancelled, and nobody knows how far it came."""
        if not self.awaiting:
            raise unittest.SkipTest("a sync tool cannot be stopped")
        ledger = self.ledger()
        slow = self.tool(lambda: asyncio.sleep(PATIENCE))
        with raises(EffectInDoubt):
            ledger.call("charge", slow.fn, workflow="w", policy=Policy(timeout=0.05))
        assert ledger.inbox() == [("in_doubt", "charge")]


def _waits(faced: Faced) -> bool:
    return bool(faced.engine.waiters._by_key)  # noqa: SLF001


def _kinds(faced: Faced) -> list[str]:
    return [kind for effect in faced.effects() for kind in faced.kinds(effect.key)]
