"""Arguments as the ledger keeps them, and as the tool gets them."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import pytest
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import InjectedToolArg, StructuredTool, tool
from pydantic import BaseModel, HttpUrl, SecretStr

from tallystick import (
    ApprovalRequired,
    EffectFailed,
    Ledger,
    Policy,
)
from tallystick.errors import (
    NotSerializable,
)
from tallystick_langchain import wrap_tool
from tests.adapters.langchain_agents import (
    Bank,
    call,
    thread,
)
from tests.adapters.langchain_kinds import KINDS


@pytest.fixture
def bank() -> Bank:
    return Bank()


class Colour(Enum):
    RED = "red"


def test_arguments_are_recorded_as_plain_data(ledger: Ledger) -> None:
    class Line(BaseModel):
        price: Decimal
        colours: set[Colour]

    class Given(BaseModel):
        """Take."""

        line: Line
        home: HttpUrl
        secret: SecretStr

    got: list[Any] = []

    def take(line: Line, home: HttpUrl, secret: SecretStr) -> str:
        got.append((line, home, secret))
        return "ok"

    wrapped = wrap_tool(StructuredTool.from_function(take, args_schema=Given), ledger)
    line = {"price": "1.50", "colours": ["red"]}
    given = {"line": line, "home": "https://example.org", "secret": "s3cret"}
    wrapped.invoke(given, thread())
    args = ledger.effects()[0].args
    assert args["line"] == {"price": Decimal("1.50"), "colours": {Colour.RED}}
    assert args["home"] == "https://example.org/"
    assert "s3cret" not in str(args)
    [(line_, home, secret)] = got
    assert isinstance(line_, Line)
    assert isinstance(home, HttpUrl)
    assert secret.get_secret_value() == "s3cret"
    wrapped.invoke(given | {"secret": "other"}, thread())
    assert len(got) == 2


def test_an_argument_that_cannot_be_recorded_is_refused_before_the_tool_runs(
    ledger: Ledger,
) -> None:
    ran: list[object] = []

    class Anything(BaseModel):
        """Take anything."""

        thing: Any

    def take(thing: Any) -> str:
        ran.append(thing)
        return "ok"

    wrapped = wrap_tool(StructuredTool.from_function(take, args_schema=Anything), ledger)
    with pytest.raises(NotSerializable, match="thing"):
        wrapped.invoke({"thing": object()}, thread())
    assert ran == []


def test_injected_arguments_never_enter_the_key(ledger: Ledger) -> None:
    seen: list[tuple[str, str]] = []

    @tool
    def act(x: str, user: Annotated[str, InjectedToolArg], config: RunnableConfig) -> str:
        """Act."""
        seen.append((user, str(config.get("configurable", {}).get("shard"))))
        return f"{x} by {user}"

    wrapped = wrap_tool(act, ledger, workflow="w")
    for user, shard in (("ann", 1), ("bob", 2)):
        config: RunnableConfig = {"configurable": {"shard": shard}}
        assert call(wrapped, {"x": "a", "user": user}, "c1", config).content == "a by ann"
    assert seen == [("ann", "1")]
    assert ledger.effects()[0].args == {"x": "a"}


def test_an_approver_edits_the_arguments(ledger: Ledger) -> None:
    class Line(BaseModel):
        sku: str
        cents: int

    class Order(BaseModel):
        """Order."""

        line: Line
        note: str = "-"

    got: list[Any] = []

    def order(line: Line, note: str, user: Annotated[str, InjectedToolArg] = "ann") -> str:
        got.append((line, note, user))
        return f"ordered {line.sku} for {line.cents} by {user}"

    bare = StructuredTool.from_function(order, args_schema=Order)
    wrapped = wrap_tool(bare, ledger, policy=Policy(approval=True))
    args = {"line": {"sku": "s", "cents": 900}}
    with pytest.raises(ApprovalRequired) as caught:
        call(wrapped, args, "c1", thread())
    key = caught.value.key
    assert key is not None
    edited = {"line": {"sku": "s", "cents": "500"}, "note": "cheaper"}
    ledger.approve(key, by="boss", args=edited)
    assert call(wrapped, args, "c1", thread()).content == "ordered s for 500 by ann"
    assert got == [(Line(sku="s", cents=500), "cheaper", "ann")]


async def test_an_approver_edits_the_arguments_of_a_tool_with_a_json_schema(
    ledger: Ledger,
) -> None:
    wrapped = wrap_tool(KINDS["JSON schema"].make(), ledger, policy=Policy(approval=True))
    with pytest.raises(ApprovalRequired) as caught:
        await wrapped.ainvoke({"x": 3}, thread())
    ledger.approve(str(caught.value.key), by="boss", args={"x": 5})
    answer = await wrapped.ainvoke({"x": 3}, thread())
    assert answer == [{"type": "text", "text": "served {'x': 5}"}]


def test_an_approver_edits_the_only_argument_of_an_old_tool(ledger: Ledger) -> None:
    wrapped = wrap_tool(KINDS["legacy Tool"].make(), ledger, policy=Policy(approval=True))
    with pytest.raises(ApprovalRequired) as caught:
        wrapped.invoke("hey", thread())
    ledger.approve(str(caught.value.key), by="boss", args={"tool_input": "ho"})
    assert wrapped.invoke("hey", thread()) == "HO"


@pytest.mark.parametrize("edited", [{"cents": "many"}, {"order": None}])
def test_edited_arguments_that_do_not_fit_are_a_failure_and_no_doubt(
    edited: dict[str, Any], ledger: Ledger, bank: Bank
) -> None:
    charge = wrap_tool(bank.tool(), ledger, policy=Policy(approval=True))
    with pytest.raises(ApprovalRequired) as caught:
        call(charge, {"order": "a"}, "c1", thread())
    ledger.approve(str(caught.value.key), by="boss", args=edited)
    with pytest.raises(Exception, match="the edited arguments do not fit"):
        call(charge, {"order": "a"}, "c1", thread())
    with pytest.raises(EffectFailed):
        call(charge, {"order": "a"}, "c1", thread())
    assert bank.book == []
    assert ledger.pending() == []
