"""Chat models that say what they consumed, or fail, break off and dawdle as they are told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from pydantic import Field, PrivateAttr

from tallystick import Ledger
from tallystick.prices import Usage

#: what every answer consumes, unless it says otherwise
USED = Usage(input=10, output=5)


class Talker(BaseChatModel):
    """Answers at once, and remembers each time that somebody had to pay."""

    model: str = "talker-1"
    max_tokens: int | None = 20
    #: the settings of each call that reached the provider
    paid: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    #: what the next calls fail with, after they were paid
    failures: list[BaseException] = Field(default_factory=list[BaseException])
    #: says what it consumed
    tells: bool = True
    #: answers to give before the usual one
    script: list[AIMessage] = Field(default_factory=list[AIMessage])
    #: answers only then
    gate: Any = None
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    @property
    def _llm_type(self) -> str:
        return "talker"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, "max_tokens": self.max_tokens}

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        return self.bind(tools=[{"name": one.name} for one in tools], **kwargs)

    def _pay(self, settings: dict[str, Any]) -> AIMessage:
        with self._lock:
            self.paid.append(settings)
            if self.failures:
                raise self.failures.pop(0)
            answer = self.script.pop(0) if self.script else AIMessage("yes")
        said = {"finish_reason": "stop", "model_name": self.model}
        told = used() if self.tells else None
        return answer.model_copy(update={"usage_metadata": told, "response_metadata": said})

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        answer = self._pay(kwargs)
        if self.gate is not None:
            self.gate.wait(10)
        return ChatResult(generations=[ChatGeneration(message=answer)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        answer = self._pay(kwargs)
        if self.gate is not None:
            await asyncio.wait_for(self.gate.wait(), 10)
        return ChatResult(generations=[ChatGeneration(message=answer)])


class Streamer(Talker):
    """Streams its answer, and what it consumed at the end."""

    words: tuple[str, ...] = ("one ", "two ", "three")
    #: breaks off after so many words
    breaks: int | None = None
    breaks_with: type[Exception] = ConnectionResetError

    #: what it says that it consumed before the first word
    first: Any = None

    def _pieces(self) -> Iterator[ChatGenerationChunk]:
        if self.first is not None:
            yield ChatGenerationChunk(message=AIMessageChunk(content="", usage_metadata=self.first))
        for at, word in enumerate(self.words):
            if at == self.breaks:
                raise self.breaks_with("in the middle")
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))
        said = {"finish_reason": "stop", "model_name": self.model}
        yield ChatGenerationChunk(message=AIMessageChunk(content="", response_metadata=said))
        if self.tells:
            yield ChatGenerationChunk(message=AIMessageChunk(content="", usage_metadata=used()))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        self._pay(kwargs)
        yield from self._pieces()

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        self._pay(kwargs)
        for piece in self._pieces():
            yield piece
            if self.gate is not None:
                await asyncio.wait_for(self.gate.wait(), 10)


def used(usage: Usage = USED) -> UsageMetadata:
    """*usage* as LangChain says it."""
    return UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.total,
    )


#: the budget that most tests have
LINE = "agent"


def line(ledger: Ledger, name: str = LINE) -> tuple[Any, Any, Any]:
    """What a budget says is spent, reserved and unreconciled."""
    budget = ledger.budget(name)
    return budget.spent, budget.reserved, budget.unreconciled
