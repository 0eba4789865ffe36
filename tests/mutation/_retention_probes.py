"""The plays about payloads: what may go, what must stay, and what is left where they were."""

from __future__ import annotations

import json
from typing import Any

from tallystick import _acts as acts
from tallystick._keys import own_key
from tallystick._model import Event
from tallystick._retention import Gone, ReadStale
from tallystick._tombstones import SEALED, quotes_seals, residues, told
from tallystick._undoing._acts import ReadPlans
from tallystick._undoing._tools import COMPENSATE, RUN, SAVEPOINT
from tests.model._rigs import key_of
from tests.mutation._purse_probes import Purse
from tests.mutation._scene import ARGS, BOOM, EDIT, HOUR, SHOWN, Scene

#: later than any play
ALWAYS = 1 << 62
FIRST = json.dumps({"digest": SHOWN.hex(), "facts": ARGS})


def _due(s: Scene, **other: Any) -> set[str]:
    """The effects of this scene that have something to lose, by name."""
    names = {s.key(name): name for name in "abcdefgh"}
    said: dict[str, Any] = {"tenant": s.tenant, "before": ALWAYS, "limit": 100, **other}
    return {names[key] for key in s.rig.stores[0].read(ReadStale(**said)).due}


def _chain(s: Scene, name: str) -> list[Event]:
    """What happened to an effect, oldest first."""
    return s.rig.stores[0].read(acts.History(**s.place(name)))


def _every_end(s: Scene) -> None:
    """One effect for each way to come to an end, and those that have not."""
    s.settled("a")
    s.settled("b", "failed")
    s.do(s.an_ask("c"))
    s.do(s.a_decision("c", approve=False))
    s.do(s.an_ask("d", expires=5))
    s.turn(6)
    s.do(acts.Lapse(**s.place("d"), actor="clock"))
    s.do(s.an_ask("e"))
    s.do(s.a_cancel("e"))
    s.do(s.an_ask("f"))
    s.approved("g")
    s.do(s.a_claim("h"))


def what_is_over_loses_its_payload(s: Scene) -> None:
    _every_end(s)
    assert _due(s) == set("abcde")
    s.do(s.a_retention(*"abcdefgh"))
    assert s.row("h").args == ARGS
    for name in "abcde":
        row = s.row(name)
        assert row.args.isdigit(), name
        assert row.result is None, name
        assert row.events == (1 if name in "ab" else 3), name
    assert _due(s) == set()
    assert _chain(s, "d")[1].detail == {"was": "pending"}
    assert _chain(s, "e")[1].detail == {"reason": "no more", "was": "pending"}
    s.sound()


def each_end_goes_by_itself(s: Scene) -> None:
    _every_end(s)
    for name in "abcde":
        s.do(s.a_retention(name))
        assert s.row(name).args.isdigit(), name
    s.sound()


def what_is_not_over_stays(s: Scene) -> None:
    _every_end(s)
    s.do(s.a_retention(*"fgh"), told=None)
    s.doubtful("b2")
    s.do(s.a_retention("b2"))
    assert s.row("b2").args == ARGS
    assert s.row("f").args == ARGS
    s.sound()


def what_came_to_its_end_later_stays(s: Scene) -> None:
    s.settled("a")
    s.settled("b")
    moment = s.row("a").changed_at
    assert s.row("b").changed_at > moment
    assert _due(s, before=moment) == {"a"}
    s.rig.stores[0].apply([s.a_retention("a", "b", before=moment)])
    assert (s.row("a").args.isdigit(), s.row("b").args) == (True, ARGS)
    s.rig.stores[0].apply([s.a_retention("b", before=moment - 1)])
    assert s.row("b").args == ARGS


def others_cannot_drop_it(s: Scene) -> None:
    s.settled("a")
    s.do(s.a_retention("a", "nowhere", tenant="other"))
    assert _due(s, tenant="other") == set()
    assert s.row("a").args == ARGS
    s.sound()


def what_the_inbox_shows_stays(s: Scene) -> None:
    s.settled("a")
    s.settled("b")
    s.do(s.an_observation("a"))
    assert _due(s) == {"b"}
    s.do(s.a_retention("a"))
    s.do(s.a_retention("b"))
    s.sound()


