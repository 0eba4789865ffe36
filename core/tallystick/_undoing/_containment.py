"""What a containment chose, and what came of it: values for users, and for its record."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from tallystick._values import Value

#: what is left for somebody to do
_LEFT = ("undoable", "failed", "missing", "in_doubt", "waiting", "refused")
#: what is as it was before
_STAYS = ("kept", *_LEFT)
_GROUPS = ("done", "withdrawn", *_STAYS)


class Frozen(Value):
    """A scope in which nothing starts but what undoes; ``None`` means *any*."""

    tool: str | None = None
    workflow: str | None = None


class Affected(Value):
    """One effect, what is known of undoing it, and why it is where it is."""

    #: in hex
    key: str
    tool: str
    workflow: str
    #: when it was complete; of one that is not, when it last changed
    at: datetime
    reason: str = ""
    #: ``irreversible`` where nothing was declared that undoes it
    reversibility: str = "irreversible"
    #: names of the compensations, in the order in which they run
    steps: tuple[str, ...] = ()
    #: the moment after which it cannot be undone any more; ``None``: there is none
    until: datetime | None = None
    #: whether undoing it is tried only once
    one_shot: bool = False
    #: what stays in the world although it is undone
    residue: str = ""
    #: keys of the later effects that depend on it, and stay
    dependents: tuple[str, ...] = ()


class Containment(Value):
    """
    What was chosen to be contained, and what came of it, the newest first.

    ``undoable``: can still be undone; only in a list. ``done``: undone. ``withdrawn``: had not
    begun, and will not. ``failed``: its compensation said no, or cannot be called, or its time is
    over. ``missing``: its compensation cannot be found in this process. ``in_doubt``: nobody knows
    what became of it, or of its compensation. ``waiting``: it is still being performed, or its
    compensation is, or a person or a halt is in the way of that. ``refused``: a later effect, which
    stays, depends on it. ``kept``: it has no compensation, or a person said that it stays.
    """

    #: of its record, in hex; ``None`` for a list
    key: str | None = None
    workflow: str | None = None
    agent: str | None = None
    tool: str | None = None
    since: datetime | None = None
    #: whether later effects that depend on what was chosen were chosen, too
    with_dependents: bool = False
    #: where nothing starts until a person lifts it: ``ledger.unhalt(containment=…)``
    frozen: tuple[Frozen, ...] = ()
    undoable: tuple[Affected, ...] = ()
    done: tuple[Affected, ...] = ()
    withdrawn: tuple[Affected, ...] = ()
    failed: tuple[Affected, ...] = ()
    missing: tuple[Affected, ...] = ()
    in_doubt: tuple[Affected, ...] = ()
    waiting: tuple[Affected, ...] = ()
    refused: tuple[Affected, ...] = ()
    kept: tuple[Affected, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether nothing is left to be done; what is kept stays."""
        return not any(getattr(self, name) for name in _LEFT)

    @property
    def stays(self) -> tuple[Affected, ...]:
        """What is in the world still: what was not undone, and what undoing leaves behind."""
        left = [one for name in _STAYS for one in getattr(self, name)]
        return (*left, *(one for one in self.done if one.residue))

    @property
    def closes_at(self) -> datetime | None:
        """When the first of what can be undone no longer can; ``None`` where none has a time."""
        return min((one.until for one in self.undoable if one.until is not None), default=None)

    def keys(self, name: str) -> tuple[str, ...]:
        """The keys of one of the groups."""
        return tuple(one.key for one in getattr(self, name))


def grouped(groups: Mapping[str, list[Affected]], **facts: Any) -> Containment:
    """The report of these groups."""
    said: dict[str, Any] = {name: tuple(each) for name, each in groups.items()}
    return Containment(**facts, **said)


def recorded(done: Containment) -> dict[str, Any]:
    """The report as plain data, for its record."""
    said = dataclasses.asdict(done)
    del said["key"]
    groups = {name: [_plain(one) for one in said.pop(name)] for name in _GROUPS}
    return {**_plain(said), **{name: each for name, each in groups.items() if each}}


def reread(key: str, said: Mapping[str, Any]) -> Containment:
    """The report that was recorded."""
    facts = {name: value for name, value in said.items() if name not in _GROUPS}
    facts["since"] = _moment(facts["since"])
    facts["frozen"] = tuple(Frozen(**scope) for scope in facts["frozen"])
    groups = {name: [_affected(one) for one in said.get(name, ())] for name in _GROUPS}
    return grouped(groups, key=key, **facts)


def _affected(said: Mapping[str, Any]) -> Affected:
    moments = {name: _moment(said[name]) for name in ("at", "until")}
    several = {name: tuple(said[name]) for name in ("steps", "dependents")}
    facts: dict[str, Any] = {**said, **moments, **several}
    return Affected(**facts)


def _moment(said: str | None) -> datetime | None:
    return None if said is None else datetime.fromisoformat(said)


def _plain(said: dict[str, Any]) -> dict[str, Any]:
    return {name: _said(value) for name, value in said.items()}


def _said(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return [*cast("Sequence[Any]", value)] if isinstance(value, tuple) else value
