"""Flows whose methods are effects: each is done once, however often the flow is kicked off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from crewai.flow import Flow, and_, listen, or_, persist, router, start
from crewai.flow.flow import FlowState
from crewai.flow.persistence import SQLiteFlowPersistence
from pydantic import Field

from tallystick import Ledger, Policy
from tallystick.errors import (
    ApprovalDenied,
    ApprovalRequired,
    ArgumentsChanged,
    BudgetExceeded,
    EffectInDoubt,
    InvalidCall,
    NoWorkflow,
)
from tallystick_crewai import budgeted, ledgered_step, wrap_tools
from tests.crewai._metered import LINE, Metered
from tests.crewai._world import PAY, Bank, crew_of

Mode = Callable[[Any], Any]

MODES: dict[str, Mode] = {
    "kickoff": lambda flow: flow.kickoff(),
    "kickoff_async": lambda flow: asyncio.run(flow.kickoff_async()),
}
modes = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


class Lines(FlowState):
    """What an order's flow knows."""

    lines: list[str] = Field(default_factory=list[str])
    total: int | None = None


class World:
    """What really happened, and what goes wrong."""

    def __init__(self, *errors: BaseException) -> None:
        self.done: list[str] = []
        self.errors = list(errors)

    def act(self, what: str) -> None:
        """Do it."""
        self.done.append(what)

    def fail(self) -> None:
        """Fail as often as there are errors."""
        if self.errors:
            raise self.errors.pop(0)


def order_flow(ledger: Ledger, world: World, **options: Any) -> Any:
    """A flow of two steps, and a plain method that may fail."""

    class Order(Flow[Lines]):
        @start()
        @ledgered_step(ledger, **options)
        def draft(self) -> str:
            world.act("draft")
            self.state.lines.append("a line")
            return "a draft"

        @listen(draft)
        @ledgered_step(ledger)
        async def pay(self, draft: str) -> dict[str, str]:
            world.act("pay")
            self.state.total = len(self.state.lines)
            return {"paid": draft}

        @listen(pay)
        def tell(self, receipt: dict[str, str]) -> str:
            world.act("tell")
            world.fail()
            return receipt["paid"]

    return Order(suppress_flow_events=True)


def dict_flow(ledger: Ledger, world: World) -> Any:
    """As :func:`order_flow`, with a state that is a dictionary."""

    class Order(Flow[dict[str, Any]]):
        @start()
        @ledgered_step(ledger)
        def draft(self) -> str:
            world.act("draft")
            self.state["lines"] = ["a line"]
            self.state.pop("trash", None)
            return "a draft"

        @listen(draft)
        def tell(self) -> str:
            world.fail()
            return "told"

    return Order(suppress_flow_events=True)


@modes
def test_a_step_that_completed_is_not_done_again(mode: Mode, ledger: Ledger) -> None:
    world = World(RuntimeError("crash"))
    with ledger.workflow("order-42"):
        with pytest.raises(RuntimeError, match="crash"):
            mode(order_flow(ledger, world))
        again = order_flow(ledger, world)
        assert mode(again) == "a draft"
        assert mode(order_flow(ledger, world)) == "a draft"
        assert mode(again) == "a draft"
    assert world.done == ["draft", "pay", "tell", "tell", "tell", "tell"]


def test_what_a_step_changed_is_changed_again(ledger: Ledger) -> None:
    world = World(RuntimeError("crash"))
    with ledger.workflow("order-42"):
        with pytest.raises(RuntimeError, match="crash"):
            order_flow(ledger, world).kickoff()
        again = order_flow(ledger, world)
        own = again.state.id
        again.kickoff()
    assert (again.state.lines, again.state.total) == (["a line"], 1)
    assert again.state.id == own
    assert world.done.count("pay") == 1


def test_a_state_that_is_a_dictionary_comes_back_too(ledger: Ledger) -> None:
    world = World(RuntimeError("crash"))
    with ledger.workflow("order-42"):
        with pytest.raises(RuntimeError, match="crash"):
            dict_flow(ledger, world).kickoff(inputs={"trash": 1})
        again = dict_flow(ledger, world)
        assert again.kickoff(inputs={"trash": 1, "kept": 2}) == "told"
    assert {k: v for k, v in again.state.items() if k != "id"} == {"lines": ["a line"], "kept": 2}
    assert world.done == ["draft"]