def what_may_begin_again_as_it_was_approved_stays(s: Scene) -> None:
    for name in "abcd":
        s.approved(name)
        s.do(s.a_start(name))
    s.do(s.a_settle("a", "failed", note="retryable"))
    s.do(s.a_settle("b", "failed"))
    s.do(s.a_settle("c"))
    s.failed("e")
    assert _due(s) == set("bce")
    s.do(s.a_retention("a", "b", "c", "d", "e"))
    assert s.row("a").args == ARGS
    s.turn(HOUR + 1)
    assert _due(s) == {"a"}
    s.do(s.a_retention("a"))
    s.sound()


def what_went_once_goes_no_second_time(s: Scene) -> None:
    s.settled("a")
    act = s.a_retention("a")
    s.lost(act)
    s.do(act)
    assert s.row("a").events == 1
    s.sound()


def what_begins_again_has_its_arguments_back(s: Scene) -> None:
    s.failed("a")
    s.failed("b")
    s.do(s.a_retention("a", "b"))
    s.steps("a")
    s.do(s.a_start("a", args=ARGS), told="granted")
    s.do(s.a_start("b"), told="granted")
    assert s.row("a").args == ARGS
    assert s.row("b").args.isdigit()
    s.do(s.a_settle("a"))
    s.do(s.a_settle("b"))
    assert _due(s) == {"a", "b"}
    s.do(s.a_retention("a", "b"))
    assert s.row("b").result is None
    assert _due(s) == set()
    s.sound()


def what_is_asked_again_is_shown_again(s: Scene) -> None:
    for name in ("a", "b"):
        s.do(s.an_ask(name, expires=5))
    s.turn(6)
    for name in ("a", "b"):
        s.do(acts.Lapse(**s.place(name), actor="clock"))
    s.do(s.a_retention("a"))
    other = {"args": EDIT, "shown": key_of(EDIT)}
    s.do(s.an_asking_again("a"))
    s.do(s.an_asking_again("b", **other))
    assert (s.row("a").args, s.row("a").shown) == (ARGS, SHOWN)
    assert (s.row("b").args, s.row("b").shown) == (ARGS, SHOWN)
    s.sound()


def what_events_quote_goes_and_the_rest_is_proven(s: Scene) -> None:
    s.do(s.an_ask("a", facts=FIRST))
    s.do(s.an_edit("a"))
    digest = s.row("a").edited
    s.do(s.a_start("a"))
    s.do(s.a_doubt("a", error=BOOM))
    s.do(s.a_start("a"))
    s.do(s.a_doubt("a", error=BOOM))
    s.do(s.a_settle("a", epoch=1))
    s.do(s.a_settle("a", "failed", epoch=1))
    s.do(s.an_observation("a"))
    s.do(s.a_resolution("a", "failed", early=True, note=None))
    s.do(s.a_retention("a"))
    row = s.row("a")
    assert digest is not None
    assert row.edited == json.dumps(key_of(digest).hex())
    assert row.facts is None
    assert [(event.kind, sorted(event.detail)) for event in _chain(s, "a")] == [
        ("asked", ["digest"]),
        ("approved", ["by", "digest", "edited", "quorum", "reason", "votes"]),
        ("started", ["attempt", "from", "reason"]),
        ("in_doubt", ["attempt", "holder"]),
        ("started", ["attempt", "from", "reason"]),
        ("in_doubt", ["attempt", "holder"]),
        ("observed", ["attempt", "epoch", "result_digest", "status"]),
        ("observed", ["attempt", "epoch", "status"]),
        ("conflict", []),
        ("resolved", ["reason", "to"]),
        ("retained", ["dropped", "residues"]),
    ]
    last = _chain(s, "a")[-1].detail
    assert last["dropped"] == ["args", "edited", "error", "facts"]
    assert sorted(map(int, last["residues"])) == [4, 5, 6, 7, 8, 9, 10]
    said = json.loads(row.error or "")
    assert said == {"type": "person", "message": "", "traceback": "", "by": "ann"}
    s.do(s.a_settle("a", epoch=1))
    s.do(s.a_settle("a", "failed", epoch=1))
    late = _chain(s, "a")[-2:]
    assert all("result" not in e.detail and "error" not in e.detail for e in late)
    s.sound()


