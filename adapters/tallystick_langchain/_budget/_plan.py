"""
What a middleware arranges with the callback about the model calls inside it.

A callback can refuse a request and not change it. Where somebody around it can, the ledger says
how much of an answer it affords, the callback keeps that reservation, and the request comes again,
smaller.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from tallystick.errors import BudgetError
from tallystick.metering import Metered, ModelRequest

#: in the metadata of the model whose calls may be changed
MARK = "tallystick_agent"

_CURRENT: ContextVar[Plan | None] = ContextVar("tallystick_plan", default=None)


@dataclass(slots=True, eq=False)
class Plan:
    """How one model call of an agent may be changed, and what is reserved for it already."""

    #: whose calls it is about
    owner: object
    #: tokens below which an answer is not worth it; none: it is not made shorter
    least: int | None
    kept: tuple[Metered, ModelRequest] | None = None

    def keep(self, metered: Metered, request: ModelRequest) -> None:
        """Reserve for a shorter answer to *request*."""
        self.drop()
        self.kept = metered, request

    def fitting(self, request: ModelRequest) -> Metered | None:
        """What was kept for *request*, if it covers it; it is gone then."""
        if self.kept is None:
            return None
        metered, asked = self.kept
        if not _covers(metered, asked, request):
            self.drop()
            return None
        self.kept = None
        return metered

    def drop(self) -> None:
        """Nothing is sent with what was kept."""
        if self.kept is not None:
            (metered, _), self.kept = self.kept, None
            metered.release(reason="the shorter request was not sent")


def _covers(metered: Metered, asked: ModelRequest, request: ModelRequest) -> bool:
    """Whether what was reserved for a shorter answer to *asked* is enough for *request*."""
    alike = ("model", "provider", "attempts", "context", "cached", "audio")
    return (
        all(getattr(request, name) == getattr(asked, name) for name in alike)
        and _within(request.input_bound, asked.input_bound)
        and _within(request.output_bound, metered.output_bound)
    )


def _within(wanted: int | None, reserved: int | None) -> bool:
    return wanted is not None and reserved is not None and wanted <= reserved


class Shorter(BudgetError):
    """The request fits if all of its answers together have at most ``tokens``."""

    def __init__(self, tokens: int, settings: dict[str, int]) -> None:
        super().__init__(f"the budget affords {tokens} tokens of output")
        self.tokens = tokens
        #: what the model calls that limit, for each answer
        self.settings = settings


def plan_of(owner: object, metadata: Mapping[str, Any]) -> Plan | None:
    """What was arranged with *owner* about this call; not about others that middleware makes."""
    plan = _CURRENT.get()
    return plan if plan is not None and plan.owner is owner and metadata.get(MARK) else None


@contextmanager
def planned(plan: Plan) -> Generator[Plan]:
    """Arrange it for the calls inside."""
    token = _CURRENT.set(plan)
    try:
        yield plan
    finally:
        _CURRENT.reset(token)
        plan.drop()
