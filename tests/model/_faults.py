"""Stores that are wrong in one way each, for a checker to find out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from tallystick import _acts as acts
from tallystick._model import Row
from tallystick._ports import AnyAct, Applied, Store
from tallystick.stores._memory import MemoryStore, Shelf

A = TypeVar("A")
Inner = Callable[[Any], Any]


class Fault(NamedTuple):
    """What a store does wrong: given its shelf, an act, and the right way to do it."""

    name: str
    do: Callable[[Shelf, Any, Inner], Any]


class Faulty(MemoryStore):
    """A store in memory with a fault; everything else is as it should be."""

    def __init__(self, store: Store, fault: Fault) -> None:
        super().__init__()
        self.__dict__.update(store.__dict__)
        self._fault = fault

    def apply(self, acts: Sequence[AnyAct]) -> Applied:
        (act,) = acts
        touched: list[tuple[bytes, bool]] = []

        def inner(real: AnyAct) -> Any:
            applied = super(Faulty, self).apply((real,))
            touched.extend(applied.touched)
            return applied.answers[0]

        with self._shelf.lock:
            return Applied([self._fault.do(self._shelf, act, inner)], touched)

    def read(self, act: acts.Act[A]) -> A:
        with self._shelf.lock:
            answer: A = self._fault.do(self._shelf, act, super().read)
            return answer


def _row(shelf: Shelf, act: Any) -> Row | None:
    return shelf.rows.get(act.key) if hasattr(act, "key") else None


def _put(shelf: Shelf, row: Row, **columns: Any) -> None:
    shelf.rows[row.key] = row._replace(**columns)


def _grants_what_is_taken(shelf: Shelf, act: Any, inner: Inner) -> Any:
    answer = inner(act)
    if isinstance(act, acts.Claim) and answer.row is not None and answer.row.status == "running":
        return answer._replace(fresh=True)
    return answer


def _forgets_settles(shelf: Shelf, act: Any, inner: Inner) -> Any:
    row = _row(shelf, act)
    if isinstance(act, acts.Settle) and row is not None and row.status == "running":
        if (row.epoch, row.nonce) == (act.epoch, act.nonce):
            return acts.Settled("applied")
    return inner(act)


def _answers_with_another_key(shelf: Shelf, act: Any, inner: Inner) -> Any:
    answer = inner(act)
    if isinstance(act, acts.Look) and answer.row is not None:
        others = [r for r in shelf.rows.values() if r.status == "succeeded"]
        return answer._replace(row=others[0]) if others else answer
    return answer


def _ignores_epochs(shelf: Shelf, act: Any, inner: Inner) -> Any:
    row = _row(shelf, act)
    if isinstance(act, acts.Settle) and row is not None:
        return inner(act._replace(epoch=row.epoch, nonce=row.nonce or b""))
    return inner(act)


def _uses_an_approval_twice(shelf: Shelf, act: Any, inner: Inner) -> Any:
    row = _row(shelf, act)
    if isinstance(act, acts.Start) and act.status == "approved" and row is not None:
        if row.status in ("running", "succeeded", "failed"):
            _put(shelf, row, status="approved", epoch=act.epoch)
    return inner(act)


def _starts_what_moved_on(shelf: Shelf, act: Any, inner: Inner) -> Any:
    row = _row(shelf, act)
    if isinstance(act, acts.Start) and row is not None and row.epoch != act.epoch:
        _put(shelf, row, epoch=act.epoch, status=act.status)
    return inner(act)


def _reads_the_past(shelf: Shelf, act: Any, inner: Inner) -> Any:
    first: dict[bytes, Any] = shelf.__dict__.setdefault("first", {})
    answer = inner(act)
    if isinstance(act, acts.Look) and answer.row is not None:
        return first.setdefault(act.key, answer)
    return answer


def _loses_approvals(shelf: Shelf, act: Any, inner: Inner) -> Any:
    row, items = _row(shelf, act), dict(shelf.items)
    answer = inner(act)
    if isinstance(act, acts.Decide) and row is not None and answer.refusal is None:
        shelf.rows[row.key] = row
        shelf.events[row.key] = shelf.events[row.key][: row.events]
        shelf.items = items
    return answer


def _counts_one_person_twice(shelf: Shelf, act: Any, inner: Inner) -> Any:
    row = _row(shelf, act)
    if isinstance(act, acts.Decide) and act.approve and row is not None and row.quorum > 1:
        _put(shelf, row, quorum=1)
        answer = inner(act)
        after = shelf.rows[row.key]
        _put(shelf, after, quorum=row.quorum)
        return answer._replace(row=shelf.rows[row.key])
    return inner(act)


def _overrules_denials(shelf: Shelf, act: Any, inner: Inner) -> Any:
    row = _row(shelf, act)
    if isinstance(act, acts.Decide) and act.approve and row is not None and row.status == "denied":
        _put(shelf, row, status="pending")
    return inner(act)


def _resolves_what_is_settled(shelf: Shelf, act: Any, inner: Inner) -> Any:
    row = _row(shelf, act)
    if isinstance(act, acts.Resolve) and row is not None and row.status == "succeeded":
        _put(shelf, row, status="in_doubt")
    return inner(act)


def _cancels_in_words_only(shelf: Shelf, act: Any, inner: Inner) -> Any:
    row = _row(shelf, act)
    open_ = ("pending", "approved", "in_doubt")
    if isinstance(act, acts.Cancel) and row is not None and row.status in open_:
        after = row._replace(status="cancelled", epoch=row.epoch + 1, events=row.events + 1)
        return acts.Decided(after)
    return inner(act)


def _starts_under_a_halt(shelf: Shelf, act: Any, inner: Inner) -> Any:
    if not isinstance(act, acts.Start | acts.Claim):
        return inner(act)
    stops = dict(shelf.stops)
    shelf.stops.clear()
    answer = inner(act)
    shelf.stops.update(stops)
    return answer


def _takes_the_living_for_dead(shelf: Shelf, act: Any, inner: Inner) -> Any:
    row = _row(shelf, act)
    if isinstance(act, acts.Start | acts.Doubt) and row is not None:
        living = set(shelf.workers)
        shelf.workers.discard(str(row.holder))
        answer = inner(act)
        shelf.workers.update(living)
        return answer
    return inner(act)


def _gives_back_what_is_settled(shelf: Shelf, act: Any, inner: Inner) -> Any:
    row = _row(shelf, act)
    if isinstance(act, acts.Release) and row is not None and row.nonce == act.nonce:
        _put(shelf, row, status="running")
    return inner(act)


def _forgets_an_event(shelf: Shelf, act: Any, inner: Inner) -> Any:
    answer = inner(act)
    if isinstance(act, acts.Settle) and answer.how == "fenced" and act.key in shelf.events:
        shelf.events[act.key] = shelf.events[act.key][:-1]
    return answer


FAULTS = [
    Fault(do.__name__.strip("_"), do)
    for do in (
        _grants_what_is_taken,
        _forgets_settles,
        _answers_with_another_key,
        _ignores_epochs,
        _uses_an_approval_twice,
        _starts_what_moved_on,
        _reads_the_past,
        _loses_approvals,
        _counts_one_person_twice,
        _overrules_denials,
        _resolves_what_is_settled,
        _cancels_in_words_only,
        _starts_under_a_halt,
        _takes_the_living_for_dead,
        _gives_back_what_is_settled,
        _forgets_an_event,
    )
]
