"""
Where a call stands in a run that its framework may run again.

A graph goes back to an earlier step, runs a node once more, or loses the message that asked for a
tool; the call that then comes may be the recorded one, or a new one that only looks like it. The
ledger keeps with each effect the places at which it was asked for, as a JSON list of objects that
only the framework's adapter reads, and lets the adapter judge. Beside them it keeps inside of which
other effects an effect was asked for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from tallystick._acts import Act

if TYPE_CHECKING:
    from tallystick._ports import Ports

#: places that are kept of one effect; the oldest ones go first
KEPT = 200
#: the one object in the list that is the ledger's own: the keys of the effects around
WITHIN = "within"


class Neighbour(NamedTuple):
    """A recorded effect beside which a call stands: the same tool, in the same workflow."""

    seq: int
    key: bytes
    call_id: str | None
    tool: str
    twin: bytes
    status: str
    #: whether a person was asked about it
    asked: bool
    #: what the adapter said of each place at which it was asked for, the oldest first
    places: list[dict[str, Any]]


class Neighbours(Act["list[Neighbour]"]):
    """
    Read the effects of a workflow beside which a call may stand, oldest first.

    ``twin``: only those of one tool with one digest; otherwise the newest ``limit`` of all.
    """

    scope: bytes
    twin: bytes | None = None
    limit: int = 1000


class Adopt(Act[bool]):
    """
    Add a place to an effect: a call there stands for it, too.

    False, and nothing is done, when others added one since these were ``seen``.
    """

    key: bytes
    tenant: str
    place: str
    seen: list[dict[str, Any]]
    actor: str


class Verdict(NamedTuple):
    """
    What a call is, beside what is recorded.

    ``same``: it is that effect; ``known``: and its place is recorded already. Otherwise it is one
    of its own, the ``occurrence``-th under its call id; with ``unclear`` a person has to say so.
    """

    same: Neighbour | None = None
    known: bool = False
    occurrence: int = 0
    unclear: str = ""


class Place(Protocol):
    """Where one call stands, said by an adapter."""

    @property
    def turn(self) -> str | None:
        """The part of the workflow that the call belongs to; part of its key."""
        ...

    @property
    def text(self) -> str:
        """A JSON object: what is kept of the place."""
        ...

    @property
    def questions(self) -> bool:
        """Whether ``doubts`` has to be asked before anything new is recorded."""
        ...

    async def judge(self, p: Ports, call_id: str | None, others: Sequence[Neighbour]) -> Verdict:
        """What the call is, beside *others*: the same tool and arguments in the same turn."""
        ...

    async def doubts(self, p: Ports, call: Any) -> str:
        """Why a call that is recorded nowhere in this turn may not be new; empty if it is."""
        ...


def places_of(text: str | None) -> list[dict[str, Any]]:
    """The places of an effect, from how they are stored."""
    return [place for place in _stored(text) if WITHIN not in place]


def with_place(text: str | None, place: str) -> str:
    """The stored places and one more."""
    around = [place for place in _stored(text) if WITHIN in place]
    places = [*places_of(text), json.loads(place)]
    return json.dumps([*around, *places[-KEPT:]], separators=(",", ":"))


def within_of(text: str | None) -> tuple[bytes, ...]:
    """The keys of the effects inside of which an effect was asked for, from what is stored."""
    if text is None or WITHIN not in text:
        return ()
    return tuple(bytes.fromhex(key) for place in _stored(text) for key in place.get(WITHIN, ()))


def _stored(text: str | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(text) if text else []
    return found
