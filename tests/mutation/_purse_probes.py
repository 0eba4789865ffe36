"""
Plays about money. The model keeps purses of its own (``tests.model._purse``): each deed is done in
the store and in the model, and afterwards figures, reservations and books must be the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any

import pytest

from tallystick import _acts as acts
from tallystick import _rules as rules
from tallystick._budgets import _acts as spending
from tallystick._budgets._amounts import Metric
from tallystick._budgets._rules import Demand
from tallystick._budgets._terms import Known, Terms, line_id
from tallystick._budgets._windows import Window
from tallystick._codec import encode
from tallystick._flows import budgets
from tallystick.errors import UnknownBudget
from tallystick.stores._till import Till
from tallystick.stores._tx import SqlTx
from tests.model._rigs import held, key_of
from tests.mutation._scene import HOUR, SHOWN, Scene, policy_of
from tests.mutation._tx import refused_lock, transaction

USD, TOKENS = Metric.USD, Metric.TOKENS
SCOPES: tuple[dict[str, str], ...] = (
    {}, {"tool": "charge"}, {"tool": "mail"}, {"workflow": "w"}, {"workflow": "x"},
)  # fmt: skip


class Purse:
    """A scene's money."""

    def __init__(self, scene: Scene) -> None:
        self.s = scene
        self.tenant = scene.tenant
        self.store = scene.rig.stores[0]

    # -- acts ---------------------------------------------------------------------------------

    def terms(self, name: str, usd: int = 10, tokens: int | None = None, **other: Any) -> Terms:
        """What a budget is declared with."""
        limits = ((USD, usd),) if tokens is None else ((USD, usd), (TOKENS, tokens))
        return Terms(name=name, limits=limits, **other)

    def declare(self, name: str, usd: int = 10, tokens: int | None = None, **other: Any) -> None:
        """Declare a budget."""
        terms = self.terms(name, usd, tokens, **other)
        self.do(spending.PutTerms(tenant=self.tenant, terms=terms, by="ann"))

    def known(self, name: str) -> Known:
        """A budget as it is."""
        _, found = self.store.read(spending.ReadTerms(tenant=self.tenant, names=(name,)))
        return found[0]

    def wants(self, *wanted: Any, old: int = 0, label: str = "{}") -> tuple[Demand, ...]:
        """Demands: pairs of a budget and an amount of each of its metrics."""
        found: list[Demand] = []
        for name, amount in wanted:
            known = self.known(name)
            for metric, _ in known.terms.limits:
                line = line_id(self.tenant, name, metric.value, label)
                place = (line, known.id, known.version - old, known.terms)
                found.append(Demand(*place, metric, label, amount))
        return tuple(sorted(found))

    def id(self, name: str) -> bytes:
        """The key of a reservation that is for no effect."""
        return key_of(f"{self.tenant} hand {name}")

    def row(self, id_: bytes, slot: int = 0, **other: Any) -> spending.Reservation:
        """A reservation that is about to be made."""
        holder = self.s.rig.holder(slot)
        blank = budgets.blank(
            id_=id_, tenant=self.tenant, kind="manual", what="x", holder=holder, nonce=id_[:16]
        )
        return blank._replace(**other)

    def a_hold(self, name: str, *wanted: Any, **other: Any) -> spending.Reserve:
        """A reservation by hand."""
        force, standing = other.pop("force", False), other.pop("standing", None)
        demands = other.pop("demands", None) or self.wants(*wanted, old=other.pop("old", 0))
        row = self.row(self.id(name), **other)
        return spending.Reserve(row=row, demands=demands, force=force, standing=standing)

    def a_paid_claim(self, name: str, *wanted: Any, **other: Any) -> spending.Reserve:
        """The claim of an effect that budgets pay for."""
        demands = self.wants(*wanted, old=other.pop("old", 0))
        slot = other.pop("slot", 0)
        claim = self.s.a_claim(name, slot, **{"standing": self.standing(), **other})
        row = self.row(claim.key, kind="tool", nonce=claim.nonce, holder=claim.holder)
        return spending.Reserve(row=row, demands=demands, claim=claim)

    def a_paid_start(self, name: str, *wanted: Any, **other: Any) -> spending.Reserve:
        """Another attempt that budgets pay for."""
        demands = self.wants(*wanted, old=other.pop("old", 0))
        slot = other.pop("slot", 0)
        start = self.s.a_start(name, slot, **{"standing": self.standing(), **other})
        row = self.row(start.key, kind="tool", nonce=start.nonce, holder=start.holder)
        return spending.Reserve(row=row, demands=demands, start=start)

    def standing(self) -> int:
        """The version of the standing budgets that is in force."""
        return self.s.model.purses.standing.get(self.tenant, 0)

    def a_settle(self, name: str, status: str = "succeeded", **other: Any) -> spending.SettleHeld:
        """What became of an effect that is paid for."""
        return spending.SettleHeld(settle=self.s.a_settle(name, status, **other))

    def a_reckoning(self, key: bytes, state: str, **other: Any) -> spending.Reckon:
        """What became of a reservation."""
        said: dict[str, Any] = {"key": key, "tenant": self.tenant, "state": state, **other}
        return spending.Reckon(**said)

    def a_raise(self, name: str, n: int = 1, **other: Any) -> spending.Raise:
        """Two more of the first metric."""
        said: dict[str, Any] = {"metric": "usd", "label": "{}", "amount": 2, "lasting": True}
        said |= {"tenant": self.tenant, "name": name, "by": "ann", "reason": "more", **other}
        return spending.Raise(id=key_of(f"{self.tenant} {n}"), **said)

    # -- doing --------------------------------------------------------------------------------

    def do(self, *group: Any, told: str | None = None) -> Any:
        """Do it in both, and compare."""
        answer = self.s.do(*group)
        if told is not None:
            assert answer[0] == told, answer
        self.same()
        return answer

    def held(self, *group: Any) -> None:
        """Do it; the last one is granted."""
        answer = self.do(*group, told="reserved")
        assert answer[1], answer

    def refused(self, *group: Any, by: str | None = None) -> None:
        """Do it; the last one does not fit."""
        answer = self.do(*group, told="refused")
        assert by in (None, answer[1]), answer

    def same(self) -> None:
        """Figures, reservations, books."""
        purses, rig = self.s.model.purses, self.s.rig
        nothing = (0, 0, 0)
        wanted = {(line.hex(), *f) for line, f in purses.figures(self.tenant).items()}
        got = rig.figures(self.tenant)
        assert {f for f in got if f[1] != nothing} == {f for f in wanted if f[1] != nothing}
        mine = [id_ for id_, held in purses.held.items() if held.tenant == self.tenant]
        views = sorted(str(purses.view(id_)) for id_ in mine)
        assert sorted(str(view) for view in self.views()) == views
        for (line, _), (booked, weighed) in rig.books(self.tenant).items():
            assert booked == weighed == purses.charged(line)

    def same_session(self, name: str) -> None:
        """What a session has used."""
        used: Any = self.store.read(spending.ReadSession(tenant=self.tenant, session=name))
        assert tuple(used) == self.s.model.purses.sessions[self.tenant, name]

    def views(self) -> list[Any]:
        """All reservations of this tenant, with the names of workers as they are."""
        rows = self.store.read(spending.ReadReservations(tenant=self.tenant))
        return [held(row) for row in rows]

    def end(self, tenant: str | None = None) -> None:
        """Nothing is left held, for no sweep of another play to find."""
        tenant = tenant or self.tenant
        for row in self.store.read(spending.ReadReservations(tenant=tenant, state="held")):
            act = spending.Reckon(key=row.id, tenant=tenant, state="released")
            self.store.apply([act])
            self.s.model.apply(act)

    def alerts(self, *, untold: bool = False) -> list[str]:
        """The kinds of all alerts."""
        act = spending.ReadAlerts(tenant=self.tenant, untold=untold)
        return sorted(alert.kind for alert in self.store.read(act))


