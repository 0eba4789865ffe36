"""Acts about undoing effects."""

from __future__ import annotations

from dataclasses import field
from typing import Any, NamedTuple

from tallystick._acts import Act, Decided
from tallystick._model import Row


class Turn(Act[Decided]):
    """
    Take an effect one step back: to compensating, compensated or compensation_failed.

    Refused unless status and epoch are as seen.
    """

    key: bytes
    tenant: str
    status: str
    epoch: int
    to: str
    by: str
    reason: str
    detail: dict[str, Any] = field(default_factory=dict[str, Any])
    #: type, message and traceback, as JSON
    error: str | None = None


class ReadPlans(Act["list[Planned]"]):
    """
    Read the effects of a workflow with their plans, in the order in which they were written.

    Without a workflow it is the tenant's: those of ``tool``, and those that changed at ``since`` or
    later, or are running, where these are given. With ``key`` that effect only, whatever else.
    """

    tenant: str
    workflow: str | None = None
    key: bytes | None = None
    after: int = 0
    limit: int = 500
    tool: str | None = None
    #: microseconds of the database's clock
    since: int | None = None


class Planned(NamedTuple):
    """An effect, its number, and how it is undone as it is stored."""

    seq: int
    row: Row
    undo: str | None
