"""A wrapped tool is to CrewAI and to a model what the plain one was."""

from __future__ import annotations

import asyncio
import copy
import json
from typing import Any, cast

import pytest
from crewai.tools import BaseTool, tool
from crewai.utilities.agent_utils import (
    convert_tools_to_openai_schema,
    render_text_description_and_args,
)

from tallystick import Ledger, Policy
from tallystick.errors import InvalidCall, InvalidPolicy
from tallystick_crewai import LedgeredTool, ledgered_tool, wrap_tool, wrap_tools
from tests.crewai._tools import Desk, Receipt
from tests.crewai._world import PAY, Bank, Model, crew_of, natively


def pay(amount: int, to: str = "bob", why: list[str] | None = None) -> Receipt:
    """Pay someone; the amount is in cents."""
    return Receipt(amount=amount, number=1)


async def apay(amount: int) -> str:
    """Pay someone, awaited."""
    await asyncio.sleep(0)
    return f"paid {amount}"


def plain_tools() -> list[BaseTool]:
    return [tool(pay), tool(apay), tool("Pay 2, now!")(pay), Desk()]


@pytest.mark.parametrize("plain", plain_tools(), ids=lambda made: made.name)
def test_what_the_model_reads_is_the_same_to_the_byte(plain: BaseTool, ledger: Ledger) -> None:
    made = wrap_tool(plain, ledger)
    both: Any = [convert_tools_to_openai_schema([each]) for each in (plain, made)]
    first, second = (json.dumps(schema) for schema, *_ in both)
    assert first == second
    assert made.formatted_description == plain.formatted_description
    first, second = (
        render_text_description_and_args([each.to_structured_tool()]) for each in (plain, made)
    )
    assert first == second
    for field in set(type(plain).model_fields) & set(LedgeredTool.model_fields):
        if field != "cache_function":
            assert getattr(made, field) == getattr(plain, field), field


def test_the_decorator_has_every_option_of_crewais_own(ledger: Ledger) -> None:
    options: dict[str, Any] = {
        "result_schema": Receipt,
        "result_as_answer": True,
        "max_usage_count": 2,
    }
    plain: Any = tool("Pay now", **options)(pay)
    made = ledgered_tool(ledger, name="Pay now", **options)(pay)
    assert json.dumps(convert_tools_to_openai_schema([plain])[0]) == json.dumps(
        convert_tools_to_openai_schema([made])[0]
    )
    for field in options:
        assert getattr(made, field) == getattr(plain, field)


@natively
def test_a_result_as_answer_stays_one_when_it_is_replayed(native: bool, ledger: Ledger) -> None:
    desk = Desk()
    made = wrap_tool(desk, ledger)
    asks = [("order_desk", {"amount": 3})]
    with ledger.workflow("order-42"):
        crews = [crew_of(Model.of(asks, "never", native=native), [made]) for _ in range(2)]
        said = [crew.kickoff().raw for crew in crews]
    assert (said, desk.orders) == (["receipt 1 for 3"] * 2, [3])


@natively
def test_a_model_that_was_returned_reads_the_same_when_it_is_replayed(
    native: bool, ledger: Ledger
) -> None:
    models = [Model.of(PAY, "done", native=native) for _ in range(2)]
    with ledger.workflow("order-42"):
        for model in models:
            crew_of(model, [wrap_tool(pay, ledger)]).kickoff()
    [first, second] = [model.heard for model in models]
    assert first == second
    assert r"{\"amount\":5,\"number\":1}" in json.loads(json.dumps(first)).replace(r"\\\"", r"\"")


def test_copies_share_the_ledger(ledger: Ledger) -> None:
    bank = Bank()
    made = wrap_tool(bank.pay, ledger, workflow="order-42")
    for same in (made, copy.copy(made), made.model_copy()):
        same.run(amount=5)
    assert len(bank.paid) == 1


def test_wrapping_twice_is_wrapping_once(ledger: Ledger) -> None:
    made = wrap_tool(pay, ledger, workflow="order-42")
    assert wrap_tools([made], ledger) == [made]
    with Ledger("memory://") as other, pytest.raises(InvalidCall, match="another ledger"):
        wrap_tool(made, other)
    with pytest.raises(InvalidPolicy, match="another policy"):
        wrap_tool(made, ledger, policy=Policy(approval=True))
    with pytest.raises(InvalidCall, match="'order-42' already"):
        wrap_tool(made, ledger, workflow="order-43")


def untyped() -> Any:
    """A function whose parameters say nothing."""
    names: dict[str, Any] = {}
    exec("def untyped(amount, to='bob'):\n    'Pay someone.'", names)  # noqa: S102
    return names["untyped"]


def undescribed(amount: int) -> None: ...


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (untyped(), "untyped: say what amount, to is"),
        (undescribed, "undescribed has no docstring"),
        (42, "42 is no tool"),
    ],
)
def test_what_cannot_be_a_tool_is_refused(given: Any, words: str, ledger: Ledger) -> None:
    with pytest.raises(InvalidCall, match=words):
        wrap_tool(given, ledger)


def test_bad_options_are_refused(ledger: Ledger) -> None:
    with pytest.raises(InvalidPolicy, match="names 'sell', and no tool has that name"):
        wrap_tools([pay], ledger, policies={"sell": Policy()})
    with pytest.raises(InvalidCall, match="is no ledger"):
        wrap_tools([pay], cast("Any", "memory://"))
    with pytest.raises(InvalidPolicy, match="is no policy"):
        wrap_tool(pay, ledger, policy=cast("Any", {"approval": True}))
    with pytest.raises(InvalidCall, match="workflow"):
        wrap_tool(pay, ledger, workflow="")