# -- by hand -------------------------------------------------------------------------------------


def what_fits_is_held_and_what_does_not_is_refused(s: Scene) -> None:
    p = Purse(s)
    p.declare("a")
    p.declare("b", 5, 50)
    p.held(p.a_hold("1", ("a", 6)))
    p.refused(p.a_hold("2", ("a", 5)), by="a")
    p.held(p.a_hold("2", ("a", 4), ("b", 5)))
    p.refused(p.a_hold("3", ("a", 0), ("b", 1)), by="b")
    p.refused(p.a_hold("3", ("b", 50)))
    p.held(p.a_hold("3", ("a", 0)))
    p.do(p.a_hold("4", ("a", 0), old=1), told="stale")
    p.do(p.a_hold("4", ("a", 0), standing=1), told="stale")
    p.held(p.a_hold("4", ("b", 3), force=True))
    for name, state in (("1", "settled"), ("2", "released"), ("3", "unreconciled")):
        p.do(p.a_reckoning(p.id(name), state))
    p.refused(p.a_hold("5", ("b", 3)))
    p.held(p.a_hold("5", ("a", 4)))
    s.sound()


def a_key_is_reserved_once(s: Scene) -> None:
    p = Purse(s)
    p.declare("a")
    hold = p.a_hold("1", ("a", 6), session="s")
    p.held(hold)
    assert p.do(hold)[1:] == (True, None, 1, ())
    p.held(p.a_hold("2", ("a", 1), session="s"))
    assert p.do(p.a_hold("1", ("a", 0), nonce=b"x" * 16))[1] is False
    p.refused(p.a_hold("1", ("a", 9), nonce=b"x" * 16))
    p.do(p.a_reckoning(p.id("1"), "settled"))
    assert p.do(hold)[1] is False
    assert p.do(p.a_hold("3", ("a", 0), session="s"))[3] == 3
    assert p.store.read(spending.ReadSession(tenant=s.tenant, session="t")).calls == 0
    for session, n in (("s", 4), (None, 0)):
        nothing = p.a_hold(f"nothing {n}", ("a", 0), session=session)
        assert p.do(nothing)[3] == p.do(nothing)[3] == n
    p.held(p.a_hold("5", ("a", 0), session="s"))
    p.same_session("s")
    other = spending.ReadSession(tenant=s.tenant + "x", session="s")
    assert p.store.read(other).calls == 0


def what_was_spent_is_said_once(s: Scene) -> None:
    p = Purse(s)
    p.declare("a", 10, 100)
    for n, first in enumerate(("settled", "released", "unreconciled")):
        for m, second in enumerate(("settled", "released", "unreconciled")):
            name = f"{n}{m}"
            p.do(p.a_hold(name, ("a", 2), session="s", force=True))
            p.do(p.a_reckoning(p.id(name), first, actual={"usd": 1}, cost=1, note="n", tokens=2))
            p.do(p.a_reckoning(p.id(name), second, actual={"usd": 3}, cost=3, tokens=1))
            p.do(p.a_reckoning(p.id(name), second, actual={"tokens": 9}))
    p.do(p.a_reckoning(p.id("nobody"), "settled"))
    p.do(p.a_hold("x", ("a", 1), force=True))
    p.do(p.a_reckoning(p.id("x"), "settled", tenant=s.tenant + "x"))
    p.do(p.a_reckoning(p.id("x"), "settled"))
    p.do(p.a_reckoning(p.id("x"), "released"))
    p.same_session("s")


def what_is_said_is_kept(s: Scene) -> None:
    """Of a call that is settled after nobody knew: what is new, and of the rest what was said."""
    p = Purse(s)
    p.declare("a")
    p.held(p.a_hold("1", ("a", 6), kind="model"))
    first: dict[str, Any] = {"usage": '{"input":1}', "price": "{}", "answer": b"a", "note": "n"}
    told: dict[str, Any] = {**first, "model": "m", "cost": 3, "tokens": 4}
    p.do(p.a_reckoning(p.id("1"), "unreconciled", **told))

    def kept() -> tuple[Any, ...]:
        (row,) = p.store.read(spending.ReadReservations(tenant=s.tenant, id=p.id("1")))
        return (row.usage, row.price, row.answer, row.note, row.what, row.cost, row.tokens)

    assert kept() == (*first.values(), "m", 3, 4)
    p.do(p.a_reckoning(p.id("1"), "settled"))
    assert kept() == (*first.values(), "m", 3, 4)
    p.held(p.a_hold("2", ("a", 1), kind="model"))
    p.do(p.a_reckoning(p.id("2"), "settled"))
    (row,) = p.store.read(spending.ReadReservations(tenant=s.tenant, id=p.id("2")))
    assert (row.usage, row.price, row.answer, row.what, row.cost) == (None, None, None, "x", None)


