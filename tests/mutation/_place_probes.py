"""Plays for places: what a claim has seen of its neighbours, and who stands for an effect."""

from __future__ import annotations

from collections.abc import Callable
from operator import methodcaller
from typing import Any

from tallystick import _acts as acts
from tallystick._keys import scope_of
from tallystick._places import KEPT, Adopt, Neighbour, Neighbours
from tallystick._replay._records import ReadRecords, Record
from tests.model._rigs import key_of
from tests.mutation._scene import Scene
from tests.mutation._tx import refused_lock, transaction

#: a number that no effect has
ALL = 1 << 40


def _twins(s: Scene, **other: Any) -> dict[str, Any]:
    return {"twin": key_of(f"twins {s.tenant}")[:16], "suspect": "ask", **other}


def _near(s: Scene, **asked: Any) -> list[Neighbour]:
    """The neighbours in the scene's workflow, which are the model's."""
    asked.setdefault("scope", scope_of(s.tenant, "w"))
    act = Neighbours(**asked)
    found = s.rig.stores[0].read(act)
    assert [tuple(n[1:]) for n in found] == s.model.neighbours(act), act
    assert [n.seq for n in found] == sorted({n.seq for n in found})
    return found


def a_claim_needs_to_have_seen_its_neighbours(s: Scene) -> None:
    """All of them, up to the newest one; alone and in a group."""
    twin = _twins(s)["twin"]
    near = Neighbours(scope=scope_of(s.tenant, "w"), twin=twin)

    def newest() -> int:
        return s.rig.stores[0].read(near)[-1].seq

    def claim(name: str, *beside: str, after: int, **other: Any) -> acts.Found:
        """What a claim met that came with others, which have nothing to do with it."""
        act = s.a_claim(name, call_id=name, after=after, **_twins(s, **other))
        group = [act, *(s.a_claim(n, call_id=n) for n in beside)]
        found: acts.Found = s.rig.stores[0].apply(group).answers[0]
        return found

    seen = 0
    for n, beside in enumerate(((), ("beside",), (), ("beside", "also"))):
        name, last = f"wary {n}", s.key(f"plain {n - 1}") if n else None
        if last is not None:
            for too_few in (0, seen - 1):
                found = claim(name, *beside, after=too_few)
                assert (found.fresh, found.row, found.twin) == (False, None, last)
        found = claim(name, *beside, after=seen)
        assert (found.fresh, found.twin) == (True, None)
        assert claim(name, *beside, after=0).row is not None
        # one that would run anyway is told of what it has not seen, and only of that
        found = claim(f"told {n}", *beside, after=seen, suspect="run")
        assert (found.fresh, found.twin) == (True, s.key(name))
        found = claim(f"plain {n}", *beside, after=newest(), suspect="run")
        assert (found.fresh, found.twin) == (True, None)
        assert newest() > seen
        seen = newest()


def of_twins_in_a_group_one_is_granted(s: Scene) -> None:
    """Two threads of one process, whose claims come in one commit."""
    one, two, three = (_twins(s, twin=key_of(f"{s.tenant} {n}")[:16]) for n in range(3))
    plain: dict[str, Any] = {**three, "suspect": "run"}
    group = [
        s.a_claim("a", call_id="1", **one),
        s.a_claim("b", call_id="2", **one),
        s.a_claim("c", call_id="3", **two),
        s.a_claim("d", call_id="4", **two),
        s.a_claim("e", call_id="5", **one),
        s.a_claim("x", call_id="6", **plain),
        s.a_claim("y", call_id="7", **plain),
    ]
    s.do(*sorted(group, key=lambda claim: claim.key))
    fresh = {name for name in "abcdexy" if s.key(name) in s.model.effects}
    assert len(fresh & set("abe")) == len(fresh & set("cd")) == 1, fresh
    assert {"x", "y"} <= fresh
    mixed = [s.a_claim("1", call_id="8", **plain), s.a_claim("2", call_id="9", **three)]
    s.do(*sorted(mixed, key=lambda claim: claim.key))


