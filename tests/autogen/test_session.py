"""A team goes on where it was: after a crash, an approval, a doubt."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any
from uuid import uuid4

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.conditions import MaxMessageTermination, TextMentionTermination
from autogen_agentchat.messages import StructuredMessage, TextMessage
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken
from autogen_core.models import FunctionExecutionResultMessage
from autogen_core.tools import BaseTool, FunctionTool, StaticWorkbench, ToolSchema
from pydantic import BaseModel

from tallystick import Guarantee, Ledger, Policy
from tallystick.errors import (
    ApprovalRequired,
    EffectInDoubt,
    InvalidCall,
    ResultTypeUnknown,
    StillRunning,
)
from tallystick_autogen import (
    BudgetedModelClient,
    LedgeredWorkbench,
    team_session,
    wrap_tool,
    wrap_tools,
)

from ._world import Script, Scripted, Turn, agent, results, soon

PAY: Turn = [("pay", {"amount": 5})]


class Shop:
    """A payer and a clerk, made anew by each process."""

    def __init__(self, ledger: Ledger, *, policy: Policy | None = None) -> None:
        self.ledger = ledger
        self.policy = policy or Policy()
        self.paid: list[int] = []
        self.then: BaseException | None = None
        self.payer = Scripted([PAY, "paid"])
        self.clerk = Scripted(["noted, BYE"])

    async def pay(self, amount: int) -> str:
        """Pay."""
        self.paid.append(amount)
        if self.then is not None:
            raise self.then
        return f"receipt {amount}"

    def team(self) -> RoundRobinGroupChat:
        """As the program makes it."""
        tools = wrap_tools([self.pay], self.ledger, default=self.policy)
        payer = agent(BudgetedModelClient(self.payer, self.ledger), tools)
        clerk = agent(BudgetedModelClient(self.clerk, self.ledger), name="clerk")
        ends = TextMentionTermination("BYE") | MaxMessageTermination(20)
        return RoundRobinGroupChat([payer, clerk], termination_condition=ends)

    async def run(self, task: str = "pay", **options: Any) -> TaskResult:
        """One process: it makes its team and runs it."""
        async with team_session(self.team(), self.ledger, "w") as session:
            result: TaskResult = await soon(session.run(task=task, **options))
            return result

    @property
    def asked(self) -> tuple[int, int]:
        """How often the models were asked."""
        return len(self.payer.asked), len(self.clerk.asked)


async def test_a_run_that_ended_is_not_run_again(url: str) -> None:
    with Ledger(url) as ledger:
        shop = Shop(ledger)
        first = await shop.run()
    with Ledger(url) as ledger:
        other = Shop(ledger)
        again = await other.run()
    assert shop.asked == (2, 1)
    assert (other.asked, shop.paid, other.paid) == ((0, 0), [5], [])
    assert [m.dump() for m in again.messages] == [m.dump() for m in first.messages]
    assert again.stop_reason == first.stop_reason


@pytest.mark.parametrize("at", ["payer", "clerk"])
async def test_a_run_that_broke_off_goes_on_and_asks_nothing_again(url: str, at: str) -> None:
    """B1: state older than the crash is loaded, the model asks again, and the tool acts again."""
    with Ledger(url) as ledger:
        shop = Shop(ledger)
        setattr(shop, at, Scripted([PAY, OSError("gone")] if at == "payer" else [OSError("gone")]))
        with pytest.raises(RuntimeError, match="gone"):
            await shop.run()
    with Ledger(url) as ledger:
        other = Shop(ledger)
        other.payer = Scripted(["paid"])
        result = await other.run()
        assert ledger.pending() == []
    assert (shop.paid, other.paid) == ([5], [])
    assert other.asked == ((1, 1) if at == "payer" else (0, 1))
    assert results(result) == ["receipt 5"]
    assert result.messages[-1].to_text() == "noted, BYE"


class Weather:
    """A tool that reads something else each time, and one that is refused the first time."""

    def __init__(self, ledger: Ledger, paid: list[str], *, refused: bool, bench: bool) -> None:
        self.ledger = ledger
        self.paid = paid
        self.refused = refused
        self.bench = bench

    async def look(self) -> str:
        """Look."""
        return uuid4().hex

    async def pay(self, memo: str) -> str:
        """Pay."""
        if self.refused:
            raise ConnectionRefusedError("try later")
        self.paid.append(memo)
        return "paid"

    def agent(self, model: Scripted) -> AssistantAgent:
        """A memo of its own each time that the model is asked."""
        policies = {"look": Policy(guarantee=Guarantee.READ_ONLY)}
        client = BudgetedModelClient(model, self.ledger)
        plain: list[BaseTool[Any, Any]] = [
            FunctionTool(self.look, "Look."),
            FunctionTool(self.pay, "Pay."),
        ]
        if self.bench:
            bench = LedgeredWorkbench(StaticWorkbench(plain), self.ledger, policies=policies)
            return agent(client, workbench=bench)
        return agent(client, wrap_tools(plain, self.ledger, policies=policies))


@pytest.mark.parametrize("bench", [False, True])
async def test_what_a_tool_read_before_a_crash_is_told_again(url: str, bench: bool) -> None:
    """Else the model would go another way, and pay once more under another memo."""
    paid: list[str] = []
    look: Turn = [("look", {})]
    told: list[str] = []
    asked: list[int] = []
    scripts: list[Script] = [[look, [("pay", {"memo": "one"})], OSError("gone")], ["done"]]
    for script in scripts:
        with Ledger(url) as ledger:
            model = Scripted(script)
            made = Weather(ledger, paid, refused=False, bench=bench).agent(model)
            async with team_session(made, ledger, "w") as session:
                with contextlib.suppress(OSError):
                    await soon(session.run(task="x"))
            told += [
                one.content
                for message in model.asked[-1]
                if isinstance(message, FunctionExecutionResultMessage)
                for one in message.content
            ]
            asked.append(len(model.asked))
    assert paid == ["one"]
    assert told[:2] == told[2:]
    assert asked == [3, 1]


class Degrees(BaseModel):
    """How warm it is."""

    value: str


class Nothing(BaseModel):
    """No arguments."""


class Thermometer(BaseTool[Nothing, Degrees]):
    """A tool that has words of its own for what it reads."""

    def __init__(self) -> None:
        super().__init__(Nothing, Degrees, "look", "Look.")

    async def run(self, args: Nothing, cancellation_token: CancellationToken) -> Degrees:
        return Degrees(value=uuid4().hex)

    def return_value_as_string(self, value: Any) -> str:
        return f"{value.value} degrees"

    @property
    def schema(self) -> ToolSchema:
        return {"name": "look", "description": "Look."}


async def test_what_was_read_is_told_again_in_the_tools_own_words(url: str) -> None:
    told: list[Any] = []
    look: Turn = [("look", {})]
    scripts: list[Script] = [[look, OSError("gone")], ["done"]]
    for script in scripts:
        with Ledger(url) as ledger:
            tool = wrap_tool(Thermometer(), ledger, policy=Policy(guarantee=Guarantee.READ_ONLY))
            model = Scripted(script)
            async with team_session(
                agent(BudgetedModelClient(model, ledger), [tool]), ledger, "w"
            ) as session:
                with contextlib.suppress(OSError):
                    await soon(session.run(task="x"))
            told.append(model.asked[-1][-1].content)
    assert told[0][0].content.endswith(" degrees")
    assert told[0] == told[1]


async def test_a_failure_that_was_told_before_a_crash_is_told_again(url: str) -> None:
    """Else the first payment would be made now, beside the second one."""
    paid: list[str] = []
    first: Turn = [("pay", {"memo": "one"})]
    with Ledger(url) as ledger:
        weather = Weather(ledger, paid, refused=True, bench=False)

        def say(messages: Any) -> Turn:
            results_so_far = sum(isinstance(m, FunctionExecutionResultMessage) for m in messages)
            weather.refused = results_so_far == 0
            if results_so_far == 2:
                raise OSError("gone")
            return first if results_so_far == 0 else [("pay", {"memo": "two"})]

        async with team_session(weather.agent(Scripted(say)), ledger, "w") as session:
            with pytest.raises(OSError, match="gone"):
                await soon(session.run(task="x"))
    assert paid == ["two"]
    with Ledger(url) as ledger:
        other = Weather(ledger, paid, refused=False, bench=False)
        async with team_session(other.agent(Scripted(["done"])), ledger, "w") as session:
            result = await soon(session.run(task="x"))
    assert paid == ["two"]
    assert results(result) == ["try later", "paid"]


async def test_a_run_that_waits_for_a_person_goes_on_when_that_has_decided(url: str) -> None:
    keys: set[str] = set()
    for _ in range(2):
        with Ledger(url) as ledger:
            shop = Shop(ledger, policy=Policy(approval=True))
            with pytest.raises(ApprovalRequired) as raised:
                await shop.run()
            keys.add(raised.value.key)
            assert shop.clerk.asked == []
    with Ledger(url) as ledger:
        ledger.approve(keys.pop(), by="ann")
        shop = Shop(ledger, policy=Policy(approval=True))
        shop.payer = Scripted(["paid"])
        result = await shop.run()
    assert (shop.paid, results(result)) == ([5], ["receipt 5"])
    assert shop.asked == (1, 1)


async def test_a_run_in_doubt_goes_on_when_a_person_has_resolved_it(url: str) -> None:
    with Ledger(url) as ledger:
        shop = Shop(ledger)
        shop.then = RuntimeError("lost")
        with pytest.raises(EffectInDoubt) as raised:
            await shop.run()
    with Ledger(url) as ledger:
        ledger.resolve(raised.value.key, succeeded="receipt by hand", by="ann")
        other = Shop(ledger)
        other.payer = Scripted(["paid"])
        result = await other.run()
    assert (shop.paid, other.paid) == ([5], [])
    assert results(result) == ["receipt by hand"]


async def test_the_next_run_goes_on_from_the_state_of_the_last_one(url: str) -> None:
    with Ledger(url) as ledger:
        await Shop(ledger).run()
    with Ledger(url) as ledger:
        shop = Shop(ledger)
        shop.payer = Scripted(["again"])
        await shop.run("and now?")
        assert isinstance(shop.clerk.asked[0][-2], FunctionExecutionResultMessage) is False
        told = [getattr(m, "content", None) for m in shop.payer.asked[0]]
    assert "pay" in told
    assert "noted, BYE" in told
    assert told[-1] == "and now?"


async def test_the_same_task_under_another_key_is_meant_anew(url: str) -> None:
    with Ledger(url) as ledger:
        shop = Shop(ledger)
        await shop.run(key="m-1")
        await shop.run(key="m-1")
        assert shop.asked == (2, 1)
        await shop.run(key="m-2")
        assert shop.asked == (3, 2)


async def test_tasks_are_told_apart_by_what_they_say(ledger: Ledger) -> None:
    model = Scripted(["one", "two", "three"])
    for text in ("a", "a", "b"):
        who = agent(BudgetedModelClient(model, ledger))
        async with team_session(who, ledger, "w") as session:
            await session.run(task=[TextMessage(content=text, source="user")])
            message = TextMessage(content=text, source="user")
            await session.run(task=message)
    assert len(model.asked) == 2


async def test_a_session_without_a_task_goes_on_with_the_conversation(ledger: Ledger) -> None:
    model = Scripted(["one", "two", "three"])
    async with team_session(agent(BudgetedModelClient(model, ledger)), ledger, "w") as session:
        said = [(await session.run(task=t)).messages[-1].to_text() for t in ("a", None, None)]
    assert said == ["one", "two", "three"]


async def test_a_question_that_is_asked_twice_in_a_run_has_two_answers(ledger: Ledger) -> None:
    """Two agents with the same context; the order tells them apart, again after a crash."""
    shared = Scripted(["heads", "tails", OSError("gone")])

    def team(model: Scripted) -> RoundRobinGroupChat:
        one = BudgetedModelClient(model, ledger)
        agents = [AssistantAgent(n, one, system_message=None) for n in ("a", "b", "c")]
        for each in agents:
            each._add_messages_to_context = _forget  # type: ignore[method-assign, assignment]
        return RoundRobinGroupChat([*agents], max_turns=3)

    async def _forget(**_: Any) -> None:
        return None

    with pytest.raises(RuntimeError, match="gone"):
        async with team_session(team(shared), ledger, "w") as session:
            await soon(session.run(task="toss"))
    async with team_session(team(Scripted(["edge"])), ledger, "w") as session:
        result = await soon(session.run(task="toss"))
    assert [m.to_text() for m in result.messages[1:]] == ["heads", "tails", "edge"]


async def test_a_stream_tells_what_happened_and_again(url: str) -> None:
    told: list[list[str]] = []
    for _ in range(2):
        with Ledger(url) as ledger:
            shop = Shop(ledger)
            async with team_session(shop.team(), ledger, "w") as session:
                heard = [event async for event in session.run_stream(task="pay")]
            assert isinstance(heard[-1], TaskResult)
            told.append([type(event).__name__ for event in heard])
    assert told[0] == told[1]
    assert "ToolCallExecutionEvent" in told[0]


async def test_a_stream_of_a_model_is_recorded_too(url: str) -> None:

    async def run(model: Scripted) -> TaskResult:
        with Ledger(url) as ledger:
            both = [
                agent(BudgetedModelClient(model, ledger), name=n, model_client_stream=True)
                for n in ("a", "b")
            ]
            team = RoundRobinGroupChat([*both], max_turns=2)
            async with team_session(team, ledger, "w") as session:
                ended: TaskResult = await soon(session.run(task="x"))
                return ended

    with pytest.raises(RuntimeError, match="gone"):
        await run(Scripted(["well then", OSError("gone")]))
    model = Scripted(["done"])
    result = await run(model)
    assert [m.to_text() for m in result.messages] == ["x", "well then", "done"]
    assert len(model.asked) == 1


async def test_a_second_session_waits_or_is_refused(url: str) -> None:
    with Ledger(url) as ledger, Ledger(url) as other:
        shop = Shop(ledger)
        async with team_session(shop.team(), ledger, "w"):
            with pytest.raises(StillRunning):
                async with team_session(Shop(other).team(), other, "w", wait=0.05):
                    pass
            waiting = asyncio.create_task(Shop(other).run())
            await asyncio.sleep(0.05)
            assert not waiting.done()
        assert (await soon(waiting)).messages[-1].to_text() == "noted, BYE"


async def test_a_team_that_an_error_ended_is_refused_before_it_hangs(ledger: Ledger) -> None:
    """B1: run() again hangs, and reset() is QueueShutDown."""
    shop = Shop(ledger)
    shop.clerk = Scripted([OSError("gone")])
    async with team_session(shop.team(), ledger, "w") as session:
        with pytest.raises(RuntimeError, match="gone"):
            await soon(session.run(task="pay"))
        with pytest.raises(InvalidCall, match="make it anew"):
            await soon(session.run(task="pay"))


async def test_an_agent_that_an_error_ended_runs_again(ledger: Ledger) -> None:
    model = Scripted([OSError("gone"), "hi"])
    async with team_session(agent(BudgetedModelClient(model, ledger)), ledger, "w") as session:
        with pytest.raises(OSError, match="gone"):
            await soon(session.run(task="x"))
        await soon(session.run(task="x"))
    assert [len(asked) for asked in model.asked] == [2, 2]


async def test_the_effects_of_a_cancelled_run_are_awaited_at_the_end(ledger: Ledger) -> None:
    done: list[int] = []

    async def pay(amount: int) -> str:
        """Pay."""
        await asyncio.sleep(0.1)
        done.append(amount)
        return "paid"

    one = agent(BudgetedModelClient(Scripted([PAY, "?"]), ledger), wrap_tools([pay], ledger))
    async with team_session(one, ledger, "w") as session:
        stream = session.run_stream(task="x")
        async for event in stream:
            if type(event).__name__ == "ToolCallRequestEvent":
                await asyncio.sleep(0.03)
                break
        await stream.aclose()
        assert done == []
    assert done == [5]


async def test_a_session_that_is_cancelled_at_its_end_lets_the_next_one_in(ledger: Ledger) -> None:
    paying = asyncio.Event()

    async def pay(amount: int) -> str:
        """Pay."""
        paying.set()
        await asyncio.sleep(1)
        return "paid"

    one = agent(BudgetedModelClient(Scripted([PAY, "?"]), ledger), wrap_tools([pay], ledger))

    async def first() -> None:
        async with team_session(one, ledger, "w") as session:
            run = asyncio.create_task(session.run(task="x"))
            await paying.wait()
            run.cancel()

    task = asyncio.create_task(first())
    await paying.wait()
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await soon(task)
    async with team_session(agent(Scripted(["hi"])), ledger, "w", wait=0):
        assert ledger.effects(tool="pay")[0].status == "running"


async def test_a_session_that_is_cancelled_as_it_opens_lets_the_next_one_in(
    ledger: Ledger,
) -> None:
    session: Any = team_session(agent(Scripted(["hi"])), ledger, "w")
    opening = asyncio.create_task(session.__aenter__())
    while not session._sole.held:  # noqa: ASYNC110 - the very step in which it is granted
        await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    async with team_session(agent(Scripted(["hi"])), ledger, "w", wait=0):
        assert not session._sole.held


async def test_two_runs_at_once_are_refused_and_the_first_one_goes_on(ledger: Ledger) -> None:
    """AutoGen would load the state into an agent at work."""
    model = Scripted(["one", "two"])
    model.thinking = asyncio.Event()
    async with team_session(agent(BudgetedModelClient(model, ledger)), ledger, "w") as session:
        first = asyncio.create_task(session.run(task="a"))
        while not model.asked:  # noqa: ASYNC110 - the model rings no bell
            await asyncio.sleep(0)
        with pytest.raises(InvalidCall, match="goes on in this session"):
            await session.run(task="b")
        model.thinking.set()
        assert (await soon(first)).messages[-1].to_text() == "one"
        assert (await soon(session.run(task="b"))).messages[-1].to_text() == "two"


class Total(BaseModel):
    """A sum."""

    total: int


async def test_a_recorded_message_of_ones_own_type_needs_its_type(url: str) -> None:
    for types, expected in ((), None), ((), ResultTypeUnknown), ([StructuredMessage[Total]], None):
        with Ledger(url) as ledger:
            model = BudgetedModelClient(Scripted(['{"total": 5}']), ledger)
            who = agent(model, output_content_type=Total)
            async with team_session(who, ledger, "w", message_types=types) as session:
                if expected is None:
                    result = await session.run(task="x")
                    assert result.messages[-1].content == Total(total=5)  # type: ignore[union-attr]
                else:
                    with pytest.raises(expected, match="message_types"):
                        await session.run(task="x")


async def test_recording_costs_no_budget(ledger: Ledger) -> None:
    ledger.budget("all", requests=2)
    ledger.budget("effects", per=("workflow",), requests=3)
    one = agent(BudgetedModelClient(Scripted(["one"]), ledger, "all"))
    async with team_session(one, ledger, "w") as session:
        await session.run(task="x")
    assert ledger.budget("all").spent == 1


@pytest.mark.parametrize("kind", ["agent", "team"])
async def test_a_model_of_which_no_answer_is_kept_is_refused(ledger: Ledger, kind: str) -> None:
    shop, inner = Shop(ledger), Scripted([PAY])
    one: Any = agent(inner, wrap_tools([shop.pay], ledger))
    who = one if kind == "agent" else RoundRobinGroupChat([one], max_turns=1)
    async with team_session(who, ledger, "w") as session:
        with pytest.raises(InvalidCall, match="BudgetedModelClient"):
            await soon(session.run(task="x"))
    assert inner.asked == []


async def test_bad_input_is_refused(ledger: Ledger) -> None:
    who = agent(Scripted(["x"]))
    with pytest.raises(InvalidCall, match="no ledger"):
        team_session(who, 5, "w")  # type: ignore[arg-type]
    with pytest.raises(InvalidCall, match="workflow"):
        team_session(who, ledger, "")
    with pytest.raises(InvalidCall, match="open the session first"):
        await team_session(who, ledger, "w").run(task="x")
