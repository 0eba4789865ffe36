"""The callback that reserves before a model call and settles after it."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from langchain_core.messages import BaseMessage
from langchain_core.messages.ai import add_usage
from langchain_core.outputs import LLMResult
from langchain_core.runnables.config import var_child_runnable_config

from tallystick import Ledger
from tallystick._context import WORKFLOW
from tallystick._keys import is_a
from tallystick._replay._play import play_of
from tallystick.errors import InvalidCall, LedgerError
from tallystick.metering import Meter, Metered, ModelRequest
from tallystick_langchain._budget._around import Around, nothing
from tallystick_langchain._budget._closing import answered, failed, given_up, unheard, unsent
from tallystick_langchain._budget._plan import Shorter, plan_of
from tallystick_langchain._budget._request import choices, described, limits
from tallystick_langchain._budget._runs import Call
from tallystick_langchain._known import RECORDED
from tallystick_langchain._stops import translate

#: every callback there is: one that refuses a call tells the others
_ALL: weakref.WeakSet[BudgetCallback] = weakref.WeakSet()
_LOCK = threading.Lock()


class BudgetCallback(Around):
    """
    No model call that does not fit the budgets, and every one that was made on the books.

    Give it to a run (``config={"callbacks": [BudgetCallback(…)]}``), where it counts every model
    call inside, those of agents within agents too; or to one model, where it counts that one.
    Before a call is sent, an upper bound of what it can use is reserved in all *budgets* at once;
    what does not fit is not sent, and BudgetExceeded is raised. It is a ``GraphBubbleUp`` too: no
    middleware of LangChain swallows it, and the thread can be resumed. ``with_retry`` repeats
    everything unless it is told not to, and ``with_fallbacks`` tries the next model: each attempt
    is refused alike, or fits and pays for itself, as every retry and every fallback does.

    When the answer is there, what it says that it used is booked, and the rest set free. What
    LangChain's cache answers costs nothing. What was certainly not processed is released. Where
    nobody knows, after a failure, a cancellation, or a stream that broke or was left, what is known
    is booked and the rest of the reservation stays charged as unreconciled. No answer that was paid
    for is lost because the ledger is out of reach: what it used is written down later.

    A stream that does not report usage (``ChatOpenAI`` at another ``base_url``, unless it has
    ``stream_usage=True``) is booked by the bytes that arrived, an upper bound, where the model is
    known to think aloud; otherwise the whole reservation stays charged.

    Clients that send again by themselves (``ChatOpenAI`` and ``ChatAnthropic`` do, twice) hide it:
    all attempts are reserved for, and what only a lost one used is not booked. With
    ``max_retries=0`` and LangChain's own retries every attempt is on the books.

    session
        Whose calls these are; by default the ``thread_id`` of the run.
    options
        ``prices``, ``runaway`` and ``lasts``, as for :class:`tallystick.metering.Meter`.
    run_inline
        False moves the ledger's work from the event loop to LangChain's threads: it keeps the loop
        free of a distant database, and costs more than SQLite does.

    Raises BudgetExceeded, RunawayStopped, UnpricedModel, UnknownBudget and StoreError from the
    model call, before anything is sent. Other calls of the same ``batch`` go on.

    >>> from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    >>> from langchain_core.messages import AIMessage
    >>> from tallystick.errors import BudgetExceeded
    >>> from tallystick.prices import Overrides
    >>> used = {"input_tokens": 9_000, "output_tokens": 1_000, "total_tokens": 10_000}
    >>> model = GenericFakeChatModel(messages=iter([AIMessage("Hello!", usage_metadata=used)]))
    >>> prices = Overrides({"toy": {"input": "1", "output": "1"}})
    >>> ledger = Ledger("memory://")
    >>> budget = ledger.budget("greetings", usd="0.011")
    >>> config = {"callbacks": [BudgetCallback(ledger, "greetings", prices=prices)]}
    >>> ask = model.bind(model="toy", max_tokens=1_000)
    >>> ask.invoke("Hi!", config).content, budget.spent
    ('Hello!', Decimal('0.01'))
    >>> ask.invoke("Again!", config)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
      ...
    tallystick.errors.BudgetExceeded: the budget greetings has 0.001 USD left of 0.011 ...
    >>> ledger.close()
    """

    raise_error = True

    def __init__(
        self,
        ledger: Ledger,
        *budgets: str,
        session: str | None = None,
        run_inline: bool = True,
        **options: Any,
    ) -> None:
        super().__init__()
        if not is_a(ledger, Ledger):
            raise InvalidCall(f"{ledger!r} is no ledger; give a tallystick.Ledger")
        self.run_inline = run_inline
        self._meter = Meter(ledger, *budgets, session=session, **options)
        with _LOCK:
            _ALL.add(self)

    @property
    def ledger(self) -> Ledger:
        """Where it is counted."""
        return self._meter.ledger

    @property
    def budgets(self) -> tuple[str, ...]:
        """Who pays."""
        return self._meter.budgets

    @property
    def session(self) -> str | None:
        """Whose calls these are, where that was said."""
        return self._meter.session

    # -- before ---------------------------------------------------------------------------------

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Reserve what the call can cost at most."""
        self._start(serialized, messages[0], run_id, parent_run_id, metadata or {}, kwargs)

    def on_llm_start(
        self,
        serialized: dict[str, Any],
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """As :meth:`on_chat_model_start`, for a model that completes text."""
        self._start(serialized, prompts[0], run_id, parent_run_id, metadata or {}, kwargs)

    def _start(
        self,
        serialized: Mapping[str, Any],
        said: Sequence[BaseMessage] | str,
        run: UUID,
        parent: UUID | None,
        metadata: Mapping[str, Any],
        kwargs: Mapping[str, Any],
    ) -> None:
        if metadata.get(RECORDED) and play_of(self.ledger) is not None:
            return  # the answer comes from the record
        params: Mapping[str, Any] = kwargs.get("invocation_params") or {}
        try:
            options: Mapping[str, Any] = kwargs.get("options") or {}
            book = self._meter.prices
            request = described(serialized, said, metadata, params, options, book)
            metered = self._begin(request, metadata, params)
        except BaseException as error:
            self._not_sent(run, params)
            if isinstance(error, LedgerError):
                raise translate(error) from error.__cause__
            raise
        call = Call(metered, request, parent, params, self._attach(run))
        call.alone = kwargs.get("batch_size", 1) == 1
        call.in_turn = not isinstance(said, str) and call.detach is nothing
        for lost in self._runs.add(run, call):
            given_up(lost, "nothing ended it")

    def _begin(
        self, request: ModelRequest, metadata: Mapping[str, Any], params: Mapping[str, Any]
    ) -> Metered:
        plan, many = plan_of(self, metadata), choices(params)
        if plan is not None:
            if kept := plan.fitting(request):
                return kept
            if plan.least is not None:
                request = replace(request, least_output=plan.least * many)
        thread = _thread(metadata)
        metered = self._meter.begin(
            request,
            session=self._meter.session or thread,
            workflow=WORKFLOW.get() or thread,
        )
        granted = metered.output_bound
        if plan is None or granted is None or granted == request.output_bound:
            return metered
        plan.keep(metered, request)
        names = limits(params) or ["max_tokens"]
        raise Shorter(granted, dict.fromkeys(names, granted // many))

    def _not_sent(self, run: UUID, batch: Any) -> None:
        """What began together with this call, or was reserved for it elsewhere, is not sent."""
        with _LOCK:
            everyone = tuple(_ALL)
        for other in everyone:
            for one in {run, *other._runs.batch(batch)}:  # noqa: SLF001
                if call := other._runs.take(one):  # noqa: SLF001
                    unsent(call)

    # -- after ----------------------------------------------------------------------------------

    def on_llm_new_token(
        self, token: Any, *, chunk: Any = None, run_id: UUID, **kwargs: Any
    ) -> None:
        """Remember what a stream says of its usage, in case that it breaks."""
        call = self._runs.get(run_id)
        if call is None:
            return
        call.begun = True
        usage = getattr(getattr(chunk, "message", None), "usage_metadata", None)
        if usage:
            call.streamed = add_usage(call.streamed, usage)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Book what the call consumed."""
        if call := self._runs.take(run_id):
            answered(call, response)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Book what is known of the call, or release it if it was certainly not processed."""
        if (call := self._runs.get(run_id)) is None:
            return
        if call.in_turn and not call.alone:
            self._broken_off(call, run_id)
        self._runs.take(run_id)
        failed(call, error, kwargs.get("response"))

    def _broken_off(self, call: Call, run: UUID) -> None:
        """Of several calls in turn one failed: those before were answered, those after not sent."""
        ended = unheard
        for one in self._runs.batch(call.params):
            if one == run:
                ended = unsent
            elif other := self._runs.take(one):
                ended(other)


def _thread(metadata: Mapping[str, Any]) -> str | None:
    found = metadata.get("thread_id")
    if found is None:
        config = var_child_runnable_config.get() or {}
        found = (config.get("configurable") or {}).get("thread_id")
    return None if found is None else str(found)
