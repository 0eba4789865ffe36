"""
Deeds that the ledger does to its store, each one atomic.

An act is a frozen value; the store applies it whole or not at all and gives the answer that the
act's type names. Applying the same act twice is harmless: the nonce in it says "that was mine".
"""

from __future__ import annotations

from typing import Any, Generic, Literal, NamedTuple, TypeVar

from tallystick._model import Effect, Event, Halt, InboxItem, Row
from tallystick._values import Value

A = TypeVar("A")


class Found(NamedTuple):
    """
    What a claim met.

    ``fresh``: the effect is the caller's to perform. Otherwise ``row`` is what was found, ``alive``
    whether its holder lives; ``halted`` and ``twin`` say why nothing was inserted; all of them
    empty means that a rival's insert is in flight: claim again.
    """

    fresh: bool
    row: Row | None
    alive: bool
    now: int
    halted: bool = False
    twin: bytes | None = None
    #: budgets that concern everybody were declared meanwhile: learn them and claim again
    stale: bool = False


class Claim(NamedTuple):
    """Insert an effect as running (or pending) unless its key is taken; say what was found."""

    key: bytes
    tenant: str
    workflow: str
    tool: str
    call_id: str | None
    guarantee: str
    status: str
    holder: str | None
    nonce: bytes
    digest: bytes
    shown: bytes
    args: str
    scope: bytes
    twin: bytes
    suspect: str
    quiet: int
    key_lifetime: int | None
    expires: int | None = None
    quorum: int = 0
    facts: str | None = None
    #: twins up to this one are known, and no reason to hesitate
    after: int = 0
    #: where the call stands, as a JSON list with one object
    place: str | None = None
    #: version of the budgets that concern calls which do not name them
    standing: int = 0
    #: how it is undone, as JSON
    undo: str | None = None
    #: whether it is part of undoing something, which a workflow that is contained lets through
    undoing: bool = False


class Settle(NamedTuple):
    """Record an attempt's outcome; refused unless epoch and nonce are still the holder's."""

    key: bytes
    tenant: str
    epoch: int
    nonce: bytes
    status: str
    result: str | None = None
    result_digest: bytes | None = None
    note: str | None = None
    error: str | None = None


class Settled(NamedTuple):
    """``applied``; ``late`` when it resolved a doubt; ``fenced`` when another holder took over."""

    how: Literal["applied", "late", "fenced"]
    row: Row | None = None


class Act(Value, Generic[A]):
    """A deed off the straight path, answered with an ``A``."""


class Ask(Act[Found]):
    """Insert an effect as pending, with its inbox item, unless its key is taken."""

    claim: Claim
    actor: str
    kind: str = "approval"
    note: str = ""


class AskAgain(Act[Row | None]):
    """Send an expired, voided or suspicious effect back to pending; ``None`` if it moved on."""

    key: bytes
    tenant: str
    epoch: int
    status: str
    expires: int
    quorum: int
    facts: str | None
    actor: str
    reason: str
    #: what is asked about, for an effect whose recorded arguments were dropped
    args: str
    shown: bytes
    #: of the inbox's item
    kind: str = "approval"


class Start(Act[Found]):
    """
    Begin an attempt at an effect that exists: one conditional row update.

    Granted only while status, epoch and shown digest are as seen, an approval is unexpired, the
    previous holder is dead and no halt is in force.
    """

    key: bytes
    tenant: str
    status: str
    epoch: int
    shown: bytes
    nonce: bytes
    holder: str
    actor: str
    reason: str
    #: as in :class:`Claim`
    standing: int = 0
    undoing: bool = False
    #: a new plan in place of the recorded one
    undo: str | None = None
    #: what runs, for an effect whose recorded arguments were dropped
    args: str | None = None


class Doubt(Act[Row | None]):
    """
    Put a running effect in doubt, and in the inbox.

    With ``nonce`` it is its holder that does not know; without, the holder must be dead.
    """

    key: bytes
    tenant: str
    epoch: int
    nonce: bytes | None
    actor: str
    error: str | None
    reason: str


