"""Plays for exports and imports: what is read is all and nothing else, what is taken is left."""

from __future__ import annotations

from typing import Any

from tallystick import _acts as acts
from tallystick._archive._acts import Ballot, Item, Known, PutRecords, Record, Records
from tallystick._archive._arrival import arrive, moved_on
from tallystick._budgets._topups import RAISE
from tallystick._flows.verifying import flaws
from tallystick._keys import scope_of
from tallystick._undoing._tools import RUN
from tests.model._rigs import key_of
from tests.mutation._scene import HOUR, Scene
from tests.mutation._tx import transaction

#: a moment at which something arrives
NOW = 1 << 52


def _read(s: Scene, **asked: Any) -> list[Record]:
    """The records of the scene's tenant, or of another one."""
    usual: dict[str, Any] = {"tenant": s.tenant, "after": 0, "limit": 99}
    act = Records(**usual | asked)
    return [found.record for found in s.rig.stores[0].read(act)]


def _names(s: Scene, records: list[Record], names: str) -> str:
    """Which effects of the scene they are, each of which has its own events and no other's."""
    said = {s.key(name): name for name in names}
    for record in records:
        key = record.row.key
        assert {event.key for event in record.events} <= {key}
        assert [event.n for event in record.events] == list(range(1, record.row.events + 1))
        assert record.place is None
    return "".join(said[record.row.key] for record in records)


def records_are_read_with_what_belongs_to_them(s: Scene) -> None:
    """Another tenant's effects, events, votes and questions stand between them."""
    other: dict[str, Any] = {"tenant": f"not {s.tenant}"}
    s.settled("a")
    s.do(s.an_ask("b", quorum=3))
    s.do(s.a_claim("z", **other))
    s.do(s.a_decision("b", "ann"))
    s.do(s.a_decision("b", "bob"))
    s.do(s.an_ask("c", workflow="v", scope=scope_of(s.tenant, "v")))
    s.doubtful("d")
    found = _read(s)
    assert _names(s, found, "abcd") == "abcd"
    plain, voted, asked, doubtful = found
    assert (plain.events, plain.votes, plain.items) == ((), (), ())
    assert [(vote.round, vote.actor) for vote in voted.votes] == [(1, "ann"), (1, "bob")]
    assert [[item.kind for item in r.items] for r in (voted, asked, doubtful)] == [
        ["approval"], ["approval"], ["in_doubt"],
    ]  # fmt: skip
    assert [len(r.votes) for r in (asked, doubtful)] == [0, 0]
    assert plain.twin != voted.twin
    assert _names(s, _read(s, **other, limit=1)[:1], "z") == "z"
    assert _names(s, _read(s, workflow="v"), "c") == "c"
    assert _names(s, _read(s, workflow="w"), "abd") == "abd"
    assert _read(s, workflow="u") == []
    by_two = list[Record]()
    after = 0
    while page := s.rig.stores[0].read(Records(tenant=s.tenant, after=after, limit=2)):
        after = page[-1].seq
        by_two += [numbered.record for numbered in page]
    assert by_two == found


def a_workflow_is_known_by_its_name(s: Scene) -> None:
    """Not by the sixteen bytes that stand for it in an index, nor by the name alone."""
    same: dict[str, Any] = {"scope": scope_of(s.tenant, "w")}
    s.do(s.a_claim("a", workflow="x", **same))
    s.do(s.a_claim("b"))
    if s.rig.kind != "memory":
        s.do(s.a_claim("c", scope=scope_of(s.tenant, "elsewhere")))
    assert _names(s, _read(s, workflow="w"), "abc") == "b"