def an_ask_needs_to_have_seen_its_neighbours_too(s: Scene) -> None:
    s.do(s.a_claim("a", call_id="1", **_twins(s)), told="granted")
    s.do(s.an_ask("b", kind="suspect", call_id="2", **_twins(s)), told="suspect")
    s.do(s.an_ask("b", kind="suspect", call_id="2", **_twins(s, after=ALL)), told="found")
    s.do(s.a_claim("c", call_id="3", **_twins(s, after=ALL)), told="granted")
    again = s.a_claim("d", call_id="4", **_twins(s, after=ALL))
    s.lost(again)
    s.do(again._replace(after=0), told="granted")  # its own answer was lost
    s.sound()


def neighbours_are_those_of_one_workflow(s: Scene) -> None:
    twin = _twins(s)["twin"]
    s.do(s.a_claim("a", call_id="1", twin=twin, place='[{"n":1},{"n":2}]'))
    s.do(s.a_claim("b", tool="mail"))
    s.do(s.an_ask("c", call_id="2", twin=twin, place='[{"n":3}]'))
    s.do(s.a_claim("d", workflow="v", place="[]"))
    s.do(s.a_claim("e", twin=twin))
    s.do(s.a_settle("e"))
    names = {s.key(name): name for name in "abcde"}

    def near(**asked: Any) -> str:
        return "".join(names[n.key] for n in _near(s, **asked))

    assert near() == "abce"
    assert near(limit=2) == "ce"
    assert near(twin=twin) == "ace"
    assert near(twin=twin, limit=1) == "e"
    assert near(twin=key_of("nothing")[:16]) == ""
    assert near(scope=scope_of(s.tenant, "v")) == "d"
    assert near(scope=scope_of(s.tenant, "u")) == ""


def a_twin_is_looked_for_in_one_workflow(s: Scene) -> None:
    """As the index has them; in memory a twin is of its workflow by its very hash."""
    twin = _twins(s)["twin"]
    s.do(s.a_claim("a", twin=twin), s.a_claim("b", workflow="v"))
    s.do(s.a_claim("c", workflow="v", call_id="1", twin=twin))
    assert [n.key for n in _near(s, twin=twin)] == [s.key("a")]
    assert [n.key for n in _near(s, twin=twin, scope=scope_of(s.tenant, "v"))] == [s.key("c")]


def a_place_is_added_to_what_was_seen(s: Scene) -> None:
    s.do(s.a_claim("a", place='[{"n":1}]'))
    s.do(s.a_claim("b"))
    s.do(s.an_ask("c", place='[{"n":1}]'))
    s.do(s.an_adoption("a", 2, seen=()), told=False)
    s.do(s.an_adoption("a", 2, seen=(2,)), told=False)
    s.do(s.an_adoption("a", 2, seen=(1,), tenant=f"not {s.tenant}"), told=False)
    s.do(s.an_adoption("nowhere", 2, seen=()), told=False)
    adopt = s.an_adoption("a", 2, seen=(1,))
    s.do(adopt, told=True)
    s.do(adopt, told=False)  # whose answer was lost: its caller looks again, and finds it
    s.do(s.a_settle("a"), s.an_adoption("b", 5, seen=()), s.an_adoption("c", 2, seen=(1,)))
    s.do(s.an_adoption("a", 3, seen=(1, 2)), told=True)
    assert [[p["n"] for p in n.places] for n in _near(s)] == [[1, 2, 3], [5], [1, 2]]
    assert s.rig.history(s.key("a"), s.tenant) == ("placed", "placed")
    assert s.touched(s.an_adoption("a", 4, seen=(1, 2, 3))) == []
    s.sound()


def the_oldest_places_go_first(s: Scene) -> None:
    """And whoever did not see the newest one is sent round again even then."""
    numbers = tuple(range(KEPT))
    s.do(s.a_claim("a", place=s.places(*numbers)))
    s.do(s.an_adoption("a", KEPT, seen=numbers), told=True)
    s.do(s.an_adoption("a", KEPT + 1, seen=numbers), told=False)
    [near] = _near(s)
    assert [place["n"] for place in near.places] == [*numbers[1:], KEPT]


