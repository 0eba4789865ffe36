"""Effects that are writes in the ledger's own database: effect and record are one commit."""

from __future__ import annotations

import inspect
import unittest
from collections.abc import Callable
from typing import Any

from tallystick._context import current_effect
from tallystick._model import Guarantee
from tallystick._policy import Policy, Retry
from tallystick.errors import ApprovalRequired, InvalidPolicy, NotApplied
from tallystick.testing._contract._base import PATIENCE, Contract, Faced, raises, run
from tallystick.testing._contract._spot import Spot
from tallystick.testing._crash import Crashed, crash_at

TOGETHER = Policy(guarantee=Guarantee.TRANSACTIONAL)
ORDER = {"order": "A"}


class Transactions(Contract):
    """``TRANSACTIONAL``, where the store lends connections."""

    def _writer(self, *after: BaseException | None) -> Callable[..., Any]:
        """A tool that writes its order, and then raises what is next in *after*."""
        left = list(after)

        def end() -> str:
            if left and (error := left.pop(0)) is not None:
                raise error
            return "written"

        def write(order: str) -> str:
            self.write(current_effect().connection, order)
            return end()

        async def awrite(order: str) -> str:
            written = self.write(current_effect().connection, order)
            if inspect.isawaitable(written):
                await written
            return end()

        return awrite if self.awaiting else write

    def _call(
        self, ledger: Faced, fn: Callable[..., Any], policy: Policy = TOGETHER, **more: Any
    ) -> Any:
        """A call in a transaction of the caller's own, which an error rolls back."""
        options: dict[str, Any] = {"workflow": "w", "policy": policy, **more}
        if not self.awaiting:
            with self.transaction() as connection:  # type: ignore[union-attr]
                return ledger.ledger.call("write", fn, ORDER, connection=connection, **options)

        async def awaited() -> Any:
            async with self.transaction() as connection:  # type: ignore[union-attr]
                return await ledger.ledger.acall(
                    "write", fn, ORDER, connection=connection, **options
                )

        return run(awaited())

    def test_a_store_without_transactions_says_so_before_the_tool_runs(self) -> None:
        """No effect is recorded, and nothing happened."""
        if self.transactional:
            raise unittest.SkipTest("the store lends connections")
        ledger = self.ledger()
        charge = self.tool("done")
        with raises(InvalidPolicy):
            ledger.call("charge", charge.fn, workflow="w", policy=TOGETHER)
        assert (charge.times, ledger.effects()) == (0, [])

    def test_effect_and_record_are_committed_together(self) -> None:
        """By the caller, once; a replay writes nothing."""
        self.needs("transactional")
        ledger = self.ledger()
        for _ in range(2):
            assert self._call(ledger, self._writer()) == "written"
        assert self.written() == ["A"]
        assert (ledger.only().status, ledger.only().attempt) == ("succeeded", 1)

    def test_whatever_the_tool_raises_takes_both_back(self) -> None:
        """Nothing was written, nothing is in doubt, and the next call performs it."""
        self.needs("transactional")
        ledger = self.ledger()
        fn = self._writer(ValueError("?"), NotApplied("no"))
        for kind in (ValueError, NotApplied):
            with raises(kind):
                self._call(ledger, fn)
        assert (self.written(), ledger.effects(), ledger.pending()) == ([], [], [])
        assert self._call(ledger, fn) == "written"
        assert self.written() == ["A"]

    def test_a_caller_that_rolls_back_takes_both_back(self) -> None:
        """The record is part of the caller's transaction, whatever the tool returned."""
        self.needs("transactional")
        ledger = self.ledger()
        with raises(ZeroDivisionError):
            self._roll_back(ledger)
        assert (self.written(), ledger.effects()) == ([], [])
        assert self._call(ledger, self._writer()) == "written"

    def _roll_back(self, ledger: Faced) -> None:
        options: dict[str, Any] = {"workflow": "w", "policy": TOGETHER}
        if not self.awaiting:
            with self.transaction() as connection:  # type: ignore[union-attr]
                ledger.ledger.call("write", self._writer(), ORDER, connection=connection, **options)
                raise ZeroDivisionError

        async def awaited() -> None:
            async with self.transaction() as connection:  # type: ignore[union-attr]
                await ledger.ledger.acall(
                    "write", self._writer(), ORDER, connection=connection, **options
                )
                raise ZeroDivisionError

        run(awaited())

    def test_a_death_in_the_middle_is_rolled_back_and_run_again(self) -> None:
        """After the tool wrote, and after the record was made, and before both were committed."""
        self.needs("transactional")
        ledger = self.ledger()
        for point in ("tool.before", "tool.after", "Settle.applied"):
            with crash_at(point) as death, raises(Crashed):
                self._call(ledger, self._writer())
            assert death.fired, point
            ledger = self.heir(ledger)
            ledger.recover()
            assert (self.written(), ledger.pending()) == ([], []), point
        assert self._call(ledger, self._writer()) == "written"
        assert self.written() == ["A"]

    def test_without_a_connection_the_ledger_commits_its_own(self) -> None:
        """And takes it back, and may try again as the policy says."""
        self.needs("transactional")
        if self.awaiting:
            raise unittest.SkipTest("the awaiting face is lent a connection")
        ledger = self.ledger()
        fn = self._writer(ValueError("?"), None)
        with raises(ValueError):
            ledger.call("write", fn, ORDER, workflow="w", policy=TOGETHER)
        assert (self.written(), ledger.effects()) == ([], [])
        again = self._writer(NotApplied("busy", retryable=True), None)
        policy = TOGETHER.but(retry=Retry(initial=0, jitter=0))
        assert ledger.call("write", again, ORDER, workflow="w", policy=policy) == "written"
        assert self.written() == ["A"]

    def test_an_approval_is_asked_for_outside_of_the_transaction(self) -> None:
        """The request stays although the caller's transaction is rolled back."""
        self.needs("transactional")
        ledger = self.ledger()
        policy = TOGETHER.but(approval=True)
        with raises(ApprovalRequired) as caught:
            self._call(ledger, self._writer(), policy)
        assert ledger.inbox() == [("approval", "write")]
        ledger.approve(caught.error.key, by="ann")
        for _ in range(2):
            assert self._call(ledger, self._writer(), policy) == "written"
        assert self.written() == ["A"]
        assert ledger.kinds(str(caught.error.key)) == ["asked", "approved", "started"]

    def test_a_call_elsewhere_sees_who_was_faster(self) -> None:
        """The other was not committed when its place was asked first; it is the same, or new."""
        self.needs("transactional")
        ledger, other, fn = self.ledger(), self.ledger(), self._writer()
        for new, times in ((False, 1), (True, 3)):
            options: dict[str, Any] = {"workflow": f"w{new}"}

            def meanwhile(new: bool = new, options: dict[str, Any] = options) -> None:
                place: dict[str, Any] = {"call_id": "c1", "place": Spot("c1", new=new)}
                call = self.meanwhile(self._call, other, fn, **place, **options)
                assert call.result(PATIENCE) == "written"

            for name, met in (("c2", [[], ["c1"]]), ("c3", [["c1", "c2"]])):
                spot = Spot(name, new=new, meanwhile=meanwhile if name == "c2" else None)
                assert self._call(ledger, fn, call_id=name, place=spot, **options) == "written"
                assert spot.met == met
            assert [e.status for e in ledger.effects(**options)] == ["succeeded"] * times
        assert self.written() == ["A"] * 4

    def test_a_new_call_elsewhere_writes_again(self) -> None:
        """And where that is unclear, a person is asked outside of the transaction."""
        self.needs("transactional")
        ledger, fn = self.ledger(), self._writer()
        for name in ("c1", "c2", "c2"):
            place: dict[str, Any] = {"call_id": name, "place": Spot(name, new=True)}
            assert self._call(ledger, fn, **place) == "written"
        assert self.written() == ["A", "A"]
        place = {"call_id": "c3", "place": Spot("c3", new=True, unclear="a retry?")}
        with raises(ApprovalRequired) as caught:
            self._call(ledger, fn, **place)
        assert [item.kind for item in ledger.pending()] == ["suspect"]
        ledger.approve(caught.error.key, by="ann")
        for _ in range(2):
            assert self._call(ledger, fn, **place) == "written"
        assert self.written() == ["A", "A", "A"]