def what_changed_since_is_read(s: Scene) -> None:
    """By its outcome, or by the last of its events."""
    s.settled("a")
    s.do(s.an_ask("b"))
    s.do(s.an_observation("b", inbox=None))
    s.settled("c")
    s.turn(HOUR)
    s.do(s.a_look("a"))
    s.do(s.an_observation("a", inbox=None))
    s.settled("d")
    since = s.row("d").changed_at - HOUR // 2
    assert _names(s, _read(s, since=since), "abcd") == "ad"
    assert _names(s, _read(s, since=since - HOUR), "abcd") == "abcd"
    other: dict[str, Any] = {"tenant": f"not {s.tenant}"}
    s.do(s.a_claim("z", **other))
    first = s.rig.stores[0].read(Records(tenant=s.tenant, after=0, limit=1, since=since))[0].seq
    assert _names(s, _read(s, since=since, after=first), "abcd") == "d"
    assert _names(s, _read(s, workflow="w", after=first), "abcd") == "bcd"
    last = _read(s)[0].events[-1].at
    assert _names(s, _read(s, since=last), "abcd") == "ad"
    assert _names(s, _read(s, since=last + 1), "abcd") == "d"


def _copies(s: Scene, *names: str) -> tuple[Record, ...]:
    """What was recorded under these names, under keys of another ledger."""
    found = {record.row.key: record for record in _read(s)}
    copies = list[Record]()
    for name in names:
        record, key = found[s.key(name)], key_of(f"{s.tenant} copy of {name}")
        events = tuple(event._replace(key=key) for event in record.events)
        copies.append(record._replace(row=record.row._replace(key=key), events=events))
    return tuple(copies)


def records_are_put_once(s: Scene) -> None:
    """What is taken is left as it is, and what is new comes with all that belongs to it."""
    store = s.rig.stores[0]
    s.settled("a")
    s.do(s.an_ask("b", quorum=2))
    s.do(s.a_decision("b", "ann"))
    s.doubtful("c")
    first, second, third = _copies(s, "a", "b", "c")
    assert store.apply([PutRecords(records=(first, second))]).answers == [[]]
    other = second._replace(row=second.row._replace(status="denied"), votes=(), items=())
    taken = store.apply([PutRecords(records=(third, other, first))]).answers[0]
    assert sorted(taken) == sorted([first.row.key, second.row.key])
    known = _read(s)[3:]
    assert known == [first, second, third]
    again = store.apply([PutRecords(records=(first,))]).answers[0]
    assert again == [first.row.key]
    assert _read(s)[3:] == known
    inbox = s.rig.inbox(s.tenant)
    assert {(key, kind) for key, kind in inbox if key == second.row.key.hex()} == {
        (second.row.key.hex(), "approval")
    }
    assert store.apply([PutRecords(records=())]).answers == [[]]


def records_are_known_by_their_keys(s: Scene) -> None:
    """Whosever they are, with their events; the rest is not."""
    other: dict[str, Any] = {"tenant": f"not {s.tenant}"}
    s.settled("a")
    s.doubtful("b")
    s.do(s.a_claim("c", **other))
    s.settled("d")
    keys = tuple(s.key(name) for name in ("b", "nobody", "a", "c"))
    found = {record.row.key: record for record in s.rig.stores[0].read(Known(keys=keys))}
    assert set(found) == {s.key(name) for name in "abc"}
    assert found[s.key("c")].row.tenant == other["tenant"]
    assert [len(found[s.key(name)].events) for name in "abc"] == [0, 1, 0]
    assert found[s.key("b")].events[0].key == s.key("b")
    assert s.rig.stores[0].read(Known(keys=())) == []


def votes_and_questions_come_as_they_were(s: Scene) -> None:
    """With who, what, when and why; nobody has been told of them yet."""
    store = s.rig.stores[0]
    s.settled("a")
    (copy,) = _copies(s, "a")
    votes = (Ballot(1, "ann", b"d" * 32, "fine", 7), Ballot(1, "bob", b"e" * 32, "", 8))
    items = (Item("approval", 9, 10, "why"), Item("conflict", 11, None, ""))
    s.doubtful("b")
    event = _read(s)[1].events[0]
    row = copy.row._replace(events=1, head=event.hash)
    events = (event._replace(key=row.key),)
    copy = copy._replace(row=row, events=events, votes=votes, items=items)
    assert store.apply([PutRecords(records=(copy,))]).answers == [[]]
    assert _read(s)[2] == copy
    untold = store.read(acts.Inbox(tenant=s.tenant, unnotified=True))
    kinds = [item.kind for item in untold if item.effect.key == row.key.hex()]
    assert sorted(kinds) == ["approval", "conflict"]


