"""What retention reports."""

from __future__ import annotations

from tallystick import _values

__all__ = ["Retained"]


class Retained(_values.Value):
    """How much lost its payload; with ``dry_run`` how much would."""

    #: effects whose arguments, results, facts and error texts went
    effects: int
    #: reservations whose notes went; their figures stay
    calls: int
    dry_run: bool = False
