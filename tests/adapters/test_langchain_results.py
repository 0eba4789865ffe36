"""What tools return comes back from the ledger: equal, of its type, for the call that asks."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.tools import BaseTool, InjectedToolCallId, tool
from langgraph.types import Command, Overwrite, Send
from pydantic import BaseModel

from tallystick import EffectInDoubt, Ledger, Policy
from tallystick._codec import decode, encode
from tallystick.errors import ResultTypeUnknown
from tallystick_langchain import wrap_tool
from tests.adapters.langchain_agents import agent_of, answers, asking, once, said, thread


def invoked(tool: BaseTool, call_id: str | None = "c1") -> Any:
    call = {"name": tool.name, "args": {"x": 1}, "id": call_id, "type": "tool_call"}
    return tool.invoke(call, thread())


class Hit(BaseModel):
    url: str


TOOL = ToolMessage(
    "ok", tool_call_id="c1", artifact=Hit(url="u"), name="t", id="m1", status="error"
)
VALUES: dict[str, Any] = {
    "ToolMessage": TOOL,
    "HumanMessage": HumanMessage([{"type": "text", "text": "hi"}], name="ann", mood="good"),
    "AIMessage": asking(("act", {"x": (1, 2)}, "c9")),
    "AIMessageChunk": AIMessageChunk(content="par", response_metadata={"n": 1}),
    "SystemMessage": SystemMessage("be kind"),
    "ChatMessage": ChatMessage(content="hi", role="critic"),
    "RemoveMessage": RemoveMessage(id="m1"),
    "Document": Document("text", metadata={"page": 3}, id="d1"),
    "Documents with scores": [(Document("text"), 0.5)],
    "Command": Command(update={"messages": [TOOL]}, goto=[Send("next", {"n": 1}), "other"]),
    "Command to a parent": Command(graph=Command.PARENT, goto="next", update=[("k", 1)]),
    "Command to resume": Command(resume={"id": "yes"}),
    "Send": Send("next", None),
    "Send with a timeout": Send("next", {"n": 1}, timeout=3),
    "Overwrite": Overwrite({"n": 1}),
    "a list of everything": [TOOL, Command(update={"n": 1}), Document("x")],
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_what_langchain_returns_is_kept(value: Any) -> None:
    again = decode(encode(value))
    assert again == value
    assert type(again) is type(value)
    if isinstance(value, BaseModel):
        assert isinstance(again, BaseModel)
        assert again.model_fields_set == value.model_fields_set
        assert again.model_extra == value.model_extra


def test_a_message_is_kept_under_a_name_that_does_not_move() -> None:
    assert "langchain_core" not in encode(AIMessage("hi"))
    assert "langgraph.types" not in encode(Command(update={}))


@pytest.mark.parametrize(("old", "new"), [("AIMessage", "GoneMessage"), ("Command", "Gone")])
def test_a_kind_that_is_gone_is_a_typed_error(old: str, new: str) -> None:
    text = encode(AIMessage("hi") if old == "AIMessage" else Command(goto="x"))
    with pytest.raises(ResultTypeUnknown, match=new):
        decode(text.replace(old, new))


# ---------------------------------------------------------------- the current call's id

SAME = Policy(repeat="same")
REPLAY = Policy(on_suspect="replay")
adopting = pytest.mark.parametrize("policy", [SAME, REPLAY], ids=["same", "replay"])


@adopting
def test_a_plain_result_answers_the_call_that_asks(policy: Policy, ledger: Ledger) -> None:
    @tool
    def act(x: int) -> str:
        """Act."""
        return "acted"

    wrapped = wrap_tool(act, ledger, policy=policy)
    assert [invoked(wrapped, each).tool_call_id for each in ("c1", "c2")] == ["c1", "c2"]
    assert len(ledger.effects()) == 1


@adopting
def test_a_recorded_message_answers_the_call_that_asks(policy: Policy, ledger: Ledger) -> None:
    @tool
    def act(x: int, tool_call_id: Annotated[str, InjectedToolCallId]) -> ToolMessage:
        """Act."""
        return ToolMessage("acted", tool_call_id=tool_call_id, id="m1")

    wrapped = wrap_tool(act, ledger, policy=policy)
    first, again = invoked(wrapped, "c1"), invoked(wrapped, "c2")
    assert (first.tool_call_id, first.id) == ("c1", "m1")
    assert (again.tool_call_id, again.id, again.content) == ("c2", None, "acted")
    assert ledger.effects()[0].result == first


@adopting
def test_a_recorded_command_answers_the_call_that_asks(policy: Policy, ledger: Ledger) -> None:
    before = ToolMessage("earlier", tool_call_id="c0")

    @tool
    def hand_over(x: int, tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Hand over with the whole history."""
        own = ToolMessage("over", tool_call_id=tool_call_id)
        return Command(update={"messages": [HumanMessage("hi"), before, own], "n": 1}, goto="b")

    wrapped = wrap_tool(hand_over, ledger, policy=policy)
    invoked(wrapped, "c1")
    again = invoked(wrapped, "c2")
    messages = again.update["messages"]
    assert [message.tool_call_id for message in messages[1:]] == ["c0", "c2"]
    assert (again.update["n"], again.goto) == (1, "b")


