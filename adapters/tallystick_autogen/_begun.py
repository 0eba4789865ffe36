"""A call that begins, even where asyncio would end it before its first step."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any

from autogen_core import CancellationToken


class Begun(Coroutine[Any, Any, Any]):
    """
    *call*, which begins though its task was cancelled before it could, if *token* was.

    A StaticWorkbench makes a task of what a tool returns and links that to the run's token. Where
    the run is cancelled by then, asyncio throws the cancellation into a call that has not begun:
    nobody answers, and the agent waits for ever. A call that begins sees the token and says so.
    """

    def __init__(self, call: Coroutine[Any, Any, Any], token: CancellationToken) -> None:
        self._call = call
        self._token = token
        self._waits = True

    def send(self, value: Any, /) -> Any:
        """The next step."""
        self._waits = False
        return self._call.send(value)

    def throw(self, error: Any, value: Any = None, trace: Any = None, /) -> Any:
        """The next step, into which *error* is thrown; the first one where it is the token's."""
        if self._waits and self._token.is_cancelled():
            return self.send(None)
        return self._call.throw(error if value is None else value)

    def close(self) -> None:
        """Nobody waits for it."""
        self._call.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._call.__await__()
