"""Models that say what they consumed, in as many ways as models do, or keep it to themselves."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

from crewai.llms.base_llm import llm_call_context
from pydantic import PrivateAttr

from tallystick import Ledger
from tests.crewai._world import Model

#: what every answer consumes
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
USED = 18
#: a little more than the first call of a crew reserves
BOUND = 4_000
LINE = "session:42"


class Metered(Model):
    """A scripted model that costs something."""

    max_tokens: int | float | None = 20
    #: emits CrewAI's events
    speaks: bool = True
    #: keeps CrewAI's count
    counts: bool = True
    #: says in its events what it consumed
    tells: bool = True
    seconds: float = 0.0
    #: puts this before every prompt
    preamble: str = ""
    _paid: list[str] = PrivateAttr(default_factory=list[str])
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    @classmethod
    def told(cls, *turns: Any, **options: Any) -> Metered:
        """A model with these turns."""
        native = options.pop("native", True)
        model = cls(model="toy", native=native, **options)
        model._turns = list(turns)
        return model

    @property
    def paid(self) -> int:
        """How many calls reached the provider."""
        return len(self._paid)

    def call(self, messages: Any, tools: Any = None, *args: Any, **kwargs: Any) -> Any:
        with llm_call_context():
            if self.preamble:
                messages = [{"role": "system", "content": self.preamble}, *messages]
            if self.speaks:
                self._emit_call_started_event(messages=messages, tools=tools)
            with self._lock:
                turn = self._turns[min(len(self._heard), len(self._turns) - 1)]
                self._heard.append(messages)
                self._paid.append(threading.current_thread().name)
            time.sleep(self.seconds)
            try:
                if isinstance(turn, BaseException):
                    raise turn
            except BaseException as error:
                if self.speaks:
                    self._emit_call_failed_event(error=str(error))
                raise
            if self.counts:
                self._track_token_usage_internal(USAGE)
            answer = self._said(turn)
            if self.speaks:
                usage = dict(USAGE) if self.tells else None
                kind: Any = "llm_call" if isinstance(answer, str) else "tool_call"
                self._emit_call_completed_event(
                    response=answer, call_type=kind, messages=messages, usage=usage
                )
            return answer

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(self.call, *args, **kwargs)


def line(ledger: Ledger, name: str = LINE) -> tuple[int, int, int]:
    """What a budget says is spent, reserved and unreconciled."""
    budget: Any = ledger.budget(name)
    return budget.spent, budget.reserved, budget.unreconciled
