"""A whole agent is told again with neither its tools nor its model: the ids are the old ones."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from langchain import agents
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk
from langgraph.checkpoint.memory import InMemorySaver

from tallystick import Ledger
from tallystick.errors import Divergence, InvalidCall, NoWorkflow
from tallystick.prices import Overrides
from tallystick_langchain import BudgetCallback, recorded
from tests.adapters.langchain_agents import Asked, ScriptedModel, asking

from ._world import World, in_turn, said, thread

STORES = ("sqlite",)
PRICES = Overrides({"toy": {"input": "1", "output": "1"}})
USED = {"input_tokens": 9_000, "output_tokens": 1_000, "total_tokens": 10_000}
CALLS: list[Asked] = [("pay", {"amount": 5})] * 3


class Streaming(ScriptedModel):
    """Says its script word by word, and remembers how often it was asked."""

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        self.asked.append(len(messages))
        answer = self.script(messages)
        if not isinstance(answer, str):
            message = asking(*answer)
            yield ChatGenerationChunk(
                message=AIMessageChunk(content="", id=message.id, tool_calls=message.tool_calls)
            )
            return
        for word in answer.split():
            yield ChatGenerationChunk(message=AIMessageChunk(content=f"{word} "))


def told(messages: Sequence[BaseMessage]) -> list[Any]:
    """All that is in a thread: contents, and the ids of calls and answers."""
    calls = ([call["id"] for call in getattr(m, "tool_calls", ())] for m in messages)
    ids = (getattr(m, "tool_call_id", None) for m in messages)
    return [(m.type, m.content, *ids) for m, *ids in zip(messages, calls, ids, strict=True)]


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
def test_an_agent_replays_with_neither_tools_nor_model(world: World, way: str) -> None:
    """Equal calls in one message, under ids that the model made up: each gets its own again."""
    model = Streaming(script=in_turn(CALLS, [("pay", {"amount": 7})], "all of it is paid"))

    def run() -> Any:
        agent = agent_with(world, recorded(model, world.ledger))
        config = thread()
        if way == "invoke":
            return told(agent.invoke(said(), config)["messages"])
        if way == "ainvoke":
            return told(asyncio.run(agent.ainvoke(said(), config))["messages"])
        if way == "stream":
            list(agent.stream(said(), config, stream_mode="messages"))
            return told(agent.get_state(config).values["messages"])

        async def main() -> Any:
            async for _ in agent.astream(said(), config, stream_mode="messages"):
                pass
            return (await agent.aget_state(config)).values["messages"]

        return told(asyncio.run(main()))

    first = run()
    asked, paid = len(model.asked), len(world.book)
    assert (asked, paid) == (3, 4)
    with world.ledger.replay("order-42") as replay:
        assert run() == first
    assert (len(model.asked), len(world.book), replay.served) == (asked, paid, 7)


def agent_with(world: World, model: Any) -> Any:
    """An agent with that very model, on a fresh checkpointer."""
    kit: Any = agents
    return kit.create_agent(model, world.tools(), checkpointer=InMemorySaver())


def test_a_replayed_answer_costs_nothing(world: World) -> None:
    """The callback that counted it lets it pass; a model that is not recorded pays again."""
    budget = world.ledger.budget("team", usd="1")
    config: Any = {"callbacks": [BudgetCallback(world.ledger, "team", prices=PRICES)]}

    def model() -> Any:
        answers = iter([AIMessage("Hello!", usage_metadata=USED)])  # pyright: ignore[reportArgumentType]
        return GenericFakeChatModel(messages=answers)

    def ask(asked: Any) -> Any:
        return asked.bind(model="toy", max_tokens=1_000).invoke("Hi!", config).content

    with world.ledger.workflow("w"):
        assert ask(recorded(model(), world.ledger)) == "Hello!"
    spent = budget.spent
    with world.ledger.replay("w"):
        assert ask(recorded(model(), world.ledger)) == "Hello!"
    assert (spent > 0, budget.spent, budget.reserved) == (True, spent, 0)
    with world.ledger.replay("w", mode="lenient"):
        ask(model())
    assert budget.spent == 2 * spent


def test_another_question_is_a_divergence_and_nobody_is_asked(world: World) -> None:
    model = Streaming(script=in_turn("paid"))
    asks = recorded(model, world.ledger)
    with world.ledger.workflow("w"):
        first = asks.invoke("What is due?")
    with pytest.raises(Divergence, match="What is late") as caught, world.ledger.replay("w"):
        asks.invoke("What is late?")
    assert caught.value.kind == "arguments"
    with world.ledger.replay("w", mode="lenient"):
        assert asks.invoke("What is late?").content == first.content
    assert len(model.asked) == 1


def test_a_recorded_model_works_like_the_one_that_it_is_of() -> None:
    """It is of the same class and name, and the one that was given is not changed."""
    model = Streaming(script=in_turn("paid"))
    with Ledger("memory://") as ledger:
        asks = recorded(model, ledger)
        assert isinstance(asks, Streaming)
        assert type(asks).__name__ == "Streaming"
        assert asks.get_name() == model.get_name()
        assert ("tallystick_recorded" in (model.metadata or {}), type(model)) == (False, Streaming)
        with pytest.raises(NoWorkflow, match="do not"):
            asks.invoke("Hi!")
        assert model.asked == []
        for wrong in (asks, model.bind(stop=["x"]), "gpt-5"):
            with pytest.raises(InvalidCall, match="give a chat model, once"):
                recorded(wrong, ledger)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
