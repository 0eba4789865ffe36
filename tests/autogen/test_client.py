"""What models cost stays within the budgets, and what stopped a run stops its models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from decimal import Decimal
from typing import Any

import pytest
from autogen_agentchat.base import Handoff
from autogen_agentchat.conditions import HandoffTermination, MaxMessageTermination
from autogen_agentchat.messages import HandoffMessage
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken, Image
from autogen_core.models import CreateResult, LLMMessage, RequestUsage, UserMessage
from pydantic import BaseModel

from tallystick import Ledger, Policy
from tallystick.errors import BudgetExceeded, EffectInDoubt, InvalidCall, UnpricedModel
from tallystick.prices import Overrides
from tallystick_autogen import BudgetedModelClient, raising_stops, wrap_tools

from ._world import Scripted, Turn, agent, soon

TOY = Overrides({"toy": {"input": "1", "output": "2", "max_input": 10_000, "max_output": 1000}})
ASK = [UserMessage(content="hello", source="user")]
PAY: Turn = [("pay", {"amount": 5})]
#: what the script's answers use: 11 tokens in, 7 out
USED = Decimal("0.000025")


class Refusing(Scripted):
    """Says no before anything is processed, or breaks down in the middle."""

    async def create_stream(
        self, messages: Sequence[LLMMessage], **options: Any
    ) -> AsyncGenerator[str | CreateResult, None]:
        yield "half "
        raise RuntimeError("broken")


def client(model: Scripted, ledger: Ledger, *budgets: str, **options: Any) -> BudgetedModelClient:
    return BudgetedModelClient(model, ledger, *budgets, prices=TOY, model="toy", **options)


async def test_a_question_is_reserved_and_settled_by_what_it_used(ledger: Ledger) -> None:
    ledger.budget("b", usd="0.01")
    seen: list[Decimal] = []

    def say(_: object) -> Turn:
        seen.append(ledger.budget("b").reserved)  # type: ignore[arg-type]
        return "hi"

    model = client(Scripted(say), ledger, "b")
    assert (await model.create(ASK)).content == "hi"
    assert seen[0] > USED
    assert (ledger.budget("b").spent, ledger.budget("b").reserved) == (USED, 0)


async def test_a_stream_is_settled_when_it_is_whole(ledger: Ledger) -> None:
    ledger.budget("b", usd="0.01")
    model = client(Scripted(["well then"]), ledger, "b")
    said = [piece async for piece in model.create_stream(ASK)]
    assert said[:2] == ["well ", "then "]
    assert isinstance(said[2], CreateResult)
    assert ledger.budget("b").spent == USED


@pytest.mark.parametrize("kind", ["agent", "team"])
async def test_a_budget_without_room_ends_the_run_as_itself(ledger: Ledger, kind: str) -> None:
    """B1: a team loses the type."""
    ledger.budget("b", requests=1)
    inner = Scripted([PAY, "paid"])
    paid: list[int] = []

    async def pay(amount: int) -> str:
        """Pay."""
        paid.append(amount)
        return "paid"

    one = agent(client(inner, ledger, "b"), wrap_tools([pay], ledger))
    who: Any = (
        RoundRobinGroupChat([one], termination_condition=MaxMessageTermination(4))
        if kind == "team"
        else one
    )
    with ledger.workflow("w"), pytest.raises(BudgetExceeded) as raised, raising_stops():
        await soon(who.run(task="x"))
    assert (raised.value.budget, paid, len(inner.asked)) == ("b", [5], 1)


async def test_a_budget_that_was_topped_up_lets_the_next_run_go_on(ledger: Ledger) -> None:
    ledger.budget("b", requests=0)
    inner = Scripted(["hi"])
    one = agent(client(inner, ledger, "b"))
    with ledger.workflow("w"):
        with pytest.raises(BudgetExceeded):
            await soon(one.run(task="x"))
        ledger.budget("b", requests=1)
        assert (await soon(one.run())).messages[-1].content == "hi"


async def test_a_model_without_a_price_is_not_asked(ledger: Ledger) -> None:
    ledger.budget("b", usd="1")
    inner = Scripted(["hi"])
    model = BudgetedModelClient(inner, ledger, "b", model="unheard-of", prices=TOY)
    with pytest.raises(UnpricedModel, match="unheard-of"):
        await model.create(ASK, extra_create_args={"max_tokens": 5})
    assert inner.asked == []


async def test_a_limit_of_the_question_bounds_what_is_reserved(ledger: Ledger) -> None:
    ledger.budget("b", tokens=2000)
    model = client(Scripted(["hi"]), ledger, "b")
    with pytest.raises(BudgetExceeded) as raised:
        await model.create(ASK, extra_create_args={"max_tokens": 900})
    needed = raised.value.needed
    assert (await model.create(ASK, extra_create_args={"max_tokens": 100})).content == "hi"
    assert needed > 1900


@pytest.mark.parametrize(
    ("error", "left"), [(ConnectionRefusedError("no"), False), (TimeoutError("?"), True)]
)
async def test_what_was_refused_is_free_and_what_failed_stays_charged(
    ledger: Ledger, error: Exception, left: bool
) -> None:
    ledger.budget("b", usd="0.01")
    with pytest.raises(type(error)):
        await client(Scripted([error]), ledger, "b").create(ASK)
    assert ledger.budget("b").spent == 0
    assert bool(ledger.budget("b").unreconciled) is left


async def test_a_stream_that_breaks_or_is_left_stays_charged(ledger: Ledger) -> None:
    ledger.budget("b", usd="0.1")
    with pytest.raises(RuntimeError, match="broken"):
        _ = [piece async for piece in client(Refusing([]), ledger, "b").create_stream(ASK)]
    once = ledger.budget("b").unreconciled
    stream = client(Scripted(["one two"]), ledger, "b").create_stream(ASK)
    assert await anext(stream) == "one "
    await stream.aclose()
    assert ledger.budget("b").unreconciled == 2 * once > 0
    assert ledger.budget("b").reserved == 0


async def test_a_stream_that_cannot_even_begin_is_booked(ledger: Ledger) -> None:
    ledger.budget("b", usd="0.1")

    class Strict(Scripted):
        def create_stream(self, *args: Any, **options: Any) -> Any:
            raise ConnectionRefusedError("no")

    with pytest.raises(ConnectionRefusedError):
        _ = [piece async for piece in client(Strict([]), ledger, "b").create_stream(ASK)]
    assert (ledger.budget("b").reserved, ledger.budget("b").unreconciled) == (0, 0)


async def test_a_question_that_is_cancelled_stays_charged(ledger: Ledger) -> None:
    ledger.budget("b", usd="0.01")
    inner, token = Scripted(["hi"]), CancellationToken()
    inner.thinking = asyncio.Event()
    asyncio.get_running_loop().call_later(0.02, token.cancel)
    with pytest.raises(asyncio.CancelledError):
        await client(inner, ledger, "b").create(ASK, cancellation_token=token)
    assert ledger.budget("b").unreconciled > 0


async def test_a_cache_that_answers_costs_nothing_and_silence_stays_charged(
    ledger: Ledger,
) -> None:
    ledger.budget("b", usd="0.01")

    class Telling(Scripted):
        told: CreateResult

        async def create(self, *args: Any, **options: Any) -> CreateResult:
            return self.told

    inner = Telling([])
    usage = RequestUsage(prompt_tokens=11, completion_tokens=7)
    inner.told = CreateResult(finish_reason="stop", content="hi", usage=usage, cached=True)
    model = client(inner, ledger, "b")
    await model.create(ASK)
    assert (ledger.budget("b").spent, ledger.budget("b").unreconciled) == (0, 0)
    silent = RequestUsage(prompt_tokens=0, completion_tokens=0)
    inner.told = CreateResult(finish_reason="stop", content="hi", usage=silent, cached=False)
    await model.create(ASK)
    assert ledger.budget("b").spent == 0
    assert ledger.budget("b").unreconciled > 0
    half = RequestUsage(prompt_tokens=0, completion_tokens=7)
    inner.told = CreateResult(finish_reason="stop", content="hi", usage=half, cached=False)
    before = ledger.budget("b").unreconciled
    await model.create(ASK)
    assert ledger.budget("b").spent == Decimal("0.000014")
    assert ledger.budget("b").unreconciled > before


async def test_pictures_schemas_and_tools_are_bounded_too(ledger: Ledger) -> None:
    ledger.budget("b", tokens=100_000)
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # noqa: E501
    seen: list[Any] = []

    def say(_: object) -> Turn:
        seen.append(ledger.budget("b").reserved)
        return "hi"

    model = client(Scripted(say), ledger, "b")
    picture = UserMessage(content=["look", Image.from_base64(pixel)], source="user")
    await model.create(ASK)
    await model.create(ASK, json_output=Shape)
    await model.create([picture])
    plain, structured, seeing = seen
    assert plain < structured < seeing


class Shape(BaseModel):
    """Some schema."""

    height: int


async def test_a_call_that_waits_for_a_person_is_handed_off_and_goes_on_after_load_state(
    ledger: Ledger,
) -> None:
    """B1: the model asks again after the handoff, and AutoGen would do it twice."""
    paid: list[int] = []

    async def pay(amount: int) -> str:
        """Pay."""
        paid.append(amount)
        return "paid"

    def team(inner: Scripted) -> RoundRobinGroupChat:
        tools = wrap_tools([pay], ledger, default=Policy(approval=True))
        model = client(inner, ledger, handoff="user")
        one = agent(model, tools, handoffs=[Handoff(target="user")])
        return RoundRobinGroupChat(
            [one], termination_condition=HandoffTermination("user") | MaxMessageTermination(30)
        )

    first, inner = team(Scripted([PAY, "never asked"])), Scripted([PAY, PAY, "done"])
    with ledger.workflow("w"), raising_stops():
        handed = await soon(first.run(task="pay bob"))
        state = await first.save_state()
    assert isinstance(handed.messages[-1], HandoffMessage)
    assert handed.stop_reason is not None
    assert "Handoff to user" in handed.stop_reason
    (asked,) = ledger.pending()
    ledger.approve(asked.effect.key, by="ann")
    second = team(inner)
    await second.load_state(state)
    go_on = HandoffMessage(source="user", target="payer", content="approved")
    with ledger.workflow("w"), raising_stops():
        result = await soon(second.run(task=go_on))
    assert [m.to_text() for m in result.messages if m.source == "payer"][-1] == "done"
    assert paid == [5]


async def test_an_effect_in_doubt_is_not_handed_off(ledger: Ledger) -> None:
    """The person would be told to approve what may have happened."""

    async def pay(amount: int) -> str:
        """Pay."""
        raise RuntimeError("lost")

    inner = Scripted([PAY, "never asked"])
    model = client(inner, ledger, handoff="user")
    one = agent(model, wrap_tools([pay], ledger), handoffs=[Handoff(target="user")])
    with ledger.workflow("w"), pytest.raises(EffectInDoubt), raising_stops():
        await soon(one.run(task="pay bob"))
    assert len(inner.asked) == 1


async def test_the_rest_is_the_wrapped_clients(ledger: Ledger) -> None:
    inner = Scripted(["hi"])
    model = client(inner, ledger)
    assert model.inner is inner
    assert model.model_info == inner.model_info
    assert model.capabilities == inner.capabilities
    assert (model.count_tokens(ASK), model.remaining_tokens(ASK)) == (1, 1000)
    assert model.actual_usage() == model.total_usage() == inner.total_usage()
    await model.close()
    with pytest.raises(InvalidCall, match="without its ledger"):
        model.dump_component()
    with pytest.raises(InvalidCall, match="once"):
        BudgetedModelClient(model, ledger)
    with pytest.raises(InvalidCall, match="no ledger"):
        BudgetedModelClient(inner, 5)  # type: ignore[arg-type]
