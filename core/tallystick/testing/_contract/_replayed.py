"""Runs that are told again: what a store has to keep for that, and that nothing of it changes."""

from __future__ import annotations

from typing import Any

from tallystick._keys import scope_of
from tallystick._places import Adopt, Neighbours
from tallystick._replay._records import ReadRecords, Record
from tallystick.errors import Divergence, EffectFailed, NotApplied
from tallystick.testing._contract._base import Contract, Faced, Tool, raises
from tallystick.testing._contract._spot import Spot


class Replayed(Contract):
    """A replay is answered from the records of its workflow, and leaves them as they are."""

    def _records(self, ledger: Faced, workflow: str = "w", **some: Any) -> list[Record]:
        act = ReadRecords(scope=scope_of(ledger.ledger.tenant, workflow), **some)
        return ledger.read(act)

    def test_records_come_in_the_order_in_which_they_were_asked_for(self) -> None:
        """Of one workflow and tenant only, and in pages."""
        ledger, other = self.ledger(), self.ledger(tenant="other")
        for n in (3, 1, 2):
            ledger.call("send", Tool(n, awaited=self.awaiting).fn, {"n": n}, workflow="w")
            other.call("send", Tool(n, awaited=self.awaiting).fn, {"n": n}, workflow="w")
            ledger.call("send", Tool(n, awaited=self.awaiting).fn, {"n": n}, workflow="v")
        every = self._records(ledger)
        assert [(r.row.tenant, r.row.result) for r in every] == [("default", n) for n in "312"]
        assert self._records(ledger, limit=2) == every[:2]
        assert self._records(ledger, after=every[1].seq) == every[2:]

    def test_a_replay_runs_nothing_and_changes_nothing(self) -> None:
        """A result, a failure and a repetition come again; the rows are the same ones."""
        ledger, done = self.ledger(), self.tool({"id": (1, 2)})
        refused = self.tool(NotApplied("no card"))
        ledger.call("charge", done.fn, {"n": 1}, workflow="w")
        with raises(NotApplied):
            ledger.call("charge", refused.fn, {"n": 2}, workflow="w")
        before = self._records(ledger)
        with ledger.ledger.replay("w") as replay:
            for _ in range(2):
                assert ledger.call("charge", done.fn, {"n": 1}, workflow="w") == {"id": (1, 2)}
            with raises(EffectFailed) as failed:
                ledger.call("charge", refused.fn, {"n": 2}, workflow="w")
        assert (str(failed.error), isinstance(failed.error, NotApplied)) == ("no card", True)
        assert (done.times, refused.times, replay.served) == (1, 1, 3)
        assert self._records(ledger) == before
        assert [r.row.result_digest for r in self._records(ledger, "replay:w")] != [None]

    def test_other_arguments_are_a_divergence(self) -> None:
        """And nothing runs."""
        ledger, charge = self.ledger(), self.tool("done")
        ledger.call("charge", charge.fn, {"n": 1}, workflow="w")
        with raises(Divergence) as caught, ledger.ledger.replay("w"):
            ledger.call("charge", charge.fn, {"n": 2}, workflow="w")
        assert (caught.error.kind, charge.times) == ("arguments", 1)

    def test_what_ran_inside_of_another_effect_is_recorded_as_such(self) -> None:
        """Also when it stands for later calls; a replay of the outer one does not miss it."""
        ledger, inner = self.ledger(), self.tool("inner", threaded=True)

        def pack() -> Any:
            spot = Spot("c1")
            return ledger.ledger.call("fold", inner.fn, workflow="w", call_id="c1", place=spot)

        outer = self.tool(pack, threaded=True)
        assert ledger.call("pack", outer.fn, workflow="w") == "inner"
        first, second = self._records(ledger)
        assert (first.within, second.within) == ((), (first.row.key,))
        near = Neighbours(scope=scope_of(ledger.ledger.tenant, "w"))
        seen = ledger.read(near)[1].places
        assert seen == [{"at": "c1"}]
        key, tenant, place = second.row.key, ledger.ledger.tenant, '{"at":"c2"}'
        adopt = Adopt(key=key, tenant=tenant, actor="me", place=place, seen=seen)
        assert ledger.apply(adopt) is True
        assert self._records(ledger)[1].within == (first.row.key,)
        assert ledger.read(near)[1].places == [{"at": "c1"}, {"at": "c2"}]
        with ledger.ledger.replay("w") as replay:
            assert ledger.call("pack", outer.fn, workflow="w") == "inner"
        assert (replay.missing, outer.times, inner.times) == ((), 1, 1)
