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
    """Read the effects of a workflow with their plans, in the order in which they were written."""

    tenant: str
    workflow: str
    after: int = 0
    limit: int = 500


class Planned(NamedTuple):
    """An effect, its number, and how it is undone as it is stored."""

    seq: int
    row: Row
    undo: str | None
