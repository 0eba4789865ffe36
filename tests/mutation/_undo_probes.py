"""Plays about plans, containment and the way back; each says itself what has to come of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tallystick import _acts as acts
from tallystick import _rules as rules
from tallystick._changes import KEPT
from tallystick._keys import halts_chain
from tallystick._model import Row
from tallystick._undoing._acts import ReadPlans, Turn
from tallystick._undoing._tools import RUN
from tests.mutation._scene import BANG, BOOM, HOUR, Scene

PLAN, OTHER = '{"steps":["undo"]}', '{"steps":["other"]}'


class Hand:
    """A store alone, without the model."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.store = scene.rig.stores[0]

    def do(self, *group: Any) -> Any:
        """The answer to the last act of a group."""
        return self.store.apply(group).answers[-1]

    def claimed(self, name: str, slot: int = 0, **other: Any) -> None:
        """An effect that is running."""
        found = self.scene.rig.stores[slot].apply([self.scene.a_claim(name, slot, **other)])
        assert found.answers[-1].fresh

    def row(self, name: str) -> Row:
        """The effect as it is stored."""
        return self.scene.row(name)

    def settle(self, name: str, status: str = "succeeded", **other: Any) -> None:
        """What became of its attempt."""
        row = self.row(name)
        mine: dict[str, Any] = {"epoch": row.epoch, "nonce": row.nonce or b"", "status": status}
        self.do(acts.Settle(**self.scene.place(name), **mine, **other))

    def in_status(self, name: str, status: str, **other: Any) -> None:
        """A new effect in a status."""
        self.claimed(name, **other)
        if status in {"succeeded", "failed"}:
            self.settle(name, status, note="retryable" if status == "failed" else None)
        elif status == "in_doubt":
            self.doubt(name)
        elif status != "running":
            self.settle(name)
            self.turned(name, "compensating")
            if status != "compensating":
                self.turned(name, status)

    def doubt(self, name: str) -> None:
        """Nobody knows what became of it."""
        row = self.row(name)
        said: dict[str, Any] = {"actor": "x", "error": None, "reason": "?"}
        seen: dict[str, Any] = {"epoch": row.epoch, "nonce": row.nonce}
        self.do(acts.Doubt(**self.scene.place(name), **seen, **said))

    def a_turn(self, name: str, to: str, **other: Any) -> Turn:
        """One step back from where it is."""
        row = self.row(name)
        seen: dict[str, Any] = {"status": row.status, "epoch": row.epoch}
        said: dict[str, Any] = {"to": to, "by": "ann", "reason": "back"}
        fields: dict[str, Any] = {**self.scene.place(name), **seen, **said, **other}
        return Turn(**fields)

    def turned(self, name: str, to: str, **other: Any) -> Row:
        """The row after a step back that is allowed."""
        decided = self.do(self.a_turn(name, to, **other))
        assert decided.refusal is None
        assert decided.row == self.row(name)
        assert decided.row.status == to
        return self.row(name)

    def start(self, name: str, **other: Any) -> acts.Found:
        """Another attempt at what is there."""
        row = self.row(name)
        seen: dict[str, Any] = {"status": row.status, "epoch": row.epoch, "shown": row.shown}
        holder = self.scene.rig.holder(0)
        mine: dict[str, Any] = {"nonce": self.scene.nonce(), "holder": holder, "actor": holder}
        fields: dict[str, Any] = {**self.scene.place(name), **seen, **mine, **other}
        found: acts.Found = self.do(acts.Start(**fields, reason="again"))
        return found

    def inbox(self, name: str) -> set[str]:
        """How it is shown to people."""
        key = self.scene.key(name).hex()
        items = self.store.read(acts.Inbox(tenant=self.scene.tenant))
        return {item.kind for item in items if item.effect.key == key}

    def events(self, name: str) -> list[Any]:
        """What happened to it."""
        return self.store.read(acts.History(**self.scene.place(name)))


