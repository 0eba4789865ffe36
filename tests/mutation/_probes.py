"""The plays: each of them must go as written on a sound store, and go wrong on a weakened one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tallystick import _acts as acts
from tallystick import _changes as changes
from tallystick import _points
from tallystick import _rules as rules
from tallystick._keys import halts_chain, scope_of
from tallystick._policy import Approval, Policy
from tallystick._undo import Undo
from tallystick.errors import DamagedRecord, LedgerError
from tallystick.stores._budget_tx import Overtaken
from tallystick.stores._tx import SqlTx
from tests.model._rigs import key_of
from tests.mutation._archive_probes import ON_SQL as ARCHIVE_PLAYS_ON_SQL
from tests.mutation._archive_probes import PLAYS as ARCHIVE_PLAYS
from tests.mutation._checkpoint_probes import PLAYS as CHECKPOINT_PLAYS
from tests.mutation._place_probes import EVERYWHERE as PLACE_PLAYS
from tests.mutation._place_probes import ON_POSTGRES, ON_SQL
from tests.mutation._purse_probes import ON_POSTGRES as PURSE_PLAYS_ON_POSTGRES
from tests.mutation._purse_probes import PLAYS as PURSE_PLAYS
from tests.mutation._retention_probes import PLAYS as RETENTION_PLAYS
from tests.mutation._scene import ARGS, BANG, BOOM, EDIT, HOUR, SHOWN, Scene, policy_of
from tests.mutation._tx import refused_lock, transaction
from tests.mutation._undo_probes import PLAYS as UNDO_PLAYS
from tests.mutation._vault_probes import PLAYS as VAULT_PLAYS

EVERYWHERE = ("memory", "sqlite", "postgres", "mariadb")
SQL = ("sqlite", "postgres", "mariadb")
SERVERS = ("postgres", "mariadb")
#: where whoever waits can be told, or could be
TOLD = ("memory", "sqlite", "postgres")
#: a moment within which two readings of the clock of one statement lie
SOON = 5_000_000


class Probe(NamedTuple):
    """A play, and the stores that it is for."""

    name: str
    play: Callable[[Scene], None]
    kinds: tuple[str, ...]


PROBES: list[Probe] = []


def probe(*kinds: str) -> Callable[[Callable[[Scene], None]], Callable[[Scene], None]]:
    """Add a play to the table."""

    def add(play: Callable[[Scene], None]) -> Callable[[Scene], None]:
        PROBES.append(Probe(play.__name__, play, kinds or EVERYWHERE))
        return play

    return add


# -- the straight path -----------------------------------------------------------------------------


@probe()
def one_claim_is_granted_and_settled_once(s: Scene) -> None:
    s.do(s.a_claim("a", 1), told="granted")
    s.do(s.a_claim("a"), told="found")
    s.do(s.a_claim("b"), told="granted")
    settle = s.a_settle("a")
    s.do(settle, told="applied")
    s.do(settle, told="applied")
    s.do(s.a_claim("a"), told="found")
    s.do(s.a_settle("a", "failed"), told="fenced")
    s.do(s.a_settle("a", result='"else"', result_digest=key_of('"else"')), told="fenced")
    s.do(s.a_settle("b", "failed", note="retryable"), told="applied")
    s.steps("a")
    s.steps("b")
    s.sound()


@probe()
def only_the_holder_settles(s: Scene) -> None:
    s.do(s.a_claim("a"))
    s.do(s.a_claim("b"))
    s.do(s.a_settle("a", key=s.key("nowhere")), told="fenced")
    s.do(s.a_settle("a", tenant="other"), told="fenced")
    s.do(s.a_settle("a", epoch=2), told="fenced")
    s.do(s.a_settle("a", nonce=b"x" * 16), told="fenced")
    s.do(s.a_settle("a", "failed", error=None), told="applied")
    s.do(s.a_settle("a", "failed", epoch=2, error=BOOM), told="fenced")
    s.do(s.a_settle("a", "failed", nonce=b"x" * 16), told="fenced")
    s.sound()


@probe()
def a_settle_finds_its_own_row(s: Scene) -> None:
    """Two effects under one nonce: not even then is the wrong one settled."""
    nonce = s.nonce()
    for name in ("a", "b", "c"):
        s.do(s.a_claim(name, nonce=nonce))
    s.do(s.a_settle("b"), told="applied")
    s.do(s.a_claim("d"))
    s.do(s.a_settle("a"), s.a_settle("d", "failed"))
    s.sound()


@probe()
def many_are_settled_at_once_and_only_by_their_holders(s: Scene) -> None:
    s.do(*(s.a_claim(name) for name in "abcdef"))
    s.do(s.a_doubt("f"))
    s.do(
        s.a_settle("a", tenant="other"),
        s.a_settle("b", epoch=2),
        s.a_settle("c", nonce=b"x" * 16),
        s.a_settle("d"),
        s.a_settle("e", "failed", note="retryable"),
        s.a_settle("f"),
    )
    s.sound()


@probe()
def an_attempt_has_one_outcome_in_a_group(s: Scene) -> None:
    """Two outcomes for one attempt at once: the first one counts."""
    s.do(s.a_claim("a"))
    s.do(s.a_claim("b"))
    s.do(s.a_settle("a"), s.a_settle("a", "failed"), s.a_settle("b"))
    s.sound()


@probe()
def many_claims_are_granted_at_once(s: Scene) -> None:
    s.do(s.a_claim("taken", 1))
    s.do(s.a_claim("settled", 1))
    s.do(s.a_settle("settled"))
    claims = [s.a_claim(name, 1) for name in ("x", "y")]
    s.do(*claims, s.a_claim("taken"), s.a_claim("settled"))
    s.do(*claims)
    s.do(*(s.a_claim(name) for name in "xyz"))


@probe()
def of_two_claims_in_a_group_one_is_granted(s: Scene) -> None:
    group = [s.a_claim("a"), s.a_claim("a"), s.a_claim("b")]
    answers = s.rig.stores[0].apply(group).answers
    assert [a.fresh for a in answers].count(True) == 2
    mine = [a.row.nonce for a in answers if a.fresh]
    assert s.row("a").nonce in mine


@probe()
def what_a_claim_inserts_is_what_it_said(s: Scene) -> None:
    """A pending one has no holder and no beginning; a running one has both."""
    for name, group in (("a", 1), ("b", 2)):
        names = [f"{name}{n}" for n in range(group)]
        who: dict[str, Any] = {"holder": s.rig.holder(1)}
        s.do(*(s.a_claim(n, status="pending", expires=HOUR, quorum=2, **who) for n in names))
        for again in ("", " again"):  # in a workflow that is new, and in one that just was
            s.do(*(s.a_claim(f"run{n}{again}", workflow=f"w{name}") for n in names))
        for n in names:
            assert s.row(f"run{n} again").started_at is not None
            row, running = s.row(n), s.row(f"run{n}")
            assert (row.holder, row.started_at, row.attempt) == (None, None, 0)
            assert row.approval_until is not None
            assert abs(row.approval_until - row.created_at - HOUR) < SOON
            assert running.holder == s.rig.holder(0)
            assert running.started_at is not None
            assert abs(running.started_at - running.created_at) < SOON
            assert running.approval_until is None
            assert not running.awaited
    found = s.rig.stores[0].apply([s.a_claim("z", status="pending", holder=None)]).answers[0]
    assert (found.row.holder, found.row.started_at, found.row.attempt) == (None, None, 0)


@probe()
def another_tenant_has_nothing(s: Scene) -> None:
    s.do(s.a_claim("a"))
    s.do(s.an_ask("b"))
    s.doubtful("c")
    other: dict[str, Any] = {"tenant": f"not {s.tenant}"}
    s.do(s.a_claim("a", **other), told="again")
    s.do(s.a_claim("a", **other), s.a_claim("c", **other), s.a_claim("d"))
    s.do(s.a_start("c", **other), told="nothing")
    s.do(s.a_doubt("a", **other))
    s.do(s.a_release("a", **other))
    s.do(s.a_decision("b", **other))
    s.do(s.a_cancel("b", **other))
    s.do(s.a_resolution("c", **other))
    s.do(s.a_look("a", await_=True, **other))
    store, tenant = s.rig.stores[0], other["tenant"]
    assert not s.row("a").awaited
    assert s.rig.inbox(tenant) == set()
    for name in "abc":
        assert s.rig.look(0, s.key(name), tenant) == ("nothing",)
        assert s.rig.history(s.key(name), tenant) == ()
    assert store.read(acts.Find(tenant=tenant)) == []
    assert store.read(acts.Page(tenant=tenant, after=0)) == []


@probe()
def an_answer_that_was_lost_can_be_asked_for_again(s: Scene) -> None:
    """Every act, done twice: the second time it changes nothing and says the same."""
    s.lost(s.a_claim("a"))
    s.lost(s.a_doubt("a"))
    s.lost(s.a_resolution("a", "failed"))
    s.lost(s.a_start("a"))
    s.lost(s.a_settle("a", "failed"))
    s.lost(s.an_ask("b", quorum=2))
    s.lost(s.a_decision("b"))
    s.lost(s.an_ask("c"))
    s.lost(s.a_decision("c"))
    s.lost(s.a_start("c"))
    s.lost(s.a_release("c"))
    s.lost(s.a_cancel("c"))
    s.lost(s.an_ask("d"))
    s.lost(s.a_decision("d", approve=False))
    s.sound()


@probe()
def what_moved_on_is_not_granted_again(s: Scene) -> None:
    """The nonce is still there, the claim is not."""
    claim = s.a_claim("a")
    s.do(claim)
    s.do(s.a_doubt("a"))
    s.do(claim, told="found")
    start = s.a_start("a")
    s.do(start, told="granted")
    s.do(s.a_doubt("a"))
    s.do(start, told="found")
    s.do(s.a_settle("a"), told="late")
    s.do(start, told="found")
    s.do(claim, told="found")
    ask = s.an_ask("b")
    s.do(ask)
    s.do(s.a_decision("b"))
    s.do(ask, told="found")


@probe()
def an_ask_that_finds_something_asks_nobody(s: Scene) -> None:
    s.do(s.a_claim("a"))
    s.do(s.an_ask("a"), told="found")
    s.do(s.an_ask("b", kind="suspect"), told="found")
    s.do(s.an_ask("b"), told="found")


# -- twins -----------------------------------------------------------------------------------------


@probe()
def a_suspect_is_not_run(s: Scene) -> None:
    same: dict[str, Any] = {"twin": key_of(f"twins {s.tenant}")[:16]}
    s.do(s.a_claim("a", call_id="1", **same), told="granted")
    s.do(s.a_claim("b", call_id="2", **same), told="granted")
    for suspect in ("ask", "replay"):
        s.do(s.a_claim("c", call_id="3", suspect=suspect, **same), told="suspect")
        s.do(s.a_claim("c", suspect=suspect, **same), s.a_claim(f"other {suspect}"))
        s.do(s.a_claim("a", call_id="1", suspect=suspect, **same), told="found")
        s.do(s.a_claim(f"d {suspect}", suspect=suspect), told="granted")
        s.do(s.a_claim(f"e {suspect}", suspect=suspect), s.a_claim(f"f {suspect}"))
    elsewhere = ({"tenant": f"not {s.tenant}"}, {"tool": "mail"}, {"workflow": "v"})
    for scope in elsewhere:
        s.do(s.a_halt(**scope))
        s.do(s.a_claim("c", suspect="ask", **same), told="suspect")
        s.do(s.a_claim("c", suspect="ask", **same), s.a_claim(f"beside {scope}"))
        s.do(s.a_lift(**scope))
    s.do(s.a_claim("c", call_id="3", **same), told="granted")


@probe(*SQL)
def a_twin_is_seen_and_no_stranger(s: Scene) -> None:
    """The newest effect with the same tool and arguments, in this workflow, that is another one."""
    apply = s.rig.stores[0].apply
    twin = key_of(f"twins {s.tenant}")[:16]

    def claim(name: str, **other: Any) -> acts.Found:
        other.setdefault("twin", twin)
        found: acts.Found = apply([s.a_claim(name, **other)]).answers[0]
        return found

    assert claim("a", call_id="1").twin is None
    assert claim("a", call_id="1").twin is None
    assert claim("b", call_id="2").twin == s.key("a")
    assert claim("c", call_id="3").twin == s.key("b")
    assert claim("d").twin is None
    assert claim("e", call_id="4", workflow="v").twin is None
    assert claim("f", call_id="5", workflow="v", suspect="ask").twin == s.key("e")
    assert claim("g", workflow="u", suspect="ask").fresh
    assert claim("h", call_id="6", workflow="t", twin=key_of("alone")[:16]).twin is None
    for name, call_id in (("k", "7"), ("l", None)):
        group = [s.a_claim(name, twin=twin, call_id=call_id), s.a_claim(f"beside {name}")]
        assert apply(group).answers[0].twin == (s.key("d") if call_id else None)
    group = [
        s.a_claim("m", twin=twin, call_id="8", workflow="s"),
        s.a_claim("beside m", call_id=""),
    ]
    assert [a.twin for a in apply(group).answers] == [None, None]
    group = [s.a_claim("k", twin=twin, call_id="7"), s.a_claim("beside n")]
    assert apply(group).answers[0].twin == s.key("l")
    group = [s.a_claim("o", twin=twin, suspect="ask", workflow="s"), s.a_claim("p", suspect="ask")]
    assert [(a.fresh, a.twin) for a in apply(group).answers] == [(False, s.key("m")), (True, None)]
    group = [s.a_claim("r", twin=twin, suspect="ask", workflow="q"), s.a_claim("s")]
    assert [a.fresh for a in apply(group).answers] == [True, True]
    again = s.a_claim("p", suspect="ask", nonce=s.nonce())
    assert [a.twin for a in apply([again, s.a_claim("q", suspect="ask")]).answers] == [None, None]


@probe("memory")
def a_twin_in_memory_is_seen(s: Scene) -> None:
    same: dict[str, Any] = {"twin": key_of("twins")[:16]}
    seen = [s.rig.stores[0].apply([s.a_claim(n, **same)]).answers[0].twin for n in "abc"]
    assert seen == [None, s.key("a"), s.key("b")]


# -- halts -----------------------------------------------------------------------------------------


@probe()
def a_halt_stops_what_it_concerns_and_nothing_else(s: Scene) -> None:
    scopes: list[tuple[dict[str, Any], bool]] = [
        ({"tenant": None}, True),
        ({}, True),
        ({"tool": "charge"}, True),
        ({"workflow": "w"}, True),
        ({"tool": "charge", "workflow": "w"}, True),
        ({"tenant": None, "tool": "charge"}, True),
        ({"tool": "mail"}, False),
        ({"workflow": "v"}, False),
        ({"tool": "mail", "workflow": "w"}, False),
        ({"tool": "charge", "workflow": "v"}, False),
        ({"tenant": f"not {s.tenant}"}, False),
        ({"tenant": f"not {s.tenant}", "tool": "charge"}, False),
        ({"tenant": None, "tool": "mail"}, False),
    ]
    for n, (scope, stops) in enumerate(scopes):
        for mode in ("halt", "drain"):
            names = [
                f"{word}{n}{mode}" for word in ("approved", "begun", "new", "one", "two", "ask")
            ]
            approved, begun, new, one, two, ask = names
            s.approved(approved)
            s.failed(begun)
            try:
                s.do(s.a_halt(mode, **scope))
                told = "halted" if stops else "granted"
                s.do(s.a_claim(new), told=told)
                s.do(s.a_claim(one), s.a_claim(two))
                s.do(s.an_ask(ask), told="halted" if stops else "found")
                s.do(s.a_claim(begun), told="found")
                s.do(s.a_start(approved), told=told)
                s.do(s.a_start(begun), told="granted" if mode == "drain" else told)
            finally:
                s.do(s.a_lift(**scope))


@probe()
def a_halt_is_the_reason_when_nothing_else_is(s: Scene) -> None:
    """Also for what a dead worker left, and for what was approved long ago and in doubt since."""
    s.failed("failed")
    for name in ("doubtful", "abandoned"):
        s.approved(name)
    s.do(s.a_start("doubtful"))
    s.do(s.a_doubt("doubtful"))
    s.do(s.a_start("abandoned", 1))
    for name in ("late", "waiting"):
        s.approved(name)
    s.do(s.a_claim("dead", 1))
    s.do(s.a_claim("alive"))
    s.crash(1)
    s.turn(2 * HOUR)
    s.do(s.a_halt())
    s.do(s.a_start("dead"), told="halted")
    for name in ("failed", "doubtful", "abandoned"):
        s.do(s.a_start(name), told="halted")
    others: list[dict[str, Any]] = [{"epoch": 9}, {"shown": b"x" * 32}, {"status": "in_doubt"}]
    for seen in others:
        s.do(s.a_start("failed", **seen), told="found")
    s.do(s.a_start("alive"), told="found")
    s.do(s.a_start("late"), told="found")
    s.do(s.a_lift())
    s.do(s.a_start("dead"), told="granted")


@probe()
def exactly_one_halt_is_lifted(s: Scene) -> None:
    scopes: list[dict[str, Any]] = [
        {},
        {"tool": "mail"},
        {"workflow": "v"},
        {"tool": "mail", "workflow": "v"},
        {"tool": "mail", "workflow": "u"},
        {"tool": "chat", "workflow": "v"},
        {"tenant": f"not {s.tenant}"},
    ]
    for scope in scopes:
        s.do(s.a_halt(**scope))
    s.do(s.a_halt("drain"))
    s.do(s.a_halt(tenant=None, tool="mail"))
    try:
        seen = s.rig.stores[0].read(acts.Halts(tenant=s.tenant))
        assert len(seen) == 7
        assert {h.mode for h in seen if h.tool is None and h.workflow is None} == {"drain"}
        for left, scope in enumerate(scopes[:-1]):
            assert s.do(s.a_lift(**scope)) == 1
            assert s.do(s.a_lift(**scope)) == 0
            assert len(s.rig.stores[0].read(acts.Halts(tenant=s.tenant))) == 6 - left
    finally:
        s.do(s.a_lift(tenant=None, tool="mail"))
    assert len(s.rig.stores[0].read(acts.Halts(tenant=f"not {s.tenant}"))) == 1
    s.do(s.a_lift(tenant=f"not {s.tenant}"))


@probe()
def halts_leave_a_sound_chain(s: Scene) -> None:
    s.all(s.a_halt(), s.a_halt("drain"), s.a_lift(), s.a_lift(), s.a_halt())
    s.all(s.a_halt(tenant="elsewhere"), s.a_lift(tenant="elsewhere"), s.a_lift())
    for tenant, kinds in (
        (s.tenant, ["halt", "drain", "lifted", "halt", "lifted"]),
        ("elsewhere", None),
    ):
        chain = s.rig.stores[0].read(acts.History(key=halts_chain(tenant), tenant=tenant))
        previous = changes.GENESIS.hex()
        for n, event in enumerate(chain, 1):
            assert (event.n, event.previous) == (n, previous)
            previous = event.hash
        assert kinds is None or [event.kind for event in chain] == kinds
        halts = [e.detail for e in chain if e.kind == "halt"]
        assert all(d["reason"] == "stop" and d["tool"] is None and "at" not in d for d in halts)
        assert halts
    everybody, nobody = halts_chain(None), halts_chain("")
    assert everybody != nobody


# -- starting --------------------------------------------------------------------------------------


@probe()
def a_start_needs_what_was_seen(s: Scene) -> None:
    for name in ("a", "b"):
        s.failed(name)
    others: list[dict[str, Any]] = [
        {"status": "approved"},
        {"status": "in_doubt"},
        {"epoch": 2},
        {"epoch": 0},
        {"shown": b"x" * 32},
    ]
    for seen in others:
        s.do(s.a_start("a", **seen), told="found")
    s.do(s.a_start("a", **s.place("nowhere")), told="nothing")
    first, second = s.a_start("a"), s.a_start("a", 1)
    s.do(first, told="granted")
    s.do(second, told="found")
    assert s.row("b").status == "failed"
    s.sound()


@probe()
def an_approval_is_used_in_time_and_once(s: Scene) -> None:
    for name in ("in time", "late", "failed", "given back", "abandoned", "doubtful", "final"):
        s.approved(name)
    s.do(s.a_start("abandoned", 1), told="granted")
    s.do(s.a_start("doubtful"), told="granted")
    s.do(s.a_doubt("doubtful"))
    s.do(s.a_start("final"), told="granted")
    s.do(s.a_settle("final", "failed"))
    s.crash(1)
    s.do(s.a_claim("unasked"))
    s.do(s.a_release("unasked"))
    s.do(s.a_start("in time"), told="granted")
    s.do(s.a_start("failed"), told="granted")
    s.do(s.a_settle("failed", "failed", note="retryable"))
    s.do(s.a_start("given back"))
    s.do(s.a_release("given back"))
    s.do(s.a_start("given back"), told="granted")
    s.do(s.a_release("given back"))
    s.turn(2 * HOUR)
    s.steps("late")
    s.do(s.a_start("late"), told="found")
    s.do(s.a_start("given back"), told="found")
    s.steps("failed")
    s.do(s.a_start("failed"), told="found")
    s.do(s.a_start("abandoned"), told="granted")
    s.do(s.a_start("doubtful"), told="granted")
    s.do(s.a_start("unasked"), told="granted")
    s.do(s.a_settle("unasked", "failed", note="retryable"))
    s.do(s.a_start("unasked"), told="granted")
    s.do(acts.Lapse(**s.place("late"), actor="clock"))
    s.do(acts.Lapse(**s.place("unasked"), actor="clock"))
    for _ in range(2):
        s.do(acts.Lapse(**s.place("failed"), actor="clock"))
    s.do(acts.Lapse(**s.place("final"), actor="clock"))
    assert (s.row("failed").status, s.row("final").status) == ("expired", "failed")
    s.do(acts.Lapse(**s.place("nowhere"), actor="clock"), told="nothing")
    s.do(acts.Lapse(**s.place("given back"), actor="clock"))
    s.do(s.a_start("given back", status="approved"), told="found")
    s.sound()


@probe()
def the_living_keep_what_they_hold(s: Scene) -> None:
    s.do(s.a_claim("alive", 0))
    s.do(s.a_claim("dead", 1))
    s.failed("failed")
    s.settled("settled")
    s.do(s.a_claim("waits", status="pending", holder=None))
    for name in ("alive", "dead", "failed", "settled"):
        s.steps(name)
        assert s.raw(name).alive is (name in ("alive", "dead"))
        again = s.rig.stores[0].apply([s.a_claim(name)]).answers[0]
        beside = s.rig.stores[0].apply([s.a_claim(name), s.a_claim(f"beside {name}")]).answers[0]
        assert again.alive is beside.alive is (name in ("alive", "dead"))
        assert again.now
    s.do(s.a_start("alive"), told="found")
    s.do(s.a_start("dead"), told="found")
    s.do(s.a_start("alive", 1), told="found")
    s.do(s.a_start("failed"), told="granted")
    s.do(s.a_doubt("alive", nonce=None))
    s.do(s.a_doubt("alive", nonce=b"x" * 16))
    s.crash(1)
    s.steps("dead")
    s.do(s.a_claim("dead"), told="found")
    s.do(s.a_claim("dead"), s.a_claim("beside"))
    s.do(s.a_start("dead"), told="granted")
    s.do(s.a_start("alive"), told="found")
    row = s.row("dead")
    assert row.result_note == "unsure"
    s.sound()


@probe()
def what_a_start_begins_is_on_record(s: Scene) -> None:
    """Epoch, attempt, holder, the first beginning, and the error of the attempt before."""
    s.approved("a")
    s.do(s.a_start("a"))
    begun = s.row("a")
    assert begun.started_at is not None
    assert abs(begun.started_at - begun.changed_at) < SOON
    s.do(s.a_settle("a", "failed", note="retryable", error=BANG))
    s.turn(HOUR // 2)
    s.do(s.a_start("a", 1))
    row = s.row("a")
    assert (row.started_at, row.error, row.result_note) == (begun.started_at, None, None)
    assert row.changed_at > begun.changed_at + HOUR // 2 - SOON
    history = s.rig.stores[0].read(acts.History(**s.place("a")))
    first, second = (e.detail for e in history if e.kind == "started")
    assert (first["from"], first["attempt"], "error" in first) == ("approved", 1, False)
    assert (second["from"], second["attempt"]) == ("failed", 2)
    assert second["error"]["message"] == "bang"
    assert "from_holder" not in first | second
    s.crash(1)
    s.do(s.a_start("a"))
    third = s.rig.stores[0].read(acts.History(**s.place("a")))[-1].detail
    assert third["from_holder"] == row.holder
    s.do(s.a_settle("a", "failed"))
    s.do(s.a_claim("b", 1))
    s.do(s.a_doubt("b"))
    s.do(s.a_start("b"))
    assert "from_holder" not in s.rig.stores[0].read(acts.History(**s.place("b")))[-1].detail
    s.sound()


@probe()
def an_attempt_after_a_doubt_knows_of_it(s: Scene) -> None:
    s.doubtful("a", BOOM)
    s.do(s.a_start("a"))
    s.do(s.a_release("a"))
    s.do(s.a_start("a"), told="granted")
    s.do(s.a_settle("a", "failed", note="retryable"))
    s.do(s.a_start("a"), told="granted")
    s.do(s.a_release("a"))
    s.all(s.a_claim("b", 1), s.a_claim("c"))
    s.do(s.a_release("c"))
    s.do(s.a_release("c"))
    s.do(s.a_release("b", nonce=b"x" * 16))
    s.crash(1)
    s.do(s.a_start("b"))
    s.do(s.a_release("b"))
    s.do(acts.Release(**s.place("nowhere"), nonce=b"x", actor="x", reason="y"))
    s.sound()


# -- doubt -----------------------------------------------------------------------------------------


@probe()
def a_doubt_is_resolved_once(s: Scene) -> None:
    s.do(s.a_claim("a"))
    s.do(s.a_resolution("a"), told="refused")
    s.do(s.a_doubt("a", error=BOOM))
    s.steps("a")
    s.do(s.a_resolution("a", epoch=2), told="refused")
    s.do(
        s.a_resolution("a", epoch=1, note="unstorable", result=None, result_digest=None), told="ok"
    )
    s.do(s.a_resolution("a", "failed"), told="refused")
    s.do(s.a_resolution("a", by="bob"), told="refused")
    s.do(s.a_resolution("a", reason="else"), told="refused")
    s.doubtful("b")
    s.do(s.a_resolution("b", "failed", error=BANG), told="ok")
    s.do(s.a_resolution("b"), told="refused")
    s.do(s.a_start("b"), told="granted")
    s.do(s.a_settle("b", epoch=1), told="fenced")
    s.do(acts.Resolve(**s.place("nowhere"), to="failed", by="a", reason="", kind="person"))
    history = s.rig.stores[0].read(acts.History(**s.place("a")))
    assert history[-1].detail["was"]["message"] == "boom"
    assert s.rig.stores[0].read(acts.History(**s.place("b")))[1].detail["was"] is None
    said = json.loads(s.row("a").error or "null")
    assert said is None
    s.sound()


@probe()
def a_no_counts_after_the_quiet_period(s: Scene) -> None:
    names = ("a", "b", "c", "late")
    s.do(*(s.a_claim(name, guarantee="reconcile", quiet=HOUR) for name in names))
    s.turn(2 * HOUR)
    for name in names[:3]:
        s.do(s.a_doubt(name))
    s.steps("a")
    s.do(s.a_resolution("a", "failed"), told="refused")
    s.do(s.a_resolution("b", "failed", early=True), told="ok")
    s.do(s.a_resolution("c"), told="ok")
    s.turn(6 * HOUR // 10)
    s.do(s.a_settle("a", epoch=9), told="fenced")
    s.do(s.a_resolution("a", "failed"), told="refused")
    s.turn(6 * HOUR // 10)
    s.do(s.a_resolution("a", "failed"), told="ok")
    assert json.loads(s.row("a").error or "{}")["by"] == "ann"


@probe()
def a_late_outcome_resolves_its_own_doubt(s: Scene) -> None:
    s.doubtful("a")
    s.do(s.a_settle("a", epoch=2), told="fenced")
    s.do(s.a_settle("a", nonce=b"x" * 16), told="fenced")
    s.do(s.an_observation("a"))
    s.do(s.a_settle("a"), told="late")
    s.doubtful("b")
    s.do(s.a_settle("b", "in_doubt", error=None), told="applied")
    s.do(s.a_settle("b", "in_doubt", result="1", result_digest=key_of("1")), told="fenced")
    s.sound()


@probe()
def what_comes_too_late_is_kept_as_evidence(s: Scene) -> None:
    s.doubtful("a")
    s.do(s.a_start("a"))
    long, exact = json.dumps("x" * 5000), json.dumps("x" * (changes.EVIDENCE - 2))
    lates: list[dict[str, Any]] = [
        {},
        {"result": long, "result_digest": key_of(long)},
        {"result": exact, "result_digest": key_of(exact)},
        {"result": None},
        {"status": "failed", "error": BANG},
    ]
    for late in lates:
        s.do(s.a_settle("a", **{"status": "succeeded", **late}, epoch=1), told="fenced")
    s.do(s.a_settle("a", "failed", error=None, epoch=1, result_digest=None), told="fenced")
    seen = [e.detail for e in s.rig.stores[0].read(acts.History(**s.place("a")))][-6:]
    assert [e.get("result") for e in seen] == ['"done"', None, exact, None, None, None]
    assert ["result_digest" in e for e in seen] == [True, True, True, True, False, False]
    assert seen[-2]["error"]["message"] == "bang"
    assert "error" not in seen[-1]
    s.sound()


@probe()
def a_doubt_needs_its_holder_or_a_death(s: Scene) -> None:
    s.do(s.a_claim("a", 1))
    s.do(s.a_doubt("a", nonce=None))
    s.do(s.a_doubt("a", epoch=2))
    s.do(s.a_doubt("a", nonce=b"x" * 16))
    s.do(s.a_doubt("a", error=BOOM))
    s.do(s.a_doubt("a"))
    s.do(s.a_start("a", 1))
    s.crash(1)
    s.do(s.a_doubt("a", epoch=1, nonce=None))
    s.do(s.a_doubt("a", nonce=None))
    s.do(acts.Doubt(**s.place("nowhere"), epoch=1, nonce=None, actor="", error=None, reason=""))
    s.doubtful("b", BOOM, guarantee="read_only")
    s.do(s.a_claim("c", nonce=b""))
    s.do(s.a_doubt("c", nonce=None))
    s.do(s.a_settle("c"))
    s.do(s.a_doubt("c"))
    history = s.rig.stores[0].read(acts.History(**s.place("a")))
    assert history[0].detail == {
        "attempt": 1,
        "holder": s.effect("a").holder,
        "reason": "nobody knows",
    } or (history[0].detail["attempt"] == 1)
    s.sound()


@probe()
def errors_of_doubts_are_kept(s: Scene) -> None:
    s.doubtful("a", BOOM)
    s.do(s.a_start("a", 1))
    s.do(s.a_doubt("a", error=BANG))
    s.do(s.a_start("a", 1))
    s.crash(1)
    s.do(s.a_doubt("a", nonce=None))


@probe()
def the_dead_leave_nothing_open(s: Scene) -> None:
    """Rows they inserted, rows they began later; of them alone, and only what still runs."""
    s.approved("early")
    s.do(s.a_claim("mine", 0))
    s.crash(1)
    s.do(s.a_claim("inserted", 1))
    s.do(s.a_start("early", 1))
    s.do(s.a_claim("settled", 1))
    s.do(s.a_settle("settled"))
    s.all(s.a_claim("quick", 1, guarantee="read_only"), s.a_claim("doubtful", 1))
    s.do(s.a_doubt("doubtful"))
    s.do(s.a_claim("taken", 1))
    s.sweep()
    s.crash(1)
    s.do(s.a_start("taken", 0))
    s.sweep()
    s.do(s.a_claim("mine", 0), told="found")
    s.sound()


@probe()
def everybody_who_died_is_looked_at(s: Scene) -> None:
    """More effects than one sweep takes, and more dead than one."""
    for n in range(3):
        s.do(*(s.a_claim(f"{n} {k}", 1) for k in range(2)))
        s.crash(1)
    s.sweep(1)
    s.do(s.a_claim("x", 1))
    s.crash(1)
    workers = s.rig.stores[0].read(acts.Dead())
    assert len(workers) == 1
    other = acts.Sweep(actor="sweeper", dead=("somebody",))
    assert s.rig.apply(0, [other]) == [0]
    one = acts.Sweep(actor="sweeper", dead=tuple(workers))
    assert s.rig.apply(0, [one]) == [s.model.apply(one)]
    s.compare(s.keys)
    assert s.rig.stores[0].read(acts.Dead()) == workers
    assert s.rig.apply(0, [one]) == [0]
    assert s.rig.stores[0].read(acts.Dead()) == []
    idle = acts.Sweep(actor="sweeper", dead=(s.rig.holder(1),))
    assert s.rig.apply(0, [idle]) == [0]
    s.do(s.a_claim("z", 1))
    assert s.raw("z").alive
    mine = acts.Sweep(actor="sweeper", dead=(s.rig.holder(0),))
    s.do(s.a_claim("y", 0))
    assert s.rig.apply(0, [mine]) == [0]
    s.compare(s.keys)
    assert s.raw("y").alive


# -- decisions -------------------------------------------------------------------------------------


@probe()
def a_person_decides_once(s: Scene) -> None:
    for name in ("a", "b", "c", "d"):
        s.do(s.an_ask(name))
        s.steps(name)
    s.do(s.a_decision("a", shown=b"x" * 32), told="refused")
    s.do(s.a_decision("a", shown=SHOWN), told="ok")
    s.steps("a")
    s.do(s.a_decision("a", "bob"), told="refused")
    s.do(s.a_decision("a", approve=False), told="refused")
    s.do(s.an_edit("a"), told="refused")
    s.do(s.a_start("a"), told="granted")
    s.do(s.a_decision("a"), told="ok")
    s.do(s.a_settle("a"))
    s.do(s.a_decision("a"), told="ok")
    s.do(s.a_decision("b", approve=False), told="ok")
    s.steps("b")
    s.do(s.a_decision("b", approve=False), told="ok")
    s.do(s.a_decision("b", approve=False, reason="else"), told="refused")
    s.do(s.a_decision("b", "bob", approve=False, reason="fine"), told="refused")
    s.do(s.a_decision("b"), told="refused")
    s.do(s.a_decision("c", approve=False, shown=b"x" * 32), told="refused")
    s.do(s.a_cancel("d"), told="ok")
    s.steps("d")
    s.do(s.a_decision("d"), told="refused")
    s.do(s.a_decision("nowhere"), told="refused")
    s.failed("e")
    s.do(s.a_decision("e"), told="refused")
    s.do(s.a_decision("e", approve=False), told="refused")
    denied = json.loads(s.row("b").error or "{}")
    assert denied == {"by": "ann", "reason": "fine"}
    s.sound()


@probe()
def a_quorum_needs_different_people_of_one_mind(s: Scene) -> None:
    for name in ("a", "b", "c"):
        s.do(s.an_ask(name, quorum=2))
    s.do(s.a_decision("a"), told="ok")
    s.do(s.a_decision("a"), told="ok")
    s.do(s.an_edit("a", "bob"), told="refused")
    s.do(s.a_decision("a", "bob"), told="ok")
    s.do(s.a_start("a"), told="granted")
    s.do(s.an_edit("b"), told="ok")
    s.do(s.a_decision("b", "eve", shown=SHOWN), told="refused")
    s.do(s.a_decision("b", "bob", shown=key_of(EDIT)), told="ok")
    s.do(s.a_decision("b", "bob"), told="ok")
    s.do(s.an_edit("b", "bob"), told="ok")
    s.do(s.a_decision("b", "eve"), told="refused")
    s.do(s.a_decision("c"), told="ok")
    s.do(s.a_decision("c", "bob", approve=False), told="ok")
    s.do(s.a_decision("c"), told="refused")
    details = [e.detail for e in s.rig.stores[0].read(acts.History(**s.place("b")))]
    assert [d.get("votes") for d in details] == [None, 1, 2]
    assert details[1]["edited"] is True
    assert "edited" not in details[2]
    s.sound()


@probe()
def each_round_has_votes_of_its_own(s: Scene) -> None:
    for name in ("a", "b"):
        s.do(s.an_ask(name, quorum=2))
    s.do(s.a_decision("a"), told="ok")
    s.do(s.a_decision("b"), told="ok")
    s.do(s.an_asking_again("a", epoch=0), told="nothing")
    s.do(s.an_asking_again("a", status="expired"), told="nothing")
    s.do(s.an_asking_again("a", quorum=2))
    s.do(s.an_edit("a", "bob"), told="ok")
    s.do(s.an_edit("a", "ann"), told="ok")
    s.do(s.an_asking_again("a"))
    s.do(s.a_decision("a", "eve"), told="ok")
    s.do(s.a_decision("a", "ann"), told="refused")
    s.do(s.a_start("a"), told="granted")
    s.do(s.a_decision("a", "eve"), told="ok")
    s.do(s.a_decision("a", "ann"), told="refused")
    s.do(s.a_decision("b", "bob"), told="ok")
    s.do(s.a_decision("b", "bob"), told="ok")
    s.do(s.a_start("b"), told="granted")
    s.do(s.a_decision("b", "bob"), told="ok")
    s.do(s.a_decision("b", "eve"), told="refused")
    nothing: dict[str, Any] = {"expires": 1, "quorum": 1, "facts": None, "actor": "x", "reason": ""}
    nothing |= {"args": ARGS, "shown": SHOWN}
    s.do(acts.AskAgain(**s.place("nowhere"), epoch=1, status="expired", **nothing))
    s.sound()


@probe()
def a_decision_that_comes_too_late_expires_the_effect(s: Scene) -> None:
    for name in ("a", "b", "c"):
        s.do(s.an_ask(name))
    s.do(s.a_decision("c"))
    s.turn(2 * HOUR)
    s.steps("a")
    s.steps("c")
    s.do(s.a_decision("a"), told="refused")
    s.steps("a")
    s.do(s.a_decision("b", approve=False), told="refused")
    s.do(s.a_decision("c"), told="refused")
    s.do(s.an_asking_again("a"))
    s.do(s.a_decision("a"), told="ok")
    s.do(s.a_cancel("b"), told="refused")
    s.sound()


@probe()
def only_what_may_be_cancelled_is(s: Scene) -> None:
    s.do(s.an_ask("pending"))
    s.approved("approved")
    s.doubtful("doubtful")
    s.do(s.a_claim("running"))
    s.settled("failed", "failed")
    s.all(s.an_ask("denied"), s.a_decision("denied", approve=False))
    for name in ("pending", "approved", "doubtful"):
        s.do(s.a_cancel(name), told="ok")
        s.do(s.a_cancel(name, reason="else"), told="refused")
        s.do(s.a_cancel(name, by="bob"), told="refused")
    for name in ("running", "failed", "denied", "nowhere"):
        s.do(s.a_cancel(name), told="refused")
    s.do(s.a_settle("doubtful", epoch=1), told="fenced")
    s.sound()


@probe()
def callers_know_what_to_do(s: Scene) -> None:
    """Every status and guarantee, through the eyes of every policy."""
    for guarantee in ("at_most_once", "idempotent", "reconcile", "transactional", "read_only"):
        lifetime = HOUR if guarantee == "idempotent" else None
        kept: dict[str, Any] = {"guarantee": guarantee, "key_lifetime": lifetime}
        live, dead, doubt = f"live {guarantee}", f"dead {guarantee}", f"doubt {guarantee}"
        s.all(s.a_claim(live, 0, **kept), s.a_claim(dead, 1, **kept), s.a_claim(doubt, 0, **kept))
        s.do(s.a_doubt(doubt))
        s.crash(1)
        for name in (live, dead, doubt):
            s.steps(name)
        s.turn(2 * HOUR)
        for name in (live, dead, doubt):
            s.steps(name)
    s.settled("failed", "failed")
    s.failed("again")
    for name in ("failed", "again"):
        s.steps(name)
    without = acts.Found(False, None, False, 1)
    odd = s.row("failed")._replace(
        status="in_doubt", guarantee="idempotent", started_at=None, key_lifetime=None
    )
    step = rules.next_step(without._replace(row=odd), SHOWN, policy_of("idempotent"))
    assert step is rules.Step.IN_DOUBT
    odd = odd._replace(key_lifetime=5)
    step = rules.next_step(without._replace(row=odd, now=100), SHOWN, policy_of("idempotent"))
    assert step is rules.Step.START


@probe("memory")
def rules_say_no_to_what_cannot_be(s: Scene) -> None:
    """A running effect without a holder or a nonce: nobody is named, nobody is believed."""
    s.do(s.a_claim("a"))
    row = s.row("a")
    assert changes.doubt(row._replace(nonce=None), s.a_doubt("a", nonce=None), alive=True) is None
    assert "from_holder" not in changes.started("x", row._replace(holder=None), "why").detail


@probe("memory")
def callers_know_what_a_claim_met(s: Scene) -> None:
    policy = policy_of("at_most_once")
    row = rules.fresh_row(s.a_claim("a"), 1)
    pending = rules.fresh_row(s.a_claim("a", status="pending", expires=5), 1)
    nothing = acts.Found(False, None, False, 1)
    expected = {
        rules.Step.RUN: nothing._replace(fresh=True, row=row),
        rules.Step.AGAIN: nothing,
        rules.Step.HALTED: nothing._replace(halted=True, twin=b"x"),
        rules.Step.SUSPECT: nothing._replace(twin=b"x"),
        rules.Step.CHANGED: nothing._replace(row=row._replace(digest=b"else"), alive=True),
        rules.Step.WAIT: nothing._replace(row=row, alive=True),
    }
    for step, found in expected.items():
        assert rules.next_step(found, SHOWN, policy) is step
    with pytest.raises(DamagedRecord):
        rules.next_step(nothing._replace(row=row._replace(status="lost")), SHOWN, policy)
    assert (row.holder, row.started_at, row.approval_until) == (s.rig.holder(0), 1, None)
    assert (pending.holder, pending.started_at, pending.approval_until) == (None, None, 6)
    assert rules.lapsed(pending, 6)
    assert not rules.lapsed(pending, 5)
    assert not rules.lapsed(row, 10**18)
    assert rules.quiet_until(row._replace(quiet=4)) == 5


@probe("memory")
def what_cannot_be_taken_back_enough_is_asked_about(s: Scene) -> None:
    plans = (None, Undo(steps="undo"), Undo(steps="undo", reversibility="reversible"))
    approvals = {
        Approval(): 0,
        Approval(min_reversibility="compensable"): 1,
        Approval(min_reversibility="reversible"): 2,
    }
    for approval, asked in approvals.items():
        policies = [Policy(approval=approval, compensate=plan) for plan in plans]
        said = [rules.too_final(policy, undoing=False) for policy in policies]
        assert [bool(why) for why in said] == [n < asked for n in range(3)]
        assert not any(rules.too_final(policy, undoing=True) for policy in policies)
    assert rules.too_final(Policy(approval=True), undoing=False) == ""


# -- what people see -------------------------------------------------------------------------------


@probe()
def the_inbox_shows_each_thing_once(s: Scene) -> None:
    for name in ("a", "b"):
        s.doubtful(name)
        s.all(s.an_observation(name), s.an_observation(name))
    s.do(s.an_observation("a", inbox=None))
    s.do(s.an_observation("nowhere"))
    s.do(s.an_ask("c", kind="suspect"))
    s.do(s.an_ask("d"))
    s.all(s.an_observation("d"), s.a_decision("d"))
    read = s.rig.stores[0].read
    fresh = read(acts.Inbox(tenant=s.tenant, unnotified=True))
    assert len(fresh) == len(read(acts.Inbox(tenant=s.tenant))) == 6
    assert [i.opened_at for i in fresh] == sorted(i.opened_at for i in fresh)
    due = {i.kind: i.due_at for i in fresh}
    assert due["suspect"] is not None
    assert due["in_doubt"] is due["conflict"] is None
    s.do(acts.Notified(key=s.key("a"), kind="conflict"))
    s.do(acts.Notified(key=s.key("nowhere"), kind="conflict"))
    s.do(s.an_observation("a"))
    left = {(i.effect.key, i.kind) for i in read(acts.Inbox(tenant=s.tenant, unnotified=True))}
    assert left == {(i.effect.key, i.kind) for i in fresh} - {(s.key("a").hex(), "conflict")}
    assert len(read(acts.Inbox(tenant=s.tenant))) == 6
    assert len(read(acts.Inbox(tenant=s.tenant, limit=2))) == 2
    assert len(read(acts.Inbox(tenant=None))) >= 6
    everything = {(i.effect.key, i.kind) for i in read(acts.Inbox(tenant=None, unnotified=True))}
    assert left <= everything
    assert read(acts.Inbox(tenant=f"not {s.tenant}")) == []
    s.do(s.a_settle("a"), told="late")
    s.do(s.a_decision("c"))
    left = {(s.key("b").hex(), "in_doubt"), *((s.key(n).hex(), "conflict") for n in "bd")}
    assert s.rig.inbox(s.tenant) == left


@probe()
def the_inbox_says_why_and_until_when(s: Scene) -> None:
    claim = s.an_ask("a", kind="suspect").claim
    s.do(acts.Ask(claim=claim, actor="w", kind="suspect", note="the same as another"))
    s.do(s.an_ask("b"))
    history = [s.rig.stores[0].read(acts.History(**s.place(name)))[0] for name in "ab"]
    assert [e.detail.get("reason") for e in history] == ["the same as another", None]
    assert {e.detail["digest"] for e in history} == {SHOWN.hex()}
    items = {i.effect.key: i for i in s.rig.stores[0].read(acts.Inbox(tenant=s.tenant))}
    assert items[s.key("a").hex()].note == "the same as another"


@probe()
def found_is_what_was_asked_for(s: Scene) -> None:
    s.all(s.a_claim("a"), s.a_claim("b", tool="mail"), s.a_claim("c", workflow="v"))
    s.do(s.a_settle("c"))
    stranger = Scene(s.rig, s.model, f"not {s.tenant}")
    theirs: dict[str, Any] = {
        "tool": "mail",
        "workflow": "v",
        "scope": s.a_claim("c", workflow="v").scope,
    }
    stranger.do(stranger.a_claim("x", **theirs))
    stranger.settled("y")
    read = s.rig.stores[0].read

    def keys(**filters: Any) -> list[str]:
        filters.setdefault("tenant", s.tenant)
        return [e.key for e in read(acts.Find(**filters))]

    a, b, c = (s.key(name).hex() for name in "abc")
    assert keys() == [c, b, a]
    assert keys(limit=2) == [c, b]
    assert keys(tool="mail") == [b]
    assert keys(workflow="v") == [c]
    assert keys(status="running") == [b, a]
    assert keys(tool="charge", workflow="w", status="running") == [a]
    assert keys(tool="charge", workflow="w", status="failed") == []
    for key in (a, b, c):
        assert keys(prefix=key[:10]) == keys(prefix=key) == [key]
    assert keys(prefix="f" * 64) == keys(prefix="0" * 64) == []
    assert keys(prefix=stranger.key("x").hex()) == []
    assert keys(tool="mail", workflow="v", status="running") == []
    assert keys(tenant=f"neither {s.tenant}") == []


@probe(*SQL)
def found_is_in_its_own_workflow(s: Scene) -> None:
    """Whatever the short hash in the index says."""
    s.do(s.a_claim("a", workflow="v", scope=scope_of(s.tenant, "w")))
    s.do(s.a_claim("b", workflow="w", scope=scope_of(s.tenant, "v")))
    for workflow in ("v", "w"):
        find = acts.Find(tenant=s.tenant, workflow=workflow)
        exact = acts.Find(tenant=s.tenant, workflow=workflow, tool="charge", status="running")
        assert s.rig.stores[0].read(find) == s.rig.stores[0].read(exact) == []


@probe()
def pages_follow_each_other(s: Scene) -> None:
    for name in "abc":
        s.do(s.a_claim(name))
    s.do(s.a_doubt("b"))
    read = s.rig.stores[0].read
    first = read(acts.Page(tenant=s.tenant, after=0, limit=2))
    rest = read(acts.Page(tenant=s.tenant, after=first[-1][0], limit=2))
    assert [row.key for _, row, _ in first + rest] == [s.key(name) for name in "abc"]
    assert [len(chain) for _, _, chain in first + rest] == [0, 1, 0]
    assert read(acts.Page(tenant=s.tenant, after=rest[-1][0])) == []


@probe(*TOLD)
def who_awaits_is_told(s: Scene) -> None:
    """A change of an awaited effect says so; what is over cannot be awaited."""
    s.all(s.a_claim("running"), s.an_ask("pending"), s.a_claim("beside"))
    s.doubtful("doubtful")
    s.approved("approved")
    s.settled("over")
    names = ("running", "pending", "doubtful", "approved")
    for name in (*names, "over", "nowhere"):
        s.do(s.a_look(name, await_=True))
        s.do(s.a_look(name, await_=True))
    s.do(s.a_look("beside"))
    assert not s.row("beside").awaited
    assert not s.row("over").awaited
    assert all(s.row(name).awaited for name in names)
    deeds = (
        s.a_settle("running"),
        s.a_decision("pending"),
        s.a_resolution("doubtful"),
        s.a_start("approved"),
    )
    for act in deeds:
        assert set(s.touched(act)) == {(act.key, True)}
    s.do(s.a_claim("near"), s.a_claim("far"))
    s.do(s.a_look("far", await_=True))
    both = s.touched(s.a_settle("near"), s.a_settle("far"))
    assert set(both) == {(s.key("near"), False), (s.key("far"), True)}
    assert s.touched(s.a_settle("beside")) == [(s.key("beside"), False)]
    s.do(s.a_claim("x"))
    assert s.touched(s.an_observation("x")) == []
    assert s.touched(s.a_look("x")) == []
    assert s.touched(s.a_settle("x", epoch=9)) == []


@probe("sqlite", "postgres")
def awaiting_twice_writes_once(s: Scene) -> None:
    s.do(s.a_claim("a"))
    with transaction(s.rig.stores[0]) as tx:
        assert tx.run("await", **s.place("a")).rowcount == 1
        assert tx.run("await", **s.place("a")).rowcount == 0


@probe(*SQL)
def a_change_needs_the_row_as_it_was_read(s: Scene) -> None:
    s.do(s.a_claim("a"))
    s.do(s.a_claim("b"))
    with transaction(s.rig.stores[0]) as tx:
        row = tx.load(s.tenant, s.key("a"))
        assert row is not None
        others: list[dict[str, Any]] = [{"status": "failed"}, {"epoch": 2}, {"events": 1}]
        for other in [*others, {"key": s.key("c")}]:
            with pytest.raises(Overtaken):
                tx.change(row._replace(**other), {"error": BOOM})
        tx.change(row, {"error": BOOM, "edited": EDIT})
    assert s.row("a").error == BOOM
    assert s.row("b").error is None


@probe(*SERVERS)
def who_reads_to_write_keeps_others_away(s: Scene) -> None:
    s.do(s.a_claim("a", 1))
    one, two = s.rig.stores
    reads: list[Callable[[SqlTx], Any]] = [
        lambda tx: tx.load(s.tenant, s.key("a")),
        lambda tx: tx.held(s.rig.holder(1), 10),
    ]
    for read in reads:
        with transaction(one) as tx:
            assert read(tx)
            assert refused_lock(two, read)


@probe(*SQL)
def a_beat_is_repeated(s: Scene) -> None:
    s.rig.stores[0].beat()
    s.rig.stores[0].beat()
    with transaction(s.rig.stores[0]) as tx:
        tx.beat("somebody new")
        tx.beat("somebody new")
        tx.bury("somebody new")
        tx.bury("nobody")
        assert tx.alive(s.rig.holder(1))
        assert not tx.alive("nobody")
        assert not tx.alive(None)


@probe(*SERVERS)
def a_worker_never_takes_itself_for_dead(s: Scene) -> None:
    """Even where its heartbeat is not to be found."""
    s.do(s.a_claim("mine"), s.a_claim("settled"))
    s.do(s.a_settle("settled"))
    s.do(s.a_claim("yours", 1))
    with transaction(s.rig.stores[0]) as tx:
        tx.bury(s.rig.holder(0))
        tx.bury(s.rig.holder(1))
        assert tx.alive(s.rig.holder(0))
        assert not tx.alive(s.rig.holder(1))
        assert tx.now() == tx.now()
    assert s.raw("mine").alive
    assert not s.raw("yours").alive
    assert not s.raw("settled").alive
    for store in s.rig.stores:
        store.beat()


@probe("postgres")
def a_workflow_is_new_until_something_in_it_is_repeated(s: Scene) -> None:
    """That is what spares it the longer statement; no more than a few are remembered."""
    store: Any = s.rig.stores[0]

    def known(workflow: str) -> bool:
        return scope_of(s.tenant, workflow) in store._young

    s.do(s.a_claim("a", workflow="plain"))
    s.do(s.a_claim("b", workflow="asked", status="pending", holder=None))
    s.do(s.a_claim("c", workflow="suspect", suspect="ask"))
    s.do(s.a_claim("d", workflow="called", call_id="1"))
    assert {w for w in ("plain", "asked", "suspect", "called") if known(w)} == {"plain"}
    s.do(s.a_claim("a", workflow="plain"), told="found")
    assert not known("plain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tallystick.stores._postgres.YOUNG", 2)
        store._young.clear()
        for workflow in ("1", "2"):
            s.do(s.a_claim(workflow, workflow=workflow))
        assert len(store._young) == 2
        s.do(s.a_claim("3", workflow="3"))
        assert [known(w) for w in "123"] == [False, True, True]
        s.do(s.a_halt())
        s.do(s.a_claim("4", workflow="3"), told="halted")
        assert known("3")
        s.do(s.a_lift())


@probe(*SQL)
def a_rival_in_the_same_group_is_no_suspect(s: Scene) -> None:
    """Of two claims for one key at once the second is told to ask again, or what there is."""
    twin = key_of(f"twins {s.tenant}")[:16]
    s.do(s.a_claim("first", call_id="1", twin=twin))
    group = [s.a_claim("a", call_id="2", twin=twin) for _ in range(2)]
    one, two = s.rig.stores[0].apply(group).answers
    assert {one.fresh, two.fresh} == {True, False}
    lost = two if one.fresh else one
    assert lost.row is not None or (lost.twin, lost.halted) == (None, False)


@probe("memory")
def a_transaction_that_fails_leaves_nothing(s: Scene) -> None:
    """Everything it wrote is taken back, in the order that restores what was there."""
    s.all(s.an_ask("a", quorum=2), s.a_claim("b"))
    store: Any = s.rig.stores[0]
    shelf = store._shelf
    places = (shelf.rows, shelf.twins, shelf.events, shelf.items, shelf.ballots, shelf.stops)
    before = [dict(place) for place in places]

    group = [
        s.a_claim("c"),
        s.a_claim("d", twin=s.a_claim("b").twin),
        s.a_decision("a"),
        s.a_doubt("b"),
        s.a_halt(),
        s.a_lift(),
        acts.Notified(key=s.key("a"), kind="approval"),
        acts.Look(**s.place("nowhere"), await_=True),
        "nonsense",
    ]
    with pytest.raises((KeyError, AttributeError, TypeError, LedgerError)):
        store.apply(group)
    assert [dict(place) for place in places] == before


@probe()
def every_act_has_its_points(s: Scene) -> None:
    """Alone and in a group: who listens hears of each act once it is done."""
    heard: list[str] = []
    s.do(s.a_claim("a"), s.a_claim("b"))
    _points.arm(heard.append)
    try:
        for group in (
            [s.a_claim("c")],
            [s.a_settle("a")],
            [s.a_doubt("b")],
            [s.a_claim("d"), s.a_cancel("b"), s.a_settle("a", "failed")],
        ):
            s.do(*group)
    finally:
        _points.arm(None)
    names = [name.partition(".")[0] for name in heard if name.endswith(".applied")]
    assert names[:3] == ["Claim", "Settle", "Doubt"]
    assert sorted(names[3:]) == ["Cancel", "Claim", "Settle"]


@probe()
def groups_keep_every_answer_in_its_place(s: Scene) -> None:
    s.do(s.a_claim("a"), s.an_ask("b"), s.a_claim("c"))
    s.do(s.a_settle("c"), s.a_decision("b"), s.a_settle("a", "failed"), s.a_claim("d"))
    s.do(s.a_look("c"), s.a_cancel("b"), s.a_look("a"))
    assert s.row("a").args == ARGS


# -- money -----------------------------------------------------------------------------------------

for purse_play in PURSE_PLAYS:
    probe()(purse_play)
for purse_play in PURSE_PLAYS_ON_POSTGRES:
    probe(*SERVERS)(purse_play)


# -- retention and keys ----------------------------------------------------------------------------

for retention_play in (*RETENTION_PLAYS, *VAULT_PLAYS):
    probe()(retention_play)


# -- archives --------------------------------------------------------------------------------------

for archive_play in ARCHIVE_PLAYS:
    probe()(archive_play)
for archive_play in ARCHIVE_PLAYS_ON_SQL:
    probe(*SQL)(archive_play)


# -- the way back ----------------------------------------------------------------------------------

for undo_play in UNDO_PLAYS:
    probe()(undo_play)


# -- checkpoints ----------------------------------------------------------------------------------

for checkpoint_play in CHECKPOINT_PLAYS:
    probe(*SQL)(checkpoint_play)


# -- places ----------------------------------------------------------------------------------------

for place_plays, stores in ((PLACE_PLAYS, EVERYWHERE), (ON_SQL, SQL), (ON_POSTGRES, SERVERS)):
    for place_play in place_plays:
        probe(*stores)(place_play)