def _recorded(s: Scene, names: str) -> dict[str, Record]:
    """What is read of some effects."""
    found = {record.row.key: record for record in _read(s)}
    return {name: found[s.key(name)] for name in names}


def _in_every_status(s: Scene) -> dict[str, Record]:
    """Final: ab, startable: cn, decided: dfm, asked: eklp, under way: gjo, lost: hi."""
    s.settled("a")
    s.settled("b", "failed")
    s.failed("c")
    s.approved("d")
    s.do(s.an_ask("e", quorum=0))
    s.do(s.an_ask("f", quorum=2))
    s.do(s.an_edit("f"))
    s.do(s.a_claim("g", guarantee="idempotent"))
    s.doubtful("h")
    s.doubtful("i", guarantee="reconcile")
    s.do(s.a_claim("j", guarantee="read_only"))
    s.do(s.an_ask("k", guarantee="read_only"))
    s.do(s.an_ask("l", tool=RAISE))
    s.do(s.an_ask("m", quorum=2))
    s.do(s.a_decision("m"))
    s.failed("n")
    s.do(s.a_claim("o"))
    s.do(s.an_ask("p", quorum=2))
    s.do(s.a_decision("p"))
    s.turn(2 * HOUR)
    s.do(acts.Lapse(**s.place("p"), actor="clock"))
    s.do(s.an_asking_again("p"))
    found = _recorded(s, "abcdefghijklmnop")
    found["n"] = found["n"]._replace(row=found["n"].row._replace(guarantee="read_only"))
    return found


def nothing_that_arrives_can_start(s: Scene) -> None:
    """What has an outcome keeps it; the rest waits for a person, and an event says why."""
    there = _in_every_status(s)
    here = {name: arrive(record, NOW, "ann") for name, record in there.items()}
    for name in "abehkp":
        assert here[name] == there[name], name
    for name in "cdfgijlmno":
        row, event = here[name].row, here[name].events[-1]
        assert here[name].events[:-1] == there[name].events
        assert (event.kind, event.actor, event.n) == ("imported", "ann", row.events)
        assert (event.at, event.epoch, row.head) == (NOW, row.epoch, event.hash)
        assert flaws(row, here[name].events) == []
        assert ('"guarantee"' in event.detail) == (name in "gi")
        assert (row.changed_at == NOW) == (name in "cdgjlo" or row.status != there[name].row.status)
    by_status = {
        status: "".join(name for name, r in here.items() if r.row.status == status)
        for status in ("succeeded", "failed", "pending", "in_doubt", "cancelled")
    }
    assert by_status == {
        "succeeded": "a",
        "failed": "bjn",
        "pending": "cdefkmp",
        "in_doubt": "ghio",
        "cancelled": "l",
    }
    plain = {name for name in here if here[name].row.guarantee == "at_most_once"}
    assert plain == {*"abcdefghilmop"}


def what_arrives_is_decided_anew(s: Scene) -> None:
    """In a round of its own, without the votes and edits of the old one; and people see it."""
    there = _in_every_status(s)
    here = {name: arrive(record, NOW, "ann") for name, record in there.items()}
    for name in "cdfm":
        row, was = here[name].row, there[name].row
        assert (row.epoch, row.edited, row.result_note) == (was.epoch + 1, None, None)
        assert row.quorum == max(was.quorum, 1)
        assert [vote.round for vote in here[name].votes] == [was.epoch] * (name != "c")
    for name in "jn":
        assert here[name].row.result_note is None
    kinds = {name: [item.kind for item in record.items] for name, record in here.items()}
    assert {name for name, found in kinds.items() if found == ["approval"]} == set("cdefkmp")
    assert {name for name, found in kinds.items() if found == ["in_doubt"]} == set("ghio")
    assert all(not kinds[name] for name in "abjln")
    (asked,), (doubt,) = here["d"].items, here["g"].items
    assert (asked.opened_at, asked.due_at) == (NOW, here["d"].row.approval_until)
    assert (doubt.opened_at, doubt.due_at) == (NOW, None)


