"""What a person types, asked for once."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, cast

from autogen_core import CancellationToken

from tallystick.errors import InvalidCall
from tallystick_autogen._recorded import MEMORY

#: what a UserProxyAgent takes: the prompt, and the token of the run where it is async
Ask = Callable[[str], str] | Callable[[str, CancellationToken | None], Awaitable[str]]


def recorded_input(
    ask: Ask = input, *, name: str = ""
) -> Callable[[str, CancellationToken | None], Awaitable[str]]:
    """
    An ``input_func`` for a UserProxyAgent that asks a person once, whatever becomes of the run.

    ::

        UserProxyAgent("ann", input_func=recorded_input(ask_on_slack, name="ann"))

    Within a :func:`team_session` what the person said is recorded, and told again when the run goes
    on after a crash. Questions with the same prompt are told apart by their order; give a *name* to
    each of several people who may be asked at once. Outside of a session *ask* is asked each time.

    An approval of a call belongs into ``Policy(approval=True)`` and the inbox: it is bound to the
    arguments that the person saw, and blocks no run.
    """
    if not callable(ask):
        raise InvalidCall(f"{ask!r} asks nobody; give a function, as to a UserProxyAgent")

    async def recorded(prompt: str, cancellation_token: CancellationToken | None) -> str:
        async def person() -> str:
            return await _answer(ask, prompt, cancellation_token)

        memory = MEMORY.get()
        if memory is None:
            return await person()
        question = hashlib.sha256(f"{len(name)}:{name}{prompt}".encode()).digest()
        return await memory.said(question, person)

    return recorded


async def _answer(ask: Ask, prompt: str, token: CancellationToken | None) -> str:
    """As a UserProxyAgent asks: a function that blocks, in a thread."""
    if inspect.iscoroutinefunction(ask):
        return cast("str", await ask(prompt, token))
    blocking = cast("Any", ask)
    asking = asyncio.ensure_future(asyncio.to_thread(blocking, prompt))
    if token is not None:
        _ = token.link_future(asking)
    return cast("str", await asking)
