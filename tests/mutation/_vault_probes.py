"""The plays about data keys: one for each workflow, wrapped anew, deleted where nothing is open."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tallystick import _acts as acts
from tallystick._keys import scope_of
from tallystick._vault import (
    DataKey,
    PutDataKey,
    ReadDataKeys,
    ReadItems,
    ReadRows,
    Rewrap,
    Shred,
    Shredded,
    is_sealed,
    keys_chain,
)
from tests.model._rigs import key_of
from tests.mutation._scene import EDIT, Scene
from tests.mutation._tx import transaction
from tests.mutation._undo_probes import Hand

KEY = b"k" * 60


def _made(s: Scene, workflow: str = "w", **other: Any) -> DataKey:
    """A key as it is to be stored."""
    scope = scope_of(s.tenant, workflow)
    return DataKey(scope, s.tenant, workflow, "one", KEY)._replace(**other)


def _put(s: Scene, workflow: str = "w", **other: Any) -> DataKey:
    """Store it; the one that is stored."""
    made: DataKey = _apply(s, PutDataKey(made=_made(s, workflow, **other)))
    return made


def _apply(s: Scene, act: Any) -> Any:
    return s.rig.stores[0].apply([act]).answers[0]


def _stored(s: Scene, **other: Any) -> list[DataKey]:
    """What is stored of this tenant."""
    found: dict[str, Any] = {"tenant": s.tenant, **other}
    return s.rig.stores[0].read(ReadDataKeys(**found))


def _a_shredding(s: Scene, workflow: str = "w", **other: Any) -> Shred:
    """Somebody wants a workflow's payloads gone."""
    scope = scope_of(s.tenant, workflow)
    said: dict[str, Any] = {"tenant": s.tenant, "workflow": workflow, "scope": scope}
    fields: dict[str, Any] = {**said, "by": "ann", "reason": "asked to", **other}
    return Shred(**fields)


def a_workflow_has_one_key(s: Scene) -> None:
    first = _put(s)
    assert (first.wrapped, first.kek, first.shredded_at) == (KEY, "one", None)
    assert first.created_at > 0
    assert _put(s, wrapped=b"other", kek="two") == first
    second = _put(s, "x", wrapped=b"x")
    assert _stored(s, scope=first.scope) == [first]
    assert _stored(s, scope=second.scope) == [second]
    assert _stored(s, scope=b"nowhere") == []


def keys_are_read_page_by_page_and_by_tenant(s: Scene) -> None:
    keys = sorted(_put(s, workflow) for workflow in "uvwxyz")
    assert _stored(s) == keys
    assert _stored(s, limit=2) == keys[:2]
    assert _stored(s, after=keys[1].scope) == keys[2:]
    assert s.rig.stores[0].read(ReadDataKeys(tenant="other")) == []


def a_key_is_wrapped_anew_once(s: Scene) -> None:
    first, other = _put(s), _put(s, "x")
    act = Rewrap(scope=first.scope, was="one", kek="two", wrapped=b"again")
    wrong = Rewrap(scope=first.scope, was="none", kek="two", wrapped=b"again")
    assert _apply(s, wrong) is False
    assert _apply(s, Rewrap(scope=b"nowhere", was="one", kek="two", wrapped=b"a")) is False
    assert _apply(s, act) is True
    assert _apply(s, act) is False
    changed = first._replace(kek="two", wrapped=b"again")
    assert sorted(_stored(s)) == sorted([changed, other])
    assert _apply(s, _a_shredding(s)) == Shredded(True, True, 0)
    again = Rewrap(scope=first.scope, was="two", kek="three", wrapped=b"back")
    assert _apply(s, again) is False
    assert _stored(s, scope=first.scope)[0].wrapped is None