class Release(Act[bool]):
    """Give back a claim whose tool never started: it did not happen and may be tried again."""

    key: bytes
    tenant: str
    nonce: bytes
    actor: str
    reason: str


class Lapse(Act[Row | None]):
    """Expire a pending or approved effect whose time is over."""

    key: bytes
    tenant: str
    actor: str


class Decide(Act["Decided"]):
    """Record one person's approval or denial."""

    key: bytes
    tenant: str
    approve: bool
    by: str
    reason: str
    args: str | None
    args_digest: bytes | None
    shown: bytes | None


class Decided(NamedTuple):
    """The row after the decision, or why the decision was refused."""

    row: Row | None
    refusal: str | None = None
    votes: int = 0


class Resolve(Act[Decided]):
    """Say what became of an effect in doubt."""

    key: bytes
    tenant: str
    to: str
    by: str
    reason: str
    kind: str
    epoch: int | None = None
    result: str | None = None
    result_digest: bytes | None = None
    note: str | None = None
    error: str | None = None
    early: bool = False


class Cancel(Act[Decided]):
    """Withdraw an effect that is pending, approved or in doubt."""

    key: bytes
    tenant: str
    by: str
    reason: str


class Observe(Act[None]):
    """Append an event, and put an item into the inbox where ``inbox`` names its kind."""

    key: bytes
    tenant: str
    kind: str
    actor: str
    detail: dict[str, Any]
    inbox: str | None = None


class Notified(Act[None]):
    """Remember that the listeners heard of an inbox item."""

    key: bytes
    kind: str


class PutHalt(Act[None]):
    """Forbid effects to start, in place of what forbade it in the same scope and manner."""

    halt: Halt
    #: leave what is there as it is
    keep: bool = False


class LiftHalt(Act[int]):
    """Allow again what exactly this halt forbade; how many halts were lifted."""

    tenant: str | None
    tool: str | None
    workflow: str | None
    by: str
    reason: str
    #: lift what was contained, and not what was halted
    contain: bool = False
    #: the reason that the halt must have been put for
    only: str | None = None


class Sweep(Act[int]):
    """Put what dead workers left running in doubt; how many were found (at most ``limit``)."""

    actor: str
    dead: tuple[str, ...] | None
    limit: int = 200


class Look(Act[Found]):
    """Read an effect; ``await_`` asks whoever changes it to tell other processes."""

    key: bytes
    tenant: str
    await_: bool = False


class Find(Act[list[Effect]]):
    """Read effects, newest first."""

    tenant: str
    prefix: str | None = None
    workflow: str | None = None
    tool: str | None = None
    status: str | None = None
    call_id: str | None = None
    limit: int = 1000
    before: int | None = None


class History(Act[list[Event]]):
    """Read the events of one effect, oldest first."""

    key: bytes
    tenant: str


class Chain(Act["list[EventRow]"]):
    """Read a chain of events as it is stored, of an effect or of halts, for verification."""

    key: bytes
    tenant: str


class Inbox(Act[list[InboxItem]]):
    """Read what a person must see, oldest first; ``unnotified`` only what nobody was told."""

    tenant: str | None
    unnotified: bool = False
    limit: int = 1000


class Halts(Act[list[Halt]]):
    """Read the halts that concern a tenant."""

    tenant: str


class Dead(Act[list[str]]):
    """Read the workers that are known and no longer live."""


class Clock(Act[int]):
    """Read the database's clock, in microseconds."""


class Page(Act["list[tuple[int, Row, list[EventRow]]]"]):
    """Read rows with their events in the order they were written, for verification."""

    tenant: str
    after: int
    limit: int = 500


class EventRow(NamedTuple):
    """One event as it is stored."""

    key: bytes
    n: int
    kind: str
    actor: str
    at: int
    epoch: int
    detail: str
    previous: bytes
    hash: bytes
