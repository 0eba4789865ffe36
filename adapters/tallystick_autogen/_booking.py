"""
What became of a question that was reserved for.

Its answer is worth more than the record of it: nothing here raises. What cannot be written down
stays charged.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from autogen_core.models import CreateResult

from tallystick.prices import Usage

if TYPE_CHECKING:
    from tallystick.metering import Metered

_log = logging.getLogger("tallystick.autogen")
#: the loop itself remembers tasks only weakly
_booking: set[asyncio.Task[None]] = set()
#: seconds that a cancelled task waits for its question to be booked
_PATIENCE = 5.0


async def answered(metered: Metered, result: CreateResult) -> None:
    """Book what the answer says that it consumed; free, where a cache gave it."""
    if result.cached:
        await _safely(metered.arelease(reason="a cache answered"))
        return
    used = result.usage
    usage = Usage(input=used.prompt_tokens, output=used.completion_tokens)
    if not usage.input:  # AutoGen writes 0 for what a provider left out, and no prompt is empty
        known = usage if usage.total else None
        await _safely(metered.aleave(known, reason="the answer does not say what it consumed"))
        return
    said = result.content if isinstance(result.content, str) else _calls(result)
    await _safely(metered.asettle(usage, answer=hashlib.sha256(said.encode()).digest()))


async def failed(metered: Metered, error: BaseException, *, begun: bool = False) -> None:
    """Release what was certainly not processed; the rest stays charged."""
    from tallystick.metering import refused  # who wraps tools needs none of it

    why = f"{type(error).__name__}: {error}"[:500]
    if not begun and refused(error):
        await _safely(metered.arelease(reason=why))
    else:
        await _safely(metered.aleave(None, reason=why))


def _calls(result: CreateResult) -> str:
    return repr(
        [(call.name, call.arguments) for call in result.content if not isinstance(call, str)]
    )


async def _safely(booking: Coroutine[Any, Any, None]) -> None:
    """A task that is cancelled meanwhile still books."""
    task = asyncio.create_task(_quietly(booking))
    _booking.add(task)
    task.add_done_callback(_booking.discard)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=_PATIENCE)
        raise


async def _quietly(booking: Coroutine[Any, Any, None]) -> None:
    try:
        await booking
    except Exception:  # noqa: BLE001 - whatever it is, it must not cost an answer that was paid for
        _log.exception("what a model call consumed was not recorded; it stays charged in full")
