"""What was proven of a workflow's undoing, and what was not: values for tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Point = Literal[
    "end", "before", "after", "lost", "refused", "stopped", "killed_before", "killed_after"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoStep:
    """One effect of the workflow, as it was learned when that ran through."""

    #: counted from 1, in the order in which the steps began
    number: int
    tool: str
    args: Mapping[str, Any]
    reversibility: str
    #: names of its compensations
    steps: tuple[str, ...]

    def __str__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value in self.args.items())
        short = said if len(said) <= 100 else f"{said[:99]}…"
        return f"step {self.number}, {self.tool}({short})"


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoTry:
    """One time that the workflow was made to fail, was undone, and left the world as it was."""

    #: ``None`` where the whole workflow ran
    step: UndoStep | None
    #: where it failed, see :func:`prove_undo`
    point: Point
    #: names of the compensations that acted, in their order
    undone: tuple[str, ...]
    #: tools of effects that have no compensation
    kept: tuple[str, ...]
    #: what left the workflow, in a line
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoProof:
    """What :func:`prove_undo` tried; each try ended with the world as it was before."""

    steps: tuple[UndoStep, ...]
    tries: tuple[UndoTry, ...]

    @property
    def tried(self) -> tuple[tuple[int, str], ...]:
        """The steps' numbers and the points, in the order in which they were tried."""
        return tuple((0 if t.step is None else t.step.number, t.point) for t in self.tries)


class UndoDisproved(AssertionError):
    """
    A workflow was undone, and the world is not as it was; or it could not be undone.

    ``step`` is the :class:`UndoStep` at which it failed (``None``: the whole workflow had run),
    ``point`` where, ``undone`` the compensations that acted, ``difference`` the world before and
    after, line by line (empty where nothing differs and something is left to be undone).
    """

    def __init__(
        self,
        message: str,
        *,
        step: UndoStep | None = None,
        point: Point = "end",
        undone: tuple[str, ...] = (),
        difference: str = "",
    ) -> None:
        super().__init__(message)
        self.step = step
        self.point = point
        self.undone = undone
        self.difference = difference