def test_another_workflow_is_another_order(ledger: Ledger) -> None:
    world = World()
    for name in ("order-42", "order-43"):
        with ledger.workflow(name):
            order_flow(ledger, world).kickoff()
    assert world.done == ["draft", "pay", "tell"] * 2


def test_persisted_flows_go_on_where_they_were(ledger: Ledger, tmp_path: Any) -> None:
    world = World(RuntimeError("crash"))
    store = SQLiteFlowPersistence(str(tmp_path / "flows.db"))

    def flow() -> Any:
        @persist(store)
        class Order(Flow[Lines]):
            @start()
            @ledgered_step(ledger)
            def draft(self) -> str:
                world.act("draft")
                self.state.lines.append("a line")
                return "a draft"

            @listen(draft)
            def tell(self) -> None:
                world.fail()

        return Order(suppress_flow_events=True)

    with ledger.workflow("order-42"):
        with pytest.raises(RuntimeError, match="crash"):
            flow().kickoff(inputs={"id": "order-42"})
        again = flow()
        again.kickoff(inputs={"id": "order-42"})
    assert world.done == ["draft"]
    assert again.state.lines == ["a line"]


def test_each_round_of_a_loop_is_an_effect(ledger: Ledger) -> None:
    world = World(RuntimeError("crash"))

    def flow() -> Any:
        class Loop(Flow[dict[str, Any]]):
            @start()
            @ledgered_step(ledger)
            def begin(self) -> None:
                world.act("begin")

            @router(or_(begin, "more"))
            @ledgered_step(ledger)
            def count(self) -> str:
                self.state["n"] = self.state.get("n", 0) + 1
                world.act(f"count {self.state['n']}")
                return "more" if self.state["n"] < 3 else "enough"

            @listen("enough")
            def end(self) -> int:
                world.fail()
                return int(self.state["n"])

        return Loop(suppress_flow_events=True)

    with ledger.workflow("order-42"):
        with pytest.raises(RuntimeError, match="crash"):
            flow().kickoff()
        assert flow().kickoff() == 3
    assert world.done == ["begin", "count 1", "count 2", "count 3"]


def test_steps_side_by_side_keep_their_own_changes(ledger: Ledger) -> None:
    world = World(RuntimeError("crash"))

    def flow() -> Any:
        class Fan(Flow[dict[str, Any]]):
            @start()
            def begin(self) -> str:
                self.state["left"] = 0
                return "go"

            @listen(begin)
            @ledgered_step(ledger)
            async def left(self) -> str:
                world.act("left")
                await asyncio.sleep(0.01)
                self.state["left"] = 1
                return "left"

            @listen(begin)
            @ledgered_step(ledger)
            async def right(self) -> str:
                world.act("right")
                self.state["right"] = 2
                return "right"

            @listen(and_(left, right))
            def end(self) -> int:
                world.fail()
                return int(self.state["left"] + self.state["right"])

        return Fan(suppress_flow_events=True)

    with ledger.workflow("order-42"):
        with pytest.raises(RuntimeError, match="crash"):
            flow().kickoff()
        assert flow().kickoff() == 3
    assert sorted(world.done) == ["left", "right"]


# -- stopped --------------------------------------------------------------------------------------


def test_a_step_that_needs_approval_waits_for_it(ledger: Ledger) -> None:
    world = World()
    asks = Policy(approval=True)
    with ledger.workflow("order-42"):
        with pytest.raises(ApprovalRequired) as stopped:
            order_flow(ledger, world, policy=asks).kickoff()
        assert world.done == []
        ledger.approve(stopped.value.key, by="ann")
        assert order_flow(ledger, world, policy=asks).kickoff() == "a draft"
        assert order_flow(ledger, world, policy=asks).kickoff() == "a draft"
    assert world.done == ["draft", "pay", "tell", "tell"]


def test_a_person_may_edit_what_a_step_is_given(ledger: Ledger) -> None:
    paid: list[int] = []

    class Order(Flow[Any]):
        @start()
        def begin(self) -> int:
            return 500

        @listen(begin)
        @ledgered_step(ledger, policy=Policy(approval=True))
        def pay(self, amount: int) -> int:
            paid.append(amount)
            return amount

    with ledger.workflow("order-42"):
        with pytest.raises(ApprovalRequired) as stopped:
            Order(suppress_flow_events=True).kickoff()
        ledger.approve(stopped.value.key, by="ann", args={"amount": 5})
        assert Order(suppress_flow_events=True).kickoff() == 5
    assert paid == [5]


