"""What came of undoing, and what is known of a run: values for users."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from tallystick._model import Status
from tallystick._values import Value

#: what is left to do for somebody
OPEN = ("failed", "missing", "in_doubt", "waiting")


class Undone(Value):
    """One effect, and why it is where it is in a :class:`Compensation`."""

    #: of the effect that was to be undone, in hex
    key: str
    tool: str
    reason: str = ""
    #: what stays in the world although it was undone
    residue: str = ""


class Compensation(Value):
    """
    How far a workflow is undone.

    ``done``: undone. ``failed``: its compensation said no, or cannot be called. ``missing``: its
    compensation cannot be found in this process. ``in_doubt``: nobody knows what became of the
    effect, or of its compensation. ``waiting``: a person has to approve its compensation. ``kept``:
    it has no compensation, or a person said that it stays.
    """

    workflow: str
    #: the savepoint that was gone back to; ``None`` for the beginning
    to: str | None = None
    done: tuple[Undone, ...] = ()
    failed: tuple[Undone, ...] = ()
    missing: tuple[Undone, ...] = ()
    in_doubt: tuple[Undone, ...] = ()
    waiting: tuple[Undone, ...] = ()
    kept: tuple[Undone, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether nothing is left to be done."""
        return not any(getattr(self, name) for name in OPEN)

    def keys(self, name: str) -> tuple[str, ...]:
        """The keys of one of the groups."""
        return tuple(one.key for one in getattr(self, name))


class UndoPlan(Value):
    """
    How an effect can be undone: the plan that was recorded before it began, and what is so now.

    ``reversibility`` is the class: ``"irreversible"`` also where nothing was said.
    """

    #: of the effect, in hex
    key: str
    tool: str
    status: Status
    reversibility: str = "irreversible"
    #: names of its compensations, in the order in which they run
    steps: tuple[str, ...] = ()
    #: whether compensating its workflow would try to undo it, or will once it has happened
    possible: bool = False
    #: why not
    reason: str = ""
    #: with a window: when it ends, or ended; ``None`` as long as the effect has not happened
    possible_until: datetime | None = None
    window: timedelta | None = None
    #: a compensation that did not succeed is not tried again
    one_shot: bool = False
    #: what stays in the world however well it goes
    residue: str = ""
    #: what is done while nobody knows whether it happened: ``ask`` or ``compensate``
    when_in_doubt: str = "ask"
    #: whether what was there before is kept
    has_before: bool = False
    #: key of the effect that this one is part of undoing
    undoes: str | None = None


class RunStatus(StrEnum):
    """Where a run is in its life."""

    RUNNING = "running"
    #: it stopped, or its process died: whoever opens it goes on with it
    STOPPED = "stopped"
    #: an error left its block; whoever opens it tries again
    FAILED = "failed"
    SUCCEEDED = "succeeded"
    COMPENSATING = "compensating"
    COMPENSATED = "compensated"
    COMPENSATION_FAILED = "compensation_failed"
    CANCELLED = "cancelled"


_FINISHED = (RunStatus.SUCCEEDED, RunStatus.COMPENSATED, RunStatus.CANCELLED)


class Run(Value):
    """One run of a workflow, as it is recorded."""

    #: the workflow's name
    id: str
    #: of its record, in hex: ``ledger.history(run.key)``
    key: str
    status: RunStatus
    input: Any
    #: of a run that succeeded
    output: Any
    #: type, message and traceback of what left its block
    error: dict[str, Any] | None
    #: the run around it
    parent: str | None
    attempts: int
    #: what kind of run it is, by the name that it was given
    kind: str | None
    framework: str | None
    version: str | None
    #: what happens when an error leaves its block: ``never``, ``on_error`` or ``ask``
    compensate: str
    #: that hold in it: its own, and those of what it was opened in
    labels: dict[str, str] = field(default_factory=dict[str, str])
    budgets: tuple[str, ...] = ()
    created_at: datetime
    changed_at: datetime
    holder: str | None

    @property
    def finished(self) -> bool:
        """Whether it has its outcome, so that it is not opened again."""
        return self.status in _FINISHED
