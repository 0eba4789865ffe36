"""A chat model whose answers are recorded, and come from the record in a replay."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, cast

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import (
    AIMessageChunk,
    BaseMessage,
    BaseMessageChunk,
    message_chunk_to_message,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.outputs.chat_generation import merge_chat_generation_chunks
from langchain_core.runnables.config import var_child_runnable_config

from tallystick import Ledger
from tallystick._context import WORKFLOW, stated
from tallystick._flows.call import Call
from tallystick._keys import is_a
from tallystick._recording import Question, Recorder
from tallystick.errors import InvalidCall, LedgerError
from tallystick_langchain._budget._request import payload_of
from tallystick_langchain._known import RECORDED
from tallystick_langchain._stops import translate

M = TypeVar("M", bound=BaseChatModel)

#: a model that makes its answer of its own stream is recorded once
_INSIDE: ContextVar[bool] = ContextVar("tallystick_langchain_recording", default=False)
_BASE: Any = BaseChatModel


def recorded(model: M, ledger: Ledger) -> M:
    """
    A model that works like *model*, and whose answers are kept in the record of their run.

    Inside of ``ledger.replay(…)`` nobody is asked and no BudgetCallback charges anything: the
    recorded answers come again, so that a whole agent replays with no network; Divergence where
    none is recorded. A run is the ambient workflow, else the thread; NoWorkflow without either.
    An answer that was streamed comes again in one piece; one that failed or broke off is not kept.

    Give it to the agent in the place of *model*, which is not changed; ``bind_tools`` and the like
    come after.

    >>> from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    >>> from langchain_core.messages import AIMessage
    >>> ledger = Ledger("memory://")
    >>> model = recorded(GenericFakeChatModel(messages=iter([AIMessage("Hello!")])), ledger)
    >>> with ledger.workflow("greeting-1"):
    ...     model.invoke("Hi!").content
    'Hello!'
    >>> with ledger.replay("greeting-1"):
    ...     model.invoke("Hi!").content
    'Hello!'
    >>> ledger.close()
    """
    if not is_a(ledger, Ledger):
        raise InvalidCall(f"{ledger!r} is no ledger; give a tallystick.Ledger")
    if not is_a(model, BaseChatModel) or (model.metadata or {}).get(RECORDED):
        raise InvalidCall(
            f"{type(model).__name__}: give a chat model, once, before bind_tools and the like"
        )
    copy: Any = model.model_copy()
    object.__setattr__(copy, "__class__", _recording(type(model), Recorder(ledger)))
    copy.metadata = {**(model.metadata or {}), RECORDED: True}
    return cast("M", copy)


def _recording(kind: Any, recorder: Recorder) -> Any:
    """*kind*, with a record in front of whatever it implements itself."""
    ways: dict[str, Callable[[Any, Recorder], Any]] = {
        "_generate": _generating,
        "_agenerate": _agenerating,
        "_stream": _streaming,
        "_astream": _astreaming,
    }
    own: dict[str, Any] = {
        name: way(kind, recorder)
        for name, way in ways.items()
        if getattr(kind, name) is not getattr(_BASE, name)
    }
    names = {name: getattr(kind, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(kind)(kind.__name__, (kind,), {**names, **own})


# -- the four ways to ask ---------------------------------------------------------------------


def _generating(kind: Any, recorder: Recorder) -> Any:
    def _generate(
        self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **options: Any
    ) -> ChatResult:
        asked = _given(kind._generate, stop, run_manager, options)  # noqa: SLF001
        if _INSIDE.get():
            return cast("ChatResult", kind._generate(self, messages, **asked))  # noqa: SLF001
        call = _call(recorder, self, messages, stop, options)
        if recorder.replays:
            return _result(_stopping(recorder.answer, call))
        with _inside():
            result: ChatResult = kind._generate(self, messages, **asked)  # noqa: SLF001
        recorder.keep(call, _told(result.generations, result.llm_output))
        return result

    return _generate


def _agenerating(kind: Any, recorder: Recorder) -> Any:
    async def _agenerate(
        self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **options: Any
    ) -> ChatResult:
        asked = _given(kind._agenerate, stop, run_manager, options)  # noqa: SLF001
        if _INSIDE.get():
            return cast("ChatResult", await kind._agenerate(self, messages, **asked))  # noqa: SLF001
        call = _call(recorder, self, messages, stop, options)
        if recorder.replays:
            return _result(await _astopping(recorder.aanswer, call))
        with _inside():
            result: ChatResult = await kind._agenerate(self, messages, **asked)  # noqa: SLF001
        await recorder.akeep(call, _told(result.generations, result.llm_output))
        return result

    return _agenerate


def _streaming(kind: Any, recorder: Recorder) -> Any:
    def _stream(
        self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **options: Any
    ) -> Generator[ChatGenerationChunk]:
        asked = _given(kind._stream, stop, run_manager, options)  # noqa: SLF001
        if _INSIDE.get():
            yield from kind._stream(self, messages, **asked)  # noqa: SLF001
            return
        call = _call(recorder, self, messages, stop, options)
        if recorder.replays:
            yield from _pieces(_stopping(recorder.answer, call))
            return
        chunks: list[ChatGenerationChunk] = []
        for chunk in kind._stream(self, messages, **asked):  # noqa: SLF001
            chunks.append(chunk.model_copy(deep=True))
            yield chunk
        recorder.keep(call, _told(_joined(chunks), None))

    return _stream


def _astreaming(kind: Any, recorder: Recorder) -> Any:
    async def _astream(
        self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **options: Any
    ) -> AsyncGenerator[ChatGenerationChunk]:
        asked = _given(kind._astream, stop, run_manager, options)  # noqa: SLF001
        if _INSIDE.get():
            async for chunk in kind._astream(self, messages, **asked):  # noqa: SLF001
                yield chunk
            return
        call = _call(recorder, self, messages, stop, options)
        if recorder.replays:
            for chunk in _pieces(await _astopping(recorder.aanswer, call)):
                yield chunk
            return
        chunks: list[ChatGenerationChunk] = []
        async for chunk in kind._astream(self, messages, **asked):  # noqa: SLF001
            chunks.append(chunk.model_copy(deep=True))
            yield chunk
        await recorder.akeep(call, _told(_joined(chunks), None))

    return _astream


def _given(way: Any, stop: Any, run_manager: Any, options: dict[str, Any]) -> dict[str, Any]:
    """What an implementation takes; not each of them wants to know its run."""
    knows = "run_manager" in inspect.signature(way).parameters
    return {"stop": stop, **({"run_manager": run_manager} if knows else {}), **options}


@contextmanager
def _inside() -> Generator[None]:
    token = _INSIDE.set(True)
    try:
        yield
    finally:
        _INSIDE.reset(token)


def _stopping(answer: Callable[[Call], Any], call: Call) -> Any:
    """A Divergence passes all layers, like whatever stops a run."""
    try:
        return answer(call)
    except LedgerError as error:
        raise translate(error) from error.__cause__


async def _astopping(answer: Callable[[Call], Awaitable[Any]], call: Call) -> Any:
    try:
        return await answer(call)
    except LedgerError as error:
        raise translate(error) from error.__cause__


# -- what is asked, and what was told ---------------------------------------------------------


def _call(
    recorder: Recorder, model: Any, messages: Sequence[BaseMessage], stop: Any, options: Any
) -> Call:
    said = model._get_ls_params(stop=stop, **options)  # noqa: SLF001
    params = model._get_invocation_params(stop=stop, **options)  # noqa: SLF001
    payload = {**payload_of(messages, params, {}), "stop": stop}
    text = json.dumps(payload, sort_keys=True, default=_class)
    name, provider = said.get("ls_model_name") or type(model).__name__, said.get("ls_provider")
    digest = hashlib.sha256(f"{provider}\n{name}\n{text}".encode()).digest()
    end = str(messages[-1].content) if messages else ""
    return recorder.call(Question(str(name), provider, digest, end), _workflow())


def _workflow() -> str | None:
    """Whose answer it is: what somebody said, else the thread's, else what a replay assumes."""
    conf: Any = (var_child_runnable_config.get() or {}).get("configurable") or {}
    thread = conf.get("thread_id")
    return stated() or (str(thread) if thread else None) or WORKFLOW.get()