def a_workflow_is_shredded_once_nothing_in_it_is_open(s: Scene) -> None:
    other = _put(s, "x")
    s.do(s.a_claim("elsewhere", workflow="x"))
    assert _apply(s, _a_shredding(s)) == Shredded(False, False, 0)
    _put(s)
    s.settled("c")
    steps: tuple[Callable[[], Any], ...] = (
        lambda: s.do(s.an_ask("a")),
        lambda: s.do(s.a_decision("a")),
        lambda: s.do(s.a_start("a")),
        lambda: s.do(s.a_doubt("a")),
    )
    for step in steps:
        step()
        assert _apply(s, _a_shredding(s)) == Shredded(True, False, 1), s.row("a").status
    s.do(s.a_claim("b"))
    assert _apply(s, _a_shredding(s)) == Shredded(True, False, 2)
    s.do(s.a_settle("b"))
    s.do(s.a_resolution("a"))
    assert _stored(s, scope=scope_of(s.tenant, "w"))[0].wrapped == KEY
    act = _a_shredding(s)
    assert _apply(s, act) == Shredded(True, True, 0)
    assert _apply(s, act) == Shredded(True, True, 0)
    if s.rig.kind != "memory":
        with transaction(s.rig.stores[0]) as tx:
            assert not tx.shred(act)
    gone = _stored(s, scope=act.scope)[0]
    assert gone.wrapped is None
    assert gone.shredded_at is not None
    assert _stored(s, scope=other.scope) == [other]
    chain = s.rig.stores[0].read(acts.Chain(key=keys_chain(s.tenant, "w"), tenant=s.tenant))
    said = [(e.n, e.kind, e.actor, json.loads(e.detail)) for e in chain]
    assert said == [(1, "shredded", "ann", {"workflow": "w", "reason": "asked to"})]
    s.sound()


def what_a_person_said_stays_is_not_open_any_more(s: Scene) -> None:
    _put(s)
    Hand(s).in_status("stays", "compensation_failed")
    assert _apply(s, _a_shredding(s)) == Shredded(True, False, 1)
    assert s.rig.stores[0].apply([s.a_resolution("stays", "failed")]).answers[0].refusal is None
    assert _apply(s, _a_shredding(s)) == Shredded(True, True, 0)


def what_a_group_did_to_the_keys_is_taken_back_with_it(s: Scene) -> None:
    _put(s)
    bad: Any = "nonsense"
    shred = _a_shredding(s)
    rewrap = Rewrap(scope=shred.scope, was="one", kek="two", wrapped=b"again")
    before = _stored(s)
    if s.rig.kind == "postgres":  # there each act is a transaction by itself
        return
    for act in (rewrap, shred, PutDataKey(made=_made(s, "x"))):
        with pytest.raises((KeyError, AttributeError, TypeError)):
            s.rig.stores[0].apply([act, bad])
        assert _stored(s) == before


def a_sealed_edit_says_its_own_digest(s: Scene) -> None:
    digest = key_of(EDIT)
    text = json.dumps(
        {"$": "sealed", "c": "edited", "d": digest.hex(), "v": ""}, separators=(",", ":")
    )
    assert not is_sealed(None)
    s.do(s.an_ask("a", quorum=2))
    decision = s.a_decision("a", args=text, args_digest=digest)
    assert _apply(s, decision).refusal is None
    assert _apply(s, s.a_decision("a", "bob", shown=digest)).refusal is None
    assert s.row("a").status == "approved"


def rows_are_read_as_they_are_stored(s: Scene) -> None:
    s.do(s.an_ask("a"))
    s.settled("b")
    store = s.rig.stores[0]
    rows = store.read(ReadRows(find=acts.Find(tenant=s.tenant)))
    assert rows == [s.row("b"), s.row("a")]
    (item,) = store.read(ReadItems(tenant=s.tenant))
    assert (item[0], item[4]) == ("approval", s.row("a"))
    s.do(s.a_decision("a"))


PLAYS = (
    a_workflow_has_one_key,
    keys_are_read_page_by_page_and_by_tenant,
    a_key_is_wrapped_anew_once,
    a_workflow_is_shredded_once_nothing_in_it_is_open,
    what_a_person_said_stays_is_not_open_any_more,
    what_a_group_did_to_the_keys_is_taken_back_with_it,
    a_sealed_edit_says_its_own_digest,
    rows_are_read_as_they_are_stored,
)