def a_persons_refusal_is_no_payload(s: Scene) -> None:
    s.do(s.an_ask("a"))
    s.do(s.a_decision("a", approve=False))
    before = s.row("a").error
    s.do(s.a_retention("a"))
    assert s.row("a").error == before
    assert _chain(s, "a")[-1].detail == {"dropped": ["args"]}
    s.settled("b", "failed")
    s.do(s.a_retention("b"))
    said = json.loads(s.row("b").error or "")
    assert "by" not in said
    assert _chain(s, "b")[-1].detail == {"dropped": ["args", "error"]}


def only_its_own_events_say_what_went(s: Scene) -> None:
    """Whatever others write into theirs."""
    said = {"residues": {"1": "00"}}
    s.do(s.a_claim("a"))
    s.do(acts.Observe(**s.place("a"), kind="note", actor="x", detail=said))
    s.do(s.a_settle("a"))
    chain = s.rig.stores[0].read(acts.Chain(**s.place("a")))
    assert (told(chain), residues(chain)) == (False, {})
    s.do(s.a_retention("a"))
    chain = s.rig.stores[0].read(acts.Chain(**s.place("a")))
    assert (told(chain), residues(chain)) == (True, {})
    assert not told([chain[-1]._replace(detail='{"dropped":[]}')])
    s.sound()


def what_only_a_key_opens_is_known_in_an_event(s: Scene) -> None:
    """As a text, or as an object that holds one."""
    s.do(s.a_claim("a"))
    s.do(acts.Observe(**s.place("a"), kind="note", actor="x", detail={"reason": "none"}))
    (event,) = s.rig.stores[0].read(acts.Chain(**s.place("a")))
    sealed = '{"$":"sealed","c":"event","d":"00","v":""}'
    assert not quotes_seals(event)
    assert not quotes_seals(event._replace(detail=json.dumps({"reason": SEALED})))
    assert quotes_seals(event._replace(detail=json.dumps({"args": {SEALED: sealed}})))


def a_walk_comes_by_every_effect_once(s: Scene) -> None:
    for name in "abc":
        s.settled(name)
    s.do(s.a_claim("d"))
    seen, after, pages = list[bytes](), 0, 0
    while True:
        page = s.rig.stores[0].read(ReadStale(tenant=s.tenant, before=ALWAYS, after=after, limit=2))
        if page.through is None:
            break
        assert page.through > after
        after, pages = page.through, pages + 1
        seen += page.due
    assert seen == [s.key(name) for name in "abc"]
    assert pages == 2


def notes_of_reservations_go_when_they_are_over(s: Scene) -> None:
    purse = Purse(s)
    purse.declare("one")
    for name in "abcde":
        purse.do(purse.a_hold(name, ("one", 1)))
    states = {"a": "settled", "b": "released", "c": "unreconciled", "e": "settled"}
    for name, state in states.items():
        note = None if name == "e" else "said"
        purse.do(purse.a_reckoning(purse.id(name), state, note=note))
    ids = {purse.id(name): name for name in "abcde"}

    def due(**other: Any) -> list[str]:
        said: dict[str, Any] = {"tenant": s.tenant, "before": ALWAYS, "calls": True, **other}
        return [ids[id_] for id_ in s.rig.stores[0].read(ReadStale(**said)).due]

    assert due() == ["a", "b"]
    assert due(tenant="other") == due(before=0) == []
    first = s.rig.stores[0].read(ReadStale(tenant=s.tenant, before=ALWAYS, calls=True, limit=1))
    assert first.due == (purse.id("a"),)
    assert due(after=first.through) == ["b"]
    calls = tuple(ids)
    assert s.rig.stores[0].apply([s.a_retention(before=1, calls=calls)]).answers == [Gone(0, 0)]
    for id_ in calls:
        s.do(s.a_retention(calls=(id_,)))
    s.do(s.a_retention(calls=(*calls, b"nothing")))
    assert due() == []
    purse.same()
    purse.end()


PLAN = json.dumps({"before": "7", "steps": ["refund"]})


