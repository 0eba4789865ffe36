"""Middleware for ``create_agent``: model calls within budgets, smaller, cheaper, or asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, SystemMessage
from langchain_core.runnables import ensure_config
from langchain_core.runnables.config import merge_configs, var_child_runnable_config

from tallystick import Ledger
from tallystick._faces import run_sync
from tallystick._ports import Ports
from tallystick.errors import BudgetError, BudgetExceeded, InvalidCall
from tallystick_langchain import BudgetCallback
from tallystick_langchain._budget._plan import MARK, Plan, Shorter, planned
from tallystick_langgraph._advice import Advice
from tallystick_langgraph._asking import ROUNDS, undecided
from tallystick_langgraph._topping import TopUpAsker

Answer = ModelResponse[Any] | AIMessage
Request = ModelRequest[Any]
#: models whose copy is kept at hand
_MODELS = 64


class BudgetMiddleware(AgentMiddleware[Any, Any, Any]):
    """
    An agent's model calls, paid by budgets of *ledger*, that makes do with what is left.

    It counts as :class:`tallystick_langchain.BudgetCallback` does. Where a call does not fit, it
    tries in this order:

    1. a shorter answer: ``max_tokens`` becomes what the budgets afford, if that is *least* or more;
    2. the models of *downgrade*, one after the other;
    3. a person, where the budget was declared with ``on_exceed="ask"``: the graph is interrupted
       with the top-up request, in the shape of LangChain's ``HumanInTheLoopMiddleware``. Answered
       by ``Command(resume=…)``, or on the command line (``tallystick approve …``) and resumed with
       ``None`` or by :func:`resume_approved`, the call goes through. An edit may grant another
       amount. A denial raises BudgetExceeded.

    Otherwise BudgetExceeded (a ``GraphBubbleUp``: no retry repeats it, and the thread can be
    resumed). Asking needs a checkpointer.

    least
        Tokens below which an answer is not worth its price; ``None`` never shortens.
    downgrade
        Cheaper models, the best first.
    by
        Who decides, where neither the answer nor the run says it.
    report
        Make models that have a ``stream_usage`` say what they consume when they stream, also at
        endpoints where LangChain would not ask for it.
    advice
        An :class:`Advice` that listens to *ledger*: what it heard about a session is added to the
        system message of the session's next call.
    session, options
        As for :class:`tallystick_langchain.BudgetCallback`.

    Put it first: then the calls and retries that other middleware makes instead of the agent's, or
    for it, are paid too. What middleware asks a model between the steps, like a summary, is not
    seen from here; give the run a ``BudgetCallback`` with the same budgets, which counts everything
    once, and the middleware does the rest.

    >>> from langchain.agents import create_agent
    >>> from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    >>> from langgraph.checkpoint.memory import InMemorySaver
    >>> from langgraph.types import Command
    >>> from tallystick.prices import Overrides
    >>> used = {"input_tokens": 900, "output_tokens": 100, "total_tokens": 1_000}
    >>> answer = AIMessage("Hello!", usage_metadata=used)
    >>> model = GenericFakeChatModel(messages=iter([answer]), name="toy")
    >>> prices = Overrides({"*": {"input": "1", "output": "1", "max_output": 1_000}})
    >>> ledger = Ledger("memory://")
    >>> budget = ledger.budget("talk", usd="0.001", on_exceed="ask", raise_by="0.01")
    >>> middleware = BudgetMiddleware(ledger, "talk", prices=prices, report=False)
    >>> agent = create_agent(model, middleware=[middleware], checkpointer=InMemorySaver())
    >>> thread = {"configurable": {"thread_id": "order-42"}}
    >>> stopped = agent.invoke({"messages": ["Hi!"]}, thread)
    >>> [action] = stopped["__interrupt__"][0].value["action_requests"]
    >>> action["name"], action["args"]["raise"]
    ('budget.raise', '0.01')
    >>> answer = {"decisions": [{"type": "approve", "by": "ann"}]}
    >>> agent.invoke(Command(resume=answer), thread)["messages"][-1].content
    'Hello!'
    >>> budget.spent, budget.limit
    (Decimal('0.001'), Decimal('0.011'))
    >>> ledger.close()
    """

    def __init__(
        self,
        ledger: Ledger,
        *budgets: str,
        least: int | None = 256,
        downgrade: BaseChatModel | Sequence[BaseChatModel] = (),
        by: str | None = None,
        report: bool = True,
        advice: Advice | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        if least is not None and (type(least) is not int or least < 1):
            raise InvalidCall(f"least={least!r}: give a number of tokens from 1, or None")
        self.tools = []
        self.callback = BudgetCallback(ledger, *budgets, **options)
        self._ledger = ledger
        self._least = least
        self._cheaper = [downgrade] if isinstance(downgrade, BaseChatModel) else [*downgrade]
        self._by = by
        self._report = report
        self._advice = advice
        self._owned: dict[int, tuple[BaseChatModel, BaseChatModel]] = {}

    def wrap_model_call(self, request: Request, handler: Callable[[Request], Answer]) -> Answer:
        """The call, as it fits."""
        p: Ports = self._ledger._blocking  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        trial = self._trial(request)
        with self._paying():
            run_sync(trial.asker.settle(p))
            for _ in range(ROUNDS):
                try:
                    return handler(trial.request)
                except BudgetError as error:
                    if not trial.adapted(error):
                        run_sync(trial.asker.more(p, error))
        raise undecided("a model call")

    async def awrap_model_call(
        self, request: Request, handler: Callable[[Request], Awaitable[Answer]]
    ) -> Answer:
        """As :meth:`wrap_model_call`, awaited."""
        p: Ports = self._ledger._awaiting  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        trial = self._trial(request)
        with self._paying():
            await trial.asker.settle(p)
            for _ in range(ROUNDS):
                try:
                    return await handler(trial.request)
                except BudgetError as error:
                    if not trial.adapted(error):
                        await trial.asker.more(p, error)
        raise undecided("a model call")

    def _trial(self, request: Request) -> _Trial:
        asker = TopUpAsker(self._ledger, ensure_config(), self._by, request.messages)
        models = [self._own(model) for model in (request.model, *self._cheaper)]
        return _Trial(self._advised(request, asker.thread), models, asker)

    def _advised(self, request: Request, thread: str) -> Request:
        session = self.callback.session or thread
        notes = self._advice.take(session) if self._advice is not None else []
        if not notes:
            return request
        said: Any = "" if request.system_message is None else request.system_message.content
        note = "\n\n".join(notes)
        if isinstance(said, str):
            return request.override(system_message=SystemMessage(f"{said}\n\n{note}".strip()))
        return request.override(
            system_message=SystemMessage([*said, {"type": "text", "text": note}])
        )

    @contextmanager
    def _paying(self) -> Generator[None]:
        """Count the model calls inside, and shorten the agent's own."""
        ambient = ensure_config()
        beside = self._beside(ambient.get("callbacks"))
        config = ambient if beside else merge_configs(ambient, {"callbacks": [self.callback]})
        token = var_child_runnable_config.set(config)
        try:
            with planned(Plan(beside or self.callback, self._least)):
                yield
        finally:
            var_child_runnable_config.reset(token)

    def _beside(self, callbacks: Any) -> BudgetCallback | None:
        """The run's own callback, if it has one that charges the same budgets."""
        handlers: list[Any] = getattr(callbacks, "handlers", callbacks) or []
        mine = set(self.callback.budgets)
        for other in handlers:
            if not isinstance(other, BudgetCallback) or other.ledger is not self._ledger:
                continue
            if set(other.budgets) >= mine:
                return other
            if twice := mine & set(other.budgets):
                raise InvalidCall(
                    f"a BudgetCallback and a BudgetMiddleware would charge {min(twice)} twice for "
                    "each call; give both of them the same budgets"
                )
        return None

    def _own(self, model: BaseChatModel) -> BaseChatModel:
        """*model* as the agent's own, which says what it consumes when it streams."""
        known = self._owned.get(id(model))
        if known is None or known[0] is not model:
            if len(self._owned) >= _MODELS:
                self._owned.clear()
            changes: dict[str, Any] = {"metadata": {**(model.metadata or {}), MARK: True}}
            if self._report and getattr(model, "stream_usage", True) in (None, False):
                changes["stream_usage"] = True
            known = self._owned[id(model)] = model, model.model_copy(update=changes)
        return known[1]


class _Trial:
    """One model call as it was asked for, and as it may be made instead."""

    def __init__(self, asked: Request, models: list[BaseChatModel], asker: TopUpAsker) -> None:
        self.asker = asker
        self._asked = asked
        self._models = models
        self._at = 0
        self.request = asked.override(model=models[0])

    def adapted(self, error: BudgetError) -> bool:
        """Whether the request was changed so that it may fit; a person has to be asked if not."""
        if isinstance(error, Shorter):
            settings = {**self.request.model_settings, **error.settings}
            self.request = self.request.override(model_settings=settings)
            return True
        if isinstance(error, BudgetExceeded) and self._at + 1 < len(self._models):
            self._at += 1
        else:
            self._at = 0
        self.request = self._asked.override(model=self._models[self._at])
        return self._at > 0
