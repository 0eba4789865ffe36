"""Holders that die, that come late, and that were overtaken."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

from tallystick._acts import Release, Settle
from tallystick._model import Guarantee, Row, Status
from tallystick._policy import Policy
from tallystick.errors import EffectInDoubt, StillRunning
from tallystick.testing._contract._base import PATIENCE, Contract, Faced, raises
from tallystick.testing._crash import Crashed, crash_at

ORDER = {"order": "A"}
AGAIN = Policy(guarantee=Guarantee.IDEMPOTENT)


def outcome(row: Row, text: str = '"late"', *, epoch: int | None = None) -> Settle:
    """What the holder of *row* says, however late it comes."""
    return Settle(
        key=row.key,
        tenant=row.tenant,
        epoch=row.epoch if epoch is None else epoch,
        nonce=row.nonce or b"",
        status="succeeded",
        result=text,
        result_digest=hashlib.sha256(text.encode()).digest(),
    )


class Deaths(Contract):
    """Liveness, takeover, fencing, and the doubts of the dead."""

    def _abandoned(self, policy: Policy | None = None) -> tuple[Row, Faced]:
        """A row whose holder died in the middle, and somebody who lives."""
        ledger = self.ledger()
        held = ledger.hold("charge", ORDER, workflow="w", policy=policy)
        row = ledger.row(held.key)
        return row, self.heir(ledger)

    def test_a_living_holder_is_never_robbed(self) -> None:
        """However others ask: it is being performed."""
        first, second = self.ledger(), self.ledger()
        held = first.hold("charge", ORDER, workflow="w", policy=AGAIN)
        charge = self.tool("done")
        policy = AGAIN.but(wait=0)
        with raises(StillRunning):
            second.call("charge", charge.fn, ORDER, workflow="w", policy=policy)
        assert (second.recover(), second.pending(), charge.times) == (0, [], 0)
        held.succeed("mine")
        assert second.call("charge", charge.fn, ORDER, workflow="w", policy=policy) == "mine"

    def test_what_the_dead_left_is_put_in_doubt_and_shown(self) -> None:
        """Once, by whoever looks, without a call."""
        row, heir = self._abandoned()
        assert heir.recover() == 1
        assert heir.recover() == 0
        effect = heir.only()
        assert (effect.status, effect.epoch, effect.attempt) == ("in_doubt", 1, 1)
        event = heir.history(effect.key)[0]
        assert (event.kind, event.epoch, event.detail["holder"]) == ("in_doubt", 1, row.holder)
        assert heir.inbox() == [("in_doubt", "charge")]

    def test_every_effect_of_the_dead_is_found(self) -> None:
        """Also those whose attempt it began later than others did."""
        ledger, other = self.ledger(), self.ledger()
        with raises(EffectInDoubt) as caught:
            other.call("old", self.tool(ValueError()).fn, ORDER, workflow="w")
        other.resolve(str(caught.error.key), by="ann", failed="no")
        for n in range(3):
            ledger.hold("new", {"n": n}, workflow="w")
        ledger.hold("old", ORDER, workflow="w")
        other.call("done", self.tool().fn, workflow="w")
        mine = other.hold("mine", ORDER, workflow="w")
        self.die(ledger)
        assert other.recover() == 4
        assert sorted(other.inbox()) == [("in_doubt", "new")] * 3 + [("in_doubt", "old")]
        mine.succeed("done")

    def test_a_takeover_is_another_epoch_and_says_whose_it_was(self) -> None:
        """The fencing token grows with every change of holder."""
        row, heir = self._abandoned(AGAIN)
        assert heir.call("charge", self.tool("x").fn, ORDER, workflow="w", policy=AGAIN) == "x"
        effect = heir.only()
        assert (effect.epoch, effect.attempt) == (2, 2)
        assert heir.history(effect.key)[0].detail["from_holder"] == row.holder

    def test_one_of_several_heirs_takes_over(self) -> None:
        """The others follow."""
        ledger = self.ledger()
        ledger.hold("charge", ORDER, workflow="w", policy=AGAIN)
        heirs = [self.ledger() for _ in range(3)]
        self.die(ledger)
        charge = self.tool("done")
        options = {"workflow": "w", "policy": AGAIN}
        calls = [self.meanwhile(heir.call, "charge", charge.fn, ORDER, **options) for heir in heirs]
        assert [call.result(PATIENCE) for call in calls] == ["done"] * 3
        assert (charge.times, heirs[0].only().epoch) == (1, 2)

    def test_a_late_settle_of_the_current_epoch_resolves_the_doubt(self) -> None:
        """Nobody took over, so what the old holder says is the truth, and welcome."""
        row, heir = self._abandoned()
        heir.recover()
        assert heir.submit(outcome(row)).how == "late"
        assert heir.call("charge", self.tool("x").fn, ORDER, workflow="w") == "late"
        assert (heir.kinds(row.key.hex()), heir.pending()) == (["in_doubt", "settled_late"], [])

    def test_a_late_settle_before_anybody_noticed_is_the_record(self) -> None:
        """A holder that only seemed dead, and that nobody overtook, settles as ever."""
        row, heir = self._abandoned()
        assert heir.submit(outcome(row)).how == "applied"
        assert (heir.only().result, heir.kinds(row.key.hex())) == ("late", [])

    def test_a_stale_settle_is_refused_and_kept_as_an_observation(self) -> None:
        """The next holder's record stands; what the old one saw is not lost."""
        row, heir = self._abandoned(AGAIN)
        held = heir.hold("charge", ORDER, workflow="w", policy=AGAIN)
        assert heir.submit(outcome(row)).how == "fenced"
        assert heir.only().status is Status.RUNNING
        held.succeed("new")
        assert heir.only().result == "new"
        event = heir.history(row.key.hex())[-1]
        assert (event.kind, event.detail["epoch"], event.detail["result"]) == (
            "observed",
            1,
            '"late"',
        )

    def test_a_stale_settle_cannot_undo_what_was_settled(self) -> None:
        """Not with an old epoch, not with a foreign nonce, not after a resolution."""
        row, heir = self._abandoned()
        heir.recover()
        heir.resolve(row.key.hex(), by="ann", succeeded="found")
        for act in (outcome(row), outcome(row, epoch=9), outcome(row._replace(nonce=b"x" * 16))):
            assert heir.submit(act).how == "fenced"
        assert heir.only().result == "found"
        assert heir.kinds(row.key.hex())[2:] == ["observed"] * 3

    def test_an_outcome_needs_the_epoch_and_the_nonce_of_its_claim(self) -> None:
        """A stranger's word about a running effect is an observation."""
        ledger = self.ledger()
        row = ledger.row(ledger.hold("charge", ORDER, workflow="w").key)
        for act in (outcome(row, epoch=2), outcome(row._replace(nonce=b"x" * 16))):
            assert ledger.submit(act).how == "fenced"
            assert ledger.only().status is Status.RUNNING

    def test_an_effect_is_given_back_only_by_its_holder(self) -> None:
        """A release needs the nonce of the claim."""
        ledger = self.ledger()
        row = ledger.row(ledger.hold("charge", ORDER, workflow="w").key)
        act: dict[str, Any] = {
            "key": row.key,
            "tenant": row.tenant,
            "actor": "x",
            "reason": "given back",
        }
        assert not ledger.apply(Release(nonce=b"x" * 16, **act))
        assert ledger.only().status is Status.RUNNING
        assert ledger.apply(Release(nonce=row.nonce or b"", **act))
        assert ledger.call("charge", self.tool("x").fn, ORDER, workflow="w") == "x"

    def test_a_settle_whose_answer_was_lost_may_be_said_again(self) -> None:
        """The nonce says that it was the same one: nothing is observed, nothing is refused."""
        ledger = self.ledger()
        row = ledger.row(ledger.hold("charge", ORDER, workflow="w").key)
        assert [ledger.submit(outcome(row)).how for _ in range(2)] == ["applied", "applied"]
        assert ledger.kinds(row.key.hex()) == []

    def test_a_tool_that_outlasts_its_timeout_is_in_doubt_until_it_returns(self) -> None:
        """Its late outcome resolves the doubt by itself."""
        ledger, go = self.ledger(), threading.Event()

        def slow(order: str) -> str:
            assert go.wait(PATIENCE), order
            return "at last"

        charge = self.tool(slow, threaded=True)
        with raises(EffectInDoubt):
            ledger.call("charge", charge.fn, ORDER, workflow="w", policy=Policy(timeout=0.1))
        assert ledger.inbox() == [("in_doubt", "charge")]
        go.set()
        self.eventually(lambda: ledger.only().status is Status.SUCCEEDED)
        effect = ledger.only()
        assert (effect.result, ledger.pending()) == ("at last", [])
        assert ledger.kinds(effect.key) == ["in_doubt", "settled_late"]

    def test_a_death_between_tool_and_record_is_not_forgotten(self) -> None:
        """The claim was durable before the tool ran, so somebody will look."""
        ledger = self.ledger()
        charge = self.tool("done")
        with crash_at("tool.after"), raises(Crashed):
            ledger.call("charge", charge.fn, ORDER, workflow="w")
        heir = self.heir(ledger)
        assert (heir.recover(), charge.times) == (1, 1)
