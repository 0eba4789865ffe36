"""A wrapped tool is what it was, to the model and to the framework."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tools import BaseTool, StructuredTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.store.memory import InMemoryStore

from tallystick import Ledger, Policy
from tallystick_langchain import wrap_tool, wrap_tools
from tests.adapters.langchain_agents import agent_of, asking, graph_of, once, said, thread
from tests.adapters.langchain_classes import Sync
from tests.adapters.langchain_kinds import KINDS, Kind

kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
sync_kinds = pytest.mark.parametrize(
    "kind",
    [kind for kind in KINDS.values() if not kind.is_async],
    ids=[name for name, kind in KINDS.items() if not kind.is_async],
)


@pytest.fixture
def store() -> InMemoryStore:
    store = InMemoryStore()
    store.put(("prices",), "x", {"price": 5})
    return store


def seen(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages of a run, without what is random in them."""
    return [message.model_dump(exclude={"id"}) for message in result["messages"]]


def public(tool: BaseTool) -> dict[str, Any]:
    return {name: getattr(tool, name) for name in type(tool).model_fields}


# ---------------------------------------------------------------- what it looks like


@kinds
def test_a_model_is_sent_the_same_bytes(kind: Kind, ledger: Ledger) -> None:
    bare, wrapped = kind.make(), wrap_tool(kind.make(), ledger)
    assert json.dumps(convert_to_openai_tool(wrapped)) == json.dumps(convert_to_openai_tool(bare))
    assert json.dumps(wrapped.args) == json.dumps(bare.args)


@kinds
def test_every_attribute_is_the_one_of_the_original(kind: Kind, ledger: Ledger) -> None:
    bare = kind.make()
    wrapped = wrap_tool(bare, ledger)
    assert wrapped is not bare
    assert isinstance(wrapped, type(bare))
    assert all(getattr(wrapped, name) is value for name, value in public(bare).items())
    injected = "_injected_args_keys"
    assert getattr(wrapped, injected) == getattr(bare, injected)
    assert wrapped.get_input_schema() is bare.get_input_schema() or bare.args_schema is None
    assert repr(wrapped) == repr(bare)
    assert list(wrapped.model_dump()) == list(bare.model_dump())
    assert wrapped.lc_id() == bare.lc_id()
    assert type(wrapped).__module__ == type(bare).__module__


@kinds
def test_the_original_is_left_alone(kind: Kind, ledger: Ledger) -> None:
    bare = kind.make()
    before = type(bare), dict(vars(bare))
    wrap_tool(bare, ledger)
    assert (type(bare), dict(vars(bare))) == before


def test_private_attributes_stay(ledger: Ledger) -> None:
    tool = Sync()
    tool.keep("mine")
    assert wrap_tool(tool, ledger, workflow="w").invoke({"x": 1}) == "mine 2 True"


def test_the_subclass_is_made_once_for_each_class(ledger: Ledger) -> None:
    one, other = wrap_tool(Sync(), ledger), wrap_tool(Sync(name="other"), ledger)
    assert type(one) is type(other)


COPIES: dict[str, Callable[[BaseTool], BaseTool]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "model_copy": lambda tool: tool.model_copy(),
    "model_copy(deep=True)": lambda tool: tool.model_copy(deep=True),
}


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_of_a_wrapped_tool_is_still_wrapped(way: str, ledger: Ledger) -> None:
    copied = COPIES[way](wrap_tool(Sync(), ledger, workflow="w"))
    assert copied.invoke({"x": 1}) == "kept 2 True"
    assert [effect.tool for effect in ledger.effects()] == ["sync_class"]


def test_a_renamed_copy_is_recorded_under_its_new_name(ledger: Ledger) -> None:
    renamed = wrap_tool(Sync(), ledger, workflow="w").model_copy(update={"name": "renamed"})
    renamed.invoke({"x": 1})
    assert [effect.tool for effect in ledger.effects()] == ["renamed"]
    assert convert_to_openai_tool(renamed)["function"]["name"] == "renamed"


# ---------------------------------------------------------------- what it does


@sync_kinds
def test_a_tool_node_gets_the_same_messages(
    kind: Kind, ledger: Ledger, store: InMemoryStore
) -> None:
    def run(tool: BaseTool) -> list[dict[str, Any]]:
        graph = graph_of([tool], store=store)
        return seen(graph.invoke({"messages": [asking((tool.name, kind.args, "c1"))]}, thread()))

    assert run(wrap_tool(kind.make(), ledger, workflow="w")) == run(kind.make())


@kinds
async def test_an_async_tool_node_gets_the_same_messages(
    kind: Kind, ledger: Ledger, store: InMemoryStore
) -> None:
    async def run(tool: BaseTool) -> list[dict[str, Any]]:
        graph = graph_of([tool], store=store)
        messages = {"messages": [asking((tool.name, kind.args, "c1"))]}
        return seen(await graph.ainvoke(messages, thread()))

    assert await run(wrap_tool(kind.make(), ledger, workflow="w")) == await run(kind.make())


