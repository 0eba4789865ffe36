"""One replay: which records it has, who was answered from them, and what differed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

from tallystick._context import REPLAYS
from tallystick._places import Neighbour
from tallystick._replay._differences import extra_call, missing_call, other_arguments
from tallystick._replay._records import Asked, Record, Records
from tallystick.errors import Divergence, InvalidCall

T = TypeVar("T")


def play_of(ledger: object) -> Play | None:
    """The innermost replay of *ledger* around the caller."""
    around: tuple[Play, ...] = REPLAYS.get()
    return next((play for play in reversed(around) if play.owner is ledger), None)


class Given(NamedTuple):
    """The record that a call was answered from, and the arguments that it came with."""

    record: Record
    digest: bytes


class Stand(NamedTuple):
    """Where a call stands beside equal ones of its replay; *seen* of them were judged."""

    twin: bytes
    seen: int
    place: str


class Overtaken(Exception):
    """An equal call was answered since the ones beside it were judged: judge again."""


class Play:
    """
    What is known of a replay; any thread and any task may ask it at the same time.

    A call is answered from the record under its own key. Where its framework made up other ids or
    turns, from one of the same tool and arguments that answered nobody yet: the one under the same
    call id, else the oldest. The same call again is answered from the same record.
    """

    def __init__(self, owner: object, workflow: str, *, strict: bool) -> None:
        #: the ledger that is replayed
        self.owner = owner
        self.workflow = workflow
        self.strict = strict
        self.closed = False
        self.served = 0
        self.divergences: list[Divergence] = []
        #: for things that would write to the ledger, by their id; they are kept alive
        self._stand_ins: dict[int, tuple[object, Any]] = {}
        self._steps = 0
        self._lock = threading.Lock()
        self._workflows: dict[str, Records] = {}
        self._given: dict[bytes, Given] = {}
        self._beside: dict[bytes, list[Neighbour]] = {}

    def stand_in(self, thing: object, make: Callable[[], T]) -> T:
        """What takes the place of *thing* as long as this replay lasts."""
        with self._lock:
            if id(thing) not in self._stand_ins:
                self._stand_ins[id(thing)] = (thing, make())
            made: T = self._stand_ins[id(thing)][1]
            return made

    # -- records ------------------------------------------------------------------------------

    def records(self, workflow: str) -> Records | None:
        """The records of a workflow; ``None`` before they were read."""
        return self._workflows.get(workflow)

    def keep(self, workflow: str, records: Iterable[Record]) -> Records:
        """These are the records of a workflow, unless somebody else was faster to read them."""
        with self._lock:
            return self._workflows.setdefault(workflow, Records(records))

    def missing(self) -> list[Divergence]:
        """The calls that are recorded and were not made; what ran inside of others is theirs."""
        with self._lock:
            every = list(self._workflows.values())
            left = [each for records in every for each in records.untaken()]
        return [
            missing_call(number, record)
            for number, record in left
            if not any(records.named(key) for key in record.caused for records in every)
        ]

    # -- calls --------------------------------------------------------------------------------

    def answer(
        self, asked: Asked, records: Records, stand: Stand | None = None, *, replays: bool = False
    ) -> Given:
        """
        What answers a call; Divergence where nothing does.

        *replays*: its policy takes the answer of an equal call under another id.
        """
        with self._lock:
            self._check(asked, stand)
            self._steps += 1
            given = self._again(asked, records)
            if given is None and replays:
                given = self._twin(asked)
            if given is None and (other := records.other(asked)) is not None:
                given = Given(other, asked.digest)
            if given is None:
                raise self._differs(extra_call(self._steps, asked))
            if asked.key not in self._given and given.record.row.digest != asked.digest:
                differs = self._differs(other_arguments(self._steps, asked, given.record))
                if self.strict:
                    raise differs
            self._took(asked, given, records, stand)
            self.served += 1
            return given

    def glance(self, asked: Asked, records: Records, stand: Stand | None = None) -> Given | None:
        """The record of a call that is asked about ahead, if there is one for it."""
        with self._lock:
            self._check(asked, stand)
            given = self._again(asked, records)
            if given is None or given.record.row.digest != asked.digest:
                return None
            self._took(asked, given, records, stand)
            return given

    def repeats(self, same: Neighbour, stand: Stand, *, known: bool) -> Given:
        """What answered the call of which this one is a repetition."""
        with self._lock:
            near = self._beside[stand.twin]
            if not known:
                near[near.index(same)].places.append(json.loads(stand.place))
            self.served += 1
            return self._given[same.key]

    def peek(self, same: Neighbour) -> Given:
        """What answered a call of this replay."""
        with self._lock:
            return self._given[same.key]

    def beside(self, twin: bytes) -> list[Neighbour]:
        """The calls of this replay beside which an equal call may stand, oldest first."""
        with self._lock:
            return list(self._beside.get(twin, ()))

    # -- under the lock -----------------------------------------------------------------------

    def _check(self, asked: Asked, stand: Stand | None) -> None:
        if self.closed:
            raise InvalidCall(
                f"{asked.tool} in {asked.workflow} was called in a replay that is over; nothing "
                "was executed. Wait for whatever the replay started before it ends"
            )
        if stand is not None and len(self._beside.get(stand.twin, ())) != stand.seen:
            raise Overtaken

    def _again(self, asked: Asked, records: Records) -> Given | None:
        given = self._given.get(asked.key)
        if given is not None:
            return given
        record = records.named(asked.key) or records.alike(asked)
        return None if record is None else Given(record, asked.digest)

    def _twin(self, asked: Asked) -> Given | None:
        """What answered the newest call of the same tool and arguments."""
        same, known = (asked.tool, asked.digest), reversed(self._given.values())
        return next((g for g in known if (g.record.row.tool, g.digest) == same), None)

    def _took(self, asked: Asked, given: Given, records: Records, stand: Stand | None) -> None:
        records.take(given.record)
        self._given.setdefault(asked.key, given)
        if stand is not None:
            row, near = given.record.row, self._beside.setdefault(stand.twin, [])
            places: list[dict[str, Any]] = [json.loads(stand.place)]
            facts = (len(near) + 1, asked.key, asked.call_id, asked.tool, stand.twin, row.status)
            near.append(Neighbour(*facts, row.approval_until is not None, places))

    def _differs(self, divergence: Divergence) -> Divergence:
        self.divergences.append(divergence)
        return divergence