def what_a_reservation_cost_is_known(s: Scene) -> None:
    """Its dollars, where nobody says; what was said before, where somebody did."""
    p = Purse(s)
    p.declare("a", 10, 100)
    demands = [d._replace(amount=20) if d.metric is TOKENS else d for d in p.wants(("a", 2))]
    p.held(p.a_hold("1", demands=tuple(demands)))
    p.do(p.a_reckoning(p.id("1"), "settled"))
    p.held(p.a_hold("2", ("a", 6)))
    p.do(p.a_reckoning(p.id("2"), "unreconciled", cost=3))
    p.do(p.a_reckoning(p.id("2"), "settled"))
    assert sorted(view[6] for view in p.views()) == [2, 3]


def the_rule_about_halts_says_what_the_statement_says(s: Scene) -> None:
    """It explains a refusal in which somebody may have died meanwhile."""
    s.approved("new")
    s.failed("old")
    for mode in ("halt", "drain"):
        for scope in SCOPES:
            s.do(s.a_halt(mode, **scope))
            (halt,) = s.rig.stores[0].read(acts.Halts(tenant=s.tenant))
            for name in ("new", "old"):
                stopped = s.do(s.a_start(name, epoch=s.effect(name).epoch)) == ("halted",)
                assert rules.stops(halt, s.row(name)) == stopped
                if not stopped:
                    s.do(s.a_release(name) if name == "new" else _again(s, name))
            s.do(s.a_lift(**scope))


def _again(s: Scene, name: str) -> acts.Settle:
    return s.a_settle(name, "failed", note="retryable")


def what_cost_more_is_told(s: Scene) -> None:
    p = Purse(s)
    p.declare("a")
    for name in ("1", "2"):
        p.held(p.a_hold(name, ("a", 5)))
    p.do(p.a_reckoning(p.id("1"), "settled", actual={"usd": 4}))
    assert p.alerts() == []
    p.do(p.a_reckoning(p.id("2"), "settled", actual={"usd": 8}))
    assert p.alerts() == ["budget_overrun"]
    (alert,) = p.store.read(spending.ReadAlerts(tenant=s.tenant))
    assert '"actual": "8E-9"' in alert.detail
    p.do(spending.Told(id=alert.id))
    assert p.alerts(untold=True) == []
    for name in "bcd":
        p.declare(name)
        p.held(p.a_hold(name, (name, 5)))
    p.do(p.a_reckoning(p.id("b"), "unreconciled", actual={"usd": 20}))
    assert p.alerts() == ["budget_overrun"]
    for name in "dc":
        p.do(p.a_reckoning(p.id(name), "settled", actual={"usd": 20}))
        last = p.store.read(spending.ReadAlerts(tenant=s.tenant))[-1]
        assert last.subject == name


def a_cost_is_put_in_the_place_of_another(s: Scene) -> None:
    p = Purse(s)
    p.declare("a", 50, 50)
    for name, session in (("1", "s"), ("2", None)):
        p.held(p.a_hold(name, ("a", 9), session=session))
        p.do(p.a_reckoning(p.id(name), "settled", actual={"usd": 5, "tokens": 7}, cost=5))
    p.held(p.a_hold("3", ("a", 1)))
    p.held(p.a_hold("4", ("a", 1)))
    p.do(p.a_reckoning(p.id("4"), "released"))
    for name in ("3", "4"):
        p.do(spending.Reprice(key=p.id(name), tenant=s.tenant, was=None, cost=1, price="{}"))
    for was, tenant in ((4, s.tenant), (5, s.tenant + "x"), (5, s.tenant), (5, s.tenant)):
        for name in ("1", "2", "nobody"):
            fields: dict[str, Any] = {"key": p.id(name), "tenant": tenant, "was": was}
            p.do(spending.Reprice(**fields, cost=8, price="{}"))
    p.same_session("s")


# -- terms and limits ----------------------------------------------------------------------------


def other_terms_are_another_version(s: Scene) -> None:
    p = Purse(s)
    p.declare("a")
    p.declare("a")
    p.held(p.a_hold("1", ("a", 9)))
    first = p.wants(("a", 1))
    p.declare("a", 5)
    p.do(p.a_hold("2", demands=first), told="stale")
    p.refused(p.a_hold("2", ("a", 1)))
    p.declare("a", 5, where=(("tool", "charge"),))
    assert p.standing() == 1
    p.declare("b", 5)
    p.declare("b", 6)
    p.declare("a", 6)
    assert p.standing() == 2
    version, known = p.store.read(spending.ReadTerms(tenant=s.tenant, standing=True))
    assert (version, known) == (2, [])
    p.declare("b", 6, where=(("tool", "mail"),))
    version, known = p.store.read(spending.ReadTerms(tenant=s.tenant, standing=True))
    assert (version, [k.terms.name for k in known]) == (3, ["b"])
    _, known = p.store.read(spending.ReadTerms(tenant=s.tenant))
    assert [k.terms.name for k in known] == ["a", "b"]
    _, known = p.store.read(spending.ReadTerms(tenant=s.tenant, names=("a", "nobody")))
    assert [k.terms.name for k in known] == ["a"]
    other = spending.ReadTerms(tenant=s.tenant + "x")
    assert p.store.read(other) == (0, [])