@sync_kinds
def test_an_agent_gets_the_same_messages(kind: Kind, ledger: Ledger, store: InMemoryStore) -> None:
    def run(tool: BaseTool) -> list[dict[str, Any]]:
        agent = agent_of([tool], once((tool.name, kind.args, "c1")), store=store)
        return seen(agent.invoke(said(), thread()))

    assert run(wrap_tool(kind.make(), ledger, workflow="w")) == run(kind.make())


@kinds
async def test_an_async_agent_gets_the_same_messages(
    kind: Kind, ledger: Ledger, store: InMemoryStore
) -> None:
    async def run(tool: BaseTool) -> list[dict[str, Any]]:
        agent = agent_of([tool], once((tool.name, kind.args, "c1")), store=store)
        return seen(await agent.ainvoke(said(), thread()))

    assert await run(wrap_tool(kind.make(), ledger, workflow="w")) == await run(kind.make())


@kinds
async def test_a_repeated_call_is_answered_by_the_ledger(
    kind: Kind, ledger: Ledger, store: InMemoryStore
) -> None:
    tool = wrap_tool(kind.make(), ledger, workflow="w")
    graph = graph_of([tool], store=store)
    messages = {"messages": [asking((tool.name, kind.args, "c1"))]}
    first = await graph.ainvoke(messages, thread())
    again = await graph.ainvoke(messages, thread())
    assert seen(again) == seen(first)
    [effect] = ledger.effects()
    assert effect.attempt == 1
    assert not effect.args.keys() & set(kind.hidden)


@pytest.mark.parametrize(
    "kind",
    [kind for kind in KINDS.values() if kind.bare],
    ids=[name for name, kind in KINDS.items() if kind.bare],
)
async def test_a_direct_call_returns_the_same(kind: Kind, ledger: Ledger) -> None:
    bare, wrapped = kind.make(), wrap_tool(kind.make(), ledger)
    with ledger.workflow("awaited"):
        assert await wrapped.ainvoke(kind.args) == await bare.ainvoke(kind.args)
    if not kind.is_async:
        with ledger.workflow("blocking"):
            assert wrapped.invoke(kind.args) == bare.invoke(kind.args)
    assert len(ledger.effects()) == 1 + (not kind.is_async)


class Heard(BaseCallbackHandler):
    """Remembers what LangChain tells its listeners."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_tool_start(self, serialized: Any, input_str: str, **kwargs: Any) -> None:
        told = {name: kwargs.get(name) for name in ("tags", "metadata", "inputs", "tool_call_id")}
        self.heard.append(("start", serialized, input_str, told))

    def on_tool_end(self, output: Any, **kwargs: Any) -> None:
        self.heard.append(("end", output))

    def on_tool_error(self, error: BaseException, **kwargs: Any) -> None:
        self.heard.append(("error", error))


def test_listeners_tags_and_metadata_are_kept(ledger: Ledger) -> None:
    def run(*, wrapped: bool) -> list[Any]:
        heard = Heard()
        tool = Sync(tags=["money"], metadata={"team": "billing"}, callbacks=[heard])
        call = {"name": tool.name, "args": {"x": 1}, "id": "c1", "type": "tool_call"}
        (wrap_tool(tool, ledger) if wrapped else tool).invoke(call, thread())
        return heard.heard

    assert run(wrapped=True) == run(wrapped=False)


def test_a_tool_that_is_only_async_says_so_before_anything_is_claimed(ledger: Ledger) -> None:
    for name in ("coroutine", "JSON schema"):
        tool = wrap_tool(KINDS[name].make(), ledger, workflow="w")
        with pytest.raises(NotImplementedError, match="does not support sync"):
            tool.invoke({"x": 1})
    assert ledger.effects() == []


def test_a_class_that_is_only_async_says_so_and_nothing_is_in_doubt(ledger: Ledger) -> None:
    tool = wrap_tool(KINDS["class, async"].make(), ledger, workflow="w")
    with pytest.raises(NotImplementedError, match="does not support sync"):
        tool.invoke({"x": 1})
    assert ledger.pending() == []


# ---------------------------------------------------------------- what can be wrapped


def test_functions_become_tools_and_provider_tools_stay(ledger: Ledger) -> None:
    def add(x: int, y: int) -> int:
        """Add."""
        return x + y

    builtin = {"type": "web_search"}
    tools = wrap_tools([add, builtin, Sync()], ledger)
    assert isinstance(tools[0], StructuredTool)
    assert tools[1] is builtin
    assert [tool.name for tool in tools if isinstance(tool, BaseTool)] == ["add", "sync_class"]


def test_wrapping_twice_is_wrapping_once(ledger: Ledger) -> None:
    once_ = wrap_tool(Sync(), ledger, policy=Policy(approval=True))
    assert wrap_tools([once_], ledger)[0] is once_
    assert wrap_tool(once_, ledger) is once_
