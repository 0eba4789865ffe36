"""The one place where the wall clock is read: SQLite and memory have no clock of their own."""

from __future__ import annotations

import time


def wall_micros() -> int:
    """Microseconds since 1970 by this machine's clock."""
    return time.time_ns() // 1000
