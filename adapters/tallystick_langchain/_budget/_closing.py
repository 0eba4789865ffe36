"""
What became of a call that was reserved for.

Its answer is worth more than the record of it: nothing here raises. What cannot be written down
stays charged.
"""

from __future__ import annotations

import _thread
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from langchain_core.outputs import LLMResult

from tallystick.metering import refused
from tallystick.prices import Usage
from tallystick_langchain._budget._runs import Call
from tallystick_langchain._budget._usage import Heard, heard, hides, partial

#: seconds that whoever closes a stream waits for the record of it
_MOMENT = 0.1

_log = logging.getLogger("tallystick.langchain")


def answered(call: Call, response: LLMResult) -> None:
    """Book what the answer says that it consumed; free, where LangChain's cache gave it."""
    _safely(_answered, call, response)


def _answered(call: Call, response: LLMResult) -> None:
    answer = heard(response, alone=call.alone)
    if answer.cached:
        call.metered.release(reason="LangChain's cache answered")
        return
    usage = answer.usage or _estimate(call, answer)
    if usage is None:
        reason = "the answer does not say what it consumed"
        call.metered.leave(None, reason=reason, model=answer.model)
        return
    call.metered.settle(usage, model=answer.model, answer=answer.digest)


def _estimate(call: Call, answer: Heard) -> Usage | None:
    """An upper bound of what a whole answer consumed, from its bytes; ``None`` without one."""
    unseen = not answer.whole or hides(call.params, answer.model or call.request.model)
    if unseen or call.request.input_bound is None:
        return None
    return Usage(input=call.request.input_bound, output=answer.said)


def failed(call: Call, error: BaseException, response: Any) -> None:
    """Book what is known, or release what was certainly not processed."""
    if isinstance(error, GeneratorExit):
        _elsewhere(_failed, call, error, response)
    else:
        _safely(_failed, call, error, response)


def _failed(call: Call, error: BaseException, response: Any) -> None:
    part = partial(response, call.streamed)
    why = f"{type(error).__name__}: {error}"[:500]
    if part.whole and part.usage is not None:
        call.metered.settle(part.usage, model=part.model)
    elif not (call.begun or part.begun) and refused(error):
        call.metered.release(reason=why)
    else:
        call.metered.leave(part.usage, reason=why, model=part.model)


def given_up(call: Call, why: str) -> None:
    """Nobody will say more of it: what is known is booked, the rest stays charged."""
    usage = Usage.from_langchain(call.streamed)
    _safely(call.metered.leave, usage, reason=why)


def unheard(call: Call) -> None:
    """It was answered, and the answer was thrown away with another one."""
    given_up(call, "its answer was lost when another call of the same batch failed")


def unsent(call: Call) -> None:
    """It was certainly not sent."""
    _safely(call.metered.release, reason="another call was refused before it was sent")


def _elsewhere(deed: Callable[..., None], *args: Any) -> None:
    """
    On another thread, for which this one waits a moment.

    The collector may close a stream in the middle of anything, also of a transaction of this very
    thread: what waits for that here would wait for itself.
    """
    done = _thread.allocate_lock()
    done.acquire()

    def work() -> None:
        _safely(deed, *args)
        done.release()

    with contextlib.suppress(RuntimeError):  # the interpreter ends; it stays charged
        _thread.start_new_thread(work, ())
        done.acquire(timeout=_MOMENT)


def _safely(deed: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    try:
        deed(*args, **kwargs)
    except Exception:  # noqa: BLE001 - whatever it is, it must not cost an answer that was paid for
        _log.exception("what a model call consumed was not recorded; it stays charged in full")
