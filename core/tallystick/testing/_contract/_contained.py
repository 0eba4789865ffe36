"""Containment: what is chosen, what is frozen, in which order it is undone, and what stays."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from tallystick import _points
from tallystick._model import Guarantee
from tallystick._policy import Policy
from tallystick._undoing._tools import CONTAIN
from tallystick.errors import (
    ApprovalRequired,
    CalledFromItself,
    EffectInDoubt,
    Halted,
    InvalidCall,
    InvalidPolicy,
    NotApplied,
    StillRunning,
    UnknownEffect,
)
from tallystick.runs import Frozen, Undo
from tallystick.testing._contract._base import PATIENCE, Faced, Tool, raises
from tallystick.testing._contract._runs import Runs, Within
from tallystick.testing._crash import Crashed, crash_at

REFUND = Policy(compensate="refund")
ORDER = {"order": "A"}
BY: dict[str, Any] = {"by": "ann", "reason": "it went wrong"}


class Grounds(Runs):
    """What tests about containment share."""

    def refund(self, *ledgers: Faced, outcomes: tuple[Any, ...] = (), **options: Any) -> Tool:
        """A compensation that these processes know."""
        refund = self.tool(*outcomes)
        for faced in ledgers:
            faced.ledger.compensation("refund", **options)(refund.fn)
        return refund

    def did(
        self, ledger: Faced, result: Any, workflow: str = "w", tool: str = "charge", **options: Any
    ) -> str:
        """An effect that happened and can be undone; its key."""
        options.setdefault("policy", REFUND)
        args = options.pop("args", ORDER)
        tries = self.tool(result)
        called = f"call {len(ledger.effects())}"
        ledger.call(tool, tries.fn, args, workflow=workflow, call_id=called, **options)
        found = ledger.effects(workflow=workflow, tool=tool)
        return str(next(e.key for e in found if e.call_id == called))

    def statuses(self, ledger: Faced, *keys: str) -> list[str]:
        """Where effects are."""
        return [str(ledger.get(key).status) for key in keys]

    def scopes(self, ledger: Faced) -> set[tuple[str | None, str | None]]:
        """What is contained."""
        return {(h.tool, h.workflow) for h in ledger.halts() if h.mode == "contain"}

    @contextmanager
    def before(self, point: str, do: Callable[[], object]) -> Generator[None]:
        """Do something, once, right before this process reaches a point."""
        done: list[str] = []

        def reached(name: str) -> None:
            if name == point and not done:
                done.append(name)
                do()

        _points.arm(reached)
        try:
            yield
        finally:
            _points.arm(None)
        assert done, f"{point} was not reached"


class Contained(Grounds):
    """``ledger.contain``."""

    # -- what is chosen -----------------------------------------------------------------------

    def test_a_workflow_is_contained_with_the_runs_inside_of_it(self) -> None:
        """And nothing else is."""
        ledger = self.ledger()
        self.refund(ledger)

        async def outer(w: Within) -> None:
            await w("charge", self.tool("one").fn, ORDER, policy=REFUND)
            scope = ledger.ledger.workflow("inner", input=1)
            inner = Within(self, ledger, scope)
            if self.awaiting:
                async with scope:
                    await inner("charge", self.tool("two").fn, ORDER, policy=REFUND)
            else:
                with scope:
                    await inner("charge", self.tool("two").fn, ORDER, policy=REFUND)

        self.within(ledger, outer, "outer", input=1)
        other = self.did(ledger, "three", "elsewhere")
        done = ledger.contain(workflow="outer", **BY)
        assert (done.complete, len(done.done), done.workflow) == (True, 2, "outer")
        assert [one.workflow for one in done.done] == ["inner", "outer"]
        assert self.statuses(ledger, other) == ["succeeded"]
        assert self.scopes(ledger) == {(None, "outer"), (None, "inner")}

    def test_an_agent_is_contained_by_the_label_of_its_runs(self) -> None:
        """Inherited labels count, and so do runs inside; open runs are frozen before they act."""
        ledger = self.ledger()
        self.refund(ledger)

        def act(result: Any) -> Any:
            async def block(w: Within) -> None:
                await w("charge", self.tool(result).fn, ORDER, policy=REFUND)

            return block

        mine, other = {"agent": "mailer"}, {"agent": "clerk"}
        self.within(ledger, act("one"), "first", input=1, labels=mine)
        with ledger.ledger.workflow("session", labels=mine):
            self.within(ledger, act("two"), "second", input=1)
        self.within(ledger, act("three"), "third", input=1, labels=other)
        with raises(NotApplied):
            self.within(ledger, act(NotApplied("no")), "idle", input=1, labels=mine)
        self.within(ledger, None, "over", input=1, labels=mine)
        self.did(ledger, "four", "no run")
        done = ledger.contain(agent="mailer", **BY)
        assert {one.workflow for one in done.done} == {"first", "second"}
        assert self.scopes(ledger) == {(None, "first"), (None, "second"), (None, "idle")}
        with raises(UnknownEffect):
            ledger.contain(agent="nobody", **BY)

    def test_a_tool_is_contained_wherever_it_was_called(self) -> None:
        """It starts nowhere any more; other tools do where it had not been."""
        ledger = self.ledger()
        self.refund(ledger)
        keys = [self.did(ledger, f"{n}", f"w{n}") for n in range(2)]
        stays = self.did(ledger, "sent", "w0", tool="mail")
        done = ledger.contain(tool="charge", **BY)
        assert (set(done.keys("done")), done.kept) == (set(keys), ())
        assert self.statuses(ledger, stays) == ["succeeded"]
        assert self.scopes(ledger) == {("charge", None), (None, "w0"), (None, "w1")}
        with raises(Halted):
            self.did(ledger, "x", "elsewhere")
        assert self.did(ledger, "sent", "elsewhere", tool="mail")

    def test_what_changed_since_a_moment_is_contained(self) -> None:
        """A time by itself is about everything, and freezes it."""
        ledger = self.ledger()
        self.refund(ledger)
        old = self.did(ledger, "old", "w")
        ledger.turn(7200)
        moment = ledger.get(old).changed_at + timedelta(hours=1)
        late = self.did(ledger, "late", "v")
        for since in (moment, 3600, timedelta(hours=1)):
            listed = ledger.contain(since=since, undo=False)
            assert listed.keys("undoable") == (late,), since
        done = ledger.contain(since=3600, **BY)
        assert done.keys("done") == (late,)
        assert self.statuses(ledger, old, late) == ["succeeded", "compensated"]
        assert self.scopes(ledger) == {(None, None)}
        with raises(Halted) as caught:
            self.did(ledger, "x", "elsewhere")
        assert "`tallystick unhalt`" in str(caught.error)

    def test_what_is_said_has_to_hold_together(self) -> None:
        """A tool in a workflow is frozen there, and goes on elsewhere."""
        ledger = self.ledger()
        self.refund(ledger)
        rest = [self.did(ledger, "zero", "w")]
        held = ledger.hold("charge", {"order": "B"}, workflow="w", policy=REFUND)
        rest += [self.did(ledger, "two", "w", tool="book"), self.did(ledger, "three", "v")]
        since = ledger.get(rest[1]).changed_at
        chosen = self.did(ledger, "one", "w")
        said: dict[str, Any] = {"workflow": "w", "tool": "charge", "since": since}
        listed = ledger.contain(**said, undo=False)
        assert (listed.keys("undoable"), listed.keys("waiting")) == ((chosen,), (held.key,))
        held.succeed("late")
        done = ledger.contain(**said, **BY)
        assert (done.keys("done"), done.since) == ((held.key, chosen), since)
        assert self.statuses(ledger, *rest) == ["succeeded"] * 3
        assert self.scopes(ledger) == {(None, "w")}

    # -- what is frozen -----------------------------------------------------------------------

    def test_what_is_frozen_stays_so_until_a_person_lifts_it(self) -> None:
        """A round of compensating does not; the key of the containment does, at once."""
        ledger = self.ledger()
        self.refund(ledger)
        self.did(ledger, "one")
        done = ledger.contain(workflow="w", **BY)
        assert done.frozen == (Frozen(workflow="w"),)
        assert ledger.compensate("w").complete
        with raises(Halted) as caught:
            self.did(ledger, "two")
        assert (caught.error.by, "it went wrong" in caught.error.reason) == ("ann", True)
        assert ledger.unhalt(by="bob", workflow="w") == 0
        with raises(InvalidCall):
            ledger.unhalt(by="bob", workflow="w", containment=done.key)
        assert ledger.unhalt(by="bob", containment=done.key) == 1
        assert ledger.halts() == []
        assert self.did(ledger, "two")

    def test_nothing_escapes_between_the_list_and_the_freeze(self) -> None:
        """An effect that begins in between is undone, too."""
        ledger, other = self.ledger(), self.ledger()
        self.refund(ledger)
        self.did(ledger, "one")
        late = list[str]()

        def act() -> None:
            late.append(self.meanwhile(self.did, other, "two").result(PATIENCE))

        with self.before("PutHalt.before", act):
            done = ledger.contain(workflow="w", **BY)
        assert done.complete
        assert done.keys("done")[0] == late[0]
        assert len(done.done) == 2

    def test_what_is_running_is_waited_for_and_what_has_not_begun_is_withdrawn(self) -> None:
        """What outlasts the wait is shown, and the rest is undone."""
        ledger, other = self.ledger(), self.ledger()
        refund = self.refund(ledger)
        self.did(ledger, "one")
        held = other.hold("charge", {"order": "B"}, workflow="w", policy=REFUND)
        with raises(ApprovalRequired) as asked:
            self.did(ledger, "x", policy=Policy(approval=True, compensate="refund"))
        before = ledger.ask("wire", ORDER, workflow="w", policy=Policy(approval=True))
        ledger.cancel(before.key, by="bob", reason="not needed")
        done = ledger.contain(workflow="w", wait=0.05, **BY)
        assert (done.complete, done.keys("waiting")) == (False, (held.key,))
        assert done.keys("withdrawn") == (asked.error.key,)
        assert (len(done.done), refund.times) == (1, 1)
        assert self.statuses(ledger, str(asked.error.key)) == ["cancelled"]
        containing = self.meanwhile(ledger.contain, workflow="w", **BY)
        self.eventually(lambda: len(ledger.effects(tool=CONTAIN)) == 2)
        held.succeed("two")
        done = containing.result(PATIENCE)
        assert (done.complete, done.keys("done")[0], refund.times) == (True, held.key, 2)

    # -- the way back ---------------------------------------------------------------------------

    def test_the_newest_is_undone_first_across_workflows(self) -> None:
        """By when each was complete, not by when it began."""
        ledger = self.ledger()
        refund = self.refund(ledger)
        held = ledger.hold("charge", {"order": "A"}, workflow="w", policy=REFUND)
        self.did(ledger, "one", "v")
        self.did(ledger, "two", "w")
        held.succeed("zero")
        self.did(ledger, "three", "v")
        done = ledger.contain(tool="charge", **BY)
        assert [seen["result"] for seen in refund.seen] == ["three", "zero", "two", "one"]
        assert [one.workflow for one in done.done] == ["v", "w", "w", "v"]

    def test_what_stays_is_reported_and_recorded(self) -> None:
        """Residues, what has no compensation, what fails, and what was too late."""
        ledger = self.ledger()
        self.refund(ledger)
        undo = Undo(steps="refund", window=60)
        late = self.did(ledger, "late", policy=Policy(compensate=undo))
        ledger.turn(120)
        undo = Undo(steps="refund", window=60, residue="a letter was sent", one_shot=True)
        mail = self.did(ledger, "mail", policy=Policy(compensate=undo))
        kept = self.did(ledger, "kept", policy=Policy())
        lost = self.did(ledger, "lost", policy=Policy(compensate="nobody knows"))
        listed = ledger.contain(workflow="w", undo=False)
        (can,) = (one for one in listed.undoable if one.key == mail)
        assert (can.one_shot, can.residue, can.steps) == (True, "a letter was sent", ("refund",))
        assert can.until == can.at + timedelta(seconds=60) == listed.closes_at
        assert (listed.keys("failed"), listed.keys("kept")) == ((late,), (kept,))
        assert (listed.keys("missing"), listed.complete) == ((lost,), False)
        assert (ledger.halts(), ledger.effects(tool=CONTAIN)) == ([], [])
        assert self.statuses(ledger, late, mail, kept, lost) == ["succeeded"] * 4
        done = ledger.contain(workflow="w", **BY)
        assert (done.keys("done"), done.keys("kept")) == ((mail,), (kept,))
        assert (done.keys("failed"), done.keys("missing")) == ((late,), (lost,))
        assert {one.key for one in done.stays} == {late, mail, kept, lost}
        assert not done.complete
        record = ledger.get(done.key)
        assert (record.tool, record.status, record.args["workflow"]) == (CONTAIN, "succeeded", "w")
        assert record.result["done"][0]["residue"] == "a letter was sent"
        assert ledger.contain(resume=done.key) == done

    def test_what_was_forgotten_cannot_be_undone_and_is_said_so(self) -> None:
        """Already in the list."""
        ledger = self.ledger()
        refund = self.refund(ledger)
        key = self.did(ledger, "one")
        ledger.retain(payloads=0)
        assert ledger.contain(workflow="w", undo=False).keys("failed") == (key,)
        done = ledger.contain(workflow="w", **BY)
        assert (done.keys("failed"), refund.times) == ((key,), 0)
        assert "payload was dropped" in done.failed[0].reason

    def test_one_that_is_in_the_way_does_not_stop_the_others(self) -> None:
        """A doubt, a halt of its compensation, an approval."""
        ledger = self.ledger()
        refund = self.refund(ledger)
        asks = self.tool()
        ledger.ledger.compensation("asks", policy=Policy(approval=True))(asks.fn)
        ledger.ledger.compensation("halted")(asks.fn)
        with raises(EffectInDoubt) as doubt:
            self.did(ledger, ConnectionResetError("?"))
        keys = [
            self.did(ledger, name, policy=Policy(compensate=name))
            for name in ("refund", "asks", "halted")
        ]
        ledger.halt(tool="halted", by="bob", reason="broken")
        listed = ledger.contain(workflow="w", undo=False)
        assert listed.keys("in_doubt") == (doubt.error.key,)
        done = ledger.contain(workflow="w", **BY)
        assert done.keys("in_doubt") == (doubt.error.key,)
        assert done.keys("waiting") == (keys[2], keys[1])
        assert (done.keys("done"), refund.times, asks.times) == ((keys[0],), 1, 0)
        ledger.resolve(str(doubt.error.key), by="ann", failed="no")
        ledger.approve(ledger.only(tool="asks").key, by="ann")
        ledger.unhalt(tool="halted", by="bob")
        done = ledger.contain(workflow="w", **BY)
        assert (done.complete, len(done.done), refund.times, asks.times) == (True, 3, 1, 2)

    def test_the_next_containment_of_the_same_takes_over_what_is_frozen(self) -> None:
        """Also where nothing is left to do, so that its key lifts all of it."""
        ledger = self.ledger()
        self.refund(ledger, outcomes=(NotApplied("busy"), None))
        for n in range(2):
            self.did(ledger, f"{n}", f"w{n}")
        first = ledger.contain(tool="charge", **BY)
        assert (first.complete, len(first.frozen)) == (False, 3)
        second = ledger.contain(tool="charge", **BY)
        assert (second.complete, set(second.frozen)) == (True, set(first.frozen))
        assert ledger.unhalt(by="ann", containment=first.key) == 0
        assert ledger.unhalt(by="ann", containment=second.key) == 3
        assert ledger.contain(tool="charge", **BY).frozen == (Frozen(tool="charge"),)

    def test_what_a_compensation_calls_belongs_to_the_workflow_of_its_effect(self) -> None:
        """Whatever workflow whoever contains is in."""
        ledger = self.ledger()
        book, note = ledger.ledger, self.tool("noted", threaded=True)

        def refund(order: str, result: str) -> None:
            book.call("note", note.fn, {"of": result})

        book.compensation("refund")(self.tool(refund, threaded=True).fn)
        for n in range(2):
            self.did(ledger, f"{n}", f"w{n}")
        assert ledger.contain(tool="charge", **BY).complete
        notes = {e.workflow: e.args for e in ledger.effects(tool="note")}
        assert notes == {"w0": {"of": "0"}, "w1": {"of": "1"}}

    # -- who does it --------------------------------------------------------------------------

    def test_two_at_once_undo_each_effect_once(self) -> None:
        """The same selection is one containment; another one meets what the first one undid."""
        ledgers = [self.ledger() for _ in range(3)]
        refund = self.refund(*ledgers)
        keys = {self.did(ledgers[0], f"{n}") for n in range(3)}
        asked: list[dict[str, Any]] = [{"workflow": "w"}, {"workflow": "w"}, {"tool": "charge"}]
        pairs = zip(ledgers, asked, strict=True)
        running = [self.meanwhile(each.contain, **what, **BY) for each, what in pairs]
        reports = [one.result(PATIENCE) for one in running]
        assert all(set(report.keys("done")) == keys for report in reports)
        assert sorted(seen["result"] for seen in refund.seen) == ["0", "1", "2"]

    def test_another_process_ends_what_one_died_in(self) -> None:
        """By the same selection, or by the key; each compensation happens once."""
        for n, point in enumerate(("PutHalt.committed", "Turn.committed", "Settle.before")):
            ledger = self.ledger(tenant=f"t{n}")
            refund = self.refund(ledger, policy=Policy(guarantee=Guarantee.IDEMPOTENT))
            keys = [self.did(ledger, f"{m}", f"w{m}") for m in range(2)]
            with crash_at(point, nth=3) as death, raises(Crashed):
                ledger.contain(tool="charge", **BY)
            assert death.fired, point
            heir = self.heir(ledger, tenant=f"t{n}")
            heir.ledger.compensation("refund")(refund.fn)
            begun = heir.only(tool=CONTAIN).key
            if n:
                heir.recover()
            selection = {"resume": begun[:20]} if n == 1 else {"tool": "charge", **BY}
            done = heir.contain(**selection)
            assert (done.complete, done.keys("done"), done.key) == (True, (*keys[::-1],), begun)
            assert sorted(seen["result"] for seen in refund.seen) == ["0", "1"], point
            assert self.scopes(heir) == {("charge", None), (None, "w0"), (None, "w1")}

    def test_a_run_that_is_compensated_at_the_same_time_is_not_disturbed(self) -> None:
        """Each effect is undone once, by either; what was contained stays so."""
        ledger, other = self.ledger(), self.ledger()
        refund = self.refund(ledger, other)
        for n in range(4):
            self.did(ledger, f"{n}")
        round_ = self.meanwhile(other.compensate, "w", by="run")
        done = ledger.contain(workflow="w", **BY)
        assert (round_.result(PATIENCE).complete, done.complete) == (True, True)
        assert (len(done.done), refund.times) == (4, 4)
        assert self.scopes(ledger) == {(None, "w")}

    # -- what is refused ----------------------------------------------------------------------

    def test_bad_input_is_refused_before_anything_happens(self) -> None:
        """A selection of nothing, of what is not recorded, of what is to come."""
        ledger = self.ledger()
        self.did(ledger, "one")
        there: dict[str, Any] = {"workflow": "w", **BY}
        wrong: list[dict[str, Any]] = [
            BY, {"workflow": "w"}, {"workflow": "w", "by": "ann"}, {**BY, "workflow": ""},
            {**there, "since": datetime(2020, 1, 1)},  # noqa: DTZ001 - it has no zone
            {**there, "since": ledger.only().changed_at + timedelta(days=1)},
            {**there, "undo": "no"}, {**there, "dependents": 1}, {**there, "tool": 7},
            {**there, "resume": "ab"}, {"resume": "ab", "undo": False}, {"resume": "ab"},
            {"resume": ledger.only().key}, {**BY, "workflow": "x"}, {**BY, "tool": "x"},
        ]  # fmt: skip
        for options in wrong:
            with raises(InvalidCall):
                ledger.contain(**options)
        for options in ({**there, "since": -1}, {**there, "wait": -1}):
            with raises(InvalidPolicy):
                ledger.contain(**options)
        assert (ledger.halts(), len(ledger.effects())) == ([], 1)

    def test_an_effect_cannot_contain_itself(self) -> None:
        """It would wait for itself; others it can."""
        ledger = self.ledger()
        ledger.ledger.compensation("refund")(self.tool(threaded=True).fn)
        self.did(ledger, "one", "v")
        met: list[object] = []

        def inside(order: str) -> None:
            try:
                ledger.ledger.contain(workflow="w", **BY)
            except CalledFromItself as error:
                met.append(error)
            met.append(ledger.ledger.contain(workflow="v", **BY).complete)

        ledger.call("oversee", self.tool(inside, threaded=True).fn, ORDER, workflow="w")
        assert (len(met), met[-1]) == (2, True)

    def test_whoever_waits_too_long_for_another_is_told(self) -> None:
        """The containment goes on without them."""
        ledger, other = self.ledger(), self.ledger()
        held = ledger.hold("charge", ORDER, workflow="w", policy=REFUND)
        self.refund(ledger, other)
        first = self.meanwhile(ledger.contain, workflow="w", **BY)
        self.eventually(lambda: len(other.effects(tool=CONTAIN, status="running")) == 1)
        with raises(StillRunning):
            other.contain(workflow="w", wait=0.05, **BY)
        held.succeed("one")
        assert first.result(PATIENCE).keys("done") == (held.key,)
