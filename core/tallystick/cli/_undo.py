"""How an effect can be undone, and how far a run is, for people."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from tallystick._model import Effect, Status
from tallystick._undoing._report import OPEN, Compensation, UndoPlan
from tallystick._undoing._tools import PREFIX, RUN
from tallystick.cli import _render
from tallystick.cli._plain import moment, visible

#: the statuses of a run that somebody began to undo
_UNDOING = (Status.COMPENSATING, Status.COMPENSATED, Status.COMPENSATION_FAILED)
_SAYS = {
    "done": "undone",
    "kept": "stays",
    "failed": "failed",
    "missing": "missing",
    "in_doubt": "in doubt",
    "waiting": "waits",
}
_COLOURS = {"done": "green", "kept": "dim", "waiting": "yellow"}


def is_undone(effect: Effect) -> bool:
    """Whether it is a run, and somebody began to undo it."""
    return effect.tool == RUN and effect.status in _UNDOING


def pairs(plan: UndoPlan) -> list[tuple[str, object]]:
    """Names and values about undoing one effect."""
    if plan.tool.startswith(PREFIX):
        return []
    steps = f": {', '.join(plan.steps)}" if plan.steps else ""
    once = "a compensation that did not succeed is not tried again" if plan.one_shot else ""
    return [
        ("undo", f"{plan.reversibility}{steps}" if plan.undoes is None else ""),
        ("undoes", plan.undoes),
        ("undo possible", _possible(plan)),
        ("one shot", once),
        ("while in doubt", "it is compensated" if plan.when_in_doubt == "compensate" else ""),
        ("leaves", plan.residue),
        ("before-image", "kept" if plan.has_before else ""),
    ]


def _possible(plan: UndoPlan) -> str:
    until = moment(plan.possible_until)
    if not plan.possible:
        return f"was until {until}" if until else f"no: {plan.reason}"
    if plan.window is not None and not until:
        return f"for {plan.window} from when it happened"
    return f"until {until}" if until else "yes"


def report(done: Compensation) -> list[RenderableType]:
    """How far a workflow is undone, effect by effect."""
    made = _render.table("key", "what", "tool", "reason")
    count = 0
    for group, says in _SAYS.items():
        for one in getattr(done, group):
            count += 1
            reason = one.reason or (f"leaves {one.residue}" if one.residue else "")
            made.add_row(
                one.key[: _render.SHORT],
                Text(says, style=_COLOURS.get(group, "bold red")),
                _render.cell(one.tool),
                _render.cell(reason),
            )
    parts: list[RenderableType] = [made] if count else []
    name = visible(done.workflow)
    if done.complete:
        return [*parts, Text(f"{name} is undone: {len(done.done)} effects.", style="green")]
    left = sum(len(getattr(done, group)) for group in OPEN)
    says = f"{name} is not undone: {left} left. Next: tallystick inbox"
    return [*parts, Text(says, style="bold red")]
