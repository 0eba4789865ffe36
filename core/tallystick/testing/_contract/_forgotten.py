"""What retention leaves to those who undo, and what it must not take from them."""

from __future__ import annotations

from typing import Any

from tallystick._policy import Policy
from tallystick._retention import Retain
from tallystick._undoing._acts import ReadPlans
from tallystick._undoing._plan import image_of, plan_of
from tallystick.errors import CompensationIncomplete, NotApplied, ResultNotStored, RunFinished
from tallystick.runs import Undo
from tallystick.testing._contract._base import Contract, Faced, raises

IMAGE = "hunter2-was-there-before"
DAY = 86_400.0
ORDER = {"order": "A"}
PAINT = Policy(compensate=Undo(steps=("scrape", "restore"), before=lambda _: IMAGE))


class Forgotten(Contract):
    """``retain`` beside runs, plans and compensations."""

    def _painted(self, ledger: Faced, workflow: str = "w") -> str:
        paint = self.tool("painted")
        ledger.call("paint", paint.fn, ORDER, workflow=workflow, policy=PAINT)
        return self._key(ledger, workflow)

    def _key(self, ledger: Faced, workflow: str = "w") -> str:
        return str(ledger.only(tool="paint", workflow=workflow).key)

    def _plan(self, ledger: Faced, key: str) -> Any:
        store: Any = ledger.engine.store
        planned = store.read(ReadPlans(tenant="default", workflow="w"))
        return next(each.undo for each in planned if each.row.key.hex() == key)

    def _dropped(self, ledger: Faced, key: str) -> bool:
        """Whether retention takes the payload, by its walk and by an act that names the effect."""
        ledger.turn(DAY)
        dry = ledger.retain(payloads=3600, dry_run=True).effects
        gone = ledger.retain(payloads=3600).effects
        assert dry == gone
        act = Retain(tenant="default", before=1 << 62, by="eve", keys=(bytes.fromhex(key),))
        named = ledger.apply(act).effects
        dropped = ledger.get(key).payload_dropped_at is not None
        assert dropped is bool(gone + named)
        return dropped

    def test_what_was_there_before_goes_with_the_payload(self) -> None:
        """The names of the steps stay, and the chain says what went."""
        ledger = self.ledger()
        key = self._painted(ledger)
        assert IMAGE in self._plan(ledger, key)
        assert self._dropped(ledger, key)
        plan = plan_of(self._plan(ledger, key))
        assert plan is not None
        assert (plan.steps, image_of(self._plan(ledger, key))) == (("scrape", "restore"), None)
        assert ledger.history(key)[-1].detail["dropped"] == ["args", "before", "result"]

    def test_what_lost_its_payload_is_not_undone_and_a_person_sees_it(self) -> None:
        """Nor does its compensation run on nothing; a person closes it."""
        ledger = self.ledger()
        key = self._painted(ledger)
        scrape = self.tool(None)
        for name in ("scrape", "restore"):
            ledger.ledger.compensation(name)(scrape.fn)
        assert self._dropped(ledger, key)
        for _ in range(2):
            with raises(CompensationIncomplete) as caught:
                ledger.compensate("w")
            assert caught.error.failed == (key,)
            assert "its payload was dropped" in str(caught.error)
        assert (scrape.times, ledger.inbox()) == (0, [("compensation", "paint")])
        ledger.resolve(key, by="ann", succeeded=None, reason="painted over by hand")
        assert ledger.compensate("w").complete

    def test_the_effects_of_an_open_run_are_kept(self) -> None:
        """Whoever goes on with it replays them."""
        ledger = self.ledger()
        with ledger.ledger.workflow("w", input=1):
            key = self._painted(ledger)
            assert not self._dropped(ledger, key)
        assert self._dropped(ledger, self._key(ledger))

    def test_a_run_that_lost_its_output_is_still_over(self) -> None:
        """Whoever opens it hears so, and that the output is gone; its block is not entered."""
        ledger = self.ledger()
        with ledger.ledger.workflow("w", input=1) as run:
            run.set_output(IMAGE)
        ledger.turn(DAY)
        assert ledger.retain(payloads=3600).effects == 1
        with raises(RunFinished) as caught, ledger.ledger.workflow("w", input=1):
            raise AssertionError("it was entered")
        assert (caught.error.status, caught.error.output) == ("succeeded", None)
        assert isinstance(caught.error.__cause__, ResultNotStored)

    def test_the_effects_of_a_failed_run_are_kept_until_it_is_given_up(self) -> None:
        """It may be tried again, and is not once nobody did for as long as payloads are kept."""
        ledger = self.ledger()
        with raises(NotApplied), ledger.ledger.workflow("w", input=1):
            self._painted(ledger)
            ledger.turn(DAY)
            raise NotApplied("no money")
        assert ledger.retain(payloads=3600).effects == 0
        assert self._dropped(ledger, self._key(ledger))

    def test_the_effects_of_a_workflow_that_is_half_undone_are_kept(self) -> None:
        """Also those that stay as they are; once it is undone they may go."""
        ledger = self.ledger()
        self._painted(ledger)
        ledger.call("note", self.tool("noted").fn, ORDER, workflow="w")
        key = str(ledger.only(tool="note").key)
        with raises(CompensationIncomplete):
            ledger.compensate("w")
        assert not self._dropped(ledger, key)
        for name in ("scrape", "restore"):
            ledger.ledger.compensation(name)(self.tool(None).fn)
        assert ledger.compensate("w").complete
        assert self._dropped(ledger, key)
        assert ledger.compensate("w").complete
        assert ledger.verify().sound

    def test_the_effects_of_a_workflow_that_may_be_undone_are_kept(self) -> None:
        """While a person is asked whether it is to be."""
        ledger = self.ledger()
        run = ledger.ledger.workflow("w", input=1, compensate="ask")
        with raises(NotApplied), run:
            self._painted(ledger)
            ledger.turn(DAY)
            raise NotApplied("no money")
        ledger.turn(DAY)
        assert not self._dropped(ledger, self._key(ledger))
        ledger.deny(ledger.pending()[0].effect.key, by="ann")
        assert self._dropped(ledger, self._key(ledger))
