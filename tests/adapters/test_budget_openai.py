"""The same with ``ChatOpenAI`` and a server: what it sends, and what it hides."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import httpx
import openai
import pytest
from langchain import agents
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from tallystick import Ledger
from tallystick.errors import BudgetExceeded
from tallystick.prices import Overrides
from tallystick_langchain import BudgetCallback
from tallystick_langgraph import BudgetMiddleware
from tests.adapters.budget_models import LINE, line
from tests.providers._answers import Answer, Fault
from tests.providers._server import Provider

create_agent: Any = cast("Any", agents).create_agent  # its type is unknown in part
#: what the server says that an answer consumed
USED = Answer().input + Answer().output


class Sum(BaseModel):
    total: int


@tool
def add(numbers: list[int]) -> int:
    """Add up."""
    return sum(numbers)


class Shop:
    """A server, a client for it, and a budget."""

    def __init__(self, provider: Provider, ledger: Ledger) -> None:
        self.provider, self.ledger = provider, ledger
        ledger.budget(LINE, tokens=1_000_000)
        self.callback = BudgetCallback(ledger, LINE)
        self.config: Any = {"callbacks": [self.callback]}

    def model(self, **options: Any) -> Any:
        given = {"model": "gpt-4o-mini", "max_tokens": 50, "max_retries": 0, **options}
        return ChatOpenAI(api_key="k", base_url=f"{self.provider.origin}/v1", **given)  # type: ignore[arg-type]

    @property
    def line(self) -> tuple[int, int, int]:
        assert self.callback.under_way == 0
        return line(self.ledger)


@pytest.fixture
def shop(provider: Provider, ledger: Ledger) -> Shop:
    return Shop(provider, ledger)


TALK = [
    SystemMessage("Être bref. 简短。"),
    HumanMessage("数字" * 40),
    AIMessage("", tool_calls=[{"name": "add", "args": {"numbers": [2, 2]}, "id": "c1"}]),
    ToolMessage("四" * 20, tool_call_id="c1"),
]
CALLS: dict[str, Callable[[Any], Any]] = {
    "plain": lambda m: m,
    "tools": lambda m: m.bind_tools([add]),
    "structured": lambda m: m.with_structured_output(Sum),
    "functions": lambda m: m.with_structured_output(Sum, method="function_calling"),
    "json": lambda m: m.bind(response_format={"type": "json_object"}),
    "shorter": lambda m: m.bind(max_tokens=20),
    "longer": lambda m: m.bind(max_tokens=500),
    "longer in other words": lambda m: m.bind(max_completion_tokens=500),
    "longer at the last moment": lambda m: m.bind(extra_body={"max_completion_tokens": 500}),
    "several": lambda m: m if m.use_responses_api else m.bind(n=3),
}


@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
@pytest.mark.parametrize("made", CALLS.values(), ids=CALLS.keys())
def test_what_is_reserved_is_more_than_what_is_sent(shop: Shop, made: Any, responses: bool) -> None:
    shop.ledger.budget(LINE, tokens=1)
    with pytest.raises(BudgetExceeded) as caught:
        made(shop.model(use_responses_api=responses)).invoke(TALK, shop.config)
    shop.ledger.budget(LINE, tokens=1_000_000)
    shop.provider.script(Answer(text='{"total": 4}'))
    made(shop.model(use_responses_api=responses)).invoke(TALK, shop.config)
    [asked] = shop.provider.asked
    body = json.dumps(asked.body, ensure_ascii=False).encode()
    limit = max(asked.body.get(f"max_{kind}tokens") or 0 for kind in ("completion_", "output_"))
    assert int(caught.value.needed) >= len(body) + limit * (asked.body.get("n") or 1)
    assert shop.line[1:] == (0, 0)


def test_choices_are_counted_once(shop: Shop) -> None:
    shop.model(n=3).invoke("hi", shop.config)
    assert shop.line == (Answer().input + 3 * Answer().output, 0, 0)


def test_a_stream_that_reports_is_booked(shop: Shop) -> None:
    list(shop.model(stream_usage=True).stream("hi", shop.config))
    assert shop.line == (USED, 0, 0)


def test_a_stream_at_another_address_does_not_report_and_is_bounded_by_its_bytes(
    shop: Shop,
) -> None:
    list(shop.model().stream("hi", shop.config))
    assert "stream_options" not in shop.provider.asked[0].body
    spent, reserved, unreconciled = shop.line
    assert spent > USED
    assert (reserved, unreconciled) == (0, 0)


def test_a_stream_of_a_model_that_thinks_in_silence_stays_charged(shop: Shop) -> None:
    list(shop.model(model="gpt-5").stream("hi", shop.config))
    spent, reserved, unreconciled = shop.line
    assert (spent, reserved) == (0, 0)
    assert unreconciled > USED


LOST: dict[str, tuple[Answer, dict[str, Any]]] = {
    "reset": (Answer(fault=Fault.RESET), {}),
    "silence": (Answer(fault=Fault.HANG), {"timeout": 0.2}),
    "silence after the headers": (Answer(fault=Fault.HANG_AFTER_HEADERS), {"timeout": 0.2}),
}


@pytest.mark.parametrize(("answer", "options"), LOST.values(), ids=LOST.keys())
@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_an_answer_that_was_lost_stays_charged(
    shop: Shop, answer: Answer, options: dict[str, Any], how: str
) -> None:
    shop.provider.script(answer)
    model = shop.model(**options)
    with pytest.raises((openai.APIError, httpx.HTTPError)):  # as it comes, before 3.0
        list(model.stream("hi", shop.config)) if how == "stream" else model.invoke(
            "hi", shop.config
        )
    spent, reserved, unreconciled = shop.line
    assert (spent, reserved) == (0, 0)
    assert unreconciled > USED


def test_a_stream_that_is_cut_off_politely_stays_charged(shop: Shop) -> None:
    shop.provider.script(Answer(fault=Fault.CUT))
    list(shop.model(stream_usage=True).stream("hi", shop.config))
    spent, reserved, unreconciled = shop.line
    assert (spent, reserved) == (0, 0)
    assert unreconciled > USED


@pytest.mark.parametrize("status", [400, 401, 404, 429])
def test_what_the_provider_refuses_costs_nothing(shop: Shop, status: int) -> None:
    shop.provider.script(Answer(status=status))
    with pytest.raises(openai.APIStatusError):
        shop.model().invoke("hi", shop.config)
    assert shop.line == (0, 0, 0)


def test_every_attempt_that_the_client_may_make_is_reserved_for(shop: Shop) -> None:
    needed: list[int] = []
    for retries in (0, 2):
        shop.ledger.budget(LINE, tokens=1)
        with pytest.raises(BudgetExceeded) as caught:
            shop.model(max_retries=retries).invoke("hi", shop.config)
        needed.append(int(caught.value.needed))
    assert needed[1] == 3 * needed[0]


# -- in an agent ----------------------------------------------------------------------------------


@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
@pytest.mark.parametrize("limited", [None, 100_000], ids=["unlimited", "limited"])
def test_the_middleware_shortens_what_is_sent(
    shop: Shop, responses: bool, limited: int | None
) -> None:
    shop.ledger.budget(LINE, tokens=4_000)
    model = shop.model(use_responses_api=responses, max_tokens=limited)
    book = Overrides({"gpt-4o-mini": {"input": "1", "output": "1", "max_output": 50_000}})
    middleware = BudgetMiddleware(shop.ledger, LINE, prices=book)
    agent: Any = create_agent(model, [add], middleware=[middleware])
    agent.invoke({"messages": [("user", "hi")]})
    [asked] = shop.provider.asked
    limit = asked.body.get("max_completion_tokens") or asked.body["max_output_tokens"]
    assert 1_000 < limit < 4_000
    assert shop.line == (USED, 0, 0)


def test_the_middleware_makes_streams_report(shop: Shop) -> None:
    agent: Any = create_agent(shop.model(), [add], middleware=[BudgetMiddleware(shop.ledger, LINE)])
    list(agent.stream({"messages": [("user", "hi")]}, stream_mode="messages"))
    [asked] = shop.provider.asked
    assert asked.body["stream_options"] == {"include_usage": True}
    assert shop.line == (USED, 0, 0)
