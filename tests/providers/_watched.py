"""Watched clients, and what their calls have become in the ledger."""

from __future__ import annotations

import inspect
import time
from contextlib import ExitStack
from typing import Any, Self

import anthropic
import openai

from tallystick import Ledger
from tallystick.budgets import ReservationView
from tallystick.clients import watch
from tests.providers._prices import PRICES

BUDGET = "team"


class Desk:
    """Makes clients of one provider, watched by one ledger."""

    def __init__(self, ledger: Ledger, origin: str) -> None:
        self.ledger = ledger
        self.origin = origin
        #: seconds that a client waits for a piece of an answer
        self.patience = 20.0
        self.budget = ledger.budget(BUDGET, usd=10)
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._closing.close()

    # Any: the tests call with dictionaries of options, which the clients' overloads do not follow

    def watch(self, client: Any, **options: Any) -> Any:
        """*client*, watched, and closed at the end."""
        usual: dict[str, Any] = {"budget": BUDGET, "prices": PRICES}
        watched = watch(client, self.ledger, **usual | options)
        if not inspect.iscoroutinefunction(watched.close):
            self._closing.callback(watched.close)
        return watched

    def gpt(self, **options: Any) -> Any:
        """An OpenAI client, watched."""
        return self.watch(openai.OpenAI(**self._openai()), **options)

    def agpt(self, **options: Any) -> Any:
        """An AsyncOpenAI client, watched."""
        return self.watch(openai.AsyncOpenAI(**self._openai()), **options)

    def claude(self, **options: Any) -> Any:
        """An Anthropic client, watched."""
        return self.watch(anthropic.Anthropic(**self._anthropic()), **options)

    def aclaude(self, **options: Any) -> Any:
        """An AsyncAnthropic client, watched."""
        return self.watch(anthropic.AsyncAnthropic(**self._anthropic()), **options)

    def _openai(self) -> Any:
        return {"base_url": f"{self.origin}/v1"} | self._options()

    def _anthropic(self) -> Any:
        return {"base_url": self.origin} | self._options()

    def _options(self) -> dict[str, Any]:
        return {"api_key": "none", "max_retries": 0, "timeout": self.patience}

    def calls(self) -> list[ReservationView]:
        """Every call that was reserved, the oldest first."""
        return self.ledger.reservations()[::-1]

    def last(self) -> ReservationView:
        """The call that was reserved last."""
        return self.ledger.reservations(limit=1)[0]

    def comes_to(self, state: str, within: float = 5.0) -> ReservationView:
        """The last call, once it is in *state*."""
        end = time.monotonic() + within
        while (last := self.last()).state != state:
            assert time.monotonic() < end, last
            time.sleep(0.005)
        return last
