"""Effects in the standard library's log."""

from __future__ import annotations

import logging

from tallystick._hooks import Details

#: what a person should look at
_LOUD = {
    "in_doubt", "approval_required", "fenced", "halted", "arguments_changed", "budget_overrun",
    "budget_threshold", "budget_warned", "budget_bypassed", "runaway",
}  # fmt: skip
#: moments that last are logged once they are facts
_QUIET = {"claim", "call"}


def logging_hook(logger: logging.Logger | None = None) -> _Log:
    """
    A hook that writes to *logger* (default: ``tallystick``).

    Facts that a person should look at are warnings, everything else is debug. Arguments are never
    logged.
    """
    return _Log(logger or logging.getLogger("tallystick"))


class _Log:
    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def __call__(self, details: Details) -> None:
        if details.kind in _QUIET:
            return
        level = logging.WARNING if details.kind in _LOUD else logging.DEBUG
        self._logger.log(
            level,
            "%s: %s in %s (%s, attempt %d)",
            details.kind,
            details.tool,
            details.workflow,
            details.key[:12],
            details.attempt,
            extra={"tallystick": details},
        )