@adopting
def test_a_recorded_list_answers_the_call_that_asks(policy: Policy, ledger: Ledger) -> None:
    messages = [ToolMessage("earlier", tool_call_id="c0")]
    earlier: Command[Any] = Command(update={"messages": messages})

    @tool
    def act(x: int, tool_call_id: Annotated[str, InjectedToolCallId]) -> list[Any]:
        """Act."""
        return [ToolMessage("own", tool_call_id=tool_call_id), earlier]

    wrapped = wrap_tool(act, ledger, policy=policy)
    invoked(wrapped, "c1")
    own, other = invoked(wrapped, "c2")
    assert own.tool_call_id == "c2"
    assert other == earlier


@adopting
def test_a_recorded_content_and_artifact_answers_the_call_that_asks(
    policy: Policy, ledger: Ledger
) -> None:
    @tool(response_format="content_and_artifact")
    def act(
        x: int, tool_call_id: Annotated[str, InjectedToolCallId]
    ) -> tuple[ToolMessage, dict[str, Any]]:
        """Act."""
        return ToolMessage("acted", tool_call_id=tool_call_id), {"raw": (x,)}

    wrapped = wrap_tool(act, ledger, policy=policy)
    assert [invoked(wrapped, each).tool_call_id for each in ("c1", "c2")] == ["c1", "c2"]


def test_a_model_that_asks_again_under_a_new_id_is_answered_in_its_agent(ledger: Ledger) -> None:
    ran: list[int] = []

    @tool
    def remember(x: int, tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Remember."""
        ran.append(x)
        return Command(update={"messages": [ToolMessage("kept", tool_call_id=tool_call_id)]})

    wrapped = wrap_tool(remember, ledger, policy=SAME)
    agent = agent_of([wrapped], once(("remember", {"x": 1})))
    agent.invoke(said(), thread())
    result = agent.invoke(said(), thread())
    assert [message.content for message in answers(result)] == ["kept", "kept"]
    assert ran == [1]


def test_who_resolves_a_doubt_gives_the_content_and_needs_no_artifact(ledger: Ledger) -> None:
    @tool(response_format="content_and_artifact")
    def act(x: int) -> tuple[str, int]:
        """Act."""
        raise RuntimeError("lost")

    wrapped = wrap_tool(act, ledger)
    with pytest.raises(EffectInDoubt) as caught:
        invoked(wrapped)
    ledger.resolve(str(caught.value.key), by="ann", succeeded="it went through")
    answer = invoked(wrapped)
    assert (answer.content, answer.artifact) == ("it went through", None)


def test_a_result_of_a_local_class_comes_back_by_the_annotation(ledger: Ledger) -> None:
    class Receipt(BaseModel):
        number: int

    def act(x: int) -> Receipt:
        """Act."""
        return Receipt(number=x)

    act.__annotations__["return"] = Receipt  # it is local: no text can name it
    act.__annotations__["x"] = int
    wrapped = wrap_tool(act, ledger, workflow="w")
    assert [wrapped.invoke({"x": 1}) for _ in range(2)] == [Receipt(number=1)] * 2
    assert len(ledger.effects()) == 1
