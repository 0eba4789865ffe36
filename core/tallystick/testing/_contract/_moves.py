"""Every status, and every move out of it that is legal; all others are refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tallystick._acts import LiftHalt
from tallystick._model import Status
from tallystick._policy import Approval, Policy
from tallystick.errors import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalRequired,
    CompensationIncomplete,
    DecisionRefused,
    EffectCancelled,
    EffectCompensated,
    EffectFailed,
    EffectInDoubt,
    NotApplied,
    StillRunning,
)
from tallystick.testing._contract._base import Contract, Faced, raises

MINUTE = 60.0
ASK = Policy(approval=Approval(expires=MINUTE), wait=0)
ONCE = Policy(wait=0)

#: the statuses from which a verb is allowed, and where it leads
ALLOWED: dict[str, dict[Status, Status]] = {
    "approve": {Status.PENDING: Status.APPROVED},
    "deny": {Status.PENDING: Status.DENIED},
    "succeeded": {
        Status.IN_DOUBT: Status.SUCCEEDED,
        Status.COMPENSATION_FAILED: Status.COMPENSATED,
    },
    "failed": {
        Status.IN_DOUBT: Status.FAILED,
        Status.COMPENSATION_FAILED: Status.COMPENSATION_FAILED,
    },
    "cancel": {
        Status.PENDING: Status.CANCELLED,
        Status.APPROVED: Status.CANCELLED,
        Status.IN_DOUBT: Status.CANCELLED,
    },
}

VERBS: dict[str, Callable[[Faced, str], Any]] = {
    "approve": lambda ledger, key: ledger.approve(key, by="eve", reason="late"),
    "deny": lambda ledger, key: ledger.deny(key, by="eve", reason="late"),
    "succeeded": lambda ledger, key: ledger.resolve(key, by="eve", succeeded="found"),
    "failed": lambda ledger, key: ledger.resolve(key, by="eve", failed="not found"),
    "cancel": lambda ledger, key: ledger.cancel(key, by="eve", reason="not needed"),
}

#: what a call gets that meets an effect in a status
MET: dict[Status, type[Exception] | str] = {
    Status.PENDING: ApprovalRequired,
    Status.APPROVED: "done",
    Status.RUNNING: StillRunning,
    Status.SUCCEEDED: "recorded",
    Status.FAILED: EffectFailed,
    Status.IN_DOUBT: EffectInDoubt,
    Status.DENIED: ApprovalDenied,
    Status.EXPIRED: ApprovalExpired,
    Status.CANCELLED: EffectCancelled,
    Status.COMPENSATING: EffectCompensated,
    Status.COMPENSATED: EffectCompensated,
    Status.COMPENSATION_FAILED: EffectCompensated,
}


class Moves(Contract):
    """The drawing of an effect's life, arrow by arrow."""

    def _bring_to(self, ledger: Faced, status: Status, args: dict[str, Any]) -> str:
        """A new effect in *status*; its key."""
        bring = getattr(self, f"_bring_to_{status.value}")
        bring(ledger, args)
        effect = ledger.only(tool="charge", workflow=workflow_of(args))
        assert effect.status is status
        return str(effect.key)

    def _bring_to_pending(self, ledger: Faced, args: dict[str, Any]) -> str:
        with raises(ApprovalRequired) as caught:
            ledger.call("charge", self.tool().fn, args, workflow=workflow_of(args), policy=ASK)
        return str(caught.error.key)

    def _bring_to_approved(self, ledger: Faced, args: dict[str, Any]) -> None:
        ledger.approve(self._bring_to_pending(ledger, args), by="ann")

    def _bring_to_denied(self, ledger: Faced, args: dict[str, Any]) -> None:
        ledger.deny(self._bring_to_pending(ledger, args), by="ann", reason="no")

    def _bring_to_cancelled(self, ledger: Faced, args: dict[str, Any]) -> None:
        ledger.cancel(self._bring_to_pending(ledger, args), by="ann")

    def _bring_to_expired(self, ledger: Faced, args: dict[str, Any]) -> None:
        self._bring_to_pending(ledger, args)
        ledger.turn(MINUTE + 1)
        with raises(ApprovalExpired):
            ledger.call("charge", self.tool().fn, args, workflow=workflow_of(args), policy=ASK)

    def _bring_to_running(self, ledger: Faced, args: dict[str, Any]) -> None:
        ledger.hold("charge", args, workflow=workflow_of(args))

    def _bring_to_succeeded(self, ledger: Faced, args: dict[str, Any]) -> None:
        ledger.call("charge", self.tool("recorded").fn, args, workflow=workflow_of(args))

    def _bring_to_failed(self, ledger: Faced, args: dict[str, Any]) -> None:
        with raises(NotApplied):
            ledger.call("charge", self.tool(NotApplied("no")).fn, args, workflow=workflow_of(args))

    def _bring_to_in_doubt(self, ledger: Faced, args: dict[str, Any]) -> None:
        with raises(EffectInDoubt):
            ledger.call("charge", self.tool(ValueError("?")).fn, args, workflow=workflow_of(args))

    def _bring_to_compensating(self, ledger: Faced, args: dict[str, Any]) -> None:
        """Its compensation waits for a person."""
        ledger.ledger.compensation("asks", policy=ASK)(self.tool().fn)
        self._compensated(ledger, "asks", args)

    def _bring_to_compensated(self, ledger: Faced, args: dict[str, Any]) -> None:
        ledger.ledger.compensation("works")(self.tool().fn)
        self._compensated(ledger, "works", args)

    def _bring_to_compensation_failed(self, ledger: Faced, args: dict[str, Any]) -> None:
        """Its compensation cannot be found."""
        self._compensated(ledger, "missing", args)

    def _compensated(self, ledger: Faced, by: str, args: dict[str, Any]) -> None:
        workflow, policy = workflow_of(args), Policy(compensate=by)
        ledger.call("charge", self.tool("recorded").fn, args, workflow=workflow, policy=policy)
        with suppress(CompensationIncomplete):
            ledger.compensate(workflow)
        ledger.apply(
            LiftHalt(
                tenant="default", tool=None, workflow=workflow, by="ann", reason="", contain=True
            )
        )

    def test_every_status_tells_a_caller_what_it_is(self) -> None:
        """A result, a run where one is allowed, or a typed error; never anything else."""
        ledger = self.ledger()
        for status in Status:
            args: dict[str, Any] = {"to": status.value}
            self._bring_to(ledger, status, args)
            policy = ASK if status in _ASKED else ONCE
            charge = self.tool("done")
            call, workflow = ("charge", charge.fn, args), workflow_of(args)
            met = MET[status]
            if isinstance(met, str):
                assert ledger.call(*call, workflow=workflow, policy=policy) == met, status
            else:
                with raises(met) as caught:
                    ledger.call(*call, workflow=workflow, policy=policy)
                assert caught.error.__dict__["workflow"] == workflow, status
            assert charge.times == (status is Status.APPROVED), status

    def test_every_status_allows_exactly_the_verbs_of_the_drawing(self) -> None:
        """A verb that is refused changes nothing."""
        ledger = self.ledger()
        for status in Status:
            for verb, moves in ALLOWED.items():
                key = self._bring_to(ledger, status, {"from": status.value, "verb": verb})
                before = ledger.row(key)
                if status in moves:
                    effect = VERBS[verb](ledger, key)
                    assert effect.status is moves[status], (status, verb)
                    assert ledger.history(key)[-1].actor == "eve"
                else:
                    with raises(DecisionRefused) as caught:
                        VERBS[verb](ledger, key)
                    assert caught.error.key == key
                    assert ledger.row(key) == before, (status, verb)

    def test_a_doubt_that_was_resolved_as_not_happened_is_tried_again(self) -> None:
        """A person said that it did not happen, so the next call may perform it."""
        ledger = self.ledger()
        args: dict[str, Any] = {"order": "A"}
        key = self._bring_to(ledger, Status.IN_DOUBT, args)
        ledger.resolve(key, by="ann", failed="the bank has no trace of it")
        charge = self.tool("done")
        assert ledger.call("charge", charge.fn, args, workflow=workflow_of(args)) == "done"
        assert ledger.kinds(key) == ["in_doubt", "resolved", "started"]

    def test_a_doubt_that_was_resolved_as_happened_is_replayed(self) -> None:
        """What the person said that it returned is the recorded result, whatever its type."""
        ledger = self.ledger()
        for n, result in enumerate((None, 0, {"id": "ch_1"})):
            args: dict[str, Any] = {"n": n}
            with raises(EffectInDoubt) as caught:
                ledger.call("charge", self.tool(ValueError("?")).fn, args, workflow="w")
            ledger.resolve(str(caught.error.key), by="ann", succeeded=result, reason="saw it")
            charge = self.tool("again")
            assert ledger.call("charge", charge.fn, args, workflow="w") == result
            assert charge.times == 0
        event = ledger.history(ledger.effects(limit=1)[0].key)[-1]
        assert (event.kind, event.actor, event.detail["reason"]) == ("resolved", "ann", "saw it")


_ASKED = {Status.PENDING, Status.APPROVED, Status.DENIED, Status.EXPIRED, Status.CANCELLED}


def workflow_of(args: dict[str, Any]) -> str:
    """Each effect has a workflow of its own, so that one can be compensated without the others."""
    return hashlib.sha256(repr(args).encode()).hexdigest()[:12]
