"""The kill switch: a stop that cannot race a start."""

from __future__ import annotations

from typing import Any

from tallystick._acts import History
from tallystick._keys import VERSION, hashed
from tallystick._policy import Policy
from tallystick.errors import ApprovalRequired, EffectInDoubt, Halted, InvalidCall, NotApplied
from tallystick.testing._contract._base import Contract, Faced, raises


class Halts(Contract):
    """``halt``, ``drain`` and ``unhalt``, and whom they concern."""

    def _allowed(self, ledger: Faced, tool: str, workflow: str) -> bool:
        """Whether a new effect may start; it must not leave a trace if not."""
        before = len(ledger.effects())
        charge = self.tool("done")
        try:
            ledger.call(tool, charge.fn, {"n": before}, workflow=workflow)
        except Halted:
            assert (charge.times, len(ledger.effects())) == (0, before)
            return False
        assert charge.times == 1
        return True

    def test_a_halt_concerns_its_scope_and_nothing_else(self) -> None:
        """A tool, a workflow, both at once, this tenant, or everybody."""
        ours, theirs = self.ledger(), self.ledger(tenant="theirs")
        calls = [(ours, "a", "v"), (ours, "a", "w"), (ours, "b", "v"), (theirs, "a", "v")]
        scopes: list[tuple[dict[str, Any], list[bool]]] = [
            ({"tool": "a"}, [False, False, True, True]),
            ({"workflow": "v"}, [False, True, False, True]),
            ({"tool": "a", "workflow": "v"}, [False, True, True, True]),
            ({}, [False, False, False, True]),
            ({"everywhere": True}, [False, False, False, False]),
            ({"everywhere": True, "tool": "a"}, [False, False, True, False]),
        ]
        for scope, allowed in scopes:
            ours.halt(by="ann", reason="stop", **scope)
            assert [self._allowed(*call) for call in calls] == allowed, scope
            assert ours.unhalt(by="ann", **scope) == 1
            assert [self._allowed(*call) for call in calls] == [True] * 4, scope

    def test_a_caller_learns_who_halted_it_and_why(self) -> None:
        """The error carries the operator's words."""
        ledger, desk = self.ledger(), self.ledger()
        desk.halt(by="ann", reason="prices are wrong", tool="charge")
        charge = self.tool("done")
        with raises(Halted) as caught:
            ledger.call("charge", charge.fn, workflow="w")
        assert (caught.error.by, caught.error.reason) == ("ann", "prices are wrong")
        assert charge.times == 0
        halt = ledger.halts()[0]
        assert (halt.tool, halt.mode, halt.by) == ("charge", "halt", "ann")

    def test_a_halt_lets_recorded_results_through(self) -> None:
        """A replay starts nothing."""
        ledger = self.ledger()
        charge = self.tool("done")
        ledger.call("charge", charge.fn, workflow="w")
        ledger.halt(by="ann", reason="stop")
        assert ledger.call("charge", charge.fn, workflow="w") == "done"
        assert charge.times == 1

    def test_a_halt_lets_what_is_running_be_recorded(self) -> None:
        """What happened, happened."""
        ledger = self.ledger()
        held = ledger.hold("charge", workflow="w")
        ledger.halt(by="ann", reason="stop")
        held.succeed("done")
        assert ledger.only().result == "done"

    def test_a_halt_stops_further_attempts_and_draining_does_not(self) -> None:
        """``drain`` lets be finished what has begun, and nothing begin."""
        for mode, goes_on in (("halt", False), ("drain", True)):
            ledger = self.ledger(tenant=mode)
            charge = self.tool(NotApplied("busy", retryable=True), "done")
            with raises(NotApplied):
                ledger.call("charge", charge.fn, workflow="w")
            ledger.halt(by="ann", reason="stop", mode=mode)
            if goes_on:
                assert ledger.call("charge", charge.fn, workflow="w") == "done"
            else:
                with raises(Halted):
                    ledger.call("charge", charge.fn, workflow="w")
                assert charge.times == 1
            assert not self._allowed(ledger, "charge", "other")

    def test_an_approved_effect_cannot_start_while_it_is_halted(self) -> None:
        """It never began, so draining stops it too; the approval is not used up."""
        for mode in ("halt", "drain"):
            ledger = self.ledger(tenant=mode)
            policy = Policy(approval=True)
            charge = self.tool("done")
            with raises(ApprovalRequired) as caught:
                ledger.call("charge", charge.fn, workflow="w", policy=policy)
            ledger.approve(caught.error.key, by="ann")
            ledger.halt(by="ann", reason="stop", mode=mode)
            with raises(Halted):
                ledger.call("charge", charge.fn, workflow="w", policy=policy)
            assert (charge.times, ledger.only().status) == (0, "approved")
            ledger.unhalt(by="ann")
            assert ledger.call("charge", charge.fn, workflow="w", policy=policy) == "done"

    def test_nothing_can_be_asked_for_while_it_is_halted(self) -> None:
        """A request that nobody may grant would only lie in the inbox."""
        ledger = self.ledger()
        ledger.halt(by="ann", reason="stop")
        with raises(Halted):
            ledger.call("charge", self.tool().fn, workflow="w", policy=Policy(approval=True))
        assert (ledger.pending(), ledger.effects()) == ([], [])

    def test_a_takeover_is_a_start_too(self) -> None:
        """A halt stops the repetition of what the dead began."""
        ledger = self.ledger()
        policy = Policy(guarantee="idempotent")  # type: ignore[arg-type]
        ledger.hold("charge", workflow="w", policy=policy)
        heir = self.heir(ledger)
        heir.halt(by="ann", reason="stop")
        charge = self.tool("done")
        with raises(Halted):
            heir.call("charge", charge.fn, workflow="w", policy=policy)
        heir.unhalt(by="ann")
        assert heir.call("charge", charge.fn, workflow="w", policy=policy) == "done"

    def test_only_exactly_the_same_scope_is_lifted(self) -> None:
        """And lifting what is not there lifts nothing."""
        ledger = self.ledger()
        ledger.halt(by="ann", reason="stop", tool="charge")
        assert ledger.unhalt(by="ann") == 0
        assert ledger.unhalt(by="ann", tool="charge", workflow="w") == 0
        assert ledger.unhalt(by="ann", tool="charge") == 1
        assert ledger.unhalt(by="ann", tool="charge") == 0
        assert ledger.halts() == []

    def test_a_halt_of_the_same_scope_replaces_the_earlier_one(self) -> None:
        """There is one halt per scope, and it is the last one."""
        ledger = self.ledger()
        ledger.halt(by="ann", reason="stop", mode="drain")
        ledger.halt(by="bob", reason="stop now")
        assert [(h.by, h.mode) for h in ledger.halts()] == [("bob", "halt")]
        assert ledger.unhalt(by="ann") == 1

    def test_halts_and_their_ends_are_recorded(self) -> None:
        """Who, when and why, each event hashed over the one before."""
        ledger = self.ledger()
        ledger.halt(by="ann", reason="stop", tool="charge")
        ledger.unhalt(by="bob", reason="fixed", tool="charge")
        key = hashed(VERSION, b"halts", b"default", b"one")
        events = ledger.read(History(key=key, tenant="default"))
        assert [(e.kind, e.actor, e.detail["reason"]) for e in events] == [
            ("halt", "ann", "stop"),
            ("lifted", "bob", "fixed"),
        ]
        assert events[1].previous == events[0].hash

    def test_only_the_default_tenant_halts_everybody(self) -> None:
        """No tenant may stop another one."""
        ledger = self.ledger(tenant="acme")
        with raises(InvalidCall):
            ledger.halt(by="ann", reason="stop", everywhere=True)
        assert ledger.halts() == []

    def test_a_halt_leaves_what_people_do_alone(self) -> None:
        """Doubts are resolved and requests decided as ever."""
        ledger = self.ledger()
        with raises(EffectInDoubt) as caught:
            ledger.call("charge", self.tool(ValueError()).fn, workflow="w")
        ledger.halt(by="ann", reason="stop")
        assert ledger.resolve(caught.error.key, by="ann", succeeded=1).status == "succeeded"
