"""Inside ``with ledger.workflow(…)`` CrewAI goes by the same name, and agents obey our hooks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from crewai.execution import clear_execution_uuid, set_execution_uuid

from tallystick._context import ENTERING
from tallystick_crewai._hooks import enter, install, scoped


def join() -> None:
    """From now on every workflow that is entered is CrewAI's execution, too."""
    install()
    if entered not in ENTERING:
        ENTERING.append(entered)


def entered(workflow: str) -> Callable[[], object]:
    """Name CrewAI's execution; returns what restores the one around it."""
    install()
    stack = ExitStack()
    stack.callback(clear_execution_uuid, set_execution_uuid(workflow))
    stack.callback(enter(scoped()))
    return stack.close
