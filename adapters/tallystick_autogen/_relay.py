"""The events of an effect on their way to whoever waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from autogen_core import CancellationToken

from tallystick_autogen._effect import Body, Ongoing, outcome

_END = object()


class Relay:
    """Passes on what a stream tells; what it tells last is the effect's result."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[Any] = asyncio.Queue()

    def body(self, stream: Callable[[dict[str, Any]], AsyncGenerator[Any, None]]) -> Body:
        """What performs the effect."""

        async def body(**recorded: Any) -> Any:
            last: Any = _END
            async for event in stream(recorded):
                if last is not _END:
                    self._events.put_nowait(last)
                last = event
            return None if last is _END else last

        return body

    async def heard(self, call: Ongoing, token: CancellationToken) -> AsyncGenerator[Any, None]:
        """The events, and the result at the end; as long as the run is not cancelled."""
        call.task.add_done_callback(lambda _: self._events.put_nowait(_END))
        token.add_callback(lambda: self._events.put_nowait(_END))
        while (event := await self._events.get()) is not _END:
            yield event
        yield await outcome(call, token)
