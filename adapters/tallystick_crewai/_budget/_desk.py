"""Where the calls of one scope are announced, begun, answered and closed."""

from __future__ import annotations

import sys
import threading
from contextvars import ContextVar
from typing import Any

from tallystick.metering import Meter, ModelRequest
from tallystick_crewai._budget._calls import Call
from tallystick_crewai._budget._request import covers, described
from tallystick_crewai._budget._usage import reported

#: the call that was announced, or begun, last where the caller is
_LAST: ContextVar[Call | None] = ContextVar("tallystick_crewai_call", default=None)


class Desk:
    """
    The calls of one scope.

    A hook announces most calls, most models tell an event as they begin one, and a model of
    somebody's own is seen as it is called. Whatever comes first is what is reserved for.
    """

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self._lock = threading.Lock()
        self._open: list[Call] = []
        self._closed = False

    def announced(self, context: Any) -> None:
        """A hook says that a model is about to be called."""
        executor, model, last = context.executor, context.llm, _LAST.get()
        if executor is None and last is not None and last.model is model and not last.over:
            return  # the model began it before it said so
        if executor is not None:
            self.answered(executor)
        tools = getattr(executor, "_openai_tools", None)
        schema = getattr(executor, "response_model", None)
        self._reserve(model, self._asked(model, context.messages, tools, schema), executor, None)

    def called(self, model: Any, messages: Any, tools: Any, schema: Any) -> None:
        """A model of somebody's own is called, whether that was announced or not."""
        request, last = self._asked(model, messages, tools, schema), _LAST.get()
        if last is None or last.model is not model or last.over:
            self._reserve(model, request, None, None)
        elif not covers(last.request, request):
            last.unsent()
            self._reserve(model, request, last.executor, None)

    def returned(self, model: Any, error: BaseException | None) -> None:
        """It returned, whatever it said meanwhile."""
        last = _LAST.get()
        if last is None or last.model is not model or last.over:
            return
        last.failed = last.failed or error
        last.ended()

    def started(self, model: Any, event: Any) -> None:
        """A model says that it begins a call."""
        last = _LAST.get()
        request = described(
            model, event.messages, event.tools, None, self.meter.prices, limit=event.max_tokens
        )
        mine = last is not None and last.model is model
        if mine and last is not None and last.claim(event.call_id):
            if covers(last.request, request):
                return
            last.unsent()
            self._reserve(model, request, last.executor, event.call_id)
            return
        if last is not None and last.failed is not None:
            last.ended()
        self._reserve(model, request, None, event.call_id)

    def completed(self, model: Any, event: Any) -> None:
        """A model says that it answered."""
        for call in self._named(model, event.call_id):
            call.answered(reported(event.usage))

    def failed(self, model: Any, event: Any) -> None:
        """A model says that a call failed; some of them then try in another way."""
        for call in self._named(model, event.call_id):
            call.failed = sys.exception() or str(event.error)

    def answered(self, executor: object) -> None:
        """An executor makes one call after the other: the one before is over."""
        with self._lock:
            calls = [one for one in self._open if one.executor is executor and not one.over]
        for call in calls:
            call.ended()

    def close(self) -> None:
        """Nothing more is heard, but for what goes on elsewhere."""
        with self._lock:
            calls, self._closed = list(self._open), True
        for call in calls:
            call.ended()

    def _asked(self, model: Any, messages: Any, tools: Any, schema: Any) -> ModelRequest:
        limit = getattr(model, "_effective_max_tokens", lambda: None)()
        return described(model, messages, tools, schema, self.meter.prices, limit=limit)

    def _reserve(
        self, model: Any, request: ModelRequest, executor: object, started: str | None
    ) -> None:
        metered = self.meter.begin(request)
        call = Call(
            model=model, metered=metered, request=request, executor=executor, started=started
        )
        call.begin()
        _LAST.set(call)
        with self._lock:
            # After the end of the scope a late answer still finds its call.
            kept = [one for one in self._open if self._closed or not one.over]
            self._open = [*kept, call]

    def _named(self, model: Any, name: str) -> list[Call]:
        with self._lock:
            return [one for one in self._open if one.started == name and one.model is model]