def test_a_denied_step_is_not_done(ledger: Ledger) -> None:
    world = World()
    asks = Policy(approval=True)
    with ledger.workflow("order-42"):
        with pytest.raises(ApprovalRequired) as stopped:
            order_flow(ledger, world, policy=asks).kickoff()
        ledger.deny(stopped.value.key, by="ann")
        with pytest.raises(ApprovalDenied):
            order_flow(ledger, world, policy=asks).kickoff()
    assert world.done == []


def test_a_step_whose_crew_was_stopped_goes_on_in_the_next_kickoff(ledger: Ledger) -> None:
    ledger.budget(LINE, requests=1)
    bank = Bank()
    [pay] = wrap_tools([bank.pay], ledger)

    class Order(Flow[Any]):
        @start()
        @ledgered_step(ledger)
        def settle(self) -> Any:
            return crew_of(Metered.told(PAY, "done"), [pay]).kickoff()

    with ledger.workflow("order-42"):
        with budgeted(ledger, LINE), pytest.raises(BudgetExceeded):
            Order(suppress_flow_events=True).kickoff()
        first: Any = Order(suppress_flow_events=True).kickoff()
        second: Any = Order(suppress_flow_events=True).kickoff()
    assert first.raw == second.raw == "done"
    assert type(second) is type(first)
    assert len(bank.paid) == 1


def test_a_step_that_raised_is_in_doubt(ledger: Ledger) -> None:
    class Order(Flow[Any]):
        @start()
        @ledgered_step(ledger)
        def pay(self) -> None:
            raise ConnectionResetError("the answer was lost")

    with ledger.workflow("order-42"):
        for _ in range(2):
            with pytest.raises(EffectInDoubt):
                Order(suppress_flow_events=True).kickoff()
    assert [item.kind for item in ledger.pending()] == ["in_doubt"]


# -- what it is -----------------------------------------------------------------------------------


def test_a_step_that_is_given_something_else_is_refused(ledger: Ledger) -> None:
    paid: list[str] = []
    drafts = iter(["a draft", "another draft"])

    class Order(Flow[Any]):
        @start()
        def draft(self) -> str:
            return next(drafts)

        @listen(draft)
        @ledgered_step(ledger)
        def pay(self, text: str) -> None:
            paid.append(text)

    with ledger.workflow("order-42"):
        Order(suppress_flow_events=True).kickoff()
        with pytest.raises(ArgumentsChanged):
            Order(suppress_flow_events=True).kickoff()
    assert paid == ["a draft"]


def test_args_say_what_else_a_step_depends_on(ledger: Ledger) -> None:
    class Order(Flow[dict[str, Any]]):
        @start()
        @ledgered_step(ledger, args=lambda flow: {"order": flow.state["order"]})
        def pay(self) -> str:
            return f"paid {self.state['order']}"

    with ledger.workflow("order-42"):
        assert Order(suppress_flow_events=True).kickoff(inputs={"order": 42}) == "paid 42"
        with pytest.raises(ArgumentsChanged):
            Order(suppress_flow_events=True).kickoff(inputs={"order": 43})
    [effect] = ledger.effects(workflow="order-42")
    assert (effect.tool, effect.args) == ("Order.pay", {"order": 42})


def test_bad_input_is_refused(ledger: Ledger) -> None:
    wrong: Any = "nonsense"
    with pytest.raises(InvalidCall, match="no ledger"):
        ledgered_step(wrong)
    with pytest.raises(InvalidCall, match="policy"):
        ledgered_step(ledger, policy=wrong)

    def method(self: Any) -> None: ...

    with pytest.raises(InvalidCall, match="below @start"):
        ledgered_step(ledger)(start()(method))
    with pytest.raises(InvalidCall, match="no method of a flow"):
        ledgered_step(ledger)(method)("no flow")
    with pytest.raises(NoWorkflow, match=r"Order\.draft"):
        order_flow(ledger, World()).kickoff()
