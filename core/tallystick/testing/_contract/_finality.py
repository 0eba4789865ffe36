"""Approval because of what an effect leaves behind: irreversible < compensable < reversible."""

from __future__ import annotations

from typing import Any

from tallystick._model import Guarantee, Status
from tallystick._policy import Approval, Policy
from tallystick.errors import ApprovalRequired, InvalidPolicy
from tallystick.runs import Undo
from tallystick.testing._contract._approvals import HOUR, ORDER, Asking
from tallystick.testing._contract._base import raises

#: what each class is below of
PLANS: dict[str, Any] = {
    "irreversible": None,
    "compensable": "refund",
    "reversible": Undo(steps="refund", reversibility="reversible"),
}


def careful(least: Any = "compensable", **options: Any) -> Policy:
    """A policy that asks about whatever cannot be taken back that far."""
    return Policy(approval=Approval(expires=HOUR, min_reversibility=least, **options))


class Finality(Asking):
    """``Approval(min_reversibility=…)``."""

    def test_a_person_is_asked_about_what_cannot_be_taken_back_enough(self) -> None:
        """And told why: in the inbox, and by the error."""
        for least, asked in (("compensable", 1), ("reversible", 2)):
            for n, (name, plan) in enumerate(PLANS.items()):
                ledger = self.ledger(tenant=f"{least} {name}")
                charge, policy = self.tool("done"), careful(least).but(compensate=plan)
                given = (("charge", charge.fn, ORDER), {"workflow": "w", "policy": policy})
                if n >= asked:
                    assert ledger.call(*given[0], **given[1]) == "done"
                    assert ledger.pending() == []
                    continue
                why = f"{name}, and the policy asks for {least}"
                with raises(ApprovalRequired) as caught:
                    ledger.call(*given[0], **given[1])
                assert caught.error.reason == why
                assert f"({why})" in str(caught.error)
                item = ledger.pending()[0]
                assert (item.kind, item.note, item.effect.status) == (
                    "approval", why, Status.PENDING,
                )  # fmt: skip
                assert charge.times == 0
                ledger.approve(item.effect.key, by="ann")
                assert ledger.call(*given[0], **given[1]) == "done"
                assert charge.times == 1

    def test_the_class_is_asked_about_beside_the_predicate(self) -> None:
        """Either is enough; a predicate need not be asked where the class says yes."""
        ledger, asked = self.ledger(), list[Any]()

        def dear(args: Any) -> bool:
            asked.append(args["cents"])
            return bool(args["cents"] > 100)

        policy = careful(when=dear)
        assert self._ask(ledger, policy=policy).reason.startswith("irreversible, and")
        assert asked == []
        refund = policy.but(compensate="refund")
        assert self._ask(ledger, {"order": "B", "cents": 500}, refund).reason == ""
        cheap = {"order": "C", "cents": 5}
        assert ledger.call("charge", self.tool("ok").fn, cheap, workflow="w", policy=refund) == "ok"
        assert asked == [500, 5]
        always = careful(when=True).but(compensate="refund")
        assert self._ask(ledger, {"order": "D"}, always).reason == ""

    def test_what_only_reads_and_what_undoes_is_never_asked_about(self) -> None:
        """There is nothing to take back, or that is what is being done."""
        ledger = self.ledger()
        reading = careful().but(guarantee=Guarantee.READ_ONLY)
        assert ledger.call("look", self.tool("seen").fn, workflow="w", policy=reading) == "seen"
        refund = self.tool()
        ledger.ledger.compensation("refund", policy=careful())(refund.fn)
        args: dict[str, Any] = {"workflow": "w", "policy": careful().but(compensate="refund")}
        ledger.call("charge", self.tool("done").fn, ORDER, **args)
        assert ledger.compensate("w").complete
        assert refund.times == 1
        with raises(InvalidPolicy):
            Undo(steps="refund", policy=careful())
        with raises(InvalidPolicy):
            Policy(guarantee=Guarantee.READ_ONLY, approval=Approval())

    def test_asking_before_anybody_calls_decides_alike(self) -> None:
        """``ledger.ask``, and a request that expired and is asked again."""
        ledger = self.ledger()
        again = careful(after_expiry="ask")
        refund = again.but(compensate="refund")
        assert ledger.ask("charge", ORDER, workflow="w", policy=refund) is None
        asked = ledger.ask("charge", ORDER, workflow="w", policy=again)
        assert asked.status is Status.PENDING
        why = ledger.pending()[0].note
        ledger.turn(HOUR + 1)
        self._ask(ledger, policy=again)
        assert ledger.pending()[0].note == f"it expired and was called again; {why}"

    def test_a_transaction_is_not_begun_for_what_has_to_be_approved(self) -> None:
        """The ledger's own transaction; the question is recorded outside of it."""
        self.needs("transactional")
        ledger, policy = self.ledger(), careful().but(guarantee=Guarantee.TRANSACTIONAL)
        book, charge = ledger.ledger, self.tool("done", threaded=True)
        given: dict[str, Any] = {"workflow": "w", "policy": policy}
        with raises(ApprovalRequired) as caught:
            book.call("charge", charge.fn, ORDER, **given)
        item = ledger.pending()[0]
        assert item.note == caught.error.reason != ""
        ledger.approve(item.effect.key, by="ann")
        assert book.call("charge", charge.fn, ORDER, **given) == "done"

    def test_a_class_that_is_none_is_refused(self) -> None:
        """Everything is irreversible at worst."""
        for wrong in ("irreversible", "undoable", 1):
            with raises(InvalidPolicy):
                careful(wrong)
