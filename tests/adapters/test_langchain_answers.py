"""What the model hears: what a person decided, and what the tool itself refused."""

from __future__ import annotations

import time
from typing import Any

import pytest
from langchain_core.tools import ToolException, tool

from tallystick import (
    Approval,
    ApprovalDenied,
    ApprovalRequired,
    EffectFailed,
    EffectInDoubt,
    Guarantee,
    Ledger,
    NotApplied,
    Policy,
    Status,
    current_effect,
)
from tallystick.errors import (
    ApprovalExpired,
    EffectCancelled,
)
from tallystick_langchain import wrap_tool
from tests.adapters.langchain_agents import (
    ASK,
    Acts,
    acted,
    agent_of,
    answers,
    said,
    thread,
)
from tests.adapters.langchain_layers import retrying

# ---------------------------------------------------------------- what a person decided


@pytest.mark.parametrize("handle", [False, True])
@pytest.mark.parametrize("response_format", ["content", "content_and_artifact"])
def test_a_model_hears_that_its_call_was_denied(
    handle: bool, response_format: str, ledger: Ledger
) -> None:
    acts = Acts()
    options = {"handle_tool_error": handle, "response_format": response_format}
    wrapped = wrap_tool(acts.tool(**options), ledger, policy=Policy(approval=True))
    agent = agent_of([wrapped], ASK)
    with pytest.raises(ApprovalRequired) as caught:
        agent.invoke(said(), thread())
    ledger.deny(str(caught.value.key), by="ann", reason="too expensive")
    result = agent.invoke(None, thread())
    [answer] = answers(result)
    assert (answer.status, answer.tool_call_id, answer.name) == ("error", "c1", "act")
    assert "denied by ann: too expensive" in answer.content
    assert result["messages"][-1].content == answer.content  # the agent went on to its end
    assert acts.runs == 0


async def test_an_async_agent_hears_it_too(ledger: Ledger) -> None:
    wrapped = wrap_tool(Acts().atool(), ledger, policy=Policy(approval=True))
    agent = agent_of([wrapped], ASK)
    with pytest.raises(ApprovalRequired) as caught:
        await agent.ainvoke(said(), thread())
    await ledger.adeny(str(caught.value.key), by="ann", reason="no")
    [answer] = answers(await agent.ainvoke(None, thread()))
    assert "denied by ann: no" in answer.content


def test_the_tools_own_handler_words_the_denial(ledger: Ledger) -> None:
    def handler(error: ToolException) -> str:
        assert isinstance(error, ApprovalDenied)
        return f"{error.by} said {error.reason}"

    for handle, words in ((handler, "ann said no"), ("Not possible.", "Not possible.")):
        wrapped = wrap_tool(
            Acts().tool(handle_tool_error=handle),
            ledger,
            workflow=words,
            policy=Policy(approval=True),
        )
        with pytest.raises(ApprovalRequired) as caught:
            acted(wrapped)
        ledger.deny(str(caught.value.key), by="ann", reason="no")
        assert acted(wrapped).content == words


def test_a_denial_without_a_model_is_raised(ledger: Ledger) -> None:
    wrapped = wrap_tool(Acts().tool(), ledger, policy=Policy(approval=True))
    with pytest.raises(ApprovalRequired) as caught:
        acted(wrapped, None)
    ledger.deny(str(caught.value.key), by="ann", reason="no")
    with pytest.raises(ApprovalDenied) as denied:
        acted(wrapped, None)
    assert (denied.value.by, denied.value.reason) == ("ann", "no")


def test_an_expired_approval_is_an_answer(ledger: Ledger) -> None:
    wrapped = wrap_tool(Acts().tool(), ledger, policy=Policy(approval=Approval(expires=0.01)))
    with pytest.raises(ApprovalRequired):
        acted(wrapped)
    time.sleep(0.03)
    assert "expired" in acted(wrapped).content
    with pytest.raises(ApprovalRequired):
        acted(wrapped, None)
    time.sleep(0.03)
    with pytest.raises(ApprovalExpired):
        acted(wrapped, None)


