"""A request to raise a budget, as people read it and decide it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, cast

from tallystick._budgets._topups import RAISE, topup_of
from tallystick._model import Effect
from tallystick.budgets import BudgetLine
from tallystick.cli._plain import moment
from tallystick.errors import InvalidCall

_UNITS = {"usd": " USD", "tokens": " tokens", "requests": " requests"}


def is_topup(effect: Effect) -> bool:
    """Whether approving this raises a budget, and what it asks for is still there."""
    return effect.tool == RAISE and effect.payload_dropped_at is None


def amount(metric: str, value: object) -> str:
    """An amount with its unit; every digit that it has."""
    shown = f"{value:f}" if isinstance(value, Decimal) else str(value)
    return shown + _UNITS.get(metric, "")


def whose(name: object, per: Any) -> str:
    """A budget's line by name: the budget, and the values that it is split by."""
    if not isinstance(per, Mapping) or not per:
        return str(name)
    values = cast("Mapping[str, Any]", per).items()
    return f"{name} ({', '.join(f'{fact} {value}' for fact, value in values)})"


def runs_with(effect: Effect, edited: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The arguments that approving it grants."""
    return {**effect.args, **(effect.edited_args or {}), **(edited or {})}


def sentence(effect: Effect) -> str:
    """What is asked, in one sentence."""
    args = runs_with(effect)
    metric = str(args["metric"])
    return (
        f"raise {whose(args['budget'], args['per'])} {granted(args)}: {args['for']} needs up to "
        f"{amount(metric, args['needed'])}, and {args['charged']} of "
        f"{amount(metric, args['limit'])} are charged"
    )


def granted(args: Mapping[str, Any], line: BudgetLine | None = None) -> str:
    """What an approval grants; of a budget without windows it is granted for good either way."""
    by = f"by {amount(str(args['metric']), args['raise'])}"
    if args["lasting"] is True:
        return f"{by} (for good)"
    if line is None:  # whether there is a window to grant it for is not looked up
        return by
    return f"{by} ({'for good' if line.resets_at is None else 'for this window'})"


def edits(
    effect: Effect, args: dict[str, Any] | None, by: str | None, *, lasting: bool | None
) -> dict[str, Any] | None:
    """What the approver wants otherwise; InvalidCall where that raises nothing."""
    said: dict[str, Any] = {"raise": by, "lasting": lasting}
    said = {name: value for name, value in said.items() if value is not None}
    if said and not is_topup(effect):
        raise InvalidCall(
            f"{effect.key[:12]} is a request to run {effect.tool}, not to raise a budget: "
            "--raise, --lasting and --once say nothing about it; give --args"
        )
    edited = {**(args or {}), **said} if said else args
    if edited and is_topup(effect):
        topup_of(runs_with(effect, edited))
    return edited


def facts(
    effect: Effect, edited: Mapping[str, Any] | None, lines: Iterable[BudgetLine]
) -> list[tuple[str, object]]:
    """What an approver must see of it, and how the budget stands now."""
    asked, runs = effect.args, runs_with(effect, edited)
    metric = str(asked["metric"])
    line = line_of(asked, lines)
    return [
        ("budget", whose(asked["budget"], asked["per"])),
        ("needed for", asked["for"]),
        ("needs up to", amount(metric, asked["needed"])),
        ("charged then", f"{asked['charged']} of {amount(metric, asked['limit'])}"),
        ("stands now", None if line is None else standing(line)),
        ("asks to raise", granted(asked, line)),
        ("will raise", f"{whose(runs['budget'], runs['per'])} {granted(runs, line)}"),
    ]


def line_of(args: Mapping[str, Any], lines: Iterable[BudgetLine]) -> BudgetLine | None:
    """The line that a request is about."""
    wanted = (args["budget"], args["metric"], args["per"])
    found = (x for x in lines if (x.budget, x.metric, dict(x.per)) == wanted)
    return next(found, None)


def standing(line: BudgetLine) -> str:
    """How a line stands, in one line."""
    names = ("spent", "reserved", "unreconciled")
    charged = [(name, getattr(line, name)) for name in names]
    parts = [f"{amount(line.metric, line.remaining)} left of {amount('', line.limit)}"]
    parts += [f"{amount('', value)} {name}" for name, value in charged if value]
    if line.resets_at is not None:
        parts.append(f"until {moment(line.resets_at)}")
    return ", ".join(parts)
