"""Inside ``with ledger.workflow(…)`` CrewAI goes by the same name, and agents obey our hooks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from crewai.execution import clear_execution_uuid, set_execution_uuid
from crewai.hooks.dispatch import scoped_hooks

from tallystick._context import ENTERING
from tallystick_crewai._hooks import install, scoped

#: hooks of the scopes that were entered and not left
_UNDER_WAY: set[object] = set()


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
    hooks = scoped_hooks(scoped())
    stack.enter_context(hooks)
    # one whose scope is never left must not be ended by the collector, in somebody else's context
    _UNDER_WAY.add(hooks)
    stack.callback(_UNDER_WAY.discard, hooks)
    return stack.close
