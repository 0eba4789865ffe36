"""Workflows that are failed at every step and undone, on the store under test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tallystick._model import Effect, Guarantee
from tallystick._policy import Policy
from tallystick.errors import NotApplied, UnknownEffect
from tallystick.ledger import Ledger
from tallystick.runs import Undo
from tallystick.testing._contract._base import Contract, Faced, raises, run
from tallystick.testing._proof import UndoDisproved, UndoProof, aprove_undo, prove_undo


class Proving(Contract):
    """``prove_undo`` and what it goes by: the plan of an effect, two processes, one record."""

    def _proof(self, workflow: Any, **options: Any) -> UndoProof:
        if self.awaiting:
            proof: UndoProof = run(aprove_undo(workflow, ledger=self._opened, **options))
            return proof
        return prove_undo(workflow, ledger=self._opened, **options)

    def _opened(self, tenant: str) -> Ledger:
        return self.open(tenant=tenant)

    def test_a_workflow_is_proven_to_be_undone_wherever_it_fails_or_dies(self) -> None:
        """Each compensation acts once, whoever has to finish; one that lies is found."""
        world: dict[str, int] = {}
        lies: list[str] = []

        def put(name: str, n: int) -> str:
            world[name] = n
            return name

        def back(name: str, before: int | None) -> None:
            if before is None and name not in lies:
                del world[name]

        async def aback(name: str, before: int | None) -> None:
            back(name, before)

        def image(args: Mapping[str, Any]) -> int | None:
            return world.get(args["name"])

        policy = Policy(compensate=Undo(steps="back", before=image))

        def workflow(ledger: Ledger) -> Any:
            ledger.compensation("back")(aback if self.awaiting else back)
            if self.awaiting:
                return self._aput(ledger, self.tool(put).fn, policy)
            for n, name in enumerate("abc"):
                ledger.call("put", put, {"name": name, "n": n}, workflow="w", policy=policy)
            return None

        proof = self._proof(workflow, world=lambda: world, kill=True)
        assert len(proof.tries) == 1 + 3 * 6
        whole = [t.undone for t in proof.tries if t.point in {"end", "refused", "stopped"}]
        assert whole == [("back",) * 3] * 7
        lies.append("b")
        with raises(UndoDisproved) as caught:
            self._proof(workflow, world=lambda: world)
        assert caught.error.step is not None
        assert (caught.error.step.args, caught.error.point) == ({"name": "b", "n": 1}, "after")

    def test_how_an_effect_can_be_undone_can_be_asked(self) -> None:
        """What was recorded of it, and whether its time is over."""
        ledger = self.ledger()
        ledger.ledger.compensation("refund")(self.tool().fn)
        undo = Undo(
            steps=("refund", "apologise"),
            window=60,
            one_shot=True,
            residue="a mail",
            before=lambda _: 7,
        )
        made = self._made(ledger, "charge", Policy(compensate=undo))
        plan = ledger.undo_of(made.key[:20])
        assert (plan.key, plan.tool, plan.status) == (made.key, "charge", "succeeded")
        assert (plan.reversibility, plan.steps) == ("compensable", ("refund", "apologise"))
        assert (plan.one_shot, plan.residue, plan.has_before) == (True, "a mail", True)
        assert plan.window is not None
        assert (plan.possible, plan.possible_until) == (True, made.changed_at + plan.window)
        ledger.turn(61)
        plan = ledger.undo_of(made.key)
        assert (plan.possible, plan.reason) == (False, "its time is over")
        with raises(UnknownEffect):
            self.ledger(tenant="theirs").undo_of(made.key)

    def test_what_cannot_be_undone_says_why(self) -> None:
        """No plan, nothing that happened, nothing that changed, already undone, undoing itself."""
        ledger = self.ledger()
        ledger.ledger.compensation("refund")(self.tool().fn)
        refund = Policy(compensate="refund")
        why = {
            "mail": (Policy(), None, "it has no compensation"),
            "read": (Policy(guarantee=Guarantee.READ_ONLY), None, "it changes nothing"),
            "fail": (refund, NotApplied("no"), "it did not happen: it is failed"),
        }
        for tool, (policy, outcome, said) in why.items():
            plan = ledger.undo_of(self._made(ledger, tool, policy, outcome).key)
            assert (plan.possible, plan.reason, plan.undoes) == (False, said, None)
        assert ledger.undo_of(ledger.only(tool="mail").key).reversibility == "irreversible"
        made = self._made(ledger, "charge", refund)
        assert [one.reason for one in ledger.undone("w").failed] == ["it is not undone"]
        ledger.compensate("w")
        assert ledger.undone("w").keys("done") == (made.key,)
        assert ledger.undo_of(made.key).reason == "it is undone"
        helps = ledger.undo_of(ledger.only(tool="refund").key)
        assert (helps.possible, helps.undoes) == (False, made.key)
        with raises(UnknownEffect):
            ledger.undone("v")

    def _made(self, ledger: Faced, tool: str, policy: Policy, outcome: Any = None) -> Effect:
        fn = self.tool(outcome).fn
        if outcome is None:
            ledger.call(tool, fn, workflow="w", policy=policy)
        else:
            with raises(NotApplied):
                ledger.call(tool, fn, workflow="w", policy=policy)
        return ledger.only(tool=tool)

    async def _aput(self, ledger: Ledger, put: Any, policy: Policy) -> None:
        for n, name in enumerate("abc"):
            await ledger.acall("put", put, {"name": name, "n": n}, workflow="w", policy=policy)