def records_are_those_of_one_workflow(s: Scene) -> None:
    """In the order in which they were asked for, each with what was around it."""
    around, adopted = key_of("around").hex(), '{"n":2}'
    s.do(s.a_claim("a", place='[{"n":1}]'), s.a_claim("d", workflow="v"))
    s.do(s.a_claim("c", tool="mail", place=f'[{{"within":["{around}"]}},{{"n":1}}]'))
    s.do(s.an_ask("b"))
    s.do(s.a_settle("a"))
    adopt = Adopt(key=s.key("c"), tenant=s.tenant, place=adopted, seen=[{"n": 1}], actor="me")
    assert s.rig.stores[0].apply([adopt]).answers == [True]
    names = {s.key(name): name for name in "abcd"}

    def read(workflow: str = "w", **some: Any) -> list[Record]:
        act = ReadRecords(scope=scope_of(s.tenant, workflow), **some)
        return s.rig.stores[0].read(act)

    def told(found: list[Record]) -> str:
        return "".join(names[record.row.key] for record in found)

    every = read()
    assert (told(every), told(read("v")), read("u")) == ("acb", "d", [])
    assert [r.seq for r in every] == sorted({r.seq for r in every})
    assert [(r.row.status, r.within) for r in every] == [
        ("succeeded", ()),
        ("running", (key_of("around"),)),
        ("pending", ()),
    ]
    assert told(read(limit=2)) == "ac"
    assert told(read(after=every[0].seq)) == "cb"
    assert told(read(after=every[0].seq, limit=1)) == "c"


def who_adopts_writes_one_place(s: Scene) -> None:
    s.do(s.a_claim("a", place='[{"n":1}]'))
    s.do(s.a_claim("b", place='[{"n":1}]'))
    with transaction(s.rig.stores[0]) as tx:
        tx.put_place(s.key("a"), '[{"n":9}]')
        assert [tx.place(s.key(name)) for name in "ab"] == ['[{"n":9}]', '[{"n":1}]']


def a_wary_claim_keeps_its_twins_away(s: Scene) -> None:
    """Until it is committed; nobody else waits for it."""
    one, two = s.rig.stores
    twin = _twins(s)["twin"]
    wary = s.a_claim("a", call_id="1", **_twins(s))
    plain = s.a_claim("p", call_id="2", suspect="run", twin=key_of("plain")[:16])
    waits: list[acts.Claim] = [
        s.a_claim("b", call_id="3", **_twins(s)),
        s.a_claim("c", call_id="4", **_twins(s, suspect="replay")),
    ]
    goes_on: list[acts.Claim] = [
        s.a_claim("d", call_id="5", suspect="run", twin=twin),
        s.a_claim("e", call_id="6", **_twins(s, twin=key_of("other")[:16])),
        s.a_claim("q", call_id="7", **_twins(s, twin=plain.twin)),
    ]
    with transaction(one) as tx:
        assert all(found.fresh for found in tx.claim([wary, plain]))
        for claim in (*waits, *goes_on):
            claiming = methodcaller("claim", [claim])
            assert refused_lock(two, claiming) == (claim in waits), claim
    for claim in waits:
        assert not two.apply([claim]).answers[0].fresh


Play = Callable[[Scene], None]
EVERYWHERE: tuple[Play, ...] = (
    a_claim_needs_to_have_seen_its_neighbours,
    of_twins_in_a_group_one_is_granted,
    an_ask_needs_to_have_seen_its_neighbours_too,
    neighbours_are_those_of_one_workflow,
    a_place_is_added_to_what_was_seen,
    the_oldest_places_go_first,
    records_are_those_of_one_workflow,
)
ON_SQL: tuple[Play, ...] = (
    a_twin_is_looked_for_in_one_workflow,
    who_adopts_writes_one_place,
)
ON_POSTGRES: tuple[Play, ...] = (a_wary_claim_keeps_its_twins_away,)
