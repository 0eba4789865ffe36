"""Compensation: what is undone, in which order, by whom, and what is left for a person."""

from __future__ import annotations

from typing import Any

from tallystick._model import Guarantee, Status
from tallystick._policy import Policy, ProbeAnswer
from tallystick.errors import (
    CalledFromItself,
    CompensationIncomplete,
    EffectCompensated,
    EffectInDoubt,
    Halted,
    InvalidPolicy,
    NotApplied,
    StillRunning,
    UnknownEffect,
)
from tallystick.runs import Undo
from tallystick.testing._contract._base import Contract, Faced, Tool, raises
from tallystick.testing._crash import Crashed, crash_at

REFUND = Policy(compensate="refund")
ORDER = {"order": "A"}


class Undoing(Contract):
    """``Policy(compensate=…)`` and ``ledger.compensate``."""

    def _registered(self, *ledgers: Faced, name: str = "refund", **options: Any) -> Tool:
        """A compensation that every process knows."""
        refund = self.tool(*options.pop("outcomes", ()))
        for faced in ledgers:
            faced.ledger.compensation(name, **options)(refund.fn)
        return refund

    def _charged(self, ledger: Faced, n: int, policy: Policy = REFUND) -> str:
        args = {"order": "A"}
        ledger.call(
            "charge", self.tool(f"ch_{n}").fn, args, workflow="w", call_id=f"{n}", policy=policy
        )
        return str(next(e.key for e in ledger.effects(tool="charge") if e.call_id == f"{n}"))

    def _status(self, ledger: Faced, key: str) -> str:
        return str(ledger.get(key).status)

    # -- what is undone -----------------------------------------------------------------------

    def test_the_newest_is_undone_first_with_its_arguments_and_its_result(self) -> None:
        """Two steps with equal arguments are both undone; what failed is not."""
        ledger = self.ledger()
        refund = self._registered(ledger)
        keys = [self._charged(ledger, n) for n in range(3)]
        with raises(NotApplied):
            charge = self.tool(NotApplied("declined"))
            ledger.call("charge", charge.fn, {"order": "B"}, workflow="w", policy=REFUND)
        ledger.call("mail", self.tool("sent").fn, ORDER, workflow="w")
        done = ledger.compensate("w", by="ann", reason="the customer changed her mind")
        assert refund.seen == [{"order": "A", "result": f"ch_{n}"} for n in (2, 1, 0)]
        assert done.complete
        assert set(done.keys("done")) == set(keys)
        assert [one.tool for one in done.kept] == ["mail"]
        assert {self._status(ledger, key) for key in keys} == {"compensated"}
        assert ledger.kinds(keys[0]) == ["compensating", "compensated"]
        assert (ledger.halts(), ledger.pending()) == ([], [])

    def test_a_compensation_is_an_effect_that_names_what_it_undoes(self) -> None:
        """It has a row of its own, and nobody undoes it in turn."""
        ledger = self.ledger()
        self._registered(ledger)
        key = self._charged(ledger, 1)
        ledger.compensate("w")
        refund = ledger.only(tool="refund")
        assert (refund.workflow, refund.call_id, refund.status) == ("w", key, "succeeded")
        assert refund.args == {"order": "A", "result": "ch_1"}
        assert ledger.compensate("w").keys("kept") == ()
        assert len(ledger.effects(tool="refund")) == 1

    def test_what_was_undone_is_never_replayed_and_never_runs_again(self) -> None:
        """Its result no longer holds."""
        ledger = self.ledger()
        refund = self._registered(ledger)
        self._charged(ledger, 1)
        ledger.compensate("w")
        charge = self.tool("again")
        with raises(EffectCompensated) as caught:
            ledger.call("charge", charge.fn, ORDER, workflow="w", call_id="1", policy=REFUND)
        assert (caught.error.status, charge.times, refund.times) == ("compensated", 0, 1)
        assert ledger.compensate("w").complete
        assert refund.times == 1

    def test_steps_run_in_order_and_one_that_was_done_is_not_done_again(self) -> None:
        """The second one fails at first."""
        ledger = self.ledger()
        first = self._registered(ledger, name="first")
        second = self._registered(ledger, name="second", outcomes=(NotApplied("busy"), None))
        undo = Undo(steps=("first", "second"), residue="a line in the statement")
        key = self._charged(ledger, 1, Policy(compensate=undo))
        with raises(CompensationIncomplete) as caught:
            ledger.compensate("w")
        assert caught.error.failed == (key,)
        assert (first.times, second.times) == (1, 1)
        (done,) = ledger.compensate("w").done
        assert (first.times, second.times, done.residue) == (1, 2, "a line in the statement")

    def test_what_was_there_before_is_recorded_before_and_given_back(self) -> None:
        """The image is of the moment at which the attempt began, not of a replay's."""
        ledger, world = self.ledger(), ["blue"]
        restore = self._registered(ledger, name="restore")
        undo = Undo(steps="restore", before=lambda args: {args["order"]: world[-1]})

        def paint(order: str) -> str:
            world.append("red")
            return "painted"

        policy = Policy(compensate=undo)
        for _ in range(2):
            paints = self.tool(paint)
            ledger.call("paint", paints.fn, ORDER, workflow="w", policy=policy)
        ledger.compensate("w")
        assert restore.seen == [{"order": "A", "result": "painted", "before": {"A": "blue"}}]

    def test_a_compensation_gets_only_what_it_takes(self) -> None:
        """One that takes what nobody recorded is shown to a person."""
        ledger, seen = self.ledger(), list[str]()

        def none() -> None:
            seen.append("none")

        def of_an_order(order: str) -> None:
            seen.append(f"order {order}")

        def of_a_customer(order: str, customer: str) -> None:
            seen.append(f"{order} {customer}")

        takes = {"none": none, "order": of_an_order, "more": of_a_customer}
        for n, (name, fn) in enumerate(takes.items()):
            ledger.ledger.compensation(name)(fn)
            self._charged(ledger, n, Policy(compensate=name))
        with raises(CompensationIncomplete) as caught:
            ledger.compensate("w")
        assert seen == ["order A", "none"]
        assert "takes customer" in caught.error.compensation.failed[0].reason

    # -- what is in the way -------------------------------------------------------------------

    def test_a_compensation_that_fails_is_shown_and_the_others_are_done(self) -> None:
        """The workflow stays contained until a later round has undone what was left."""
        ledger = self.ledger()
        outcomes = (None, NotApplied("the bank says no"), None, None)
        refund = self._registered(ledger, outcomes=outcomes)
        keys = [self._charged(ledger, n) for n in range(3)]
        with raises(CompensationIncomplete) as caught:
            ledger.compensate("w")
        assert caught.error.failed == (keys[1],)
        assert [self._status(ledger, key) for key in keys] == [
            "compensated", "compensation_failed", "compensated",
        ]  # fmt: skip
        assert ledger.inbox() == [("compensation", "charge")]
        assert [halt.mode for halt in ledger.halts()] == ["contain"]
        with raises(Halted):
            ledger.call("mail", self.tool().fn, ORDER, workflow="w")
        assert ledger.compensate("w").complete
        assert refund.times == 4
        assert (ledger.inbox(), ledger.halts()) == ([], [])

    def test_a_compensation_that_nobody_knows_is_missing_until_somebody_does(self) -> None:
        """It is never taken for done."""
        ledger = self.ledger()
        key = self._charged(ledger, 1)
        with raises(CompensationIncomplete) as caught:
            ledger.compensate("w")
        assert (caught.error.missing, ledger.inbox()) == ((key,), [("compensation", "charge")])
        refund = self._registered(ledger)
        assert ledger.compensate("w").complete
        assert refund.times == 1

    def test_a_person_can_say_that_it_is_undone_or_that_it_stays(self) -> None:
        """Either closes the item, and the next round has nothing left to do."""
        ledger = self.ledger()
        undone, stays = (self._charged(ledger, n) for n in (1, 2))
        with raises(CompensationIncomplete):
            ledger.compensate("w")
        ledger.resolve(undone, by="ann", succeeded=None, reason="paid back by hand")
        ledger.resolve(stays, by="ann", failed="too late")
        assert ledger.inbox() == []
        done = ledger.compensate("w")
        assert (done.complete, done.keys("done"), done.keys("kept")) == (True, (undone,), (stays,))
        assert self._status(ledger, undone) == "compensated"

    def test_a_compensation_that_needs_approval_waits_for_it(self) -> None:
        """It has its own guarantee, approval, retry and doubt."""
        ledger = self.ledger()
        refund = self._registered(ledger, policy=Policy(approval=True))
        key = self._charged(ledger, 1)
        with raises(CompensationIncomplete) as caught:
            ledger.compensate("w")
        assert (caught.error.waiting, refund.times) == ((key,), 0)
        assert ledger.inbox() == [("approval", "refund")]
        ledger.approve(ledger.only(tool="refund").key, by="ann")
        assert ledger.compensate("w").complete
        assert refund.times == 1

    def test_a_recorded_policy_is_gone_by_in_another_process(self) -> None:
        """What its effect's plan says counts more than what was registered."""
        first, second = self.ledger(), self.ledger()
        undo = Undo(steps="refund", policy=Policy(guarantee=Guarantee.IDEMPOTENT, retry=2))
        self._charged(first, 1, Policy(compensate=undo))
        self._registered(second, outcomes=(NotApplied("busy", retryable=True), None))
        assert second.compensate("w").complete
        refund = second.only(tool="refund")
        assert (refund.guarantee, refund.attempt) == (Guarantee.IDEMPOTENT, 2)

    def test_a_compensation_in_doubt_is_not_repeated(self) -> None:
        """It is an effect like any other; a person says what became of it."""
        ledger = self.ledger()
        refund = self._registered(ledger, outcomes=(ConnectionResetError("?"),))
        key = self._charged(ledger, 1)
        for _ in range(2):
            with raises(CompensationIncomplete) as caught:
                ledger.compensate("w")
            assert caught.error.in_doubt == (key,)
        assert (refund.times, self._status(ledger, key)) == (1, "compensating")
        assert ledger.inbox() == [("in_doubt", "refund")]
        ledger.resolve(ledger.only(tool="refund").key, by="ann", succeeded=None)
        assert ledger.compensate("w").complete
        assert refund.times == 1

    # -- doubt --------------------------------------------------------------------------------

    def _doubted(self, ledger: Faced, policy: Policy) -> str:
        with raises(EffectInDoubt) as caught:
            charge = self.tool(ConnectionResetError("?"))
            ledger.call("charge", charge.fn, ORDER, workflow="w", policy=policy)
        return str(caught.error.key)

    def test_an_effect_in_doubt_stays_visible_and_is_not_undone(self) -> None:
        """Once a person said that it happened, it is."""
        ledger = self.ledger()
        refund = self._registered(ledger)
        key = self._doubted(ledger, REFUND)
        with raises(CompensationIncomplete) as caught:
            ledger.compensate("w")
        assert (caught.error.in_doubt, refund.times) == ((key,), 0)
        assert ledger.inbox() == [("in_doubt", "charge")]
        ledger.resolve(key, by="ann", succeeded="ch_1")
        assert ledger.compensate("w").keys("done") == (key,)
        assert refund.seen == [{"order": "A", "result": "ch_1"}]

    def test_an_effect_in_doubt_is_undone_where_that_is_said_to_be_safe(self) -> None:
        """There is no result to hand on."""
        ledger = self.ledger()
        refund = self._registered(ledger)
        undo = Undo(steps="refund", when_in_doubt="compensate")
        key = self._doubted(ledger, Policy(compensate=undo))
        assert ledger.compensate("w").keys("done") == (key,)
        assert refund.seen == [{"order": "A", "result": None}]
        assert ledger.inbox() == []

    def test_a_probe_that_has_a_name_is_asked_first(self) -> None:
        """It says whether there is anything to undo; here there is, and then there is not."""
        ledger = self.ledger()
        refund = self._registered(ledger)
        for workflow, probe, times in (("w", happened, 1), ("v", not_happened, 1)):
            policy = Policy(
                guarantee=Guarantee.RECONCILE, probe=probe, quiet=0, compensate="refund"
            )
            charge = self.tool(ConnectionResetError("?"))
            with crash_at("Doubt.committed"), raises(Crashed):
                ledger.call("charge", charge.fn, ORDER, workflow=workflow, policy=policy)
            ledger = self.heir(ledger)
            ledger.ledger.compensation("refund")(refund.fn)
            assert ledger.compensate(workflow).complete
            assert refund.times == times
        assert refund.seen == [{"order": "A", "result": "found"}]

    # -- who does it --------------------------------------------------------------------------

    def test_nothing_starts_in_a_workflow_that_is_compensated_but_what_undoes(self) -> None:
        """What a compensation calls is part of it; what waited for a person is withdrawn."""
        ledger = self.ledger()
        book, met = ledger.ledger, list[Any]()

        def refund(order: str, result: str) -> None:
            mail = self.tool("sent", threaded=True).fn
            forward = self.meanwhile(book.call, "mail", mail, ORDER, workflow="w")
            met.append(forward.exception(30))
            met.append(book.call("notify", mail, ORDER, workflow="w"))

        book.compensation("refund")(self.tool(refund, threaded=True).fn)
        self._charged(ledger, 1)
        asked = book.ask("wire", ORDER, workflow="w", policy=Policy(approval=True))
        assert ledger.compensate("w").keys("kept") == ()
        assert isinstance(met[0], Halted)
        assert met[1] == "sent"
        assert self._status(ledger, asked.key) == "cancelled"

    def test_whoever_compensates_waits_for_what_is_running(self) -> None:
        """And says so when that takes too long; nothing was undone then."""
        ledger, other = self.ledger(), self.ledger()
        refund = self._registered(ledger)
        self._charged(ledger, 1)
        held = other.hold("charge", {"order": "B"}, workflow="w", policy=REFUND)
        with raises(StillRunning):
            ledger.compensate("w", wait=0.05)
        assert refund.times == 0
        held.succeed("ch_2")
        assert len(ledger.compensate("w").done) == 2
        assert [seen["result"] for seen in refund.seen] == ["ch_2", "ch_1"]

    def test_another_process_goes_on_where_one_died(self) -> None:
        """Each compensation happens once, at whichever step the first one was killed."""
        for n, point in enumerate(("Claim.committed", "Turn.committed", "Settle.committed")):
            ledger = self.ledger(tenant=f"t{n}")
            refund = self._registered(ledger)
            for m in range(2):
                self._charged(ledger, m)
            with crash_at(point, nth=2) as death, raises(Crashed):
                ledger.compensate("w")
            assert death.fired
            heir = self.heir(ledger, tenant=f"t{n}")
            heir.ledger.compensation("refund")(refund.fn)
            if point == "Claim.committed":  # of a compensation: nobody knows whether it ran
                with raises(CompensationIncomplete):
                    heir.compensate("w")
                heir.resolve(heir.pending()[0].effect.key, by="ann", failed="it did not")
            assert heir.compensate("w").complete
            assert sorted(seen["result"] for seen in refund.seen) == ["ch_0", "ch_1"], point
            assert heir.halts() == []

    def test_only_one_of_many_compensates(self) -> None:
        """The others wait and get the same answer."""
        ledgers = [self.ledger() for _ in range(3)]
        refund = self._registered(*ledgers)
        keys = {self._charged(ledgers[0], n) for n in range(4)}
        running = [self.meanwhile(each.compensate, "w") for each in ledgers]
        assert all(set(one.result(30).keys("done")) == keys for one in running)
        assert refund.times == 4

    # -- what is refused ----------------------------------------------------------------------

    def test_what_could_not_be_found_again_is_refused_before_anything_happens(self) -> None:
        """A lambda, a local function, a workflow of which nothing is recorded."""
        ledger, charge = self.ledger(), self.tool("done")
        for compensate in (lambda: None, charge.fn):
            with raises(InvalidPolicy):
                policy = Policy(compensate=compensate)
                ledger.call("charge", charge.fn, ORDER, workflow="w", policy=policy)
        assert (charge.times, ledger.effects()) == (0, [])
        with raises(UnknownEffect):
            ledger.compensate("w")

    def test_an_effect_cannot_undo_itself(self) -> None:
        """It would have to be over first."""
        ledger = self.ledger()
        met: list[object] = []

        def inside(order: str) -> None:
            try:
                ledger.ledger.compensate("w")
            except CalledFromItself as error:
                met.append(error)

        ledger.call("charge", self.tool(inside, threaded=True).fn, ORDER, workflow="w")
        assert len(met) == 1
        assert ledger.only().status is Status.SUCCEEDED


def happened(_: Any) -> ProbeAnswer:
    """There it is."""
    return ProbeAnswer.happened("found")


def not_happened(_: Any) -> ProbeAnswer:
    """There is no trace of it."""
    return ProbeAnswer.not_happened()