def _met(h: Hand, group: list[acts.Claim], *, fresh: bool, halted: bool) -> None:
    """What each claim of a group, or the only one, is told."""
    answers = h.store.apply(group).answers
    assert [(a.fresh, a.halted) for a in answers] == [(fresh, halted)] * len(group)
    assert all(a.stale for a in answers if not (a.fresh or a.halted))


def what_is_contained_lets_through_what_undoes(s: Scene) -> None:
    h = Hand(s)
    h.in_status("failed", "failed")
    h.claimed("young")
    for where, tool, stops in (("w", "charge", True), ("v", "charge", False)):
        scope = {"workflow": where, "tool": tool}
        h.do(s.a_halt("contain", **scope))
        for undoing in (False, True):
            told = not (stops and not undoing)
            plain = [s.a_claim(f"{where} {undoing} {n}", undoing=undoing) for n in (1, 2)]
            called = [
                s.a_claim(f"{where} {undoing} {n}", undoing=undoing, call_id=n) for n in "abc"
            ]
            for group in (plain, called[:2], called[2:]):
                _met(h, group, fresh=told, halted=not told)
            found = h.start("failed", undoing=undoing)
            assert (found.fresh, found.halted) == (told, not told)
            if found.fresh:
                h.settle("failed", "failed", note="retryable")
        late = [s.a_claim(f"{where}{n}", undoing=True, standing=5, call_id=n) for n in "ab"]
        _met(h, late, fresh=False, halted=False)
        _met(h, late[:1], fresh=False, halted=False)
        h.do(s.a_halt("halt", **scope))
        rest = [s.a_claim(f"{where}{n}", undoing=True, call_id=n) for n in "abc"]
        _met(h, rest[:2], fresh=not stops, halted=stops)
        _met(h, rest[2:], fresh=not stops, halted=stops)
        modes = {halt.mode for halt in h.store.read(acts.Halts(tenant=s.tenant))}
        assert modes == {"contain", "halt"}
        _lifted(h, scope)
    chain = h.store.read(acts.History(key=halts_chain(s.tenant), tenant=s.tenant))
    lifted = [event.detail.get("mode") for event in chain if event.kind == "lifted"]
    assert lifted == [None, "contain", "contain"] * 2


def _lifted(h: Hand, scope: dict[str, str]) -> None:
    """Each kind of halt is lifted by itself."""
    s = h.scene
    lift = s.a_lift(**scope)
    where: dict[str, Any] = {"tenant": s.tenant, **scope}
    uncontain = acts.LiftHalt(**where, by="op", reason="", contain=True)
    assert [h.do(lift), h.do(lift), h.do(uncontain), h.do(uncontain)] == [1, 0, 1, 0]
    h.do(s.a_halt("contain", **scope), s.a_halt("contain", **scope))
    assert (h.do(lift), h.do(uncontain)) == (0, 1)


def a_halt_stops_what_undoes_in_a_young_workflow(s: Scene) -> None:
    h = Hand(s)
    for mode, stops in (("halt", True), ("contain", False)):
        where: dict[str, Any] = {"workflow": mode}
        h.claimed(f"first {mode}", **where)
        h.do(s.a_halt(mode, **where))
        found = h.do(s.a_claim(f"{mode} alone", undoing=True, **where))
        assert (found.fresh, found.halted) == (not stops, stops)
        group = [s.a_claim(f"{mode} {n}", undoing=True, **where) for n in (1, 2)]
        assert [a.fresh for a in h.store.apply(group).answers] == [not stops] * 2
        plain = [s.a_claim(f"{mode} plain {n}", **where) for n in (1, 2)]
        assert [a.halted for a in h.store.apply(plain).answers] == [True] * 2
        assert h.do(s.a_claim(f"{mode} plain", **where)).halted


def the_rule_about_containment_says_what_the_statement_says(s: Scene) -> None:
    h = Hand(s)
    h.in_status("old", "failed")
    for mode in ("halt", "drain", "contain"):
        h.do(s.a_halt(mode))
        (halt,) = h.store.read(acts.Halts(tenant=s.tenant))
        for undoing in (False, True):
            found = h.start("old", undoing=undoing)
            row = h.row("old")
            assert found.halted == rules.stops(halt, row, undoing=undoing)
            if found.fresh:
                h.settle("old", "failed", note="retryable")
        h.do(acts.LiftHalt(tenant=s.tenant, tool=None, workflow=None, by="op", reason="",
                           contain=mode == "contain"))  # fmt: skip