def test_a_cancelled_call_is_an_answer(ledger: Ledger) -> None:
    wrapped = wrap_tool(Acts().tool(), ledger, policy=Policy(approval=True))
    for call_id in ("c1", None):
        with pytest.raises(ApprovalRequired) as caught:
            acted(wrapped, call_id)
        ledger.cancel(str(caught.value.key), by="ann")
    assert "cancelled" in acted(wrapped).content
    with pytest.raises(EffectCancelled):
        acted(wrapped, None)


# ---------------------------------------------------------------- the tool's own failures


class Declined(ToolException):
    """A kind of a tool's own."""


def in_words(error: ToolException) -> str:
    return f"no: {error}"


@pytest.mark.parametrize("handle", [True, "Try another card.", in_words])
@pytest.mark.parametrize("error", [ToolException("declined"), Declined("declined")])
def test_a_handled_tool_exception_is_told_again_in_the_same_words(
    handle: Any, error: ToolException, ledger: Ledger
) -> None:
    acts = Acts(error)
    wrapped = wrap_tool(acts.tool(handle_tool_error=handle), ledger)
    first, again = acted(wrapped), acted(wrapped)
    assert again == first
    assert first.status == "error"
    assert acts.runs == 1
    assert [effect.status for effect in ledger.effects()] == [Status.FAILED]
    assert ledger.pending() == []


def test_a_handler_that_knows_only_its_own_exceptions_does_not_end_the_run(ledger: Ledger) -> None:
    def handler(error: ToolException) -> str:
        if isinstance(error, Declined):
            return str(error)
        raise error

    wrapped = wrap_tool(Acts(Declined("declined")).tool(handle_tool_error=handler), ledger)
    first, again = acted(wrapped), acted(wrapped)
    assert (again.content, again.status) == (first.content, first.status) == ("declined", "error")


def test_an_unhandled_tool_exception_is_raised_and_raised_again(ledger: Ledger) -> None:
    acts = Acts(ToolException("declined"))
    wrapped = wrap_tool(acts.tool(), ledger)
    with pytest.raises(ToolException, match=r"^declined$") as first:
        acted(wrapped)
    assert type(first.value) is ToolException
    with pytest.raises(ToolException, match=r"^declined$") as again:
        acted(wrapped)
    assert isinstance(again.value, EffectFailed)
    assert acts.runs == 1


def test_not_applied_is_a_tool_exception_to_langchain(ledger: Ledger) -> None:
    acts = Acts(NotApplied("no funds"))
    wrapped = wrap_tool(acts.tool(handle_tool_error=True), ledger)
    assert [acted(wrapped).content for _ in range(2)] == ["no funds"] * 2
    assert acts.runs == 1


def test_a_doubt_resolved_as_not_happened_runs_again_on_resume(ledger: Ledger) -> None:
    acts = Acts(RuntimeError("lost"))
    agent = agent_of([wrap_tool(acts.tool(), ledger)], ASK)
    with pytest.raises(EffectInDoubt) as caught:
        agent.invoke(said(), thread())
    ledger.resolve(str(caught.value.key), by="ann", failed="not in the book")
    assert answers(agent.invoke(None, thread()))[0].content == "acted on 1"
    assert acts.runs == 2


def test_an_idempotent_tool_is_retried_by_its_policy_under_one_key(ledger: Ledger) -> None:
    keys: list[str] = []

    @tool
    def act(x: int) -> str:
        """Act."""
        keys.append(current_effect().idempotency_key)
        if len(keys) == 1:
            raise RuntimeError("lost the answer")
        return "done"

    policy = Policy(guarantee=Guarantee.IDEMPOTENT, retry=2)
    agent = retrying(wrap_tool(act, ledger, policy=policy))
    assert answers(agent.invoke(said(), thread()))[0].content == "done"
    assert len(keys) == 2
    assert len(set(keys)) == 1