def _told(s: Scene, workflow: str, status: str | None, **other: Any) -> bytes:
    """An effect that came to *status*, or is still under way; its key."""
    claim = s.a_claim(f"{workflow} {other}", workflow=workflow, **other)
    s.rig.stores[0].apply([claim])
    if status is not None:
        good = status == "succeeded"
        settle = acts.Settle(
            claim.key,
            s.tenant,
            1,
            claim.nonce,
            status,
            '"done"' if good else None,
            key_of('"done"') if good else None,
            error=None if good else BOOM,
        )
        s.rig.stores[0].apply([settle])
    return claim.key


def _own(s: Scene, workflow: str, tool: str, which: Any, status: str | None) -> bytes:
    key = own_key(s.tenant, workflow, tool, which)
    return _told(s, workflow, status, tool=tool, key=key)


#: by workflow, what is there of runs (``run``) and rounds (their numbers), and whether all may go
AROUND: dict[str, tuple[dict[Any, str | None], bool]] = {
    "nothing": ({}, True),
    "a run": ({"run": "succeeded"}, True),
    "a failed run": ({"run": "failed"}, True),
    "an open run": ({"run": None}, False),
    "a round": ({1: "succeeded"}, True),
    "an open round": ({1: None}, False),
    "a round in vain": ({1: "failed"}, False),
    "an open second round": ({1: "succeeded", 2: None}, False),
    "an open round after a run": ({"run": "succeeded", 1: None}, False),
}


def what_is_open_keeps_all_that_belongs_to_it(s: Scene) -> None:
    store, names = s.rig.stores[0], dict[bytes, str]()
    for workflow, (around, _) in AROUND.items():
        names[_told(s, workflow, "succeeded", undo=PLAN)] = workflow
        for which, status in around.items():
            _own(s, workflow, RUN if which == "run" else COMPENSATE, which, status)
    free = {workflow for workflow, (_, may_go) in AROUND.items() if may_go}
    due = store.read(ReadStale(tenant=s.tenant, before=ALWAYS, limit=100)).due
    assert {names[key] for key in due if key in names} == free
    store.apply([s.a_retention(keys=tuple(names))])
    for key, workflow in names.items():
        row = store.read(acts.Look(key=key, tenant=s.tenant)).row
        assert row is not None
        assert row.args.isdigit() is (workflow in free), workflow
        plans = store.read(ReadPlans(tenant=s.tenant, workflow=workflow))
        texts = [each.undo for each in plans if each.row.key == key]
        assert texts == [PLAN if workflow not in free else json.dumps({"steps": ["refund"]})]


def a_failed_run_is_given_up_later(s: Scene) -> None:
    store = s.rig.stores[0]
    key = _told(s, "w", "succeeded")
    s.turn(5)
    run = store.read(acts.Look(key=_own(s, "w", RUN, "run", "failed"), tenant=s.tenant)).row
    assert run is not None
    for before, gone in ((run.changed_at - 1, 0), (run.changed_at, 1)):
        act = s.a_retention(before=before, keys=(key,))
        assert store.apply([act]).answers == [Gone(gone, 0)]


def marks_stay(s: Scene) -> None:
    store = s.rig.stores[0]
    keys = tuple(
        _own(s, "w", tool, which, "succeeded")
        for tool, which in ((COMPENSATE, 1), (SAVEPOINT, "a"))
    )
    assert store.read(ReadStale(tenant=s.tenant, before=ALWAYS, limit=100)).due == ()
    assert store.apply([s.a_retention(keys=keys)]).answers == [Gone(0, 0)]


PLAYS = (
    what_is_open_keeps_all_that_belongs_to_it,
    a_failed_run_is_given_up_later,
    marks_stay,
    what_is_over_loses_its_payload,
    each_end_goes_by_itself,
    what_is_not_over_stays,
    what_came_to_its_end_later_stays,
    others_cannot_drop_it,
    what_the_inbox_shows_stays,
    what_may_begin_again_as_it_was_approved_stays,
    what_went_once_goes_no_second_time,
    what_begins_again_has_its_arguments_back,
    what_is_asked_again_is_shown_again,
    what_events_quote_goes_and_the_rest_is_proven,
    a_persons_refusal_is_no_payload,
    only_its_own_events_say_what_went,
    what_only_a_key_opens_is_known_in_an_event,
    a_walk_comes_by_every_effect_once,
    notes_of_reservations_go_when_they_are_over,
)
