"""What LangChain does with a callback that objects: why ours is of the kind that it is."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langgraph.errors import GraphBubbleUp

from tests.adapters.budget_models import Streamer
from tests.adapters.model_modes import AWAITING, BLOCKING, MODES, Mode


class Objection(Exception):
    """A callback does not want the call."""


class Objects(BaseCallbackHandler):
    def __init__(self, *, raises: bool, inline: bool, error: type[Exception] = Objection) -> None:
        self.raise_error = raises
        self.run_inline = inline
        self.error = error
        self.heard = 0

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.heard += 1
        raise self.error("no")


class Awaits(AsyncCallbackHandler):
    raise_error = True

    async def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        raise Objection("no")


def paid(mode: Mode, handler: BaseCallbackHandler) -> int:
    """How often a provider was asked in spite of *handler*."""
    model = Streamer()
    try:
        mode(model, {"callbacks": [handler]})
    except Objection:
        assert not model.paid
    return len(model.paid)


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "on a thread"])
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES.keys())
def test_a_blocking_callback_stops_every_call_if_it_raises(mode: Mode, inline: bool) -> None:
    assert paid(mode, Objects(raises=True, inline=inline)) == 0


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES.keys())
def test_without_raise_error_a_callback_stops_nothing(mode: Mode) -> None:
    assert paid(mode, Objects(raises=False, inline=True)) == 1


@pytest.mark.parametrize("mode", BLOCKING.values(), ids=BLOCKING.keys())
def test_an_async_callback_does_not_stop_blocking_calls(mode: Mode) -> None:
    assert paid(mode, Awaits()) == 1


@pytest.mark.parametrize("mode", AWAITING.values(), ids=AWAITING.keys())
def test_an_async_callback_stops_awaited_calls(mode: Mode) -> None:
    assert paid(mode, Awaits()) == 0


def test_with_retry_repeats_even_what_bubbles_up_unless_it_is_told_not_to() -> None:
    handler = Objects(raises=True, inline=True, error=GraphBubbleUp)
    model = Streamer()
    patient: Any = model.with_retry(wait_exponential_jitter=False)
    with pytest.raises(GraphBubbleUp):
        patient.invoke("hi", {"callbacks": [handler]})
    assert handler.heard == 3
    told: Any = model.with_retry(retry_if_exception_type=lambda error: isinstance(error, OSError))
    with pytest.raises(GraphBubbleUp):
        told.invoke("hi", {"callbacks": [handler]})
    assert handler.heard == 4
    assert not model.paid
