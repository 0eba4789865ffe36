"""
Plays for the statements of checkpoints: each is played on a store and in memory, and both must
give the same answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tallystick._acts import Act
from tallystick._checkpoints import ReadCheckpoints, ReadGrave, ReadThreads
from tallystick.stores._memory import MemoryStore
from tests.checkpoints._acts import Thread, told
from tests.mutation._scene import Scene

#: what is asked of a thread after every deed
IDS = ("1", "2", "3", "4", "5")


class Both:
    """A store and its model."""

    def __init__(self, scene: Scene) -> None:
        self.store = scene.rig.stores[0]
        self.model = MemoryStore()
        self.tenant = scene.tenant
        self.threads: list[Thread] = []

    def thread(self, name: str, tenant: str = "") -> Thread:
        """A thread that is looked at after every deed."""
        thread = Thread(name, self.tenant + tenant)
        self.threads.append(thread)
        return thread

    def do(self, *group: Act[Any], told_: object = ...) -> None:
        """Do it in both; *told_* is the answer to the last act."""
        got = [told(a) for a in self.store.apply(group).answers]
        wanted = [told(self.model.apply([act]).answers[0]) for act in group]
        assert got == wanted, group
        if told_ is not ...:
            assert got[-1] == told_, got[-1]
        self.same()

    def same(self) -> None:
        """Whatever is asked, both say the same."""
        for thread in self.threads:
            for act in _questions(thread):
                assert told(self.store.read(act)) == told(self.model.read(act)), act


def _questions(t: Thread) -> Sequence[Act[Any]]:
    return (
        *(t.read(id_, ns) for id_ in (None, *IDS) for ns in ("", "sub")),
        t.all(),
        t.all(ns="sub"),
        t.all(id="2"),
        t.all(before="3"),
        t.all(limit=1),
        ReadCheckpoints(tenant=t.tenant),
        ReadCheckpoints(tenant=t.tenant, run="r"),
        ReadThreads(tenant=t.tenant),
        ReadThreads(tenant=t.tenant, after=t.key),
        ReadThreads(tenant=t.tenant, limit=1),
        ReadGrave(key=t.key),
        *(t.lineage(id_, ns) for id_ in IDS for ns in ("", "sub")),
        t.lineage("4", bounded=False),
        t.lineage("5", bounded=False, limit=3),
        t.writes("1"),
        t.writes("2", "3"),
        t.writes("1", ns="sub"),
        t.blobs(1, 3, 5),
        t.blobs(2, 4),
    )


def a_checkpoint_is_kept_and_replaced(s: Scene) -> None:
    both = Both(s)
    a, b, c = both.thread("a"), both.thread("b"), both.thread("a", " elsewhere")
    both.do(a.put("1", names=[1, 2], run="r", turn="t"), told_="kept")
    both.do(a.put("2", "1", names=[1, 3], brings=[3], needs="1"), told_="kept")
    both.do(a.put("2", "1", names=[1, 3], brings=[3], needs="1", data=b"other"), told_="kept")
    both.do(a.put("3", "9", names=[1], brings=[], needs="9"), told_="incomplete")
    both.do(b.put("3", "1", names=[1], brings=[], needs="1"), told_="incomplete")
    both.do(a.put("3", "2", ns="sub", names=[1], brings=[], needs="2"), told_="incomplete")
    both.do(b.put("1", names=[4]), a.put("3", "2", ns="sub"), c.put("1", names=[5]))
    both.do(a.put("4", "2"), a.put("4", "2"), told_="kept")
    both.do(a.put("5", "1", names=[1], brings=[], needs="1"), told_="kept")
    for other in (
        b.put("5", "4", names=[1], brings=[], needs="4"),
        a.put("5", "4", ns="sub", names=[1], brings=[], needs="4"),
        a.put("6", "8", names=[1], brings=[], needs="8"),
    ):
        both.do(a.put("5", "4", names=[1], brings=[], needs="4"), other, told_="incomplete")
    found = both.store.read(a.read("2"))
    assert found is not None
    assert found[0].data == b"other"


def writes_stand_beside_or_instead(s: Scene) -> None:
    both = Both(s)
    a, b = both.thread("a"), both.thread("b")
    both.do(a.put("1"), a.put("2", "1"), b.put("1"))
    both.do(a.write("1", "t2", "x", "y", path="p2"), a.write("1", "t1", "z", path="p1"))
    both.do(a.write("1", "t2", "later"))
    both.do(a.write("1", "t2", "instead", replace=True))
    both.do(a.write("2", "t2", "x"), a.write("2", "t2", "second"))
    both.do(a.write("2", "t3", "first", replace=True), a.write("2", "t3", "second", replace=True))
    both.do(b.write("1", "t2", "x"), a.write("1", "t2", "x", ns="sub"), a.write("1", "t2"))
    both.do(a.write("2", "t2", "x", ns="sub"))


def what_is_dropped_is_gone_and_the_rest_is_whole(s: Scene) -> None:
    both = Both(s)
    a, b = both.thread("a"), both.thread("b")
    for t in (a, b):
        both.do(t.put("1", names=[1, 2]), t.write("1", "t", "x"), t.put("1", ns="sub"))
        both.do(t.put("2", "1", names=[2, 3], brings=[3], needs="1"))
        both.do(t.put("3", "2", names=[3], brings=[], needs="2"), t.write("3", "t", "x"))
        both.do(t.put("4", "1", ns="sub", names=[4]), t.write("1", "t", "x", ns="sub"))
    both.do(a.drop("1", "9"), told_=1)
    both.do(a.drop("1", ns="sub"), told_=1)
    both.do(a.drop("2", "3"), told_=2)
    both.do(a.drop(), told_=0)
    c = both.thread("c")
    both.do(c.put("1"), c.put("2"), c.put("3", "1"), c.put("4", "2"), c.put("5", "3"))
    both.do(c.put("5", "1", ns="sub"), c.drop("1", "2"), told_=2)


def a_deleted_thread_stays_deleted(s: Scene) -> None:
    both = Both(s)
    a, b = both.thread("a"), both.thread("b")
    both.do(a.delete(), told_=0)
    for t in (a, b):
        both.do(t.put("2", names=[1]), t.put("1", ns="sub"), t.write("2", "t", "x"))
    both.do(a.delete(), told_=2)
    both.do(a.put("3", "2", names=[2]), told_="deleted")
    both.do(a.put("3", ns="sub", since="1"), b.put("3", "2", names=[2]), told_="kept")
    both.do(a.write("2", "t", "late"), a.write("2", "t", "late", replace=True))
    both.do(b.write("2", "t", "instead", replace=True))
    both.do(b.put("3", "9", names=[8], brings=[], needs="9"), told_="incomplete")
    both.do(a.put("1", "0", names=[8], brings=[], needs="0", since="3"), told_="incomplete")
    both.do(a.put("4", names=[3]), told_="kept")
    both.do(a.write("4", "t", "x"), a.write("4", "u", "x", replace=True))
    both.do(a.put("5", "4", names=[3], brings=[], needs="4"), told_="kept")
    both.do(a.delete(), told_=2)
    both.do(a.put("5", "4"), told_="deleted")


def a_copy_is_a_thread_of_its_own(s: Scene) -> None:
    both = Both(s)
    a, b, c = both.thread("a"), both.thread("b"), both.thread("c")
    both.do(a.put("1", names=[1]), a.put("2", "1", ns="sub", run="r"), a.write("1", "t", "x"))
    both.do(b.put("3", names=[2]), b.delete())
    both.do(c.put("2"), c.delete())
    both.do(b.copy(a), told_=2)
    both.do(b.put("4", "1", names=[1], brings=[], needs="1"), told_="kept")
    both.do(c.put("3", "1"), told_="deleted")
    both.do(a.delete(), told_=2)
    both.do(c.copy(a), told_=0)
    both.do(c.put("1"), c.copy(b), told_=3)


def a_lineage_goes_up_to_where_its_turn_began(s: Scene) -> None:
    both = Both(s)
    a, b = both.thread("a"), both.thread("b")
    turns: dict[str, str | None] = {"1": None, "2": "s", "3": "t", "4": "t", "5": "t"}
    parents = {"1": None, "2": "1", "3": "2", "4": "3", "5": "4"}
    for t, ns in ((a, ""), (a, "sub"), (b, "")):
        for id_, turn in turns.items():
            both.do(t.put(id_, parents[id_], ns=ns, turn=turn, metadata=f'{{"of":"{ns}{id_}"}}'))

    def ids(*asked: Any, **more: Any) -> str:
        return "".join(step.id for step in both.store.read(a.lineage(*asked, **more)))

    assert ids("5") == "543"
    assert ids("5", bounded=False) == "5432"
    assert ids("5", bounded=False, limit=9) == "54321"
    assert ids("5", limit=2) == "54"
    assert ids("5", limit=1) == "5"
    assert ids("2") == "2"
    assert ids("1") == ids("1", bounded=False) == "1"
    assert ids("3", "sub") == "3"
    assert ids("9") == ids("5", "nowhere") == ""
    both.do(a.put("6", "8", turn="t"), a.drop("4"), told_=1)
    assert ids("5") == ids("5", bounded=False) == "5"
    assert ids("6") == "6"


PLAYS = (
    a_checkpoint_is_kept_and_replaced,
    writes_stand_beside_or_instead,
    what_is_dropped_is_gone_and_the_rest_is_whole,
    a_deleted_thread_stays_deleted,
    a_copy_is_a_thread_of_its_own,
    a_lineage_goes_up_to_where_its_turn_began,
)