def the_line_that_decides(s: Scene) -> None:
    p = Purse(s)
    for name in ("ask", "deny", "downgrade", "warn"):
        p.declare(name, 5, on_exceed=name)
    for names, by in (
        (("ask", "warn"), "ask"),
        (("ask", "deny", "downgrade"), "deny"),
        (("ask", "downgrade", "warn"), "downgrade"),
    ):
        p.refused(p.a_hold("1", *((name, 6) for name in names)), by=by)
    p.held(p.a_hold("1", ("warn", 6)))
    assert p.alerts() == ["budget_warned"]
    p.held(p.a_hold("2", ("warn", 1)))
    assert p.alerts() == ["budget_warned"]
    p.declare("soft", 5, on_exceed="warn", soft=(500,))
    assert p.do(p.a_hold("3", ("soft", 3)))[4] == ("budget_threshold",)
    assert p.do(p.a_hold("4", ("soft", 3)))[4] == ("budget_warned",)


def thresholds_are_told_once(s: Scene) -> None:
    p = Purse(s)
    p.declare("a", 100, soft=(500, 900))
    wanted = enumerate((49, 1, 1, 38, 1, 1, 1))
    told = [p.do(p.a_hold(f"{m}", ("a", n)))[4] for m, n in wanted]
    assert told == [(), ("budget_threshold",), (), (), ("budget_threshold",), (), ()]
    assert p.alerts() == ["budget_threshold"] * 2
    p.do(p.a_reckoning(p.id("0"), "released"))
    assert p.do(p.a_hold("20", ("a", 20)))[4] == ()
    p.declare("b", 100, soft=(500, 900))
    assert p.do(p.a_hold("95", ("b", 95)))[4] == ("budget_threshold",)
    first, second, third = p.store.read(spending.ReadAlerts(tenant=s.tenant))
    shown = {'"threshold": 0.5' in a.detail for a in (first, second, third)}
    assert shown == {True, False}
    p.do(spending.Told(id=first.id))
    assert len(p.store.read(spending.ReadAlerts(tenant=s.tenant, untold=True))) == 2
    assert len(p.store.read(spending.ReadAlerts(tenant=s.tenant, limit=1))) == 1
    assert p.store.read(spending.ReadAlerts(tenant=s.tenant + "x")) == []
    assert p.store.apply([spending.PutAlert(alert=first)]).answers == [False]
    news = first._replace(id=key_of(f"{s.tenant} news"))
    p.do(spending.PutAlert(alert=news))
    p.do(spending.PutAlert(alert=news))
    p.do(spending.Told(id=key_of("nothing")))
    assert len(p.store.read(spending.ReadAlerts(tenant=s.tenant, untold=True))) == 3


def a_limit_is_raised_once(s: Scene) -> None:
    p = Purse(s)
    p.declare("a")
    p.declare("b", 10, 10)
    p.held(p.a_hold("1", ("a", 10)))
    for n, lasting in ((1, True), (2, False), (1, True), (2, False)):
        p.do(p.a_raise("a", n, lasting=lasting), told="figures")
    p.held(p.a_hold("2", ("a", 4)))
    p.refused(p.a_hold("3", ("a", 1)))
    p.do(p.a_raise("nobody", 3))
    p.do(p.a_raise("a", 3, metric="tokens"))
    p.do(p.a_raise("a", 3, tenant=s.tenant + "x"))
    p.do(p.a_raise("b", 3, metric="tokens"))
    p.refused(p.a_hold("3", ("b", 11)))
    (raised,) = {f[2] for f in s.rig.figures(s.tenant) if f[1] == (14, 0, 0)}
    assert raised == 14


# -- effects -------------------------------------------------------------------------------------


def an_effect_is_paid_in_its_claim(s: Scene) -> None:
    p = Purse(s)
    p.declare("a")
    claim = p.a_paid_claim("1", ("a", 6))
    p.held(claim)
    p.held(claim)
    assert p.do(p.a_paid_claim("1", ("a", 1)))[1] is False
    p.refused(p.a_paid_claim("2", ("a", 5)))
    p.do(p.a_paid_claim("2", ("a", 1), old=1), told="stale")
    p.do(p.a_paid_claim("2", ("a", 1), standing=7), told="stale")
    s.do(s.a_halt())
    assert p.do(p.a_paid_claim("2", ("a", 4)))[2] == ("halted",)
    s.do(s.a_lift())
    p.held(p.a_paid_claim("2", ("a", 4)))
    p.do(p.a_settle("1", tenant="other"))
    p.do(p.a_settle("1", nonce=b"x" * 16))
    p.do(p.a_settle("1"))
    p.do(p.a_settle("1"))
    p.do(p.a_settle("2", "failed", note="retryable"))
    p.held(p.a_paid_start("2", ("a", 3)))
    s.sound()


def a_start_that_came_to_nothing_is_refused_when_it_no_longer_fits(s: Scene) -> None:
    p = Purse(s)
    p.declare("a")
    p.held(p.a_paid_claim("1", ("a", 6)))
    p.do(p.a_settle("1", "failed", note="retryable"))
    start = p.a_paid_start("1", ("a", 6))
    p.held(start)
    p.do(p.a_settle("1", "failed", note="retryable"))
    p.held(p.a_hold("else", ("a", 9)))
    p.refused(start)
    s.sound()


def the_like_of_it_is_found_where_there_is_no_room(s: Scene) -> None:
    """What was done before is no longer to be paid; unless its caller has seen it."""
    p = Purse(s)
    p.declare("a", 1)
    like: dict[str, Any] = {"twin": key_of(s.tenant)[:16]}
    p.refused(p.a_paid_claim("0", ("a", 2), suspect="ask", **like))
    p.held(p.a_paid_claim("1", ("a", 1), **like))
    p.do(p.a_settle("1"))
    answer = p.do(p.a_paid_claim("2", ("a", 1), suspect="ask", **like), told="reserved")
    assert answer[1:3] == (False, ("suspect", s.key("1")))
    p.refused(p.a_paid_claim("2", ("a", 1), suspect="run", **like))
    p.refused(p.a_paid_claim("2", ("a", 1), suspect="ask", after=1 << 40, **like))
    p.refused(p.a_paid_claim("2", ("a", 1), suspect="ask"))
    p.declare("a", 2)
    p.held(p.a_paid_claim("2", ("a", 1), suspect="ask", after=1 << 40, **like))