def a_halt_is_lifted_only_for_its_reason(s: Scene) -> None:
    """And one that keeps what is there leaves exactly what it would take the place of."""
    h = Hand(s)
    scopes: list[dict[str, Any]] = [
        {}, {"tool": "charge"}, {"workflow": "w"}, {"tool": "charge", "workflow": "w"},
    ]  # fmt: skip

    def put(mode: str, reason: str, scope: dict[str, Any], *, keep: bool = False) -> None:
        halt = s.a_halt(mode, **scope).halt
        h.do(acts.PutHalt(halt=replace(halt, reason=reason), keep=keep))

    def there() -> set[tuple[Any, ...]]:
        halts = h.store.read(acts.Halts(tenant=s.tenant))
        return {(x.tenant, x.tool, x.workflow, x.mode, x.reason) for x in halts}

    for n, scope in enumerate(scopes):
        place = (s.tenant, scope.get("tool"), scope.get("workflow"))
        put("contain", "first", scope, keep=True)
        put("contain", "second", scope, keep=True)
        assert {(*place, "contain", "first")} == {one for one in there() if one[:3] == place}
        put("halt", "third", scope, keep=True)
        put("contain", "fourth", scope)
        now = {(*place, "contain", "fourth"), (*place, "halt", "third")}
        assert now == {one for one in there() if one[:3] == place}
        assert len(there()) == 2 * (n + 1)
        put("drain", "fifth", scope, keep=True)
        assert len(there()) == 2 * (n + 1)
    # what holds for everybody is in nobody's place
    everywhere = acts.PutHalt(halt=replace(s.a_halt("contain").halt, tenant=None), keep=True)
    h.do(everywhere)
    assert len(there()) == 2 * len(scopes) + 1
    h.do(acts.LiftHalt(tenant=None, tool=None, workflow=None, by="op", reason="", contain=True))
    for scope in scopes:
        for contain, reason in ((True, "fourth"), (False, "third")):
            lift = replace(s.a_lift(**scope), contain=contain)
            assert h.do(replace(lift, only="another")) == 0
            assert h.do(replace(lift, only=reason)) == 1
            assert h.do(replace(lift, only=reason)) == 0
    assert there() == set()


def the_trail_of_a_tenant_is_read_in_order(s: Scene) -> None:
    """All of it, or a tool's, or what changed since; nothing of another tenant."""
    h = Hand(s)
    h.in_status("old", "succeeded", undo=PLAN)
    h.claimed("runs", tool="mail")
    h.claimed("elsewhere", workflow="v")
    h.settle("elsewhere")
    h.do(s.a_claim("theirs", tenant=f"not {s.tenant}"))
    s.turn(HOUR)
    h.in_status("new", "succeeded", tool="mail", undo=OTHER)
    names = {s.key(n): n for n in ("old", "runs", "elsewhere", "new")}

    def trail(**asked: Any) -> list[str]:
        found = h.store.read(ReadPlans(tenant=s.tenant, **asked))
        assert all(each.row == h.row(names[each.row.key]) for each in found)
        return [names[each.row.key] for each in found]

    assert trail() == ["old", "runs", "elsewhere", "new"]
    assert trail(tool="mail") == ["runs", "new"]
    assert trail(tool="charge") == ["old", "elsewhere"]
    since = h.row("new").changed_at
    assert trail(since=since) == ["runs", "new"]
    assert trail(since=since + 1) == ["runs"]
    assert trail(since=since, tool="charge") == []
    assert trail(limit=2) == ["old", "runs"]
    found = h.store.read(ReadPlans(tenant=s.tenant))
    assert [each.undo for each in found] == [PLAN, None, None, OTHER]
    assert trail(after=found[1].seq) == ["elsewhere", "new"]