def what_the_inbox_shows_fits_what_arrives(s: Scene) -> None:
    """A question is kept where it is still open, and no other one."""
    s.settled("a")
    s.do(s.an_ask("b"))
    s.doubtful("c")
    told = tuple(Item(kind, 1, None, "") for kind in ("approval", "budget", "conflict", "in_doubt"))
    kept = {"a": ["conflict"], "b": ["approval", "budget", "conflict"]}
    kept["c"] = ["conflict", "in_doubt"]
    for name, record in _recorded(s, "abc").items():
        arrived = arrive(record._replace(items=told), NOW, "ann")
        assert [item.kind for item in arrived.items] == kept[name]
        assert all(item.opened_at == 1 for item in arrived.items)
    for name, kind in (("b", "approval"), ("c", "in_doubt")):
        bare = _recorded(s, name)[name]._replace(items=())
        assert [item[:2] for item in arrive(bare, NOW, "ann").items] == [(kind, NOW)]
    undoing = _recorded(s, "a")["a"]
    for tool, shown in (("charge", ["compensation"]), (RUN, [])):
        row = undoing.row._replace(tool=tool, status="compensating")
        arrived = arrive(undoing._replace(row=row, items=()), NOW, "ann")
        assert arrived.row.status == "compensation_failed"
        assert [item.kind for item in arrived.items] == shown


def _with(record: Record, name: str, value: Any) -> Record:
    changed: dict[str, Any] = {name: value}
    return record._replace(row=record.row._replace(**changed))


def a_record_has_moved_on_or_is_another(s: Scene) -> None:
    """The same history so far, and at its end the same row, or an attempt that came to its end."""
    s.do(s.a_claim("a"))
    s.settled("b")
    s.doubtful("c")
    s.do(s.a_claim("d"))
    before = _recorded(s, "abcd")
    s.do(s.a_settle("a"))
    s.do(s.an_observation("b"))
    s.do(s.a_resolution("c"))
    s.do(s.a_doubt("d"))
    s.do(s.a_look("b", await_=True))
    now = _recorded(s, "abcd")
    for name in "abcd":
        assert moved_on(before[name], before[name])
        assert moved_on(now[name], before[name]), name
        assert moved_on(now[name], now[name])
        assert not moved_on(before[name], now[name]), name
    awaited = now["c"]._replace(row=now["c"].row._replace(awaited=True))
    assert moved_on(awaited, now["c"])
    others: dict[str, Any] = {
        "tenant": "x", "workflow": "x", "tool": "x", "call_id": "x", "digest": b"x" * 32,
        "shown": b"x" * 32, "created_at": 1, "result": '"x"', "epoch": 9, "nonce": b"x" * 16,
    }  # fmt: skip
    for name, value in others.items():
        for mine in "ac":
            other = _with(now[mine], name, value)
            still = mine == "c" and name in {"result", "epoch", "nonce"}
            still |= mine == "a" and name == "result"
            assert moved_on(other, before[mine]) == still, (mine, name)
    for name, value in (("epoch", 9), ("nonce", b"x" * 16), ("result", "none")):
        other = _with(before["b"], name, value)
        assert not moved_on(other, before["b"])
    forged = now["c"].events[0]._replace(actor="eve")
    assert not moved_on(now["c"]._replace(events=(forged, *now["c"].events[1:])), before["c"])


def events_that_no_record_owns_up_to_are_looked_for(s: Scene) -> None:
    """By whoever asks for it: everybody else goes by what the record says."""
    s.settled("a")
    s.doubtful("b")
    event = _read(s)[1].events[0]
    with transaction(s.rig.stores[0]) as tx:
        tx.append(event._replace(key=s.key("a")))
    assert [len(record.events) for record in _read(s)] == [0, 1]
    assert [len(record.events) for record in _read(s, thorough=True)] == [1, 1]


#: in memory a record is always read with all that there is
ON_SQL = (events_that_no_record_owns_up_to_are_looked_for,)
PLAYS = (
    records_are_read_with_what_belongs_to_them,
    a_workflow_is_known_by_its_name,
    what_changed_since_is_read,
    records_are_put_once,
    records_are_known_by_their_keys,
    votes_and_questions_come_as_they_were,
    nothing_that_arrives_can_start,
    what_arrives_is_decided_anew,
    what_the_inbox_shows_fits_what_arrives,
    a_record_has_moved_on_or_is_another,
)
