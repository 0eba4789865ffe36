"""Records from another ledger: all of them or none, and nothing of them starts by itself."""

from __future__ import annotations

import io
from typing import Any

from tallystick._archive._acts import Known, Records
from tallystick._model import Guarantee, Status
from tallystick._policy import Approval, Policy
from tallystick.archives import Loaded
from tallystick.errors import (
    ApprovalDenied,
    ApprovalRequired,
    ArchiveConflict,
    ArchiveElsewhere,
    EffectFailed,
    EffectInDoubt,
    NotApplied,
)
from tallystick.ledger import Ledger
from tallystick.testing._contract._base import Contract, Faced, Tool, raises
from tallystick.testing._crash import Crashed, crash_at

ASK = Policy(approval=Approval(quorum=2))
AGAIN = Policy(guarantee=Guarantee.IDEMPOTENT)


class Archives(Contract):
    """Export and import between the store under test and one in memory."""

    def _elsewhere(self) -> Ledger:
        """A ledger in another place, with effects in every status; closed by the test."""
        other = Ledger("memory://")
        faced = Faced(other, awaiting=False)
        for n in range(3):
            other.call("charge", Tool(f"receipt {n}").fn, {"n": n}, workflow="w")
        with raises(NotApplied):
            other.call("refuse", Tool(NotApplied("no")).fn, workflow="w")
        with raises(NotApplied):
            other.call("later", Tool(NotApplied(retryable=True)).fn, workflow="w")
        for n, by in enumerate(("", "a", "ab", "d")):
            with raises(ApprovalRequired) as asked:
                other.call("pay", Tool().fn, {"n": n}, workflow="w", policy=ASK)
            for name in by.replace("d", ""):
                other.approve(str(asked.error.key), by=name, reason="fine")
            if by == "d":
                other.deny(str(asked.error.key), by="ann")
        with raises(EffectInDoubt):
            other.call("lost", Tool(ValueError()).fn, workflow="w", policy=AGAIN)
        faced.hold("held", workflow="v")
        return other

    def _archive(self, ledger: Ledger, **options: Any) -> io.BytesIO:
        archive = io.BytesIO()
        ledger.export(archive, **options)
        archive.seek(0)
        return archive

    def _lines(self, faced: Faced, **options: Any) -> list[bytes]:
        """What an export says of the effects themselves."""
        archive = io.BytesIO()
        faced.export(archive, **options)
        return archive.getvalue().splitlines()[1:-1]

    def _taken_over(self) -> tuple[Faced, Loaded]:
        """The store under test with all of them."""
        ledger, other = self.ledger(), self._elsewhere()
        loaded: Loaded = ledger.load(self._archive(other), by="ann")
        other.close()
        return ledger, loaded

    def test_what_has_an_outcome_elsewhere_is_replayed_here(self) -> None:
        """Results, failures and denials; no tool runs."""
        ledger, loaded = self._taken_over()
        assert (loaded.effects, loaded.imported, loaded.known) == (11, 11, 0)
        tool = self.tool("again")
        for n in range(3):
            found = ledger.call("charge", tool.fn, {"n": n}, workflow="w")
            assert found == f"receipt {n}"
        with raises(EffectFailed):
            ledger.call("refuse", tool.fn, workflow="w")
        with raises(ApprovalDenied):
            ledger.call("pay", tool.fn, {"n": 3}, workflow="w", policy=ASK)
        assert tool.times == 0

    def test_what_could_start_elsewhere_waits_for_a_decision_here(self) -> None:
        """Whatever the caller's policy says; votes from elsewhere do not count."""
        ledger, loaded = self._taken_over()
        assert (loaded.asked, loaded.in_doubt) == (4, 2)
        tool = self.tool("done")
        with raises(ApprovalRequired) as asked:
            ledger.call("later", tool.fn, workflow="w")
        ledger.approve(str(asked.error.key), by="ann")
        assert ledger.call("later", tool.fn, workflow="w") == "done"
        for n in range(3):
            with raises(ApprovalRequired) as asked:
                ledger.call("pay", tool.fn, {"n": n}, workflow="w", policy=ASK)
            key = str(asked.error.key)
            ledger.approve(key, by="a")
            assert ledger.row(key).status == Status.PENDING
            ledger.approve(key, by="b")
            assert ledger.call("pay", tool.fn, {"n": n}, workflow="w", policy=ASK) == "done"
        assert tool.times == 4

    def test_what_was_under_way_elsewhere_is_in_doubt_here(self) -> None:
        """Under no guarantee that would repeat it; a person says what became of it."""
        ledger, _ = self._taken_over()
        tool = self.tool("done")
        for name, workflow in (("lost", "w"), ("held", "v")):
            with raises(EffectInDoubt):
                ledger.call(name, tool.fn, workflow=workflow, policy=AGAIN)
            with raises(EffectInDoubt) as doubt:
                ledger.call(name, tool.fn, workflow=workflow)
            key = str(doubt.error.key)
            event = ledger.history(key)[-1]
            assert (event.kind, event.actor) == ("imported", "ann")
            assert ("in_doubt", name) in ledger.inbox()
            ledger.resolve(key, by="ann", succeeded="found")
            assert ledger.call(name, tool.fn, workflow=workflow) == "found"
        assert tool.times == 0

    def test_everything_that_waits_is_in_the_inbox(self) -> None:
        """As it was there, or as it is here."""
        ledger, _ = self._taken_over()
        assert sorted(ledger.inbox()) == [
            ("approval", "later"),
            *[("approval", "pay")] * 3,
            ("in_doubt", "held"),
            ("in_doubt", "lost"),
        ]

    def test_records_are_equal_in_every_store(self) -> None:
        """From here into memory and out again: the same lines, in the same order."""
        ledger, _ = self._taken_over()
        with Ledger("memory://") as other:
            assert other.load(self._archive(ledger.ledger)).imported == 11
            assert self._lines(Faced(other, awaiting=False)) == self._lines(ledger)

    def test_an_import_is_done_again_without_harm(self) -> None:
        """What is here already, or has moved on here, is left as it is."""
        ledger, other = self.ledger(), self._elsewhere()
        archive = self._archive(other)
        ledger.load(archive)
        archive.seek(0)
        assert ledger.load(archive).known == 11
        for item in ledger.pending():
            verb = {"approval": "deny", "in_doubt": "cancel"}[item.kind]
            getattr(ledger, verb)(item.effect.key, by="ann")
        before = self._lines(ledger)
        archive.seek(0)
        assert ledger.load(archive).known == 11
        assert self._lines(ledger) == before
        archive.seek(0)
        assert other.load(archive).known == 11
        other.close()

    def test_other_records_under_its_keys_are_a_conflict(self) -> None:
        """Found before anything is written, or left out where that is wanted."""
        ledger, other = self.ledger(), self._elsewhere()
        for n in (0, 1):
            ledger.call("charge", self.tool("another").fn, {"n": n}, workflow="w")
        archive = self._archive(other)
        with raises(ArchiveConflict) as conflict:
            ledger.load(archive)
        mine = {effect.key for effect in ledger.effects()}
        assert set(conflict.error.keys) == mine
        assert len(mine) == 2
        archive.seek(0)
        loaded = ledger.load(archive, on_conflict="skip")
        assert (loaded.imported, loaded.skipped, set(loaded.conflicts)) == (9, 2, mine)
        tool = self.tool("again")
        results = [ledger.call("charge", tool.fn, {"n": n}, workflow="w") for n in range(3)]
        assert results == ["another", "another", "receipt 2"]
        other.close()

    def test_another_tenants_records_are_refused(self) -> None:
        """No call here could ever find them."""
        ledger, other = self.ledger(tenant="acme"), self._elsewhere()
        with raises(ArchiveElsewhere) as refused:
            ledger.load(self._archive(other))
        assert refused.error.tenant == "default"
        assert ledger.effects() == []
        other.close()

    def test_an_import_that_was_cut_off_is_gone_on_with(self) -> None:
        """Wherever it was: nothing is lost, nothing is there twice or in part."""
        for moment in ("before", "applied", "committed"):
            tenant = f"t{moment}"
            with Ledger("memory://", tenant=tenant) as other:
                other.call("charge", Tool("receipt").fn, workflow="w")
                with raises(ApprovalRequired):
                    other.call("pay", Tool().fn, workflow="w", policy=ASK)
                archive = self._archive(other)
            ledger = self.ledger(tenant=tenant)
            with crash_at(f"PutRecords.{moment}") as death, raises(Crashed):
                ledger.load(archive)
            assert death.fired
            heir = self.heir(ledger, tenant=tenant)
            assert len(heir.effects()) == (2 if moment == "committed" else 0)
            archive.seek(0)
            loaded = heir.load(archive)
            assert loaded.imported + loaded.known == 2
            assert heir.inbox() == [("approval", "pay")]
            assert len(heir.effects()) == 2

    def test_a_part_of_a_ledger_is_exported(self) -> None:
        """One workflow; what changed, or brought an event, since a moment."""
        ledger, _ = self._taken_over()
        everything = self._lines(ledger)
        mine = self._lines(ledger, workflow="v")
        assert len(mine) == 1
        assert mine[0].endswith(everything[-1].partition(b'"effect"')[2])
        store: Any = ledger.engine.store
        whole = store.read(Records(tenant="default", after=0, limit=99))
        moments = [max(r.row.changed_at, *(e.at for e in r.events), 0) for _, r in whole]
        for since in (*moments, max(moments) + 1):
            seen = store.read(Records(tenant="default", after=0, limit=99, since=since))
            late = [each for each, at in zip(whole, moments, strict=True) if at >= since]
            assert seen == late

    def test_an_export_goes_on_where_it_was(self) -> None:
        """Page by page, each effect with what belongs to it and to no other."""
        ledger, _ = self._taken_over()
        store: Any = ledger.engine.store
        whole = store.read(Records(tenant="default", after=0, limit=99))
        assert [found.seq for found in whole] == sorted({found.seq for found in whole})
        after, found = 0, list[Any]()
        while page := store.read(Records(tenant="default", after=after, limit=2)):
            after = page[-1].seq
            found += page
        assert found == whole
        for _, record in whole:
            assert len(record.events) == record.row.events
            assert {event.key for event in record.events} <= {record.row.key}
        known = store.read(Known(keys=tuple(each.record.row.key for each in whole)))
        assert [r.row for r in sorted(known)] == sorted(each.record.row for each in whole)
