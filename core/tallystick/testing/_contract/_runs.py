"""Runs: input and output, one holder at a time, what an error undoes, savepoints."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from tallystick._policy import Policy
from tallystick.errors import (
    ApprovalRequired,
    ArgumentsChanged,
    CalledFromItself,
    CompensationIncomplete,
    EffectCompensated,
    EffectInDoubt,
    Halted,
    InvalidCall,
    NotApplied,
    NotSerializable,
    RunFinished,
    StillRunning,
    UnknownEffect,
)
from tallystick.testing._contract._base import Contract, Faced, Tool, raises, run
from tallystick.testing._crash import Crashed, crash_at

REFUND = Policy(compensate="refund")
ORDER = {"order": "A"}


class Within:
    """What a block does inside of its run, on the face under test."""

    def __init__(self, contract: Contract, ledger: Faced, scope: Any) -> None:
        self._contract = contract
        self._ledger = ledger
        self.run = scope

    async def __call__(self, tool: str, fn: Callable[..., Any], args: Any, **options: Any) -> Any:
        """One call of a tool."""
        if self._contract.awaiting:
            return await self._ledger.ledger.acall(tool, fn, args, **options)
        return self._ledger.ledger.call(tool, fn, args, **options)

    async def do(self, verb: str, *args: Any, **options: Any) -> Any:
        """One verb of the run."""
        if self._contract.awaiting:
            return await getattr(self.run, f"a{verb}")(*args, **options)
        return getattr(self.run, verb)(*args, **options)


class Runs(Contract):
    """``with ledger.workflow(id, input=…, compensate=…)``."""

    def within(
        self,
        ledger: Faced,
        block: Callable[[Within], Any] | None = None,
        name: str = "w",
        **options: Any,
    ) -> Any:
        """Open a run, do what *block* does with a :class:`Within`, and leave."""

        async def main() -> Any:
            scope = ledger.ledger.workflow(name, **options)
            if self.awaiting:
                async with scope:
                    return await self._block(block, Within(self, ledger, scope))
            with scope:
                return await self._block(block, Within(self, ledger, scope))

        return copy_context().run(run, main())

    async def _block(self, block: Any, within: Within) -> Any:
        answer = block(within) if block is not None else None
        return await answer if inspect.isawaitable(answer) else answer

    def _hold(self, ledger: Faced, name: str = "w", **options: Any) -> None:
        """Open a run in a context of its own, and stay inside."""
        scope = ledger.ledger.workflow(name, **options)
        if self.awaiting:
            copy_context().run(run, scope.__aenter__())
        else:
            copy_context().run(scope.__enter__)

    def _refund(self, *ledgers: Faced, outcomes: tuple[Any, ...] = ()) -> Tool:
        refund = self.tool(*outcomes)
        for faced in ledgers:
            faced.ledger.compensation("refund")(refund.fn)
        return refund

    # -- what is recorded ---------------------------------------------------------------------

    def test_a_run_records_what_came_in_and_what_went_out(self) -> None:
        """And what it is, for whoever looks at it."""
        ledger = self.ledger()

        def block(w: Within) -> None:
            assert (w.run.input, w.run.attempt, w.run.resumed) == ({"n": 1}, 1, False)
            w.run.set_output(["done"])

        options: dict[str, Any] = {"kind": "checkout", "framework": "none", "version": "7"}
        self.within(ledger, block, input={"n": 1}, labels={"user": "ann"}, **options)
        found = ledger.run("w")
        assert (found.id, found.status, found.finished) == ("w", "succeeded", True)
        assert (found.input, found.output, found.attempts) == ({"n": 1}, ["done"], 1)
        assert (found.kind, found.framework, found.version) == ("checkout", "none", "7")
        assert (found.labels, found.parent, found.compensate) == ({"user": "ann"}, None, "never")
        assert ledger.runs() == [found]
        assert ledger.runs(status="failed") == []
        assert ledger.pending() == []

    def test_a_workflow_without_a_word_about_runs_records_nothing(self) -> None:
        """It says whose effects they are, and writes nothing itself."""
        ledger = self.ledger()
        self.within(ledger, lambda w: w("charge", self.tool("done").fn, ORDER))
        assert ledger.only().tool == "charge"
        with raises(UnknownEffect):
            ledger.run("w")
        with raises(InvalidCall):
            self.within(ledger, lambda w: w.run.input)

    def test_runs_inside_of_a_run_are_its_children(self) -> None:
        """Each has its own record."""
        ledger = self.ledger()

        async def block(w: Within) -> None:
            for name in ("one", "two"):
                scope = ledger.ledger.workflow(name, input=name)
                if self.awaiting:
                    async with scope:
                        scope.set_output(name)
                else:
                    with scope:
                        scope.set_output(name)

        self.within(ledger, block, input=0)
        assert [r.id for r in ledger.runs(parent="w")] == ["two", "one"]
        assert {r.id for r in ledger.runs()} == {"w", "one", "two"}
        assert ledger.run("one").parent == "w"

    def test_what_could_not_be_kept_is_refused_at_once(self) -> None:
        """Input before anything is recorded, output when it is set."""
        ledger = self.ledger()
        with raises(InvalidCall):
            self.within(ledger, input=object())
        assert ledger.effects() == []
        with raises(NotSerializable):
            self.within(ledger, lambda w: w.run.set_output(object()), input=1)
        wrongs: list[dict[str, Any]] = [
            {"compensate": "later"}, {"rival": "fight"}, {"finished": "maybe"},
        ]  # fmt: skip
        for wrong in wrongs:
            with raises(InvalidCall):
                self.within(ledger, **wrong)

    # -- once more ----------------------------------------------------------------------------

    def test_a_finished_run_is_not_opened_again(self) -> None:
        """Whoever tries gets its output; nothing in the block is done."""
        ledger, done = self.ledger(), list[int]()
        self.within(ledger, lambda w: w.run.set_output("out"), input=1)
        ways: list[dict[str, Any]] = [{"input": 1}, {"compensate": "on_error"}]
        for options in ways:
            with raises(RunFinished) as caught:
                self.within(ledger, lambda _: done.append(1), **options)
            assert (caught.error.status, caught.error.output) == ("succeeded", "out")
        assert (done, ledger.run("w").attempts) == ([], 1)

    def test_a_finished_run_can_be_gone_through_and_nothing_begins(self) -> None:
        """What is recorded replays; the output stays what it was."""
        ledger = self.ledger()
        charge, more = self.tool("ch_1"), self.tool("more")

        async def block(w: Within) -> Any:
            w.run.set_output(len(charge.seen))
            return w.run.finished, await w("charge", charge.fn, ORDER), w.run.output

        assert self.within(ledger, block, input=1)[1] == "ch_1"
        replay: dict[str, Any] = {"input": 1, "finished": "replay"}
        assert self.within(ledger, block, **replay) == (True, "ch_1", 0)
        for policy in (Policy(), Policy(approval=True)):

            async def begins(w: Within, policy: Policy = policy) -> None:
                await w("x", more.fn, ORDER, policy=policy)

            with raises(RunFinished):
                self.within(ledger, begins, **replay)
        assert (charge.times, more.times, ledger.run("w").output) == (1, 0, 0)

    def test_another_input_is_another_run(self) -> None:
        """Left out, it is the recorded one."""
        ledger = self.ledger()
        with raises(NotApplied):
            self.within(ledger, _refuses, input={"n": 1})
        with raises(ArgumentsChanged):
            self.within(ledger, input={"n": 2})
        seen = self.within(ledger, lambda w: (w.run.input, w.run.attempt), compensate="never")
        assert seen == ({"n": 1}, 2)
        assert ledger.run("w").status == "succeeded"

    def test_a_run_whose_process_died_is_gone_on_with(self) -> None:
        """What it did replays, the rest is done; nobody has to look at anything."""
        for swept in (False, True):
            ledger = self.ledger(tenant=f"{swept}")
            charge, ship = self.tool("ch_1"), self.tool("shipped")

            async def block(w: Within, *tools: Tool) -> Any:
                for n, tool in enumerate(tools):
                    await w(f"tool {n}", tool.fn, ORDER)
                return w.run.resumed, w.run.input

            with crash_at("Claim.before", nth=3), raises(Crashed):
                self.within(ledger, lambda w: block(w, charge, ship), input="in")  # noqa: B023
            heir = self.heir(ledger, tenant=f"{swept}")
            if swept:
                heir.recover()
                assert heir.run("w").status == "stopped"
            assert heir.pending() == []
            assert self.within(heir, lambda w: block(w, charge, ship), kind="x") == (True, "in")  # noqa: B023
            assert (charge.times, ship.times, heir.run("w").attempts) == (1, 1, 2)

    # -- rivals -------------------------------------------------------------------------------

    def test_the_second_waits_or_joins_or_is_refused(self) -> None:
        """As it wants; only one holds the run."""
        first, second = self.ledger(), self.ledger()
        self._hold(first, input=1)
        rivals: list[dict[str, Any]] = [{"rival": "refuse"}, {"rival": "wait", "wait": 0.05}]
        for rival in rivals:
            with raises(StillRunning):
                self.within(second, input=1, **rival)

        def block(w: Within) -> Any:
            with raises(InvalidCall):
                w.run.set_output(1)
            return w.run.joined, w.run.input

        assert self.within(second, block, rival="join") == (True, 1)
        assert second.run("w").status == "running"
        with raises(ArgumentsChanged):
            self.within(second, input=2, rival="join")

    def test_a_run_cannot_wait_for_itself(self) -> None:
        """Inside of it its workflow can be entered, or the run be joined."""
        ledger = self.ledger()

        async def inside(w: Within, **options: Any) -> bool:
            scope = ledger.ledger.workflow("w", **options)
            if self.awaiting:
                async with scope:
                    return bool(scope.joined)
            with scope:
                return bool(scope.joined)

        with raises(CalledFromItself):
            self.within(ledger, lambda w: inside(w, input=1), input=1)
        assert self.within(ledger, lambda w: inside(w, rival="join"), input=1)

    # -- how it is left -----------------------------------------------------------------------

    def test_an_error_undoes_what_was_done_where_that_is_asked_for(self) -> None:
        """The step that failed is not undone; the error is the caller's; the run is over."""
        ledger = self.ledger()
        refund = self._refund(ledger)

        async def block(w: Within) -> None:
            for n in range(2):
                await w("charge", self.tool(f"ch_{n}").fn, ORDER, call_id=f"{n}", policy=REFUND)
            await w("charge", self.tool(NotApplied("no")).fn, {"order": "B"}, policy=REFUND)

        with raises(NotApplied):
            self.within(ledger, block, input=1, compensate="on_error")
        assert [seen["result"] for seen in refund.seen] == ["ch_1", "ch_0"]
        found = ledger.run("w")
        assert (found.status, found.error["message"]) == ("compensated", "no")
        assert (ledger.halts(), ledger.pending()) == ([], [])
        with raises(RunFinished) as caught:
            self.within(ledger, block, input=1, compensate="on_error")
        assert caught.error.status == "compensated"

    def test_an_error_lets_a_run_be_tried_again_where_nothing_is_said(self) -> None:
        """What was done replays."""
        ledger = self.ledger()
        refund, charge = self._refund(ledger), self.tool("ch_1")
        ship = self.tool(NotApplied("no", retryable=True), "shipped")

        async def block(w: Within) -> None:
            await w("charge", charge.fn, ORDER, policy=REFUND)
            w.run.set_output(await w("ship", ship.fn, ORDER))

        with raises(NotApplied):
            self.within(ledger, block, input=1)
        assert (ledger.run("w").status, ledger.run("w").error["message"]) == ("failed", "no")
        self.within(ledger, block, input=1)
        found = ledger.run("w")
        assert (found.status, found.output, found.attempts) == ("succeeded", "shipped", 2)
        assert (charge.times, refund.times) == (1, 0)

    def test_what_stops_a_run_undoes_nothing(self) -> None:
        """An approval, a doubt, a halt, a cancellation: whoever opens it goes on."""
        ledger = self.ledger()
        refund, charge = self._refund(ledger), self.tool("ch_1")
        lost = self.tool(ConnectionResetError("?"))

        def block(name: str, fn: Any, **options: Any) -> Any:
            async def body(w: Within) -> None:
                await w("charge", charge.fn, ORDER, policy=REFUND)
                await w(name, fn, ORDER, **options)

            return body

        wire = self.tool("sent")
        asks = block("wire", wire.fn, policy=Policy(approval=True))
        ledger.halt(by="ann", reason="stop", tool="halted")
        stops: list[tuple[type[BaseException], Any]] = [
            (ApprovalRequired, asks),
            (EffectInDoubt, block("lost", lost.fn)),
            (Halted, block("halted", wire.fn)),
            (KeyboardInterrupt, _interrupts),
        ]
        for kind, body in stops:
            with raises(kind):
                self.within(ledger, body, input=1, compensate="on_error")
            self.eventually(lambda: ledger.run("w").status == "stopped")
        assert refund.times == 0
        ledger.approve(ledger.only(tool="wire").key, by="ann")
        self.within(ledger, asks, input=1, compensate="on_error")
        assert (charge.times, wire.times, ledger.run("w").status) == (1, 1, "succeeded")

    def test_an_exception_that_is_said_to_interrupt_stops_the_run(self) -> None:
        """As a framework's own control flow."""
        ledger = self.ledger()
        options: dict[str, Any] = {"classify": {LookupError: "interrupted"}, "input": 1}
        with raises(LookupError):
            self.within(ledger, _looks_up, compensate="on_error", **options)
        assert ledger.run("w").status == "stopped"

    def test_a_person_is_asked_whether_to_undo(self) -> None:
        """Until the answer the run is not opened; a yes undoes it, a no lets it go on."""
        for yes in (True, False):
            ledger = self.ledger(tenant=f"{yes}")
            refund, charge = self._refund(ledger), self.tool("ch_1")

            async def block(w: Within, *, fails: bool = True) -> None:
                await w("charge", charge.fn, ORDER, policy=REFUND)  # noqa: B023
                if fails:
                    raise ValueError("no")

            options: dict[str, Any] = {"input": 1, "compensate": "ask"}
            with raises(ValueError):
                self.within(ledger, block, **options)
            assert (ledger.run("w").status, refund.times) == ("failed", 0)
            assert ledger.inbox() == [("approval", "tallystick.compensate")]
            with raises(ApprovalRequired):
                self.within(ledger, block, **options)
            key = ledger.pending()[0].effect.key
            (ledger.approve if yes else ledger.deny)(key, by="ann")
            if yes:
                with raises(RunFinished):
                    self.within(ledger, block, **options)
            else:
                self.within(ledger, lambda w: block(w, fails=False), **options)
            status = "compensated" if yes else "succeeded"
            assert (ledger.run("w").status, refund.times) == (status, int(yes))
            assert (charge.times, ledger.pending(), ledger.halts()) == (1, [], [])

    def test_what_cannot_be_undone_is_told_and_tried_again_by_whoever_opens_the_run(self) -> None:
        """The error names it; the cause is what left the block."""
        ledger = self.ledger()
        refund = self._refund(ledger, outcomes=(NotApplied("later"), None))

        async def block(w: Within) -> None:
            await w("charge", self.tool("ch_1").fn, ORDER, policy=REFUND)
            raise ValueError("no")

        with raises(CompensationIncomplete) as caught:
            self.within(ledger, block, input=1, compensate="on_error")
        assert isinstance(caught.error.__cause__, ValueError)
        assert ledger.run("w").status == "compensation_failed"
        assert ledger.inbox() == [("compensation", "charge")]
        with raises(RunFinished):
            self.within(ledger, block, input=1, compensate="on_error")
        assert (ledger.run("w").status, refund.times) == ("compensated", 2)
        assert (ledger.inbox(), ledger.halts()) == ([], [])

    def test_a_run_that_is_killed_while_it_is_undone_is_undone_by_whoever_opens_it(self) -> None:
        """Also from elsewhere; its block is not entered again."""
        for opens in (True, False):
            ledger = self.ledger(tenant=f"{opens}")
            refund = self._refund(ledger)

            async def block(w: Within) -> None:
                for n in range(2):
                    tool = self.tool(f"ch_{n}")
                    await w("charge", tool.fn, ORDER, call_id=f"{n}", policy=REFUND)
                raise ValueError("no")

            with crash_at("Turn.committed", nth=3), raises(Crashed):
                self.within(ledger, block, input=1, compensate="on_error")
            heir = self.heir(ledger, tenant=f"{opens}")
            self._refund(heir)
            heir.ledger.compensation("refund")(refund.fn)
            if opens:
                with raises(RunFinished):
                    self.within(heir, block, input=1, compensate="on_error")
            else:
                assert heir.compensate("w").complete
            assert [seen["result"] for seen in refund.seen] == ["ch_1", "ch_0"]
            assert (heir.run("w").status, heir.halts()) == ("compensated", [])

    def test_a_run_that_is_undone_from_elsewhere_does_nothing_more(self) -> None:
        """Its process is inside still; it may only leave."""
        ledger, desk = self.ledger(), self.ledger()
        refund = self._refund(ledger, desk)

        async def block(w: Within) -> None:
            await w("charge", self.tool("ch_1").fn, ORDER, policy=REFUND)
            done = self.meanwhile(desk.compensate, "w", by="ann")
            assert done.result(30).complete
            assert refund.times == 1
            await w("ship", self.tool("shipped").fn, ORDER)

        with raises(Halted):
            self.within(ledger, block, input=1)
        assert ledger.run("w").status == "compensated"
        assert (ledger.effects(tool="ship"), ledger.halts()) == ([], [])
        assert desk.compensate("w").complete

    # -- savepoints ---------------------------------------------------------------------------

    def test_a_run_goes_back_to_a_savepoint_and_on(self) -> None:
        """What was done before it stays; what was taken back is not replayed."""
        ledger = self.ledger()
        refund = self._refund(ledger)

        async def block(w: Within) -> None:
            await w("charge", self.tool("ch_0").fn, ORDER, call_id="0", policy=REFUND)
            place = await w.do("savepoint")
            await w("charge", self.tool("ch_1").fn, ORDER, call_id="1", policy=REFUND)
            done = await w.do("compensate", to=place)
            assert len(done.done) == 1
            with raises(EffectCompensated):
                await w("charge", self.tool().fn, ORDER, call_id="1", policy=REFUND)
            w.run.set_output(await w("charge", self.tool("ch_2").fn, ORDER, call_id="2"))

        self.within(ledger, block, input=1)
        assert [seen["result"] for seen in refund.seen] == ["ch_1"]
        assert (ledger.run("w").status, ledger.run("w").output) == ("succeeded", "ch_2")
        assert ledger.compensate("w").keys("done")
        assert [seen["result"] for seen in refund.seen] == ["ch_1", "ch_0"]
        with raises(InvalidCall):
            ledger.compensate("w", to="nowhere")

    def test_a_run_that_takes_all_of_it_back_is_over(self) -> None:
        """Nothing begins in it any more, and its block may end as it likes."""
        ledger = self.ledger()
        refund = self._refund(ledger)

        async def block(w: Within) -> None:
            await w("charge", self.tool("ch_1").fn, ORDER, policy=REFUND)
            await w.do("compensate", reason="changed her mind")
            with raises(Halted):
                await w("ship", self.tool("shipped").fn, ORDER)

        self.within(ledger, block, input=1)
        assert (ledger.run("w").status, refund.times, ledger.halts()) == ("compensated", 1, [])


def _refuses(_: Within) -> None:
    raise NotApplied("no")


def _interrupts(_: Within) -> None:
    raise KeyboardInterrupt


def _looks_up(_: Within) -> None:
    raise LookupError
