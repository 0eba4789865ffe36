"""
The calls that are under way, and what became of them.

An answer is worth more than the record of it: what is said of an end never raises. What cannot be
written down stays charged.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from crewai.types.usage_metrics import UsageMetrics

from tallystick.metering import Metered, ModelRequest, refused
from tallystick.prices import Usage
from tallystick_crewai._budget._usage import counted, since

_log = logging.getLogger("tallystick.crewai")
_LOCK = threading.Lock()
#: the calls under way of each model, by its ``id``; they keep it alive
_UNDER_WAY: dict[int, list[Call]] = {}


@dataclass(slots=True, eq=False, kw_only=True)
class Call:
    """One model call that was reserved for."""

    model: Any
    metered: Metered
    request: ModelRequest
    #: the agent's executor that makes it, one call after the other
    executor: object = None
    #: by which name the model began it; none: it did not say
    started: str | None = None
    #: what the model had consumed before
    before: UsageMetrics | None = None
    #: the same model made another call at the same time, so that its count tells nothing
    crowded: bool = False
    #: why it failed, where it may yet succeed under the same name
    failed: BaseException | str | None = None
    over: bool = field(default=False, init=False)
    #: it is over, and nobody said what it consumed
    unknown: bool = field(default=False, init=False)

    def begin(self) -> None:
        """It is made now."""
        with _LOCK:
            others = _UNDER_WAY.setdefault(id(self.model), [])
            for other in others:
                other.crowded = True
            self.crowded = bool(others)
            others.append(self)
        self.before = counted(self.model)

    def claim(self, name: str) -> bool:
        """Whether it is this call that the model begins by that name."""
        with _LOCK:
            if self.over or self.started is not None:
                return False
            self.started = name
            return True

    def answered(self, said: Usage | None) -> None:
        """Book what it consumed, which the model *said* where its count does not tell."""
        if not self._end() and not self.unknown:
            return
        own = None if self.crowded else since(self.model, self.before)
        usage = max(own, said, key=_total) if own and said else own or said
        self.unknown = usage is None
        if usage is None:
            _safely(self.metered.leave, None, reason="nobody said what the call consumed")
        else:
            _safely(self.metered.settle, usage)

    def ended(self) -> None:
        """It is over, whatever was said of it."""
        if self.failed is None:
            self.answered(None)
        elif self._end():
            used = None if self.crowded else since(self.model, self.before)
            _failed(self.metered, self.failed, used)

    def unsent(self) -> None:
        """It was certainly not made."""
        if self._end():
            _safely(self.metered.release, reason="it was not made")

    def _end(self) -> bool:
        """Whether it was under way until now."""
        with _LOCK:
            if self.over:
                return False
            self.over = True
            calls = _UNDER_WAY.get(id(self.model), [])
            if self in calls:
                calls.remove(self)
            if not calls:
                _UNDER_WAY.pop(id(self.model), None)
            return True


def _failed(metered: Metered, error: BaseException | str, used: Usage | None) -> None:
    why = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    if used is None and isinstance(error, BaseException) and refused(error):
        _safely(metered.release, reason=why[:500])
    else:
        _safely(metered.leave, used, reason=why[:500])


def _total(usage: Usage) -> int:
    return usage.total


def _safely(deed: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    try:
        deed(*args, **kwargs)
    except Exception:  # noqa: BLE001 - whatever it is, it must not cost an answer that was paid for
        _log.exception("what a model call consumed was not recorded; it stays charged in full")
