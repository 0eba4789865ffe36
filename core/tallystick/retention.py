"""What retention reports."""

from __future__ import annotations

import dataclasses

__all__ = ["Retained"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Retained:
    """How much lost its payload; with ``dry_run`` how much would."""

    #: effects whose arguments, results, facts and error texts went
    effects: int
    #: reservations whose notes went; their figures stay
    calls: int
    dry_run: bool = False
