"""Every way to ask a chat model."""

from __future__ import annotations

import asyncio
import gc
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

Mode = Callable[[Any, Any], Any]


def stream(model: Any, config: Any) -> Any:
    """Take a stream to its end."""
    return list(model.stream("hi", config))


def generate(model: Any, config: Any) -> Any:
    """Ask one level below ``invoke``."""
    return model.generate([[HumanMessage("hi")]], **config)


def events(model: Any, config: Any) -> Any:
    """Take the newest kind of stream to its end; it is not yet settled, and says so."""
    with warnings.catch_warnings(action="ignore"):
        return model.stream_events("hi", config, version="v3").output


async def _astream(model: Any, config: Any) -> Any:
    return [chunk async for chunk in model.astream("hi", config)]


async def _aevents(model: Any, config: Any) -> Any:
    with warnings.catch_warnings(action="ignore"):
        flow = await model.astream_events("hi", config, version="v3")
        answer = await flow.output
    await asyncio.sleep(0.01)  # what ends it comes after its last word
    return answer


async def _aevents_before(model: Any, config: Any) -> Any:
    # When a callback raises, LangChain forgets to await the ones after it.
    with warnings.catch_warnings(action="ignore"):
        try:
            return [event async for event in model.astream_events("hi", config, version="v2")]
        except Exception as error:
            traceback.clear_frames(error.__traceback__)
            gc.collect()
            raise


BLOCKING: dict[str, Mode] = {
    "invoke": lambda model, config: model.invoke("hi", config),
    "stream": stream,
    "batch": lambda model, config: model.batch(["hi"], config),
    "generate": generate,
    "stream_events": events,
}
AWAITING: dict[str, Mode] = {
    "ainvoke": lambda model, config: asyncio.run(model.ainvoke("hi", config)),
    "astream": lambda model, config: asyncio.run(_astream(model, config)),
    "abatch": lambda model, config: asyncio.run(model.abatch(["hi"], config)),
    "agenerate": lambda model, config: asyncio.run(
        model.agenerate([[HumanMessage("hi")]], **config)
    ),
    "astream_events": lambda model, config: asyncio.run(_aevents(model, config)),
    "astream_events v2": lambda model, config: asyncio.run(_aevents_before(model, config)),
}
MODES = BLOCKING | AWAITING
modes = pytest.mark.parametrize("mode", MODES.values(), ids=MODES.keys())
STREAMS = ("stream", "stream_events", "astream", "astream_events", "astream_events v2")
BATCHES = ("batch", "abatch")
