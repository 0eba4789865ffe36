"""What was shown is what runs: volatile fields, secrets, and requests that somebody hears of."""

from __future__ import annotations

from typing import Any

from tallystick._model import Status
from tallystick._policy import Approval, Policy
from tallystick.errors import ApprovalRequired, EffectInDoubt
from tallystick.hooks import Details, Hook
from tallystick.testing._contract._base import Contract, Faced, raises
from tallystick.testing._crash import Crashed, crash_at

SECRET = "hunter2-is-not-a-password"


class Shown(Contract):
    """What people see, and that it is the truth."""

    def test_volatile_arguments_are_no_part_of_the_identity(self) -> None:
        """A model that makes up another id for the same thing repeats it."""
        ledger = self.ledger()
        policy = Policy(volatile=("memo",))
        charge = self.tool("done")
        for memo in ("a", "b"):
            args: dict[str, Any] = {"order": "A", "memo": memo}
            assert ledger.call("charge", charge.fn, args, workflow="w", policy=policy) == "done"
        assert charge.seen == [{"order": "A", "memo": "a"}]

    def test_an_approver_sees_volatile_arguments_and_those_run(self) -> None:
        """Not the ones that were made up after the approval."""
        ledger = self.ledger()
        policy = Policy(volatile=("memo",), approval=True)
        charge = self.tool("done")
        shown = {"order": "A", "memo": "rent"}
        with raises(ApprovalRequired) as caught:
            ledger.call("charge", charge.fn, shown, workflow="w", policy=policy)
        assert caught.error.arguments == shown
        ledger.approve(caught.error.key, by="ann", digest=caught.error.digest)
        other = {"order": "A", "memo": "bribe"}
        assert ledger.call("charge", charge.fn, other, workflow="w", policy=policy) == "done"
        assert (charge.seen, ledger.only().args) == ([shown], shown)

    def test_a_later_attempt_runs_what_was_recorded(self) -> None:
        """Volatile arguments of a later caller do not slip into an effect that exists."""
        ledger = self.ledger()
        policy = Policy(volatile=("memo",))
        first = {"order": "A", "memo": "a"}
        with raises(EffectInDoubt) as caught:
            ledger.call("charge", self.tool(ValueError()).fn, first, workflow="w", policy=policy)
        ledger.resolve(caught.error.key, by="ann", failed="no")
        charge = self.tool("done")
        ledger.call("charge", charge.fn, {"order": "A", "memo": "b"}, workflow="w", policy=policy)
        assert charge.seen == [first]

    def test_a_redacted_argument_is_hashed_and_never_stored(self) -> None:
        """Not in the row, not in an event, not in the inbox; the tool gets it all the same."""
        ledger = self.ledger()
        policy = Policy(redact=("token",), approval=True)
        charge = self.tool(ValueError("no"))
        args: dict[str, Any] = {"order": "A", "token": SECRET}
        with raises(ApprovalRequired) as caught:
            ledger.call("charge", charge.fn, args, workflow="w", policy=policy)
        assert caught.error.arguments == {"order": "A", "token": "[redacted]"}
        ledger.approve(caught.error.key, by="ann")
        with raises(EffectInDoubt):
            ledger.call("charge", charge.fn, args, workflow="w", policy=policy)
        assert charge.seen == [args]
        effect = ledger.only()
        kept = [ledger.row(effect.key), effect, ledger.history(effect.key), ledger.pending()]
        assert SECRET not in repr(kept)

    def test_an_edit_leaves_redacted_arguments_as_they_were(self) -> None:
        """The approver never saw them."""
        ledger = self.ledger()
        policy = Policy(redact=("token",), approval=True)
        charge = self.tool("done")
        args: dict[str, Any] = {"order": "A", "token": SECRET}
        with raises(ApprovalRequired) as caught:
            ledger.call("charge", charge.fn, args, workflow="w", policy=policy)
        ledger.approve(caught.error.key, by="ann", args={"order": "B"})
        assert ledger.call("charge", charge.fn, args, workflow="w", policy=policy) == "done"
        assert charge.seen == [{"order": "B", "token": SECRET}]
        assert SECRET not in repr(ledger.row(ledger.only().key))

    def test_a_request_is_told_to_the_listeners(self) -> None:
        """Once per request, with what an approver needs to look it up."""
        heard: list[Details] = []
        ledger = self.ledger(hooks=[heard.append])
        charge = self.tool("done")
        with raises(ApprovalRequired):
            ledger.call("charge", charge.fn, workflow="w", policy=Policy(approval=True))
        with raises(ApprovalRequired) as caught:
            ledger.call("charge", charge.fn, workflow="w", policy=Policy(approval=True))
        ledger.rounds()
        asked = [details for details in heard if details.kind == "approval_required"]
        assert [(d.key, d.tool, d.status) for d in asked] == [
            (caught.error.key, "charge", Status.PENDING.value)
        ]

    def test_a_request_whose_listener_failed_is_told_again(self) -> None:
        """A hook hears of every request at least once."""
        heard: list[Details] = []

        def deaf_at_first(details: Details) -> None:
            if details.kind == "approval_required":
                heard.append(details)
                if len(heard) == 1:
                    raise OSError("no network")

        ledger = self.ledger(hooks=[deaf_at_first])
        with raises(ApprovalRequired):
            ledger.call("charge", self.tool().fn, workflow="w", policy=Policy(approval=True))
        self._hear_again(ledger, heard, 2)

    def test_a_request_whose_process_died_before_telling_is_told_by_another(self) -> None:
        """The request is on record; whoever lives looks for what nobody was told."""
        heard: list[Details] = []
        ledger = self.ledger()
        with crash_at("Notified.before") as death, raises(Crashed):
            ledger.call("charge", self.tool().fn, workflow="w", policy=Policy(approval=True))
        assert death.fired
        heir = self.heir(ledger, hooks=[_only_requests(heard)])
        self._hear_again(heir, heard, 1)
        assert heard[0].key == heir.only().key

    def test_a_listener_cannot_break_a_call(self) -> None:
        """Whatever it raises is logged."""

        def broken(details: Details) -> None:
            raise ValueError(details.kind)

        ledger = self.ledger(hooks=[broken])
        assert ledger.call("charge", self.tool("done").fn, workflow="w") == "done"

    def test_a_new_round_of_decisions_is_told_too(self) -> None:
        """Who was told of the first one does not know of the second."""
        heard: list[Details] = []
        ledger = self.ledger(hooks=[_only_requests(heard)])
        policy = Policy(approval=Approval(expires=60, after_expiry="ask"))
        charge = self.tool("done")
        for _ in range(2):
            with raises(ApprovalRequired):
                ledger.call("charge", charge.fn, workflow="w", policy=policy)
            ledger.turn(61)
        assert len(heard) == 2

    def _hear_again(self, ledger: Faced, heard: list[Details], times: int) -> None:
        """Let the housekeeping go its rounds."""
        for _ in range(2):
            ledger.rounds()
        assert len(heard) >= times
        assert {details.kind for details in heard} == {"approval_required"}


def _only_requests(heard: list[Details]) -> Hook:
    def hook(details: Details) -> None:
        if details.kind == "approval_required":
            heard.append(details)

    return hook
