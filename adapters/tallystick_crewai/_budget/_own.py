"""
Models of a user's own: nothing makes them say that they are called, so that it is seen at the call.

CrewAI's own classes emit its events. Of the others it announces only some calls: those of a plain
agent's steps, and none of an agent that plans, of a converter, or of whoever calls the model.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from crewai.llms.base_llm import BaseLLM

#: what is to be around a call of that model, with those messages, tools and schema
Around = Callable[[Any, Any, Any, Any], AbstractContextManager[None]]

_CREWAI = "crewai"
_COVERED = "_tallystick_covered"


def cover(around: Around) -> None:
    """From now on every call of every class of model that is not CrewAI's has that around it."""
    for kind in _kinds(BaseLLM):
        own = vars(kind)
        for name, covered in (("call", _called), ("acall", _awaited)):
            method = own.get(name)
            if method is not None and not hasattr(method, _COVERED):
                made = covered(method, around)
                setattr(made, _COVERED, True)
                setattr(kind, name, made)


def _kinds(kind: type[Any]) -> Iterator[type[Any]]:
    for each in kind.__subclasses__():
        if each.__module__.partition(".")[0] != _CREWAI:
            yield each
        yield from _kinds(each)


def _called(method: Callable[..., Any], around: Around) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(model: Any, *args: Any, **options: Any) -> Any:
        with around(model, *_asked(*args, **options)):
            return method(model, *args, **options)

    return call


def _awaited(method: Callable[..., Any], around: Around) -> Callable[..., Any]:
    @functools.wraps(method)
    async def acall(model: Any, *args: Any, **options: Any) -> Any:
        with around(model, *_asked(*args, **options)):
            return await method(model, *args, **options)

    return acall


def _asked(
    messages: Any = None,
    tools: Any = None,
    callbacks: Any = None,
    available_functions: Any = None,
    from_task: Any = None,
    from_agent: Any = None,
    response_model: Any = None,
    *_: Any,
    **__: Any,
) -> tuple[Any, Any, Any]:
    """What is sent, by the places and names that ``BaseLLM.call`` gives it."""
    return messages, tools, response_model
