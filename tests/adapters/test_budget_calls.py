"""What a model call costs, whatever way it is made and whatever becomes of it."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models.llms import LLM
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langgraph.errors import GraphBubbleUp

from tallystick import Ledger
from tallystick.errors import BudgetExceeded, InvalidCall, UnknownBudget
from tallystick.prices import Usage
from tallystick_langchain import BudgetCallback
from tests.adapters.budget_models import LINE, USED, Streamer, Talker, line, used
from tests.adapters.model_modes import BATCHES, MODES, STREAMS, Mode, modes, stream

#: a little more than one call of a Talker reserves
BOUND = 1_300


def through(ledger: Ledger, *, tokens: int = 1_000_000, **options: Any) -> Any:
    """A configuration whose model calls are paid by a budget of so many tokens."""
    ledger.budget(LINE, tokens=tokens)
    return {"callbacks": [BudgetCallback(ledger, LINE, **options)]}


def under_way(config: Any) -> int:
    """How many calls the callback still waits for."""
    [callback] = config["callbacks"]
    return int(callback.under_way)


# -- every way to ask -----------------------------------------------------------------------------


@modes
def test_a_call_is_booked_with_what_it_says_it_consumed(mode: Mode, ledger: Ledger) -> None:
    config = through(ledger)
    model = Streamer()
    mode(model, config)
    assert len(model.paid) == 1
    assert line(ledger) == (USED.total, 0, 0)
    assert under_way(config) == 0


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "on a thread"])
@modes
def test_a_call_that_does_not_fit_is_not_sent(mode: Mode, inline: bool, ledger: Ledger) -> None:
    config = through(ledger, tokens=USED.total, run_inline=inline)
    model = Streamer()
    with pytest.raises(BudgetExceeded, match="nothing was started") as caught:
        mode(model, config)
    assert isinstance(caught.value, GraphBubbleUp)
    assert not model.paid
    assert line(ledger) == (0, 0, 0)
    assert under_way(config) == 0


@modes
def test_a_failed_call_stays_charged(mode: Mode, ledger: Ledger) -> None:
    config = through(ledger)
    model = Streamer(failures=[ConnectionResetError("lost the answer")])
    with pytest.raises(ConnectionResetError):
        mode(model, config)
    spent, reserved, unreconciled = line(ledger)
    assert (spent, reserved, under_way(config)) == (0, 0, 0)
    assert unreconciled > USED.total


@pytest.mark.parametrize("mode", [MODES[name] for name in STREAMS], ids=STREAMS)
def test_a_stream_that_breaks_stays_charged(mode: Mode, ledger: Ledger) -> None:
    config = through(ledger)
    with pytest.raises(ConnectionResetError):
        mode(Streamer(breaks=2), config)
    spent, reserved, unreconciled = line(ledger)
    assert (spent, reserved, under_way(config)) == (0, 0, 0)
    assert unreconciled > USED.total


def test_a_stream_that_began_was_processed_whatever_its_error_says(ledger: Ledger) -> None:
    config = through(ledger)
    model = Streamer(breaks=2, breaks_with=ConnectionRefusedError)
    with pytest.raises(ConnectionRefusedError):
        model.invoke("hi", config, stream=True)
    assert line(ledger)[2] > USED.total


def _within(model: Streamer, config: Any) -> Any:
    return model.invoke("hi", config, stream=True)


@pytest.mark.parametrize("read", [stream, _within])
def test_what_a_broken_stream_said_of_its_usage_is_spent(read: Mode, ledger: Ledger) -> None:
    config = through(ledger)
    model = Streamer(breaks=2, first=used(Usage(input=7, output=1)))
    with pytest.raises(ConnectionResetError):
        read(model, config)
    spent, reserved, unreconciled = line(ledger)
    assert (spent, reserved) == (8, 0)
    assert unreconciled > USED.total


@modes
def test_usage_that_nobody_told_is_not_nothing(mode: Mode, ledger: Ledger) -> None:
    config = through(ledger)
    mode(Streamer(tells=False), config)
    spent, reserved, unreconciled = line(ledger)
    assert (spent, reserved) == (0, 0)
    assert unreconciled > USED.total


@pytest.mark.parametrize("mode", [MODES[name] for name in STREAMS], ids=STREAMS)
def test_a_stream_of_a_model_that_thinks_aloud_is_bounded_by_its_bytes(
    mode: Mode, ledger: Ledger
) -> None:
    mode(Streamer(model="gpt-4o-mini", tells=False, max_tokens=100_000), through(ledger))
    spent, reserved, unreconciled = line(ledger)
    assert USED.total < spent < BOUND
    assert (reserved, unreconciled) == (0, 0)


# -- many at once ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", BATCHES)
def test_of_forty_calls_at_once_a_budget_for_one_pays_one(mode: str, ledger: Ledger) -> None:
    config = through(ledger, tokens=BOUND)
    gate: Any = threading.Event() if mode == "batch" else asyncio.Event()
    model = Talker(gate=gate)
    inputs: list[Any] = [f"question {n}" for n in range(40)]

    async def awaited() -> list[Any]:
        asking = asyncio.ensure_future(model.abatch(inputs, config, return_exceptions=True))
        await asyncio.sleep(0.1)
        gate.set()
        answers: list[Any] = await asking
        return answers

    if mode == "batch":
        threading.Timer(0.3, gate.set).start()
        all_at_once: Any = {**config, "max_concurrency": 40}
        answers = model.batch(inputs, all_at_once, return_exceptions=True)
    else:
        answers = asyncio.run(awaited())
    refused = [one for one in answers if isinstance(one, BudgetExceeded)]
    assert (len(model.paid), len(refused)) == (1, 39)
    assert line(ledger) == (USED.total, 0, 0)


def test_calls_of_one_generate_are_sent_together_or_not_at_all(ledger: Ledger) -> None:
    config = through(ledger, tokens=BOUND * 3 // 2)
    model = Talker()
    several: list[list[BaseMessage]] = [[HumanMessage("one")], [HumanMessage("two")]]
    with pytest.raises(BudgetExceeded):
        model.generate(several, **config)
    with pytest.raises(BudgetExceeded):
        asyncio.run(model.agenerate(several, **config))
    assert not model.paid
    assert line(ledger) == (0, 0, 0)
    assert under_way(config) == 0


def test_of_several_calls_in_turn_those_after_a_failure_are_not_sent(ledger: Ledger) -> None:
    class Fails(Talker):
        def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
            if messages[0].content == "two":
                raise ConnectionRefusedError("nobody listens")
            return super()._generate(messages, *args, **kwargs)

        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            return self._generate(*args, **kwargs)

    config = through(ledger)
    model = Fails()
    several: list[list[BaseMessage]] = [[HumanMessage(text)] for text in ("one", "two", "three")]
    with pytest.raises(ConnectionRefusedError):
        model.generate(several, **config)
    spent, reserved, unreconciled = line(ledger)
    assert (spent, reserved, under_way(config)) == (0, 0, 0)
    assert USED.total < unreconciled < BOUND
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(model.agenerate(several, **config))
    assert line(ledger) == (2 * USED.total, 0, unreconciled)
    assert under_way(config) == 0


def test_a_callback_of_one_model_counts_that_model(ledger: Ledger) -> None:
    [callback] = through(ledger)["callbacks"]
    counted, other = Talker(callbacks=[callback]), Talker()
    counted.invoke("hi")
    other.invoke("hi")
    assert len(other.paid) == 1
    assert line(ledger) == (USED.total, 0, 0)


def test_where_one_callback_refuses_another_one_releases(ledger: Ledger) -> None:
    ledger.budget("wide", tokens=1_000_000)
    ledger.budget("narrow", tokens=10)
    wide, narrow = BudgetCallback(ledger, "wide"), BudgetCallback(ledger, "narrow")
    model = Talker()
    with pytest.raises(BudgetExceeded):
        model.invoke("hi", {"callbacks": [wide, narrow]})
    assert not model.paid
    assert line(ledger, "wide") == line(ledger, "narrow") == (0, 0, 0)
    assert wide.under_way == narrow.under_way == 0


# -- again, and instead ---------------------------------------------------------------------------


@pytest.mark.parametrize("awaited", [False, True], ids=["blocking", "awaiting"])
def test_each_retry_is_a_call_of_its_own(awaited: bool, ledger: Ledger) -> None:
    config = through(ledger)
    model = Talker(failures=[ConnectionResetError(), ConnectionResetError()])
    patient: Runnable[Any, Any] = model.with_retry(wait_exponential_jitter=False)
    if awaited:
        asyncio.run(patient.ainvoke("hi", config))
    else:
        patient.invoke("hi", config)
    assert len(model.paid) == 3
    spent, reserved, unreconciled = line(ledger)
    assert (spent, reserved) == (USED.total, 0)
    assert unreconciled > 2 * USED.total


@pytest.mark.parametrize("awaited", [False, True], ids=["blocking", "awaiting"])
def test_retries_and_fallbacks_send_nothing_that_was_refused(awaited: bool, ledger: Ledger) -> None:
    config = through(ledger, tokens=10)
    models = [Talker(), Talker(model="talker-2")]
    stubborn: dict[str, Runnable[Any, Any]] = {
        "with_retry": models[0].with_retry(wait_exponential_jitter=False),
        "with_fallbacks": models[0].with_fallbacks([models[1]]),
    }
    for each in stubborn.values():
        with pytest.raises(BudgetExceeded):
            asyncio.run(each.ainvoke("hi", config)) if awaited else each.invoke("hi", config)
    assert not models[0].paid
    assert not models[1].paid
    assert line(ledger) == (0, 0, 0)


def test_a_fallback_pays_for_itself(ledger: Ledger) -> None:
    config = through(ledger)
    first, second = Talker(failures=[ConnectionResetError()]), Talker(model="talker-2")
    chain: Runnable[Any, Any] = first.with_fallbacks([second])
    chain.invoke("hi", config)
    spent, _, unreconciled = line(ledger)
    assert spent == USED.total
    assert unreconciled > USED.total


def test_what_was_refused_costs_nothing(ledger: Ledger) -> None:
    config = through(ledger)
    model = Talker(failures=[ConnectionRefusedError("nobody listens")])
    with pytest.raises(ConnectionRefusedError):
        model.invoke("hi", config)
    assert line(ledger) == (0, 0, 0)


@pytest.mark.parametrize("streams", [False, True])
def test_what_a_cache_answers_costs_nothing(streams: bool, ledger: Ledger) -> None:
    config = through(ledger)
    model = (Streamer if streams else Talker)(cache=InMemoryCache())
    for _ in range(3):
        model.invoke("hi", config)
    assert len(model.paid) == 1
    assert line(ledger) == (USED.total, 0, 0)


# -- given up -------------------------------------------------------------------------------------


async def cancelled(work: Any) -> None:
    """Begin *work*, and cancel it in the middle."""
    task = asyncio.ensure_future(work)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)


def _same(said: Any) -> Any:
    return said


def _as_text(said: Any) -> Any:
    return {"text": said}


def chained(model: Talker) -> Runnable[Any, Any]:
    """The model within a chain."""
    return RunnableLambda(_same) | model


def tooled(model: Talker) -> Runnable[Any, Any]:
    """The model within a tool, which does not say that it was cancelled."""

    @tool
    async def ask(text: str) -> str:
        """Ask."""
        return str(await model.ainvoke(text))

    return RunnableLambda(_as_text) | ask


def alone(model: Talker) -> Runnable[Any, Any]:
    """The model with nothing around it."""
    return model


SURROUNDINGS: dict[str, Any] = {"alone": alone, "chain": chained, "tool": tooled}


@pytest.mark.parametrize("around", SURROUNDINGS.values(), ids=SURROUNDINGS.keys())
async def test_a_cancelled_call_stays_charged(around: Any, ledger: Ledger) -> None:
    config = through(ledger)
    model = Talker(gate=asyncio.Event())
    await cancelled(around(model).ainvoke("hi", config))
    assert len(model.paid) == 1
    spent, reserved, unreconciled = line(ledger)
    assert (spent, reserved, under_way(config)) == (0, 0, 0)
    assert unreconciled > USED.total


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "on a thread"])
@pytest.mark.parametrize("around", [chained, tooled])
async def test_a_call_that_ran_out_of_time_stays_charged(
    around: Any, inline: bool, ledger: Ledger
) -> None:
    """Seen from a thread there is no task: only the runs around know that it was cancelled."""
    config = through(ledger, run_inline=inline)
    model = Talker(gate=asyncio.Event())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await around(model).ainvoke("hi", config)
    spent, reserved, unreconciled = line(ledger)
    assert (spent, reserved, under_way(config)) == (0, 0, 0)
    assert unreconciled > USED.total


async def test_a_call_that_outlives_the_run_around_it_is_booked(ledger: Ledger) -> None:
    def fail(said: Any) -> Any:
        raise ValueError(said)

    config = through(ledger)
    model = Talker(gate=asyncio.Event())
    together: Any = RunnableParallel(slow=model, bad=RunnableLambda(fail))
    with pytest.raises(ValueError, match="hi"):
        await together.ainvoke("hi", config)
    assert under_way(config) == 1
    model.gate.set()
    await asyncio.sleep(0.05)
    assert line(ledger) == (USED.total, 0, 0)


async def test_a_task_and_a_run_that_go_on_keep_nothing_of_a_call(ledger: Ledger) -> None:
    config = through(ledger)
    for _ in range(3):
        await Talker().ainvoke("hi", config)
        await chained(Talker()).ainvoke("hi", config)
    await tooled(Talker()).ainvoke("hi", config)
    task: Any = asyncio.current_task()
    assert not [told for told, _ in task._callbacks or () if "_done" in repr(told)]
    assert config["callbacks"][0]._runs.runs == 0


def test_calls_that_share_their_parameters_by_chance_have_nothing_in_common(
    ledger: Ledger,
) -> None:
    shared: dict[str, Any] = {"model": "talker-1", "max_tokens": 20}

    class Shares(Streamer):
        def _get_invocation_params(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
            return shared

    config = through(ledger, tokens=BOUND)
    flow: Any = Shares().stream("hi", config)
    next(flow)
    with pytest.raises(BudgetExceeded):
        Shares().invoke("hi", config)
    assert under_way(config) == 1
    list(flow)
    assert line(ledger) == (USED.total, 0, 0)


async def test_a_cancelled_batch_stays_charged(ledger: Ledger) -> None:
    config = through(ledger)
    await cancelled(Talker(gate=asyncio.Event()).abatch(["one", "two"], config))
    spent, reserved, unreconciled = line(ledger)
    assert (spent, reserved, under_way(config)) == (0, 0, 0)
    assert unreconciled > 2 * USED.total


async def test_a_cancelled_stream_stays_charged(ledger: Ledger) -> None:
    config = through(ledger)
    model = Streamer(gate=asyncio.Event())

    async def read() -> None:
        async for _ in model.astream("hi", config):
            pass

    await cancelled(read())
    spent, reserved, unreconciled = line(ledger)
    assert (spent, reserved, under_way(config)) == (0, 0, 0)
    assert unreconciled > USED.total


async def test_a_stream_may_outlive_the_task_that_began_it(ledger: Ledger) -> None:
    config = through(ledger)
    flow = Streamer().astream("hi", config)
    await asyncio.ensure_future(anext(flow))
    async for _ in flow:
        pass
    assert line(ledger) == (USED.total, 0, 0)


@pytest.mark.parametrize("how", ["closed", "dropped"])
def test_a_stream_that_is_left_stays_charged(how: str, ledger: Ledger) -> None:
    config = through(ledger)
    flow: Any = Streamer().stream("hi", config)
    next(flow)
    if how == "closed":
        flow.close()
    del flow
    gc.collect()
    spent, reserved, unreconciled = line(ledger)
    assert (spent, reserved, under_way(config)) == (0, 0, 0)
    assert unreconciled > USED.total


def test_a_stream_that_is_left_after_its_last_word_is_booked(ledger: Ledger) -> None:
    flow: Any = Streamer().stream("hi", through(ledger))
    for chunk in flow:
        if chunk.usage_metadata:
            break
    flow.close()
    assert line(ledger) == (USED.total, 0, 0)


# -- what it keeps --------------------------------------------------------------------------------


def test_an_answer_that_was_paid_for_is_kept_when_the_ledger_is_gone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ledger = Ledger("memory://")

    class Closes(BaseCallbackHandler):
        run_inline = True

        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            ledger.close()

    config = through(ledger)
    config["callbacks"].append(Closes())
    assert Talker().invoke("hi", config).content == "yes"
    assert "recorded later" in caplog.text


def test_it_forgets_the_oldest_calls_that_nothing_ends(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tallystick_langchain._budget._runs._CALLS", 3)
    monkeypatch.setattr("tallystick_langchain._budget._runs._RUNS", 3)
    config = through(ledger)
    flows: list[Any] = [chained(Streamer()).stream("hi", config) for _ in range(5)]
    for flow in flows:
        next(flow)
    assert under_way(config) == 3
    assert config["callbacks"][0]._runs.runs <= 3
    spent, reserved, unreconciled = line(ledger)
    assert spent == 0
    assert reserved > unreconciled > 2 * USED.total
    for flow in flows:
        flow.close()


# -- who pays -------------------------------------------------------------------------------------


def test_a_thread_is_a_session(ledger: Ledger) -> None:
    model = Talker()
    with pytest.raises(BudgetExceeded) as caught:
        model.invoke("hi", through(ledger, tokens=1))
    ledger.budget("session", tokens=int(caught.value.needed) + USED.total, per="session")
    callback = BudgetCallback(ledger, "session")

    def on(name: str) -> Any:
        return {"callbacks": [callback], "metadata": {"thread_id": name}}

    for name in ("a", "a", "b"):
        model.invoke("hi", on(name))
    with pytest.raises(BudgetExceeded, match="session a"):
        model.invoke("hi", on("a"))
    model.invoke("hi", on("b"))
    assert len(model.paid) == 4


def test_a_thread_is_also_the_workflow_unless_there_is_one_around(ledger: Ledger) -> None:
    ledger.budget("both", tokens=1_000_000, per=("session", "workflow"))
    config: Any = {
        "callbacks": [BudgetCallback(ledger, "both")],
        "metadata": {"thread_id": "thread"},
    }
    Talker().invoke("hi", config)
    with ledger.workflow("around"):
        Talker().invoke("hi", config)
    assert sorted(each.per["workflow"] for each in ledger.budget("both").lines()) == [
        "around",
        "thread",
    ]
    assert {each.per["session"] for each in ledger.budget("both").lines()} == {"thread"}


def test_every_choice_is_reserved_for(ledger: Ledger) -> None:
    model = Talker(max_tokens=1_000)
    for n, fits in ((1, True), (3, False)):
        config = through(ledger, tokens=3_500)
        if fits:
            model.bind(n=n).invoke("hi", config)
        else:
            with pytest.raises(BudgetExceeded):
                model.bind(n=n).invoke("hi", config)


def test_a_model_that_completes_text_pays_too(ledger: Ledger) -> None:
    class Completes(LLM):
        @property
        def _llm_type(self) -> str:
            return "completes"

        @property
        def _identifying_params(self) -> dict[str, Any]:
            return {"model": "completes-1", "max_tokens": 20}

        def _call(self, prompt: str, *args: Any, **kwargs: Any) -> str:
            return prompt

    config = through(ledger)
    Completes().batch(["one", "two"], config)
    spent, reserved, unreconciled = line(ledger)
    assert (spent, reserved, under_way(config)) == (0, 0, 0)
    assert unreconciled > 2_000


def test_wrong_arguments_are_refused_at_once(ledger: Ledger) -> None:
    no_ledger: Any = "sqlite:///ledger.db"
    with pytest.raises(InvalidCall, match="no ledger"):
        BudgetCallback(no_ledger, LINE)
    with pytest.raises(UnknownBudget):
        Talker().invoke("hi", {"callbacks": [BudgetCallback(ledger, "nobody declared it")]})
