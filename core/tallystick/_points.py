"""
Named points at which a test may end the world.

Each act has three: before it is applied, applied but not committed, committed but not answered; a
tool has three: before and after it runs, and when its outcome is recorded and its caller has not
got it. Unarmed they cost one truth test.
"""

from __future__ import annotations

import os
from collections.abc import Callable

#: whether anybody listens; the only thing that is looked at in production
armed: bool = False
_listener: Callable[[str], None] | None = None

#: lets a subprocess be killed for real: ``TALLYSTICK_CRASH_AT=Settle.applied`` exits the process
#: there, ``Settle.applied#3`` the third time
_VARIABLE = "TALLYSTICK_CRASH_AT"


def arm(listener: Callable[[str], None] | None) -> None:
    """Call *listener* with the name of every point that is reached; ``None`` to stop."""
    global armed, _listener  # noqa: PLW0603 - one switch for the process
    _listener = listener
    armed = listener is not None


def reach(name: str) -> None:
    """Tell the listener, which may raise."""
    if _listener is not None:
        _listener(name)


def _from_environment() -> None:
    wanted = os.environ.get(_VARIABLE)
    if not wanted:
        return
    name, _, nth = wanted.partition("#")
    left = int(nth or 1)

    def exit_there(reached: str) -> None:
        nonlocal left
        if reached == name:
            left -= 1
            if left == 0:
                os._exit(137)

    arm(exit_there)


_from_environment()
