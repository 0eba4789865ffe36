"""Requests to raise a limit: effects like any other that waits for a person."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from tallystick._budgets._amounts import Metric, units
from tallystick.errors import InvalidCall

#: the tool of such a request; approving it raises the limit
RAISE = "budget.raise"
#: the tool of a request to let a session go on that was found to run in circles
CONTINUE = "runaway.continue"
#: the tool of a replay's own record
REPLAY = "tallystick.replay"
#: the tool under which a model's answer is recorded
ANSWER = "tallystick.answer"
#: what an approver may decide about a request
_MINE = {"raise", "lasting"}


def workflow_of(name: str) -> str:
    """The workflow that the requests about a budget belong to."""
    return f"budget:{name}"


def reserved(tool: str) -> bool:
    """Whether *tool* is of the ledger's own, which no tool of a user may be called."""
    return tool in {RAISE, CONTINUE} or tool.startswith("tallystick.")


def check_edit(args: Mapping[str, Any], edits: Mapping[str, Any]) -> None:
    """Refuse to grant more to another line than the one that somebody asked for."""
    others = sorted(n for n, value in edits.items() if n not in _MINE and value != args.get(n))
    if others:
        raise InvalidCall(
            f"of a top-up only raise and lasting can be edited, not {', '.join(others)}; raise "
            "another line with `tallystick budgets raise`"
        )
    topup_of({**args, **edits})


class TopUp(NamedTuple):
    """What is granted when a request is approved."""

    budget: str
    metric: str
    label: str
    amount: int
    lasting: bool


def topup_of(args: Mapping[str, Any]) -> TopUp:
    """What the arguments of a request say; InvalidCall where an edit made nonsense of them."""
    try:
        metric = Metric(args["metric"])
        budget, per, lasting = args["budget"], args["per"], args["lasting"]
        value = args["raise"]
    except (KeyError, ValueError) as error:
        raise InvalidCall(f"no top-up of a budget: {dict(args)!r}") from error
    amount = units(metric, value, "raise")
    if type(lasting) is not bool or amount == 0:
        raise InvalidCall(
            f"raise={value!r}, lasting={lasting!r}: give an amount above 0, and whether it "
            "is to last beyond this window (true or false)"
        )
    return TopUp(budget, metric.value, json.dumps(per, sort_keys=True), amount, lasting)