def money_follows_the_effect(s: Scene) -> None:
    p = Purse(s)
    p.declare("a", 100)
    for guarantee in ("at_most_once", "idempotent", "read_only"):
        for n, end in enumerate(("succeeded", "failed", "doubt", "release", "happened", "cancel")):
            name = f"{guarantee} {end}"
            p.held(p.a_paid_claim(name, ("a", n), guarantee=guarantee))
            if end in ("succeeded", "failed"):
                p.do(p.a_settle(name, end))
            elif end == "release":
                p.do(s.a_release(name))
            else:
                p.do(s.a_doubt(name))
            if guarantee != "read_only" and end in ("happened", "cancel"):
                p.do(s.a_resolution(name) if end == "happened" else s.a_cancel(name))
    s.sound()


def only_the_effects_own_money_follows_it(s: Scene) -> None:
    """Not what another tenant holds under the same key, nor what is held by hand under it."""
    p = Purse(s)
    p.declare("a")
    other = s.tenant + "x"
    strange = p.row(s.key("1"))._replace(tenant=other)
    p.store.apply([spending.Reserve(row=strange, demands=())])
    s.do(s.a_claim("1"))
    s.do(s.a_doubt("1"))
    (row,) = p.store.read(spending.ReadReservations(tenant=other))
    assert row.state == "held"
    p.end(other)
    s.settled("2")
    p.held(spending.Reserve(row=p.row(s.key("2"), 1), demands=p.wants(("a", 2))))
    s.crash(1)
    s.sweep()
    p.same()
    late = p.a_paid_claim("3", ("a", 2))
    p.held(replace(late, row=late.row._replace(until=HOUR)))
    s.turn(2 * HOUR)
    s.sweep()
    p.same()
    p.do(p.a_settle("3"))


def another_attempt_is_charged_once(s: Scene) -> None:
    p = Purse(s)
    p.declare("a")
    p.held(p.a_paid_claim("1", ("a", 6), guarantee="idempotent"))
    p.do(s.a_doubt("1"))
    start = p.a_paid_start("1", ("a", 6), slot=1)
    p.held(start)
    p.held(start)
    p.do(s.a_start("1"))
    p.do(s.a_doubt("1"))
    assert p.do(p.a_paid_start("1", ("a", 6), epoch=1))[1] is False
    p.do(p.a_paid_start("1", ("a", 6), standing=1), told="stale")
    p.do(p.a_paid_start("1", ("a", 6), old=1), told="stale")
    p.held(p.a_paid_start("1", ("a", 6)))
    p.do(p.a_settle("1"))
    assert p.do(s.a_claim("1"))[0] == "found"
    s.sound()


def a_look_is_charged_each_time(s: Scene) -> None:
    p = Purse(s)
    p.declare("a")
    p.held(p.a_paid_claim("1", ("a", 4), guarantee="read_only"))
    p.do(s.a_doubt("1"))
    start = p.a_paid_start("1", ("a", 4))
    p.held(start)
    p.held(start)
    p.do(s.a_doubt("1"))
    p.refused(p.a_paid_start("1", ("a", 4)))
    p.held(p.a_paid_start("1", ("a", 2)))
    p.do(p.a_settle("1", "failed", note="retryable"))
    p.held(p.a_paid_start("1", ("a", 1)))
    p.do(p.a_settle("1"))
    p.declare("b")
    p.held(p.a_paid_claim("dead", ("b", 4), slot=1, guarantee="read_only"))
    s.crash(1)
    p.held(p.a_paid_start("dead", ("b", 3)))
    s.sweep()
    p.same()
    p.refused(p.a_paid_claim("2", ("a", 10), guarantee="read_only"))


def what_was_paid_in_vain_is_paid_again(s: Scene) -> None:
    p = Purse(s)
    p.declare("a")
    for name, guarantee in (("1", "at_most_once"), ("2", "idempotent")):
        p.held(p.a_paid_claim(name, ("a", 2), guarantee=guarantee))
        p.do(s.a_doubt(name))
        p.do(p.a_reckoning(s.key(name), "settled", actual={"usd": 2}))
    p.held(p.a_paid_start("2", ("a", 2)))
    p.do(p.a_settle("2"))
    p.do(s.a_resolution("1", "failed"))
    p.held(p.a_paid_start("1", ("a", 3)))
    p.do(p.a_settle("1"))
    s.sound()


def the_standing_budgets_are_known_or_nothing_begins(s: Scene) -> None:
    p = Purse(s)
    terms = p.terms("theirs", where=(("tool", "charge"),))
    s.do(spending.PutTerms(tenant=s.tenant + "x", terms=terms, by="ann"))
    s.do(s.a_claim("first"), told="granted")  # from now on its workflow is known
    assert s.do(s.a_claim("theirs", standing=1)) == ("stale",)
    theirs = [s.a_claim(name, standing=1) for name in ("theirs 1", "theirs 2")]
    assert s.rig.apply(0, theirs) == [("stale",)] * 2
    s.failed("old")
    p.declare("a", where=(("tool", "charge"),))
    assert s.do(s.a_claim("1")) == ("stale",)
    assert s.do(s.a_start("old")) == ("stale",)
    (found,) = p.store.apply([s.a_claim("1")]).answers
    assert rules.next_step(found, SHOWN, policy_of("at_most_once")) is rules.Step.STALE
    s.do(s.an_ask("asked"), told="found")
    like: dict[str, Any] = {"twin": key_of(s.tenant)[:16]}
    s.do(s.a_claim("5", standing=1, **like), told="granted")
    s.do(s.an_ask("6", suspect="ask", **like), told="suspect")
    several = [s.a_claim(name) for name in ("2", "3")]
    s.do(s.a_claim("4", standing=1), *several)
    asked = s.a_claim("7", status="pending", holder=None, quorum=1)
    s.do(asked, s.a_claim("8", standing=1))
    s.do(s.a_start("old", standing=1), told="granted")
    s.do(s.a_claim("1", standing=1), told="granted")
    s.do(s.a_claim("1"), told="found")
    p.do(p.a_hold("1", ("a", 1), standing=0), told="stale")
    p.held(p.a_hold("1", ("a", 1), standing=1))
    s.sound()


