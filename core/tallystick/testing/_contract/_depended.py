"""What later effects depend on is not undone under them; values that prove nothing are no bond."""

from __future__ import annotations

from typing import Any

from tallystick._model import Guarantee
from tallystick._policy import Policy
from tallystick.errors import ApprovalRequired
from tallystick.runs import Undo
from tallystick.testing._contract._base import Faced, raises
from tallystick.testing._contract._contained import BY, Grounds

#: what the first effect brings forth
MADE = {"id": "acct-20771", "status": "confirmed", "on": "2026-11-21T09:30:00Z", "cents": 4200}


class Depended(Grounds):
    """``ledger.contain(dependents=…)``."""

    def _uses(self, ledger: Faced, value: Any, workflow: str = "v", **options: Any) -> str:
        """A later effect whose arguments hold a value."""
        args = {"to": {"nested": [value]}}
        return self.did(ledger, "done", workflow, tool="transfer", args=args, **options)

    def test_an_effect_that_a_later_one_depends_on_is_refused(self) -> None:
        """Anywhere in the tenant; both are named. Once the later one is undone it is not."""
        ledger = self.ledger()
        refund = self.refund(ledger)
        opened = self.did(ledger, MADE, tool="open")
        rest = self.did(ledger, "alone")
        later = self._uses(ledger, "acct-20771")
        listed = ledger.contain(workflow="w", undo=False)
        assert (listed.keys("refused"), listed.keys("undoable")) == ((opened,), (rest,))
        done = ledger.contain(workflow="w", **BY)
        (refused,) = done.refused
        assert (refused.key, refused.dependents, done.complete) == (opened, (later,), False)
        assert later[:12] in refused.reason
        assert self.statuses(ledger, opened, rest, later) == [
            "succeeded", "compensated", "succeeded",
        ]  # fmt: skip
        assert self.scopes(ledger) == {(None, "w")}
        assert ledger.compensate("v").complete
        done = ledger.contain(workflow="w", **BY)
        assert (done.complete, set(done.keys("done")), refund.times) == (True, {opened, rest}, 3)

    def test_dependents_are_taken_along_as_far_as_they_go(self) -> None:
        """The last one first, and their workflows are frozen, too."""
        ledger = self.ledger()
        refund = self.refund(ledger)
        first = self.did(ledger, {"id": "acct-20771"})
        second = self.did(ledger, {"id": "card-88812"}, "v", args={"of": "acct-20771"})
        third = self.did(ledger, "done", "u", args={"card": "see card-88812."})
        other = self.did(ledger, "alone", "v")
        with raises(ApprovalRequired) as asked:
            self._uses(ledger, "card-88812", "t", policy=Policy(approval=True))
        listed = ledger.contain(workflow="w", undo=False, dependents=True)
        assert listed.keys("undoable") == (third, second, first)
        done = ledger.contain(workflow="w", dependents=True, **BY)
        assert (done.complete, done.with_dependents) == (True, True)
        assert done.keys("done") == (third, second, first)
        assert done.keys("withdrawn") == (asked.error.key,)
        assert (self.statuses(ledger, other), refund.times) == (["succeeded"], 3)
        assert self.scopes(ledger) == {(None, name) for name in "wvut"}

    def test_what_is_chosen_and_cannot_be_undone_keeps_what_it_depends_on(self) -> None:
        """It has no compensation, or that fails, waits or is in doubt; the others are undone."""
        ledger = self.ledger()
        self.refund(ledger)
        broken = self.tool(ValueError("?"))
        ledger.ledger.compensation("broken")(broken.fn)
        ledger.ledger.compensation("asks", policy=Policy(approval=True))(broken.fn)
        plans = [None, "nobody knows", "asks", "broken", Undo(steps="refund", window=0)]
        keys = [self.did(ledger, f"item-{n}00000") for n in range(len(plans) + 1)]
        stay = [
            self._uses(ledger, f"item-{n}00000", "w", policy=Policy(compensate=plan))
            for n, plan in enumerate(plans)
        ]
        ledger.turn(1)
        done = ledger.contain(workflow="w", **BY)
        assert done.keys("refused") == tuple(reversed(keys[:-1]))
        assert [one.dependents for one in reversed(done.refused)] == [(key,) for key in stay]
        assert done.keys("done") == (keys[-1],)
        assert [len(done.keys(n)) for n in ("kept", "missing", "waiting", "in_doubt")] == [1] * 4
        assert done.keys("failed") == (stay[-1],)

    def test_what_depends_and_is_not_there_is_in_nobodys_way(self) -> None:
        """It only looked, it failed, or a person has not yet let it begin."""
        ledger = self.ledger()
        self.refund(ledger)
        key = self.did(ledger, MADE)
        self._uses(ledger, "acct-20771", policy=Policy(guarantee=Guarantee.READ_ONLY))
        with raises(ApprovalRequired):
            self._uses(ledger, "acct-20771", policy=Policy(approval=True, compensate="refund"))
        done = ledger.contain(workflow="w", **BY)
        assert (done.complete, done.keys("done")) == (True, (key,))

    def test_what_is_half_undone_is_undone(self) -> None:
        """Also where something came to depend on it since that began."""
        ledger = self.ledger()
        refund = self.refund(ledger, policy=Policy(approval=True))
        key = self.did(ledger, MADE)
        assert ledger.contain(workflow="w", **BY).keys("waiting") == (key,)
        self._uses(ledger, "acct-20771")
        ledger.approve(ledger.only(tool="refund").key, by="ann")
        listed = ledger.contain(workflow="w", undo=False)
        done = ledger.contain(workflow="w", **BY)
        assert (listed.keys("undoable"), done.keys("done"), refund.times) == ((key,), (key,), 1)

    def test_values_that_many_have_prove_nothing(self) -> None:
        """What the effect was given itself, words, days, prices, truth; and what came before it."""
        ledger = self.ledger()
        self.refund(ledger)
        self._uses(ledger, "acct-20771")
        given = {"order": "order-90210", "like": "acct-31337"}
        key = self.did(ledger, {**MADE, **given, "in": "order-555555"}, "order-555555", args=given)
        for n, value in enumerate(
            ("order-90210", "confirmed", "2026-11-21", 4200, True, "acct", "order-555555")
        ):
            self._uses(ledger, value, f"v{n}")
        assert ledger.contain(workflow="order-555555", **BY).keys("done") == (key,)

    def test_values_are_found_in_whatever_they_stand(self) -> None:
        """A name in a sentence, a number as text, a path, an address of the web."""
        ledger = self.ledger()
        self.refund(ledger)
        pairs: list[tuple[Any, Any]] = [
            ("made: invoice_7741, due soon", {"text": "pay invoice_7741!"}),
            ({"id": 7312345}, "7312345"),
            (["/srv/reports/final.pdf"], "send /srv/reports/final.pdf."),
            ({"url": "https://shop.example/o/f81d4fae"}, "f81d4fae"),
        ]
        keys = list[str]()
        for n, (made, used) in enumerate(pairs):
            keys.append(self.did(ledger, made))
            self._uses(ledger, used, f"v{n}")
        assert ledger.contain(workflow="w", **BY).keys("refused") == tuple(reversed(keys))

    def test_what_begins_while_others_are_undone_is_seen(self) -> None:
        """In a workflow that is not frozen, after everything was listed."""
        ledger = self.ledger()
        first = self.did(ledger, MADE)
        self.did(ledger, "second")

        def refund(order: str, result: Any) -> None:
            if result == "second":
                uses = self.tool("done", threaded=True).fn
                args = {"to": "acct-20771"}
                self.meanwhile(ledger.ledger.call, "transfer", uses, args, workflow="v").result(30)

        ledger.ledger.compensation("refund")(self.tool(refund, threaded=True).fn)
        done = ledger.contain(workflow="w", **BY)
        assert (done.keys("refused"), len(done.done)) == ((first,), 1)
