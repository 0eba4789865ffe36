"""Acts as the store sees them: whole or not at all, and only on what their sender saw."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from tallystick._acts import AskAgain, Claim, Doubt, Lapse, Release, Start
from tallystick._model import Row, Status
from tallystick._policy import Policy
from tallystick.errors import ApprovalRequired, EffectInDoubt, NotApplied
from tallystick.testing._contract._base import Contract, Faced, raises
from tallystick.testing._crash import Crashed, crash_at

ORDER = {"order": "A"}
ASK = Policy(approval=True)


def claim_again(row: Row, **other: Any) -> Claim:
    """The claim that inserted *row*, but for what is *other*."""
    named = {name: getattr(row, name) for name in Claim._fields if name in Row._fields}
    rest: dict[str, Any] = {"scope": b"", "twin": b"", "suspect": "run", "expires": None}
    return Claim(**{**rest, **named, **other})


class Acts(Contract):
    """What flows rely on when two of them meet."""

    def _asked(self, ledger: Faced) -> str:
        with raises(ApprovalRequired) as caught:
            ledger.call("charge", self.tool().fn, ORDER, workflow="w", policy=ASK)
        return str(caught.error.key)

    def _doubtful(self, ledger: Faced) -> str:
        with raises(EffectInDoubt) as caught:
            ledger.call("charge", self.tool(ValueError()).fn, ORDER, workflow="w")
        return str(caught.error.key)

    def _seen(self, ledger: Faced) -> Any:
        """All that is known: rows, events, the inbox, halts."""
        keys = [effect.key for effect in ledger.effects()]
        rows = [ledger.row(key) for key in keys]
        return rows, [ledger.history(key) for key in keys], ledger.pending(), ledger.halts()

    def test_an_act_is_done_whole_or_not_at_all(self) -> None:
        """Row, events and inbox are one commit; a death before it leaves what was there."""
        deeds: list[tuple[str, Callable[[Faced], Any], Callable[[Faced, Any], Any]]] = [
            ("Ask", lambda _: None, lambda ledger, _: self._asked(ledger)),
            ("Decide", self._asked, lambda ledger, key: ledger.approve(key, by="ann")),
            ("Decide", self._asked, lambda ledger, key: ledger.deny(key, by="ann")),
            ("Cancel", self._asked, lambda ledger, key: ledger.cancel(key, by="ann")),
            ("Resolve", self._doubtful, lambda ledger, key: ledger.resolve(key, by="a", failed="")),
            ("PutHalt", lambda _: None, lambda ledger, _: ledger.halt(by="ann", reason="stop")),
        ]
        for n, (act, prepare, do) in enumerate(deeds):
            for moment in ("before", "applied", "committed"):
                ledger = self.ledger(tenant=f"t{n}{moment}")
                given = prepare(ledger)
                before = self._seen(ledger)
                with crash_at(f"{act}.{moment}") as death, raises(Crashed):
                    do(ledger, given)
                assert death.fired
                heir = self.ledger(tenant=f"t{n}{moment}")
                assert (self._seen(heir) == before) == (moment != "committed"), (act, moment)

    def test_a_decision_whose_answer_was_lost_may_be_said_again(self) -> None:
        """It was recorded; saying it again is no second one, and no error."""
        verbs: list[tuple[str, Callable[[Faced], str], Callable[[Faced, str], Any]]] = [
            ("Decide", self._asked, lambda ledger, key: ledger.approve(key, by="ann")),
            ("Decide", self._asked, lambda ledger, key: ledger.deny(key, by="ann")),
            ("Cancel", self._asked, lambda ledger, key: ledger.cancel(key, by="ann")),
            (
                "Resolve",
                self._doubtful,
                lambda ledger, key: ledger.resolve(key, by="ann", succeeded=1),
            ),
        ]
        for n, (act, prepare, decide) in enumerate(verbs):
            ledger = self.ledger(tenant=f"t{n}")
            key = prepare(ledger)
            with crash_at(f"{act}.committed"), raises(Crashed):
                decide(ledger, key)
            heir = self.ledger(tenant=f"t{n}")
            recorded = self._seen(heir)
            decide(heir, key)
            assert self._seen(heir) == recorded

    def _start(self, row: Row, **seen: Any) -> Start:
        fields = row._replace(**seen)
        return Start(
            key=row.key,
            tenant=row.tenant,
            status=fields.status,
            epoch=fields.epoch,
            shown=fields.shown,
            nonce=os.urandom(20),
            holder="somebody",
            actor="somebody",
            reason="again",
        )

    def test_a_start_needs_what_its_caller_saw(self) -> None:
        """Status, epoch and digest as they were shown; else it learns what is there."""
        ledger = self.ledger()
        with raises(NotApplied):
            ledger.call("charge", self.tool(NotApplied(retryable=True)).fn, ORDER, workflow="w")
        row = ledger.row(ledger.only().key)
        for seen in ({"status": "approved"}, {"epoch": 2}, {"shown": b"x" * 32}):
            found = ledger.apply(self._start(row, **seen))
            assert (found.fresh, found.row, found.halted) == (False, row, False), seen
        found = ledger.apply(self._start(row))
        assert found.fresh
        assert found.row is not None
        assert (found.row.epoch, found.row.attempt, found.row.holder) == (2, 2, "somebody")

    def test_a_start_needs_an_approval_that_still_holds(self) -> None:
        """Whoever saw it in time and comes too late is too late."""
        ledger = self.ledger()
        ledger.approve(self._asked(ledger), by="ann")
        row = ledger.row(ledger.only().key)
        ledger.turn(86_400)
        found = ledger.apply(self._start(row))
        assert (found.fresh, found.row, found.halted) == (False, row, False)

    def test_a_claim_whose_answer_was_lost_may_be_said_again(self) -> None:
        """While it is held it is still fresh; once it was settled it is not; a rival's never is."""
        ledger = self.ledger()
        held = ledger.hold("charge", ORDER, workflow="w")
        row = ledger.row(held.key)
        assert ledger.submit(claim_again(row)).fresh
        assert not ledger.submit(claim_again(row, nonce=b"x" * 16)).fresh
        held.succeed("done")
        found = ledger.submit(claim_again(row))
        assert (found.fresh, found.row.status) == (False, "succeeded")

    def test_a_start_spares_a_living_holder(self) -> None:
        """Whatever its caller believed."""
        ledger = self.ledger()
        row = ledger.row(ledger.hold("charge", ORDER, workflow="w").key)
        found = ledger.apply(self._start(row))
        assert (found.fresh, found.row, found.alive) == (False, row, True)

    def test_one_start_wins(self) -> None:
        """Of two that saw the same, the second one learns of the first."""
        ledger = self.ledger()
        ledger.approve(self._asked(ledger), by="ann")
        row = ledger.row(ledger.only().key)
        won, lost = (ledger.apply(self._start(row)) for _ in range(2))
        assert (won.fresh, lost.fresh) == (True, False)
        assert lost.row is not None
        assert lost.row.nonce == won.row.nonce if won.row else False

    def test_a_start_whose_answer_was_lost_may_be_said_again(self) -> None:
        """Its nonce says that it was the same one."""
        ledger = self.ledger()
        ledger.approve(self._asked(ledger), by="ann")
        act = self._start(ledger.row(ledger.only().key))
        first, second = ledger.apply(act), ledger.apply(act)
        assert (first.fresh, second.fresh, second.row) == (True, True, first.row)
        assert ledger.kinds(act.key.hex()) == ["asked", "approved", "started"]

    def test_what_came_too_late_changes_nothing(self) -> None:
        """Each act compares what it was meant for with what is there."""
        ledger = self.ledger()
        ledger.call("charge", self.tool("done").fn, ORDER, workflow="w")
        row = ledger.row(ledger.only().key)
        by: dict[str, Any] = {"key": row.key, "tenant": row.tenant, "actor": "late"}
        again: dict[str, Any] = {"epoch": 1, "expires": 1, "quorum": 1, "facts": None, "reason": ""}
        again |= {"args": row.args, "shown": row.shown}
        assert not ledger.apply(Release(nonce=row.nonce or b"", reason="", **by))
        assert ledger.apply(AskAgain(status="expired", **again, **by)) is None
        for act in (
            Lapse(**by),
            Doubt(epoch=1, nonce=row.nonce, error=None, reason="", **by),
        ):
            ledger.apply(act)
        assert ledger.row(row.key.hex()) == row
        assert ledger.only().status is Status.SUCCEEDED

    def test_only_the_holder_or_its_death_brings_a_doubt(self) -> None:
        """Neither a stranger, nor an epoch that is over."""
        ledger = self.ledger()
        row = ledger.row(ledger.hold("charge", ORDER, workflow="w").key)
        doubt: dict[str, Any] = {
            "key": row.key,
            "tenant": row.tenant,
            "actor": "x",
            "error": None,
            "reason": "?",
        }
        for epoch, nonce in ((1, None), (1, b"x" * 16), (2, row.nonce)):
            ledger.apply(Doubt(epoch=epoch, nonce=nonce, **doubt))
            assert ledger.row(row.key.hex()) == row
        ledger.apply(Doubt(epoch=1, nonce=row.nonce, **doubt))
        assert ledger.only().status is Status.IN_DOUBT
