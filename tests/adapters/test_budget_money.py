"""Prices, runaways, tools and processes: what else decides about a model call."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.errors import GraphBubbleUp

from tallystick import Ledger, Policy
from tallystick.errors import (
    BudgetError,
    BudgetExceeded,
    EffectInDoubt,
    RunawayStopped,
    UnpricedModel,
)
from tallystick.prices import Overrides
from tallystick.runaway import Repeats, Runaway
from tallystick.stores._sqlite import SqliteTx
from tallystick_langchain import BudgetCallback, wrap_tool
from tests.adapters.budget_models import LINE, USED, Streamer, Talker, line
from tests.adapters.langchain_agents import ASK, agent_of, answers, said, thread
from tests.adapters.langchain_layers import Layers, layers, start
from tests.adapters.processes import ENVIRON, ROOT

PRICES = Overrides(
    {
        "talker-1": {"input": "1", "output": "10"},
        "talker-2": {"input": "0.1", "output": "1"},
    }
)


def paid(ledger: Ledger, usd: str, **options: Any) -> Any:
    """A configuration whose model calls are paid in dollars."""
    ledger.budget(LINE, usd=usd)
    return {"callbacks": [BudgetCallback(ledger, LINE, prices=PRICES, **options)]}


def test_models_have_their_own_prices(ledger: Ledger) -> None:
    config = paid(ledger, "1")
    Talker().invoke("hi", config)
    assert line(ledger) == (Decimal("0.00006"), 0, 0)
    Talker(model="talker-2").invoke("hi", config)
    assert line(ledger) == (Decimal("0.000066"), 0, 0)


def test_the_answer_may_name_its_model_more_exactly(ledger: Ledger) -> None:
    config = paid(ledger, "1")
    Talker(model="talker-2").bind(model="talker-1").invoke("hi", config)
    assert line(ledger)[0] == Decimal("0.000006")


def test_a_model_without_a_price_is_not_asked(ledger: Ledger) -> None:
    model = Talker(model="nobody knows it")
    with pytest.raises(UnpricedModel) as caught:
        model.invoke("hi", paid(ledger, "1"))
    assert isinstance(caught.value, GraphBubbleUp)
    assert not model.paid


def test_a_model_without_a_bound_is_not_asked(ledger: Ledger) -> None:
    ledger.budget(LINE, tokens=1_000_000)
    callback = BudgetCallback(ledger, LINE)
    model = FakeListChatModel(responses=["yes"])
    with pytest.raises(BudgetError, match="max_tokens"):
        model.invoke("hi", {"callbacks": [callback]})
    limited: Any = model.bind(max_tokens=10)
    assert limited.invoke("hi", {"callbacks": [callback]}).content == "yes"


def test_a_session_that_goes_round_in_circles_is_stopped(ledger: Ledger) -> None:
    runaway = Runaway(rules=(Repeats(times=3),), action="stop")
    config = paid(ledger, "1", session="loop", runaway=runaway)
    model = Talker()
    stopped: RunawayStopped | None = None
    for _ in range(10):
        try:
            model.invoke("hi", config)
        except RunawayStopped as error:
            stopped = error
    assert isinstance(stopped, GraphBubbleUp)
    assert stopped.session == "loop"
    assert 3 <= len(model.paid) < 6


@layers
def test_a_tool_that_nobody_pays_for_stops_the_agent(layer: Layers, ledger: Ledger) -> None:
    ledger.budget("acts", requests=1)
    ran: list[int] = []

    @tool
    def act(x: int) -> str:
        """Act."""
        ran.append(x)
        return "acted"

    policy = Policy(budgets=("acts",))
    ledger.budget("acts").reserve(requests=1)
    graph = layer(wrap_tool(act, ledger, policy=policy))
    config = thread()
    with pytest.raises(BudgetExceeded) as caught:
        graph.invoke(start(layer), config)
    assert isinstance(caught.value, GraphBubbleUp)
    assert not ran
    ledger.budget("acts", requests=2)
    graph.invoke(None, config)
    assert ran == [1]


def test_a_tool_whose_model_was_refused_is_in_doubt(ledger: Ledger) -> None:
    """It may have done something before it asked the model."""
    ledger.budget(LINE, tokens=1)
    did: list[int] = []

    @tool
    def act(x: int) -> str:
        """Do something, then ask another model."""
        did.append(x)
        return str(Talker().invoke("hi", {"callbacks": [BudgetCallback(ledger, LINE)]}).content)

    agent = agent_of([wrap_tool(act, ledger)], ASK)
    for _ in range(2):
        with pytest.raises(EffectInDoubt):
            agent.invoke(said() if not did else None, thread())
    assert did == [1]


def test_a_tool_that_only_asks_a_model_runs_again_when_there_is_money(ledger: Ledger) -> None:
    """Its policy says so: an agent as a tool, whose own effects are in the ledger."""
    ledger.budget(LINE, tokens=1)
    model = Talker()

    @tool
    def act(x: int) -> str:
        """Ask another model."""
        return str(model.invoke("hi", {"callbacks": [BudgetCallback(ledger, LINE)]}).content)

    again = Policy(classify={BudgetError: "interrupted"})
    agent = agent_of([wrap_tool(act, ledger, policy=again)], ASK)
    with pytest.raises(BudgetExceeded):
        agent.invoke(said(), thread())
    ledger.budget(LINE, tokens=1_000_000)
    [answer] = answers(agent.invoke(None, thread()))
    assert (answer.content, len(model.paid)) == ("yes", 1)


@pytest.mark.parametrize("mode", ["batch", "abatch"])
def test_of_forty_calls_at_once_a_database_lets_one_through(mode: str, tmp_path: Path) -> None:
    with Ledger(f"sqlite:///{tmp_path}/ledger.db", create=True) as ledger:
        ledger.budget(LINE, tokens=1_300)
        gate: Any = threading.Event() if mode == "batch" else asyncio.Event()
        model = Talker(gate=gate)
        config: Any = {"callbacks": [BudgetCallback(ledger, LINE)], "max_concurrency": 40}
        inputs: list[Any] = [f"question {n}" for n in range(40)]

        async def awaited() -> list[Any]:
            asking = asyncio.ensure_future(model.abatch(inputs, config, return_exceptions=True))
            await asyncio.sleep(0.3)
            gate.set()
            return await asking

        if mode == "batch":
            threading.Timer(0.5, gate.set).start()
            answers: list[Any] = model.batch(inputs, config, return_exceptions=True)
        else:
            answers = asyncio.run(awaited())
        assert len([one for one in answers if isinstance(one, BudgetExceeded)]) == 39
        assert len(model.paid) == 1
        assert line(ledger) == (USED.total, 0, 0)


def test_what_was_consumed_outlives_a_process_that_ends_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    with Ledger(url, create=True) as ledger:
        ledger.budget(LINE, tokens=1_000_000)
        arguments = [sys.executable, "-m", "tests.adapters.budget_process", url, "7"]
        subprocess.run(arguments, check=True, env=ENVIRON, cwd=ROOT, timeout=60)
        assert line(ledger) == (7 * USED.total, 0, 0)
        assert len(ledger.reservations()) == 7


def test_a_stream_may_be_collected_in_the_middle_of_a_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collects = [False]
    straight = SqliteTx.straight

    def collecting(self: Any, name: str, /, *values: Any) -> Any:
        if collects[0]:
            collects[0] = False
            gc.collect()
        return straight(self, name, *values)

    monkeypatch.setattr(SqliteTx, "straight", collecting)
    with Ledger(f"sqlite:///{tmp_path}/ledger.db", create=True) as ledger:
        ledger.budget(LINE, tokens=1_000_000)
        config: Any = {"callbacks": [BudgetCallback(ledger, LINE)]}
        chain: Any = RunnableLambda(str) | Streamer()
        box: list[Any] = [chain.stream("hi", config)]
        next(box[0])
        box.append(box)  # so that only the collector finds it
        del box
        collects[0] = True
        began = time.monotonic()
        Talker().invoke("hi", config)
        assert time.monotonic() - began < 30
        assert not collects[0]
        while line(ledger)[1]:
            assert time.monotonic() - began < 30
        assert line(ledger)[0] == USED.total
        assert line(ledger)[2] > USED.total