# -- the dead ------------------------------------------------------------------------------------


def what_the_dead_held_is_found(s: Scene) -> None:
    p = Purse(s)
    p.declare("a", 100)
    for n, guarantee in enumerate(("at_most_once", "idempotent", "read_only")):
        p.held(p.a_paid_claim(guarantee, ("a", n), slot=1, guarantee=guarantee))
    p.held(p.a_hold("dead", ("a", 10), slot=1))
    p.held(p.a_hold("alive", ("a", 10)))
    p.held(p.a_hold("late", ("a", 10), until=HOUR))
    p.held(p.a_hold("dead and late", ("a", 10), slot=1, until=HOUR))
    for name in ("taken over", "settled past it"):
        p.held(p.a_paid_claim(name, ("a", 5), slot=1, guarantee="idempotent"))
    p.do(s.a_settle("settled past it"))
    s.sweep()
    p.same()
    assert not p.store.read(spending.Overdue())
    s.crash(1)
    p.held(p.a_paid_start("taken over", ("a", 5)))
    s.sweep()
    p.same()
    s.turn(HOUR // 2)
    assert not p.store.read(spending.Overdue())
    s.turn(HOUR)
    assert p.store.read(spending.Overdue())
    s.sweep()
    p.same()
    assert not p.store.read(spending.Overdue())
    p.do(p.a_reckoning(p.id("late"), "settled", actual={"usd": 1}))
    s.sound()


def nobody_is_buried_who_holds_money(s: Scene) -> None:
    p = Purse(s)
    p.declare("a", 100)
    for name in ("1", "2", "3"):
        p.held(p.a_hold(name, ("a", 10), slot=1))
    s.crash(1)
    little = acts.Sweep(actor="sweeper", dead=None, limit=1)
    while s.model.apply(little):
        pass
    while s.rig.apply(0, [little])[0]:
        pass
    p.same()


def an_attempt_that_nobody_pays_for(s: Scene) -> None:
    p = Purse(s)
    p.declare("a", 100)
    for name in ("1", "2"):
        p.held(p.a_paid_claim(name, ("a", 5), slot=1, guarantee="idempotent"))
    p.held(p.a_paid_claim("3", ("a", 5), guarantee="idempotent"))
    p.do(p.a_settle("3", "failed", note="retryable"))
    s.crash(1)
    p.held(p.a_paid_claim("4", ("a", 5), guarantee="idempotent"))
    p.do(s.a_start("4"))
    p.do(s.a_settle("4", "failed", note="retryable"))
    p.do(s.a_start("4"))
    p.do(p.a_settle("4"))
    for name in ("1", "2", "3"):
        p.do(s.a_start(name))
    p.do(s.a_settle("1"))
    p.do(s.a_settle("2", "failed", note="retryable"))
    p.do(s.a_cancel("2"))
    s.sweep()
    p.same()
    s.sound()


def what_expired_past_its_money_is_found(s: Scene) -> None:
    """Settled by somebody who knows of no budget, and too late now: the sweep comes to an end."""
    p = Purse(s)
    p.declare("a", 100)
    s.approved("1")
    p.held(p.a_paid_start("1", ("a", 5), slot=1))
    p.do(s.a_settle("1", "failed", note="retryable"))
    s.turn(2 * HOUR)
    s.do(acts.Lapse(**s.place("1"), actor="clock"))
    assert s.row("1").status == "expired"
    s.crash(1)
    s.sweep()
    p.same()


# -- windows, and what is asked ------------------------------------------------------------------


def a_window_rolls(s: Scene) -> None:
    """What left the window no longer counts, and what comes back late goes where it was taken."""
    store, tenant = s.rig.stores[0], s.tenant
    p = Purse(s)
    terms = p.terms("w", 10, window=Window(kind="rolling", seconds=3600), soft=(500,))
    store.apply([spending.PutTerms(tenant=tenant, terms=terms, by="ann")])

    def hold(name: str, amount: int) -> Any:
        return store.apply([p.a_hold(name, ("w", amount))]).answers[0]

    def figures() -> tuple[Any, ...]:
        (line,) = store.read(spending.ReadLines(tenant=tenant))
        return (*line.figures.weight, line.figures.limit)

    assert [a.kind for a in hold("1", 6).alerts] == ["budget_threshold"]
    assert hold("2", 5).refusal is not None
    store.apply([p.a_raise("w", 1, lasting=False), p.a_raise("w", 2, lasting=True)])
    assert figures() == (6, 0, 0, 14)
    s.rig.turn(3000 * 1_000_000)
    assert hold("2", 9).refusal is not None
    assert hold("2", 8).alerts == ()
    s.rig.turn(800 * 1_000_000)
    assert figures() == (8, 0, 0, 12)
    store.apply([p.a_reckoning(p.id("1"), "settled", actual={"usd": 1})])
    assert figures() == (8, 0, 0, 12)
    assert hold("3", 5).refusal is not None
    assert hold("3", 4).fresh
    s.rig.turn(2900 * 1_000_000)
    assert figures() == (4, 0, 0, 12)
    s.rig.turn(-6700 * 1_000_000)
    books = store.read(spending.ReadBooks(tenant=tenant))
    assert all(charged == weighed for charged, weighed in books.values())
    assert len(books) == 3


#: what is called, by which names it is known
FACTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("1", {"kind": "model", "what": "m1", "provider": "p", "session": "s", "bound": 9}),
    ("2", {"kind": "model", "what": "m1", "workflow": "w", "bound": 9}),
    ("3", {"kind": "model", "what": "m2", "bound": 9}),
    ("4", {"kind": "manual", "what": "a", "bound": 5}),
    ("5", {"kind": "model", "what": "m3", "bound": 7, "scope": b"s" * 16}),
)


