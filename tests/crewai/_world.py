"""Real crews with scripted models: no network, no account."""

from __future__ import annotations

import asyncio
import copy
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from crewai import Agent, Crew, Task
from crewai.events.types.llm_events import LLMCallType
from crewai.llms.base_llm import BaseLLM, llm_call_context
from crewai.tools import BaseTool
from pydantic import PrivateAttr

#: what a model answers: text, calls of tools, an error, or a function of what it is told
Turn = Any
Calls = list[tuple[str, dict[str, Any]]]


class Raw(str):
    """What a model answers to the letter, whatever CrewAI makes of it."""

    __slots__ = ()


class Model(BaseLLM):
    """Answers by its script, the last turn for ever; ``native`` or in ReAct's text."""

    llm_type: str = "scripted"
    native: bool = True
    _turns: list[Turn] = PrivateAttr(default_factory=list[Any])
    _heard: list[Any] = PrivateAttr(default_factory=list[Any])

    @classmethod
    def of(cls, *turns: Turn, native: bool = True) -> Model:
        model = cls(model="scripted", native=native)
        model._turns = list(turns)
        return model

    @property
    def calls(self) -> int:
        """How often it was asked."""
        return len(self._heard)

    def rewind(self) -> None:
        """Begin the script once more."""
        self._heard.clear()

    @property
    def heard(self) -> str:
        """Everything that it was told."""
        return json.dumps(self._heard, default=str)

    def supports_function_calling(self) -> bool:
        return self.native

    def get_context_window_size(self) -> int:
        return 100_000

    def call(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        turn: Any = self._turns[min(len(self._heard), len(self._turns) - 1)]
        self._heard.append(copy.deepcopy(messages))
        turn = turn(messages) if callable(turn) else turn
        with llm_call_context():
            self._emit_call_started_event(messages=messages)
            if isinstance(turn, BaseException):
                self._emit_call_failed_event(error=str(turn))
                raise turn
            answer = self._said(turn)
            kind = LLMCallType.LLM_CALL if type(answer) is str else LLMCallType.TOOL_CALL
            self._emit_call_completed_event(response=answer, call_type=kind, messages=messages)
            return answer

    async def acall(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        return self.call(messages, *args, **kwargs)

    def _said(self, turn: str | Calls) -> Any:
        if isinstance(turn, Raw):
            return str(turn)
        if isinstance(turn, str):
            return turn if self.native else f"Thought: done\nFinal Answer: {turn}"
        if not self.native:
            [(name, args)] = turn
            return f"Thought: I act\nAction: {name}\nAction Input: {json.dumps(args)}"
        number = len(self._heard)
        return [
            {
                "id": f"call_{number}_{n}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(args)},
            }
            for n, (name, args) in enumerate(turn)
        ]


class Bank:
    """Pays, as its errors and its patience say, and remembers each time that it did."""

    def __init__(self, *errors: BaseException, seconds: float = 0.0) -> None:
        self.paid: list[tuple[int, str]] = []
        self._errors = list(errors)
        self._seconds = seconds

    def pay(self, amount: int, to: str = "bob") -> str:
        """Pay someone."""
        time.sleep(self._seconds)
        self.paid.append((amount, to))
        if self._errors:
            raise self._errors.pop(0)
        return f"paid {amount} to {to} as number {len(self.paid)}"

    async def apay(self, amount: int, to: str = "bob") -> str:
        """Pay someone, awaited."""
        await asyncio.sleep(self._seconds)
        return self.pay(amount, to)


PAY: Calls = [("pay", {"amount": 5})]
PAY_OTHERWISE: Calls = [("pay", {"amount": 7})]
DELEGATE: Calls = [
    (
        "delegate_work_to_coworker",
        {"task": "Pay bob 5.", "context": "bob waits", "coworker": "clerk"},
    )
]


def pays_once(messages: Any) -> str | Calls:
    """Pay, and then be done, whoever else asks the same model meanwhile."""
    return "done" if any(message["role"] == "tool" for message in messages) else PAY


def agent_of(model: Model, tools: Sequence[BaseTool] = (), **options: Any) -> Any:
    """An agent that answers by the script of *model*."""
    options.setdefault("role", "clerk")
    return Agent(goal="pay", backstory="a bank", llm=model, tools=list(tools), **options)


def task_of(agent: Any, text: str = "Pay bob 5.", **options: Any) -> Task:
    """A task of that agent."""
    return Task(description=text, expected_output="a receipt", agent=agent, **options)


def crew_of(
    model: Model,
    tools: Sequence[BaseTool],
    *,
    tasks: int = 1,
    agent: dict[str, Any] | None = None,
    task: dict[str, Any] | None = None,
    **options: Any,
) -> Any:
    """A crew of one agent that has *tools*, with so many tasks."""
    clerk = agent_of(model, tools, **(agent or {}))
    made = [task_of(clerk, f"Task {n}: pay bob 5.", **(task or {})) for n in range(tasks)]
    return Crew(agents=[clerk], tasks=made, **options)


def _streamed(crew: Any) -> Any:
    crew.stream = True
    output: Any = crew.kickoff()
    for _ in output:
        pass
    return output.result


HOWS: dict[str, Callable[[Any], Any]] = {
    "kickoff": lambda crew: crew.kickoff(),
    "kickoff_async": lambda crew: asyncio.run(crew.kickoff_async()),
    "akickoff": lambda crew: asyncio.run(crew.akickoff()),
    "stream": _streamed,
}

natively = pytest.mark.parametrize("native", [True, False], ids=["native", "react"])
however = pytest.mark.parametrize("how", HOWS)
