"""Telling a model what a detector found about its session."""

from __future__ import annotations

import threading
from collections import OrderedDict

from tallystick.hooks import Details

#: sessions that something is kept for, and how much for each
_SESSIONS = 1024
_EACH = 4


class Advice:
    """
    A hook that keeps what was found about a session that runs away, for the model itself.

    Give it to the ledger and to the middleware: a finding whose action is ``"warn"`` becomes a
    note in the system message of the session's next call. It is told once, as findings are.

    >>> from tallystick import Ledger
    >>> from tallystick.runaway import Runaway
    >>> from tallystick_langgraph import BudgetMiddleware
    >>> advice = Advice()
    >>> with Ledger("memory://", hooks=[advice]) as ledger:
    ...     _ = ledger.budget("talk", usd=2)
    ...     middleware = BudgetMiddleware(ledger, "talk", runaway=Runaway(), advice=advice)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, list[str]] = OrderedDict()

    def __call__(self, details: Details, /) -> None:
        """Keep a finding."""
        if details.kind != "runaway" or details.facts.get("action") != "warn":
            return
        with self._lock:
            kept = self._kept.setdefault(str(details.facts.get("session") or ""), [])
            if len(kept) < _EACH:
                kept.append(str(details.facts.get("message") or ""))
            while len(self._kept) > _SESSIONS:
                self._kept.popitem(last=False)

    def take(self, session: str) -> list[str]:
        """What was kept for *session*; it is forgotten then."""
        with self._lock:
            return self._kept.pop(session, [])