def _several(s: Scene) -> Purse:
    p = Purse(s)
    p.declare("a", 1000, 1000)
    p.declare("b")
    for name, more in FACTS:
        p.held(p.a_hold(name, ("a", 9), **more))
    p.do(p.a_reckoning(p.id("1"), "settled", actual={"usd": 5}, cost=5, tokens=3))
    p.do(p.a_reckoning(p.id("2"), "unreconciled", actual={"usd": 2}, cost=2))
    p.do(p.a_reckoning(p.id("3"), "released"))
    p.do(p.a_reckoning(p.id("4"), "settled"))
    return p


def a_late_word_does_not_bring_an_old_window_back(s: Scene) -> None:
    """In one transaction with a new reservation, what is said about an old one is not counted."""
    store, tenant = s.rig.stores[0], s.tenant
    p = Purse(s)
    window = Window(kind="rolling", seconds=60)
    terms = p.terms("w", 10, window=window, soft=(500,))
    store.apply([spending.PutTerms(tenant=tenant, terms=terms, by="ann")])
    old, new = sorted(("1", "2"), key=p.id)
    store.apply([p.a_hold(old, ("w", 8))])
    s.rig.turn(7200 * 1_000_000)
    word = p.a_reckoning(p.id(old), "settled", actual={"usd": 7})
    _, held = store.apply([word, p.a_hold(new, ("w", 5))]).answers
    assert held.fresh
    assert [alert.kind for alert in held.alerts] == ["budget_threshold"]
    s.rig.turn(-7200 * 1_000_000)


def what_it_cost_is_added_up(s: Scene) -> None:
    """By anything: as it is when the reservations are added up one by one."""
    p, tenant = _several(s), s.tenant
    for n, kind in enumerate(("model", "tool", "manual")):
        for m, state in enumerate(("held", "settled", "released", "unreconciled")):
            for cost in (None, 1 + m):
                name = f"{kind} {state} {cost}"
                facts = {"provider": "p", "workflow": "w", "session": "s", "bound": 2 + 20 * n}
                p.held(p.a_hold(name, ("a", 1), kind=kind, **{**facts, "what": f"m{n}"}))
                if state != "held":
                    p.do(p.a_reckoning(p.id(name), state, cost=cost, tokens=cost))
    rows = p.store.read(spending.ReadReservations(tenant=tenant))
    now = p.store.read(acts.Clock())
    for by in ("model", "tool", "what", "provider", "workflow", "session", "day"):
        wanted = _added_up(rows, by)
        for more in ({}, {"since": now - HOUR}, {"until": now + HOUR}):
            found: Any = p.store.read(spending.ReadCosts(tenant=tenant, by=by, **more))
            assert {(line[0], line[1]): tuple(line[2:]) for line in found} == wanted, (by, more)
            assert [line[3] for line in found] == sorted((x[3] for x in found), reverse=True)
            strange: Any = p.store.read(spending.ReadCosts(tenant=tenant + "x", by=by, **more))
            assert strange == []
        for more in ({"since": now + HOUR}, {"until": now - HOUR}):
            none: Any = p.store.read(spending.ReadCosts(tenant=tenant, by=by, **more))
            assert none == []


def _added_up(rows: Sequence[spending.Reservation], by: str) -> dict[Any, tuple[int, ...]]:
    sums: dict[Any, list[int]] = {}
    for row in rows:
        if row.state == "released" or (by in {"model", "tool"} and row.kind != by):
            continue
        what = row.created_at // 86_400_000_000 if by == "day" else row.what
        if by in {"provider", "workflow", "session"}:
            what = getattr(row, by)
        mine = sums.setdefault((what, row.kind), [0] * 5)
        mine[0] += 1
        mine[1] += row.cost or 0
        mine[2] += row.tokens or 0
        mine[3] += row.kind == "model" and row.cost is None
        mine[4] += 0 if row.state == "settled" else max((row.bound or 0) - (row.cost or 0), 0)
    return {key: tuple(numbers) for key, numbers in sums.items()}


def reservations_are_read(s: Scene) -> None:
    p, tenant = _several(s), s.tenant
    now = p.store.read(acts.Clock())

    def names(**more: Any) -> list[str]:
        rows = p.store.read(spending.ReadReservations(tenant=tenant, **more))
        assert p.store.read(spending.ReadReservations(tenant=tenant + "x", **more)) == []
        return [name for row in rows for name, _ in FACTS if p.id(name) == row.id]

    assert names() == ["5", "4", "3", "2", "1"]
    assert names(limit=2) == ["5", "4"]
    assert names(kind="manual") == ["4"]
    assert names(state="unreconciled") == ["2"]
    assert names(scope=b"s" * 16) == ["5"]
    assert names(id=p.id("3")) == names(prefix=p.id("3").hex()[:9]) == ["3"]
    assert names(since=now + HOUR) == []
    assert len(names(since=now - HOUR)) == 5
    (third,) = p.store.read(spending.ReadReservations(tenant=tenant, id=p.id("3")))
    assert names(after=third.seq) == ["4", "5"]
    assert p.store.read(spending.ReadReservations(tenant=tenant + "x", id=p.id("3"))) == []


def lines_are_read(s: Scene) -> None:
    p, tenant = _several(s), s.tenant
    lines = p.store.read(spending.ReadLines(tenant=tenant))
    assert [(x.known.terms.name, x.metric) for x in lines] == [
        ("a", "tokens"), ("a", "usd"), ("b", "usd"),
    ]  # fmt: skip
    lines = p.store.read(spending.ReadLines(tenant=tenant, names=("b",)))
    assert [x.metric for x in lines] == ["usd"]
    assert p.store.read(spending.ReadLines(tenant=tenant + "x")) == []
    p.declare("a", 900)
    assert len(p.store.read(spending.ReadLines(tenant=tenant))) == 2
    label = '{"args.c": "1"}'
    p.declare("split", per=("args.c",))
    assert p.store.read(spending.ReadLines(tenant=tenant, names=("split",))) == []
    p.held(p.a_hold("6", demands=p.wants(("split", 1), label=label)))
    (line,) = p.store.read(spending.ReadLines(tenant=tenant, names=("split",)))
    assert (line.label, line.figures.weight) == (label, (1, 0, 0))


