"""A store whose payloads are encrypted: the acts go in sealed, and the answers come out opened."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from typing import Any, TypeVar, cast

from tallystick import _acts as acts
from tallystick import _points
from tallystick._archive._acts import Known, PutRecords, Record, Records
from tallystick._budgets._acts import Reserve, Reserved
from tallystick._model import Event, InboxItem, Row
from tallystick._ports import AnyAct, Applied, Lent, Store
from tallystick._replay._records import ReadRecords
from tallystick._undoing._acts import Planned, ReadPlans
from tallystick._undoing._tools import RESUMABLE
from tallystick._vault import DataKey, PutDataKey, ReadDataKeys, ReadItems, ReadRows, Shred
from tallystick._views import effect_of, item_of
from tallystick.encryption import Keyring
from tallystick.stores._sealing._acts import BEGINS, carries, named, sealed_act
from tallystick.stores._sealing._keys import Place, place_of, refuse_shredded
from tallystick.stores._sealing._opener import CLEAR, Opener
from tallystick.stores._sealing._records import opened_record, sealed_record

A = TypeVar("A")
_PLACES = 20_000


class SealedStore:
    """The same store, to whoever has the key; see :mod:`tallystick.encryption`."""

    def __init__(self, store: Store, keyring: Keyring | None, tenant: str) -> None:
        self._store = store
        self.sealer = Opener(keyring, tenant, store.read)
        self._places: dict[bytes, Place] = {}
        #: by the act that reads them, what is done with each of many
        self._opens: dict[type, Callable[[Any], Any]] = {
            acts.History: self._event,
            acts.Page: lambda found: (found[0], self.sealer.checked(found[1]), found[2]),
            ReadPlans: self._planned,
            ReadRecords: lambda found: found._replace(row=self.sealer.needed(found.row)),
            Records: lambda found: found._replace(record=self._whole(found.record)),
            Known: self._whole,
        }

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @property
    def shift(self) -> int:
        """As the store's."""
        return self._store.shift

    @shift.setter
    def shift(self, micros: int) -> None:
        self._store.shift = micros

    # -- in -----------------------------------------------------------------------------------

    def apply(self, acts_: Sequence[AnyAct]) -> Applied:
        """As the store's."""
        applied = self._store.apply([self._in(act) for act in acts_])
        for act in acts_:
            if isinstance(act, Shred):
                self.sealer.forget(act.scope)
        return self._out(applied)

    def attempt(self, acts_: Sequence[AnyAct]) -> Applied | None:
        """As the store's."""
        if any(isinstance(act, Shred) for act in acts_):
            return self.apply(acts_)
        applied = self._store.attempt([self._in(act) for act in acts_])
        return None if applied is None else self._out(applied)

    def _in(self, act: Any) -> Any:
        if isinstance(act, PutRecords):
            known = {r.row.workflow: self._key(place_of(r.row)) for r in act.records}
            sealed = [sealed_record(self.sealer, r, known[r.row.workflow]) for r in act.records]
            return replace(act, records=tuple(sealed))
        place = self.about(act)
        return act if place is None else self.with_key(act, place, self._key(place))

    def _key(self, place: Place) -> Any:
        """The key of a workflow, made where it has none; a moment where it was shredded."""
        key = self.sealer.found(place.scope)
        if key is None:
            key = self._begun(PutDataKey(made=self.sealer.made(place)))
        return key

    def _begun(self, act: PutDataKey) -> Any:
        """A new workflow's key, committed before anything is sealed with it."""
        if _points.armed:
            _points.reach("PutDataKey.before")
        stored = self._store.apply([act]).answers[0]
        if _points.armed:
            _points.reach("PutDataKey.committed")
        return self.sealer.believe(stored)

    def with_key(self, act: Any, place: Place, key: Any) -> Any:
        """An act sealed with a key, or refused where that was shredded and it would begin."""
        if not isinstance(key, int):
            return sealed_act(self.sealer, act, place, key)
        if not isinstance(act, BEGINS):
            return sealed_act(self.sealer, act, place, None)
        claim = named(act)
        there = self._looked_up(place.key, place.tenant)
        if there is None or not isinstance(claim, acts.Claim):
            raise refuse_shredded(place)
        bare = claim._replace(
            args="{}", facts=None, undo=None
        )  # its key is taken: it only learns by whom
        if isinstance(act, acts.Ask | Reserve):
            return replace(act, claim=bare)
        return bare

    def about(self, act: Any) -> Place | None:
        """The effect whose payload an act carries; ``None`` where it carries none."""
        if not carries(act):
            return None
        about = named(act)
        if isinstance(about, acts.Claim):
            place = self._remember(Place(about.key, about.tenant, about.workflow, about.tool))
        else:
            found = self._places.get(about.key) or self._looked_up(about.key, about.tenant)
            if found is None:
                return None
            place = found
        if place.tool not in CLEAR:
            return place
        if place.tool not in RESUMABLE:
            return None
        self.sealer.ring()  # what it leads to needs the key
        return None if isinstance(act, BEGINS) else place

    def _looked_up(self, key: bytes, tenant: str) -> Place | None:
        row = self._store.read(acts.Look(key=key, tenant=tenant)).row
        return None if row is None else self._place(row)

    def _remember(self, place: Place) -> Place:
        if len(self._places) >= _PLACES:
            self._places.clear()
        self._places[place.key] = place
        return place

    def _place(self, row: Row) -> Place:
        return self._remember(place_of(row))

    # -- out ----------------------------------------------------------------------------------

    def _out(self, applied: Applied) -> Applied:
        return Applied([*map(self.answer, applied.answers)], applied.touched)

    def answer(self, answer: Any) -> Any:
        """An answer with its row opened."""
        if isinstance(answer, Row):
            self._place(answer)
            return self.sealer.row(answer)
        if isinstance(answer, acts.Found | acts.Settled | acts.Decided):
            row = answer.row
            return answer if row is None else answer._replace(row=self.answer(row))
        if isinstance(answer, Reserved) and answer.found is not None:
            return answer._replace(found=self.answer(answer.found))
        return answer

    def read(self, act: acts.Act[A]) -> A:
        """As the store's."""
        return cast("A", self._read(act))

    def _read(self, act: Any) -> Any:
        kind = act.__class__
        if isinstance(act, acts.Inbox):
            return self._inbox(act)
        if isinstance(act, acts.Find):
            return [effect_of(self.answer(row)) for row in self._store.read(ReadRows(find=act))]
        answer: Any = self._store.read(act)
        if self._is_shown(act):
            return answer
        opens = self._opens.get(kind)
        if opens is None:
            return self.answer(answer)
        return answer if getattr(act, "stored", False) else [*map(opens, answer)]

    def _is_shown(self, act: Any) -> bool:
        """Whether one effect's plan is looked at, which is no secret, by whoever has no key."""
        return isinstance(act, ReadPlans) and act.key is not None and self.sealer.keyring is None

    def _planned(self, found: Planned) -> Planned:
        row = self.sealer.needed(found.row)
        return found._replace(row=row, undo=self.sealer.plan(found.undo, row.key))

    def _whole(self, record: Record) -> Record:
        return opened_record(self.sealer, record)

    def _inbox(self, act: acts.Inbox) -> list[InboxItem]:
        wanted = ReadItems(tenant=act.tenant, unnotified=act.unnotified, limit=act.limit)
        return [
            item_of(kind, opened, due, self.sealer.detail(note, row.key), self.answer(row))
            for kind, opened, due, note, row in self._store.read(wanted)
        ]

    def _event(self, event: Event) -> Event:
        return replace(event, detail=self.sealer.detail(event.detail, bytes.fromhex(event.key)))

    # -- lent ---------------------------------------------------------------------------------

    @contextmanager
    def lend(self, connection: Any) -> Generator[Lent]:
        """As the store's."""
        with self._store.lend(connection) as lent:
            yield SealedLent(self, lent)

    @asynccontextmanager
    async def alend(self, connection: Any) -> AsyncGenerator[Lent]:
        """As the store's."""
        async with self._store.alend(connection) as lent:
            yield SealedLent(self, lent)


