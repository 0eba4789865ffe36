"""Runs, and what was undone, from another ledger: nothing goes on without a person's word."""

from __future__ import annotations

import io
from contextvars import copy_context
from typing import Any

from tallystick._model import Status
from tallystick._policy import Policy
from tallystick._undoing._acts import ReadPlans
from tallystick.errors import (
    ApprovalRequired,
    CompensationIncomplete,
    NotApplied,
    ResultNotStored,
    RunFinished,
)
from tallystick.ledger import Ledger
from tallystick.runs import RunStatus, Undo
from tallystick.testing._contract._base import Contract, Faced, Tool, raises

ORDER = {"order": "A"}
REFUND = Policy(compensate=Undo(steps="refund", before=lambda _: "before"))


class Imported(Contract):
    """``ledger.load`` beside runs, compensations, redaction and retention."""

    def _origin(self) -> Ledger:
        other = Ledger("memory://")
        other.compensation("refund")(Tool().fn)
        return other

    def _loaded(self, other: Ledger, ledger: Faced) -> None:
        """All of it, twice: what is here already is known."""
        archive = io.BytesIO()
        other.export(archive)
        other.close()
        for again in (False, True):
            archive.seek(0)
            loaded = ledger.load(archive, by="ann")
            assert (loaded.imported > 0, loaded.known > 0) == (not again, again)
        assert ledger.verify().sound

    def _charge(self, ledger: Ledger, n: int = 1) -> None:
        charge = Tool(f"ch_{n}")
        ledger.call("charge", charge.fn, ORDER, workflow="w", call_id=f"{n}", policy=REFUND)

    def _entered(self, ledger: Ledger, error: BaseException | None) -> None:
        """A run that an error leaves; without one it stays open."""
        run = ledger.workflow("w", input=1)
        run.__enter__()
        self._charge(ledger)
        if error is not None:
            run.__exit__(type(error), error, None)

    def test_how_it_is_undone_comes_along(self) -> None:
        """With what was there before; whoever says so undoes it here."""
        ledger, other = self.ledger(), self._origin()
        self._charge(other)
        self._loaded(other, ledger)
        refund = self.tool()
        ledger.ledger.compensation("refund")(refund.fn)
        assert ledger.compensate("w").complete
        assert refund.seen == [{"order": "A", "result": "ch_1", "before": "before"}]

    def test_an_open_run_waits_for_a_persons_word(self) -> None:
        """Be it stopped, failed or under way: then it goes on, and what it did replays."""
        for error in (NotApplied("no"), KeyboardInterrupt(), None):
            tenant = f"t {error!r}"
            ledger, other = self.ledger(tenant=tenant), Ledger("memory://", tenant=tenant)
            copy_context().run(self._entered, other, error)
            self._loaded(other, ledger)
            assert ledger.run("w").status is RunStatus.STOPPED
            with raises(ApprovalRequired) as asked, ledger.ledger.workflow("w", input=1):
                raise AssertionError("it was entered")
            ledger.approve(str(asked.error.key), by="ann")
            charge = self.tool("again")
            with ledger.ledger.workflow("w", input=1) as again:
                found = ledger.call("charge", charge.fn, ORDER, call_id="1", policy=REFUND)
                again.set_output(found)
            assert (ledger.run("w").output, charge.times) == ("ch_1", 0)

    def test_an_undoing_that_was_under_way_waits_for_a_persons_word(self) -> None:
        """Neither opening the run nor asking again goes on with it before; none runs twice."""
        ledger, other = self.ledger(), self._origin()
        refund = Tool(None, NotApplied("busy"))
        other.compensation("refund")(refund.fn)
        run = other.workflow("w", input=1, compensate="on_error")
        with raises(CompensationIncomplete), run:
            self._charge(other, 1)
            self._charge(other, 2)
            raise NotApplied("no money")
        self._loaded(other, ledger)
        mine = self.tool()
        ledger.ledger.compensation("refund")(mine.fn)
        assert ("compensation", "charge") in ledger.inbox()
        with raises(ApprovalRequired), ledger.ledger.workflow("w", input=1):
            raise AssertionError("it was entered")
        with raises(ApprovalRequired) as asked:
            ledger.compensate("w")
        assert mine.times == 0
        ledger.approve(str(asked.error.key), by="ann")
        assert len(ledger.compensate("w").done) == 2
        assert [seen["result"] for seen in mine.seen] == ["ch_1"]
        assert ledger.run("w").status is RunStatus.COMPENSATED

    def test_what_was_half_undone_is_shown_to_a_person(self) -> None:
        """Its compensation waits for approval there, and here, too."""
        ledger, other = self.ledger(), Ledger("memory://")
        other.compensation("refund", policy=Policy(approval=True))(Tool().fn)
        self._charge(other)
        with raises(CompensationIncomplete):
            other.compensate("w")
        self._loaded(other, ledger)
        charge = ledger.only(tool="charge")
        assert charge.status is Status.COMPENSATION_FAILED
        for item in (("compensation", "charge"), ("approval", "tallystick.compensate")):
            assert item in ledger.inbox()
        ledger.resolve(charge.key, by="ann", succeeded=None)
        assert ledger.get(charge.key).status is Status.COMPENSATED

    def test_what_is_over_stays_over(self) -> None:
        """A run with its output, savepoints, one that was undone, and what was replayed."""
        ledger, other = self.ledger(), self._origin()
        with other.workflow("v", input=1) as run:
            run.savepoint("here")
            run.set_output("done")
        with raises(NotApplied), other.workflow("w", input=1, compensate="on_error"):
            self._charge(other)
            raise NotApplied("no money")
        with other.replay("v"):
            pass
        before = {e.key: e.status for e in other.effects()}
        self._loaded(other, ledger)
        assert {e.key: e.status for e in ledger.effects()} == before
        assert (ledger.run("v").output, ledger.inbox()) == ("done", [])
        for name in "vw":
            with raises(RunFinished), ledger.ledger.workflow(name, input=1):
                raise AssertionError("it was entered")

    def test_what_lost_its_payload_or_part_of_it_stays_so(self) -> None:
        """Tombstones, redacted fields, a plan without its image."""
        ledger, other = self.ledger(), self._origin()
        self._charge(other)
        assert other.retain(payloads=0).effects == 1
        hidden = Policy(redact=("token",))
        other.call("mail", Tool("sent").fn, {"token": "hunter2"}, workflow="w", policy=hidden)
        before = [e.args for e in other.effects()]
        self._loaded(other, ledger)
        assert [e.args for e in ledger.effects()] == before
        assert ledger.only(tool="charge").payload_dropped_at is not None
        store: Any = ledger.engine.store
        texts = [each.undo for each in store.read(ReadPlans(tenant="default", workflow="w"))]
        assert '"before"' not in str(texts)
        with raises(ResultNotStored):
            ledger.call("charge", self.tool().fn, ORDER, workflow="w", call_id="1", policy=REFUND)