def a_top_up_is_granted_once(s: Scene) -> None:
    p = Purse(s)
    p.declare("a")
    args: dict[str, Any] = {
        "budget": "a", "metric": "usd", "per": {}, "raise": "0.000000003", "lasting": False,
    }  # fmt: skip
    for name, tool in (("1", "budget.raise"), ("2", "else")):
        text = encode(args, where="args")
        s.rig.stores[0].apply([s.an_ask(name, 0, "budget", tool=tool, args=text)])
        decision = s.a_decision(name)
        for _ in range(2):
            s.rig.stores[0].apply([decision])
    (line,) = p.store.read(spending.ReadLines(tenant=s.tenant))
    assert line.figures.limit == 13
    edit = encode({**args, "raise": "0.000000005", "lasting": True}, where="args")
    s.rig.stores[0].apply([s.an_ask("3", 0, "budget", tool="budget.raise", args=encode(args))])
    s.rig.stores[0].apply([s.a_decision("3", args=edit, args_digest=key_of(edit))])
    (line,) = p.store.read(spending.ReadLines(tenant=s.tenant))
    assert line.figures.limit == 18
    two = encode({**args, "budget": "b"}, where="args")
    p.declare("b")
    ask = s.an_ask("5", 0, "budget", tool="budget.raise", args=two, quorum=2)
    s.rig.stores[0].apply([ask])
    s.rig.stores[0].apply([s.a_decision("5")])
    (line,) = p.store.read(spending.ReadLines(tenant=s.tenant, names=("b",)))
    assert line.figures.limit == 10
    nobody = encode({**args, "budget": "nobody"}, where="args")
    s.rig.stores[0].apply([s.an_ask("4", 0, "budget", tool="budget.raise", args=nobody)])
    with pytest.raises(UnknownBudget):
        s.rig.stores[0].apply([s.a_decision("4")])


def a_group_charges_a_line_once_for_all(s: Scene) -> None:
    p = Purse(s)
    p.declare("a")
    group = [p.a_hold(str(n), ("a", 4)) for n in range(3)]
    answers = p.store.apply(group).answers
    assert sorted(answer.fresh for answer in answers) == [False, True, True]
    (line,) = p.store.read(spending.ReadLines(tenant=s.tenant))
    assert line.figures.weight == (8, 0, 0)
    named = [p.a_hold(f"s{n}", ("a", 0), session="s") for n in range(3)]
    assert sorted(a.iteration for a in p.store.apply(named).answers) == [1, 2, 3]
    session: Any = p.store.read(spending.ReadSession(tenant=s.tenant, session="s"))
    assert tuple(session) == (3, 0, 0)


def who_spends_keeps_others_away(s: Scene) -> None:
    """From the lines, from the terms, and from the reservation; on PostgreSQL."""
    p = Purse(s)
    p.declare("a")
    p.held(p.a_hold("1", ("a", 1)))
    one, two = s.rig.stores
    line = line_id(s.tenant, "a", "usd", "{}")

    reads: list[Callable[[SqlTx], Any]] = [
        lambda tx: tx.lock_lines([line]),
        lambda tx: tx.terms_of(s.tenant, "a"),
        lambda tx: tx.reservation(p.id("1")),
    ]
    for read in reads:
        with transaction(one) as tx:
            assert read(tx)
            assert refused_lock(two, read)


def a_line_that_somebody_begins_meanwhile_is_ours_too(s: Scene) -> None:
    """It was not there to be locked, and is there when it is read; on PostgreSQL."""
    p = Purse(s)
    p.declare("a")
    one, two = s.rig.stores
    (demand,) = p.wants(("a", 1))
    with transaction(one) as tx:
        till = Till(tx)
        till.lock([demand.line])
        p.held(p.a_hold("1", ("a", 1)))
        assert till.version(demand, tx.now()) == demand.version
        assert till.figures(demand, tx.now()).weight == (1, 0, 0)
        assert refused_lock(two, lambda rival: rival.lock_lines([demand.line]))


def _to_its_end(play: Callable[[Scene], None]) -> Callable[[Scene], None]:
    @wraps(play)
    def played(s: Scene) -> None:
        play(s)
        Purse(s).end()

    return played


_PLAYS = (
    what_fits_is_held_and_what_does_not_is_refused,
    a_key_is_reserved_once,
    what_was_spent_is_said_once,
    what_is_said_is_kept,
    what_a_reservation_cost_is_known,
    the_rule_about_halts_says_what_the_statement_says,
    what_cost_more_is_told,
    a_cost_is_put_in_the_place_of_another,
    other_terms_are_another_version,
    the_line_that_decides,
    thresholds_are_told_once,
    a_limit_is_raised_once,
    an_effect_is_paid_in_its_claim,
    a_start_that_came_to_nothing_is_refused_when_it_no_longer_fits,
    the_like_of_it_is_found_where_there_is_no_room,
    only_the_effects_own_money_follows_it,
    money_follows_the_effect,
    another_attempt_is_charged_once,
    a_look_is_charged_each_time,
    what_was_paid_in_vain_is_paid_again,
    the_standing_budgets_are_known_or_nothing_begins,
    what_the_dead_held_is_found,
    nobody_is_buried_who_holds_money,
    an_attempt_that_nobody_pays_for,
    what_expired_past_its_money_is_found,
    a_window_rolls,
    a_late_word_does_not_bring_an_old_window_back,
    what_it_cost_is_added_up,
    reservations_are_read,
    lines_are_read,
    a_top_up_is_granted_once,
    a_group_charges_a_line_once_for_all,
)

PLAYS = tuple(map(_to_its_end, _PLAYS))
ON_POSTGRES = tuple(
    map(
        _to_its_end,
        (who_spends_keeps_others_away, a_line_that_somebody_begins_meanwhile_is_ours_too),
    )
)