class SealedLent:
    """A lent connection, with the same done to what goes over it."""

    def __init__(self, store: SealedStore, lent: Lent) -> None:
        self._store = store
        self._lent = lent
        self.connection = lent.connection
        self.exclusive = lent.exclusive

    async def _in(self, act: Any) -> Any:
        place = self._store.about(act)
        if place is None:
            return act
        sealer = self._store.sealer
        key = sealer.found(place.scope)
        if key is None:  # with the lender's commit, or not at all: nothing to remember
            stored = await self._lent.do(PutDataKey(made=sealer.made(place)))
            key = sealer.believe(stored, ours=False)
        return self._store.with_key(act, place, key)

    async def claim(self, act: acts.Claim) -> acts.Found:
        """As the connection's."""
        found: acts.Found = self._store.answer(await self._lent.claim(await self._in(act)))
        return found

    async def do(self, act: acts.Act[A]) -> A:
        """As the connection's."""
        return cast("A", self._store.answer(await self._lent.do(await self._in(act))))

    async def settle(self, act: acts.Settle) -> acts.Settled:
        """As the connection's."""
        settled: acts.Settled = self._store.answer(await self._lent.settle(await self._in(act)))
        return settled


def sealed(store: Store, keyring: Keyring | None, tenant: str) -> Store:
    """
    *store* as it is where nothing of *tenant* is sealed or is to be; else behind its key.

    Raises WrongKey, and closes the store, where the keyring opens none of the keys that are there.
    """
    try:
        return _behind(store, keyring, tenant)
    except BaseException:
        store.close()
        raise


def _behind(store: Store, keyring: Keyring | None, tenant: str) -> Store:
    known: list[DataKey] = []
    with suppress(KeyError):  # a store of somebody's own that knows of no keys
        known = store.read(ReadDataKeys(tenant=tenant))
    if keyring is None and not known:
        return store
    made = SealedStore(store, keyring, tenant)
    if keyring is not None:
        for one in {key.kek: key for key in known if key.wrapped is not None}.values():
            made.sealer.believe(one)
    return cast("Store", made)