def a_plan_is_kept_with_its_effect(s: Scene) -> None:
    h = Hand(s)
    h.claimed("first", undo=PLAN)
    group = [s.a_claim("second", undo=OTHER), s.a_claim("third")]
    assert all(found.fresh for found in h.store.apply(group).answers)
    h.claimed("elsewhere", workflow="v", undo=PLAN)
    h.do(s.a_claim("theirs", tenant=f"not {s.tenant}", undo=PLAN))
    asked = s.an_ask("asked", undo=PLAN)
    h.do(asked)

    def plans(**other: Any) -> list[tuple[str, str | None]]:
        where: dict[str, Any] = {"tenant": s.tenant, "workflow": "w", **other}
        found = h.store.read(ReadPlans(**where))
        names = {s.key(n): n for n in ("first", "second", "third", "elsewhere", "asked")}
        assert [each.seq for each in found] == sorted(each.seq for each in found)
        assert all(each.row == h.row(names[each.row.key]) for each in found)
        return [(names[each.row.key], each.undo) for each in found]

    every = [("first", PLAN), ("second", OTHER), ("third", None), ("asked", PLAN)]
    assert sorted(plans()) == sorted(every)
    seqs = [each.seq for each in h.store.read(ReadPlans(tenant=s.tenant, workflow="w"))]
    assert len(plans(after=seqs[1])) == 2
    assert len(plans(limit=3)) == 3
    assert plans(workflow="v") == [("elsewhere", PLAN)]
    assert plans(workflow="", key=s.key("elsewhere")) == [("elsewhere", PLAN)]
    assert plans(tenant=f"not {s.tenant}", key=s.key("elsewhere")) == []
    h.settle("first", "failed", note="retryable")
    h.start("first")
    assert dict(plans())["first"] == PLAN
    h.settle("first", "failed", note="retryable")
    h.start("first", undo=OTHER)
    assert dict(plans())["first"] == OTHER
    assert dict(plans())["second"] == OTHER


FROM = {
    "compensating": {"succeeded", "in_doubt", "compensation_failed"},
    "compensated": {"compensating"},
    "compensation_failed": {"compensating", "succeeded"},
}
STATUSES = (
    "running", "succeeded", "failed", "in_doubt", "compensating", "compensated",
    "compensation_failed",
)  # fmt: skip


def an_effect_goes_back_step_by_step(s: Scene) -> None:
    h = Hand(s)
    for to, allowed in FROM.items():
        for status in STATUSES:
            name = f"{status} to {to}"
            h.in_status(name, status)
            before = h.row(name)
            for wrong in ({"epoch": before.epoch + 1}, {"status": "pending"}):
                assert h.do(h.a_turn(name, to, **wrong, by="bob")).refusal is not None
            decided = h.do(h.a_turn(name, to, by="eve"))
            if status in allowed:
                after = h.row(name)
                assert (decided.refusal, after.status, after.epoch) == (None, to, before.epoch + 1)
                assert h.events(name)[-1].kind == to
                assert ("completed" in h.events(name)[-1].detail) == ("comp" not in status)
                assert h.inbox(name) == ({"compensation"} if to.endswith("failed") else set())
            else:
                assert (decided.refusal is not None, h.row(name)) == (True, before)
    nowhere = h.a_turn("running to compensated", "compensated", key=b"nowhere")
    assert h.do(nowhere).row is None
    assert s.rig.flaws(s.tenant) == []


def a_step_back_whose_answer_was_lost_is_told_again(s: Scene) -> None:
    h = Hand(s)
    h.in_status("a", "succeeded")
    turn = h.a_turn("a", "compensating", error=BOOM, detail={"steps": ["x"]})
    for _ in range(2):
        assert h.do(turn).refusal is None
    others: list[dict[str, Any]] = [{"by": "bob"}, {"reason": "other"}, {"to": "compensated"}]
    for other in others:
        said: dict[str, Any] = {"status": turn.status, "epoch": turn.epoch, **other}
        to = str(said.pop("to", "compensating"))
        assert h.do(h.a_turn("a", to, **said)).refusal is not None
    row, (event,) = h.row("a"), h.events("a")
    assert row.error == BOOM
    assert event.detail["steps"] == ["x"]
    h.turned("a", "compensated")
    assert h.row("a").error == BOOM


