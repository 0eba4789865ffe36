"""Nothing of one tenant can be seen, replayed or decided through another one's ledger."""

from __future__ import annotations

from typing import Any

from tallystick import _acts as acts
from tallystick._policy import Policy
from tallystick.errors import ApprovalRequired, EffectInDoubt, NotApplied, UnknownEffect
from tallystick.testing._contract._acts import claim_again
from tallystick.testing._contract._base import Contract, Faced, raises
from tallystick.testing._contract._deaths import outcome

ORDER = {"order": "A"}


class Tenants(Contract):
    """Two tenants in one database."""

    def _both(self) -> tuple[Faced, Faced]:
        return self.ledger(tenant="acme"), self.ledger(tenant="zeta")

    def test_the_same_call_of_two_tenants_is_two_effects(self) -> None:
        """Same workflow, same ids, same arguments."""
        acme, zeta = self._both()
        charge = self.tool("hers", "his")
        options: dict[str, Any] = {"workflow": "w", "call_id": "c1"}
        assert [x.call("charge", charge.fn, ORDER, **options) for x in (acme, zeta)] == [
            "hers",
            "his",
        ]
        assert acme.only().key != zeta.only().key
        assert (acme.only().tenant, zeta.only().result) == ("acme", "his")
        assert (acme.verify().effects, zeta.verify().effects) == (1, 1)

    def test_a_tenant_s_name_runs_into_no_other_part_of_the_identity(self) -> None:
        """``a`` + ``bw`` is not ``ab`` + ``w``."""
        charge = self.tool("done")
        for tenant, workflow in (("a", "bw"), ("ab", "w")):
            self.ledger(tenant=tenant).call("charge", charge.fn, workflow=workflow)
        assert charge.times == 2

    def test_another_tenant_s_effect_does_not_exist(self) -> None:
        """Not to read, not to decide, not to resolve, not by its exact key."""
        acme, zeta = self._both()
        with raises(ApprovalRequired) as asked:
            acme.call("charge", self.tool().fn, workflow="w", policy=Policy(approval=True))
        with raises(EffectInDoubt) as doubtful:
            acme.call("refund", self.tool(ValueError()).fn, workflow="w")
        assert (zeta.effects(), zeta.pending(), zeta.effects(workflow="w")) == ([], [], [])
        for key in (asked.error.key, doubtful.error.key):
            for verb in (zeta.get, zeta.history):
                with raises(UnknownEffect):
                    verb(key)
            for verb in (zeta.approve, zeta.deny, zeta.cancel):
                with raises(UnknownEffect):
                    verb(key, by="eve")
            with raises(UnknownEffect):
                zeta.resolve(key, by="eve", succeeded=1)
        assert sorted(e.status for e in acme.effects()) == ["in_doubt", "pending"]
        assert len(acme.pending()) == 2

    def test_no_act_reaches_another_tenant_s_row(self) -> None:
        """The store itself compares the tenant, whatever key it is given."""
        acme, zeta = self._both()
        row = acme.row(acme.hold("charge", ORDER, workflow="w").key)
        place: dict[str, Any] = {"key": row.key, "tenant": "zeta"}
        by: dict[str, Any] = {"by": "eve", "reason": "mine"}
        claimed = zeta.submit(claim_again(row, tenant="zeta"))
        assert (claimed.fresh, claimed.row) == (False, None)
        assert zeta.read(acts.Look(**place)).row is None
        assert zeta.read(acts.History(**place)) == []
        assert zeta.submit(outcome(row._replace(tenant="zeta"))).how == "fenced"
        doubt: dict[str, Any] = {
            "epoch": row.epoch,
            "nonce": row.nonce,
            "actor": "x",
            "error": None,
        }
        assert zeta.apply(acts.Doubt(reason="", **doubt, **place)) is None
        release = acts.Release(nonce=row.nonce or b"", actor="x", reason="", **place)
        assert not zeta.apply(release)
        assert zeta.apply(acts.Cancel(**by, **place)).row is None
        decide: dict[str, Any] = {"approve": True, "args": None, "args_digest": None, "shown": None}
        assert zeta.apply(acts.Decide(**decide, **by, **place)).row is None
        assert zeta.apply(acts.Resolve(to="failed", kind="person", **by, **place)).row is None
        assert acme.row(row.key.hex()) == row
        assert acme.kinds(row.key.hex()) == []

    def test_nobody_starts_another_tenant_s_effect(self) -> None:
        """However startable it is."""
        acme, zeta = self._both()
        with raises(NotApplied):
            acme.call("charge", self.tool(NotApplied(retryable=True)).fn, workflow="w")
        row = acme.row(acme.only().key)
        act = acts.Start(
            key=row.key,
            tenant="zeta",
            status=row.status,
            epoch=row.epoch,
            shown=row.shown,
            nonce=b"x" * 20,
            holder="eve",
            actor="eve",
            reason="mine",
        )
        started = zeta.apply(act)
        assert (started.fresh, started.row) == (False, None)
        assert acme.row(row.key.hex()) == row

    def test_history_is_read_by_its_own_tenant_only(self) -> None:
        """Also at the level of the store."""
        acme, zeta = self._both()
        with raises(EffectInDoubt) as caught:
            acme.call("charge", self.tool(ValueError()).fn, workflow="w")
        key = bytes.fromhex(str(caught.error.key))
        assert len(acme.read(acts.History(key=key, tenant="acme"))) == 1
        assert zeta.read(acts.History(key=key, tenant="zeta")) == []

    def test_a_halt_of_one_tenant_is_none_of_another_s(self) -> None:
        """Neither seen, nor lifted, nor in force there."""
        acme, zeta = self._both()
        acme.halt(by="ann", reason="stop")
        assert (len(acme.halts()), zeta.halts()) == (1, [])
        assert zeta.unhalt(by="eve") == 0
        assert zeta.call("charge", self.tool("done").fn, workflow="w") == "done"
        assert len(acme.halts()) == 1
