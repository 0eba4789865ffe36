"""Calls that a framework may make again: which effect they stand for, and who may be first."""

from __future__ import annotations

from typing import Any

from tallystick._keys import scope_of
from tallystick._model import Guarantee
from tallystick._places import Neighbour, Neighbours
from tallystick._policy import Policy
from tallystick.errors import ApprovalRequired
from tallystick.testing._contract._acts import claim_again
from tallystick.testing._contract._base import PATIENCE, Contract, Faced, Tool, raises
from tallystick.testing._contract._spot import Spot

ORDER = {"order": "A"}


class Placed(Contract):
    """The same call at another place is one effect, unless its place says that it is new."""

    def _at(self, ledger: Faced, spot: Spot, tool: Tool, **other: Any) -> Any:
        """Call at a spot, by default under an id of its own."""
        options = {"workflow": "w", "call_id": spot.name, "place": spot, **other}
        return ledger.call("charge", tool.fn, ORDER, **options)

    def _near(self, ledger: Faced) -> list[Neighbour]:
        return ledger.read(Neighbours(scope=scope_of(ledger.ledger.tenant, "w")))

    def _places(self, ledger: Faced) -> list[list[str]]:
        return [[place["at"] for place in near.places] for near in self._near(ledger)]

    def test_a_turn_is_part_of_the_identity(self) -> None:
        """The same id in another turn is another intent, and nobody is asked about it."""
        ledger, charge = self.ledger(), self.tool("first", "second")
        spots = [Spot("c1"), Spot("c1", turn="t2"), Spot("c1"), Spot("c1", turn="t2")]
        said = [self._at(ledger, spot, charge) for spot in spots]
        assert said == ["first", "second", "first", "second"]
        assert [spot.met for spot in spots] == [[], [], [["c1"]], [["c1"]]]

    def test_the_same_call_elsewhere_is_recorded_and_not_made(self) -> None:
        """Its place is kept with the effect, once, and an event in the chain says so."""
        ledger, charge = self.ledger(), self.tool("done")
        for name in ("c1", "c2", "c3", "c2", "c1"):
            assert self._at(ledger, Spot(name), charge) == "done"
        assert charge.times == 1
        assert self._places(ledger) == [["c1", "c2", "c3"]]
        history = ledger.history(ledger.only().key)
        assert [event.kind for event in history] == ["placed", "placed"]
        assert [event.detail for event in history] == [{"at": "c2"}, {"at": "c3"}]

    def test_a_claim_by_hand_stands_for_the_recorded_effect(self) -> None:
        """Also where it is not the caller's any more."""
        ledger, charge = self.ledger(), self.tool("done")
        self._at(ledger, Spot("c1"), charge)
        held = ledger.hold("charge", ORDER, workflow="w", call_id="c2", place=Spot("c2"))
        assert (held.claim.fresh, held.claim.result) == (False, "done")
        assert held.key == ledger.only().key
        held.leave()

    def test_a_new_call_is_another_effect(self) -> None:
        """Under another id, or once more under the same one."""
        ledger, charge = self.ledger(), self.tool("1", "2", "3")
        for name, call_id, said in (("c1", "c1", "1"), ("c2", "c2", "2"), ("again", "c1", "3")):
            for _ in range(2):
                spot = Spot(name, new=True)
                assert self._at(ledger, spot, charge, call_id=call_id) == said
        assert self._places(ledger) == [["c1"], ["c2"], ["again"]]

    def test_a_claim_that_has_not_seen_all_its_neighbours_is_not_granted(self) -> None:
        """Another one came while its place thought about those that were there."""
        ledger, other, charge = self.ledger(), self.ledger(), self.tool("1", "2", "3")
        self._at(ledger, Spot("c1"), charge)

        def meanwhile() -> object:
            spot = Spot("c2", new=True)
            return self.meanwhile(self._at, other, spot, charge).result(PATIENCE)

        spot = Spot("c3", new=True, meanwhile=meanwhile)
        assert self._at(ledger, spot, charge) == "3"
        assert spot.met == [["c1"], ["c1", "c2"]]
        assert self._places(ledger) == [["c1"], ["c2"], ["c3"]]

    def _race(self, *, new: bool) -> tuple[Tool, set[str]]:
        ledgers = [self.ledger(), self.ledger()]
        charge = self.tool(*map(str, range(8)))
        calls = [
            self.meanwhile(self._at, ledgers[n % 2], Spot(f"c{n}", new=new), charge)
            for n in range(8)
        ]
        said = {call.result(PATIENCE) for call in calls}
        assert len({effect.key for effect in ledgers[0].effects()}) == charge.times
        return charge, said

    def test_of_many_callers_at_once_one_executes(self) -> None:
        """Two processes, four calls each under ids of their own, all of them the same intent."""
        charge, said = self._race(new=False)
        assert (charge.times, len(said)) == (1, 1)

    def test_of_many_new_callers_at_once_each_executes(self) -> None:
        """Whoever was not first has seen whoever was."""
        charge, said = self._race(new=True)
        assert (charge.times, len(said)) == (8, 8)

    def test_of_two_that_adopt_an_effect_at_once_one_looks_again(self) -> None:
        """It may be another's by then: its place is asked again, and sees who was faster."""
        ledger, other, charge = self.ledger(), self.ledger(), self.tool("done")
        self._at(ledger, Spot("c1"), charge)

        def meanwhile() -> object:
            return self.meanwhile(self._at, other, Spot("c2"), charge).result(PATIENCE)

        spot = Spot("c3", meanwhile=meanwhile)
        assert self._at(ledger, spot, charge) == "done"
        assert spot.met == [["c1"], ["c1", "c2"]]
        assert (charge.times, self._places(ledger)) == (1, [["c1", "c2", "c3"]])

    def test_what_is_unclear_is_for_a_person_to_say(self) -> None:
        """It is pending, with the reason; approved, it runs once."""
        ledger, charge = self.ledger(), self.tool("1", "2")
        self._at(ledger, Spot("c1"), charge)
        spot = Spot("c2", new=True, unclear="a retry, or a second call?")
        for _ in range(2):
            with raises(ApprovalRequired):
                self._at(ledger, spot, charge)
        [item] = ledger.pending()
        assert (item.kind, item.note) == ("suspect", "a retry, or a second call?")
        assert charge.times == 1
        ledger.approve(item.effect.key, by="ann")
        for _ in range(2):
            assert self._at(ledger, spot, charge) == "2"
        assert (charge.times, ledger.inbox()) == (2, [])

    def test_a_place_that_has_doubts_is_heard_before_anything_is_claimed(self) -> None:
        """Also where nothing like it is recorded in its turn."""
        ledger, charge = self.ledger(), self.tool("done")
        assert self._at(ledger, Spot("c1", turn="t0", doubt=""), charge) == "done"
        with raises(ApprovalRequired):
            self._at(ledger, Spot("c2", doubt="it was done on another branch"), charge)
        [item] = ledger.pending()
        assert (item.kind, item.note) == ("suspect", "it was done on another branch")
        assert charge.times == 1

    def test_a_place_says_nothing_where_the_policy_does(self) -> None:
        """A business identity and ``repeat="same"`` hold in all turns; reading is never one."""
        ledger = self.ledger()
        for policy, times in (
            (Policy(identity=("order",)), 1),
            (Policy(repeat="same"), 1),
            (Policy(guarantee=Guarantee.READ_ONLY), 3),
        ):
            charge = self.tool("done")
            spots = [Spot("c1"), Spot("c2", turn="t2"), Spot("c3")]
            for spot in spots:
                options = {"policy": policy, "workflow": f"w{id(policy)}"}
                assert self._at(ledger, spot, charge, **options) == "done"
            assert charge.times == times
            assert [spot.met for spot in spots] == [[], [], []]

    def test_a_policy_may_suspect_what_the_place_says_is_new(self) -> None:
        """As it may suspect any call with an id of its own."""
        ledger = self.ledger()
        replay, charge = Policy(on_suspect="replay"), self.tool("done")
        for name in ("c1", "c2", "c2"):
            spot = Spot(name, new=True)
            assert self._at(ledger, spot, charge, policy=replay, workflow="v") == "done"
        assert charge.times == 1
        ask, charge = Policy(on_suspect="ask"), self.tool("1", "2")
        self._at(ledger, Spot("c1"), charge, policy=ask)
        with raises(ApprovalRequired) as caught:
            self._at(ledger, Spot("c2", new=True), charge, policy=ask)
        assert [item.kind for item in ledger.pending()] == ["suspect"]
        ledger.approve(caught.error.key, by="ann")
        assert self._at(ledger, Spot("c2", new=True), charge, policy=ask) == "2"
        assert self._at(ledger, Spot("c3"), charge, policy=ask) == "1"

    def test_the_same_call_elsewhere_waits_for_the_same_approval(self) -> None:
        """One request, whoever asked first, and one attempt."""
        ledger, other, charge = self.ledger(), self.ledger(), self.tool("done")
        policy = Policy(approval=True)

        def meanwhile() -> None:
            error = self.meanwhile(self._at, other, Spot("c1"), charge, policy=policy)
            assert isinstance(error.exception(PATIENCE), ApprovalRequired)

        spot = Spot("c2", meanwhile=meanwhile)
        for _ in range(2):
            with raises(ApprovalRequired):
                self._at(ledger, spot, charge, policy=policy)
        assert spot.met == [[], ["c1"], ["c1", "c2"]]
        [item] = ledger.pending()
        ledger.approve(item.effect.key, by="ann")
        for name in ("c2", "c1", "c3"):
            assert self._at(ledger, Spot(name), charge, policy=policy) == "done"
        assert charge.times == 1

    def test_a_wary_claim_whose_answer_was_lost_is_its_own(self) -> None:
        """Its nonce says so, whatever came beside it since; another one's never does."""
        ledger, charge = self.ledger(), self.tool("done")
        held = ledger.hold("charge", ORDER, workflow="w", call_id="c1", place=Spot("c1"))
        self._at(ledger, Spot("c2", new=True), charge)
        [mine, _] = self._near(ledger)
        wary = {"suspect": "ask", "twin": mine.twin, "scope": scope_of(ledger.ledger.tenant, "w")}
        claim = claim_again(ledger.row(held.key), **wary)
        assert ledger.submit(claim).fresh
        assert not ledger.submit(claim._replace(nonce=b"x" * 16)).fresh
        held.succeed("done")
