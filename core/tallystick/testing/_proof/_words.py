"""What is said of an undoing that was not proven."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.testing._proof._values import Point, UndoStep, UndoTry

_WHERE = {
    "end": "The whole workflow had run",
    "before": "{step}, was refused before it acted",
    "after": "The run failed right after {step}",
    "lost": "The answer of {step}, was lost when it had acted",
    "refused": "All had run, and {part} of {step}, was refused once, then tried again",
    "stopped": "All had run, and the process ended right after {part} of {step}; another went on",
    "killed_before": "The process was killed right before {step}, acted; another one went on",
    "killed_after": "The process was killed right after {step}; another one went on",
}


def message(
    went: UndoTry,
    *,
    part: int,
    undone: Sequence[str],
    left: Sequence[str],
    kept: Sequence[str],
    difference: str,
) -> str:
    """The finding in full: where it failed, what was undone, how the world differs."""
    names = went.step.steps if went.step else ()
    named = f"the compensation {names[part]}" if part < len(names) else "a compensation"
    where = _WHERE[went.point].format(step=went.step or "what only reads", part=named)
    lines = [f"{where[:1].upper()}{where[1:]}. It was undone, and {_outcome(difference)}"]
    lines += _listed("Compensations that acted, in this order", undone or ("none",))
    lines += _listed("Not undone", left)
    if difference:
        lines += _listed("Nothing undoes, and allow=… does not say that it may stay", kept)
        lines += ["", difference]
    return "\n".join(lines)


def _outcome(difference: str) -> str:
    if difference:
        return "the world is not as it was before:"
    return "something is left that nobody but a person can undo:"


def _listed(title: str, items: Sequence[str]) -> list[str]:
    return [f"{title}:", *(f"  {item}" for item in items)] if items else []


def unreached(step: UndoStep, point: Point) -> str:
    """The step was learned, and does not come when the workflow runs again."""
    return (
        f"{step} was done when the workflow ran before, and not when it ran again (to fail: "
        f"{point.replace('_', ' ')}); the workflow must do the same each time. Give reset=… "
        "where it depends on what is there"
    )