def _class(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _told(generations: Sequence[ChatGeneration], output: Any) -> dict[str, Any]:
    told = [{"message": g.message, "info": g.generation_info} for g in generations]
    return {"generations": told, "output": output}


def _joined(chunks: list[ChatGenerationChunk]) -> list[ChatGenerationChunk]:
    merged = merge_chat_generation_chunks(chunks)
    return [] if merged is None else [merged]


def _result(told: dict[str, Any]) -> ChatResult:
    """A recorded answer as a whole."""
    generations = [
        ChatGeneration(message=_whole(one["message"]), generation_info=one["info"])
        for one in told["generations"]
    ]
    return ChatResult(generations=generations, llm_output=told["output"])


def _pieces(told: dict[str, Any]) -> Generator[ChatGenerationChunk]:
    """A recorded answer as a stream of one piece."""
    for one in told["generations"]:
        yield ChatGenerationChunk(message=_piece(one["message"]), generation_info=one["info"])


def _whole(message: BaseMessage) -> BaseMessage:
    return message_chunk_to_message(message) if isinstance(message, BaseMessageChunk) else message


def _piece(message: BaseMessage) -> BaseMessageChunk:
    if isinstance(message, BaseMessageChunk):
        return message
    fields = {name: value for name, value in message if name != "type"}
    return AIMessageChunk(**fields, chunk_position="last")