def a_run_goes_back_from_wherever_it_is(s: Scene) -> None:
    h = Hand(s)
    for status in ("running", "succeeded", "failed", "compensating", "compensation_failed"):
        h.in_status(status, status, tool=RUN)
        if status != "compensating":
            assert h.do(h.a_turn(status, "compensated", by="x")).refusal is not None
        h.turned(status, "compensating", error=BANG)
        h.turned(status, "compensation_failed")
        assert h.inbox(status) == set()
        h.turned(status, "compensating")
        h.turned(status, "compensated")
        assert h.do(h.a_turn(status, "compensating", by="x")).refusal is not None
        assert h.row(status).error == BANG


def what_a_run_leaves_is_in_nobodys_hands(s: Scene) -> None:
    """Neither its death nor an interruption is a doubt that a person has to resolve."""
    h = Hand(s)
    for tool, status in ((RUN, "approved"), ("charge", "in_doubt")):
        name = f"a {tool}"
        h.claimed(name, 1, tool=tool, guarantee="idempotent", key_lifetime=HOUR)
        h.doubt(name)
        assert h.row(name).status == status
        assert bool(h.inbox(name)) == (tool != RUN)
        assert h.start(name).fresh
        row = h.row(name)
        release = acts.Release(**s.place(name), nonce=row.nonce or b"", actor="x", reason="no")
        assert h.do(release)
        assert h.row(name).status == status
    dead = f"died {RUN}"
    h.claimed(dead, 1, tool=RUN)
    s.crash(1)
    assert h.start(dead).fresh
    assert h.row(dead).result_note == "unsure"
    assert h.do(acts.Release(**s.place(dead), nonce=h.row(dead).nonce or b"", actor="x", reason=""))
    assert (h.row(dead).status, h.inbox(dead)) == ("approved", set())


def a_person_closes_what_could_not_be_undone(s: Scene) -> None:
    h = Hand(s)
    for name, to, status in (("undone", "succeeded", "compensated"), ("stays", "failed", "")):
        h.in_status(name, "compensation_failed")
        decided = h.do(s.a_resolution(name, to))
        assert decided.refusal is None
        row = h.row(name)
        assert row.status == (status or "compensation_failed")
        assert (row.result_note == KEPT) == (to == "failed")
        assert h.inbox(name) == set()
        said = h.events(name)[-1]
        assert (said.kind, said.detail["to"]) == ("resolved", status or "kept")
        assert h.do(s.a_resolution(name, to, by="bob")).refusal is not None
    assert h.do(s.a_resolution("stays", by="bob")).refusal is None
    assert h.row("stays").status == "compensated"


def effects_are_found_by_their_call(s: Scene) -> None:
    h = Hand(s)
    h.claimed("one", call_id="c1")
    h.claimed("two", call_id="c2")
    h.claimed("none")
    h.do(s.a_claim("theirs", tenant=f"not {s.tenant}", call_id="c1"))
    find = acts.Find(tenant=s.tenant, call_id="c1")
    assert [e.key for e in h.store.read(find)] == [s.key("one").hex()]
    assert len(h.store.read(acts.Find(tenant=s.tenant))) == 3


PLAYS = (
    what_is_contained_lets_through_what_undoes,
    a_halt_stops_what_undoes_in_a_young_workflow,
    the_rule_about_containment_says_what_the_statement_says,
    a_halt_is_lifted_only_for_its_reason,
    the_trail_of_a_tenant_is_read_in_order,
    a_plan_is_kept_with_its_effect,
    an_effect_goes_back_step_by_step,
    a_step_back_whose_answer_was_lost_is_told_again,
    a_run_goes_back_from_wherever_it_is,
    what_a_run_leaves_is_in_nobodys_hands,
    a_person_closes_what_could_not_be_undone,
    effects_are_found_by_their_call,
)
