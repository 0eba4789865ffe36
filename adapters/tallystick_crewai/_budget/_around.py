"""The scope inside which every model call is reserved for before it is made."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Self

from crewai.events.stream_context import add_stream_sink, reset_stream_sinks
from crewai.hooks.dispatch import InterceptionPoint

from tallystick import Ledger
from tallystick._keys import is_a
from tallystick.errors import BudgetError, InvalidCall, LedgerError
from tallystick.metering import Meter
from tallystick_crewai import _hooks
from tallystick_crewai._budget._desk import Desk
from tallystick_crewai._budget._own import cover
from tallystick_crewai._stops import aborting

_DESK: ContextVar[Desk | None] = ContextVar("tallystick_crewai_desk", default=None)
_ENTERED: ContextVar[tuple[ExitStack, ...]] = ContextVar("tallystick_crewai_entered", default=())


def budgeted(
    ledger: Ledger,
    *budgets: str,
    session: str | None = None,
    **options: Any,
) -> Budgeted:
    """
    No model call inside that does not fit the budgets, and every one that was made on the books.

    Use it with ``with`` or ``async with`` around ``kickoff`` in any of its forms, around an agent's
    or a flow's ``kickoff``, or around a model's own ``call``. A stream is to be read inside: CrewAI
    runs it as it is read. Agents that ran before obey as well, and kickoffs that run at the same
    time do not mix. A scope within another one pays from the budgets of both.

    Before a call is sent, an upper bound of what it can use is reserved in all *budgets* at once;
    what does not fit is not sent. BudgetExceeded then leaves ``kickoff``; it is a ``HookAborted``
    too, which no loop of CrewAI retries. The next ``kickoff`` goes on when there is room again, or
    when a person granted what a budget with ``on_exceed="ask"`` asked for.

    When the answer is there, what the model says that it used is booked, and the rest set free. A
    call that was certainly not processed is released. Where nobody knows, the reservation stays
    charged as unreconciled, as it does where one model answers several agents at the same time and
    does not say for which of them it used how much.

    A model of your own (a subclass of ``BaseLLM``) is covered, too, for whatever it is asked: as
    the scope is entered, ``call`` and ``acall`` of every such class are put into a frame that does
    nothing outside of a scope. A class that is made inside the scope is covered by the next one.
    What it used is known where it keeps CrewAI's count, which ``_track_token_usage_internal`` does,
    or emits CrewAI's events with the usage.

    Clients that send again by themselves (OpenAI's and Anthropic's do, twice) hide it: all attempts
    are reserved for. With ``LLM(…, max_retries=0)`` every attempt is on the books.

    session
        Whose calls these are; by default the label ``session``, or the workflow, around.
    options
        ``prices``, ``runaway`` and ``lasts``, as for :class:`tallystick.metering.Meter`.

    >>> from crewai import BaseLLM
    >>> class Scripted(BaseLLM):
    ...     def call(self, messages, *args, **options):
    ...         self._track_token_usage_internal({"prompt_tokens": 9, "completion_tokens": 3})
    ...         return "done"
    >>> model = Scripted(model="toy", max_tokens=50)
    >>> ledger = Ledger("memory://")
    >>> session = ledger.budget("session:42", tokens=2_000)
    >>> with budgeted(ledger, "session:42"):
    ...     model.call("Hello!")
    'done'
    >>> session.spent, session.reserved
    (12, 0)
    >>> with budgeted(ledger, "session:42"):
    ...     model.call("Hello! " * 500)
    Traceback (most recent call last):
    ...
    tallystick.errors.BudgetExceeded: the budget session:42 has 1988 tokens left of 2000 (12 ...
    >>> ledger.close()
    """
    if not is_a(ledger, Ledger):
        raise InvalidCall(f"{ledger!r} is no ledger; give a tallystick.Ledger")
    return Budgeted(Meter(ledger, *budgets, session=session, **options), options)


class Budgeted:
    """What :func:`budgeted` returns; it may be entered again, and by several at once."""

    def __init__(self, meter: Meter, options: dict[str, Any]) -> None:
        self._meter = meter
        self._options = options

    @property
    def ledger(self) -> Ledger:
        """Where it is counted."""
        return self._meter.ledger

    @property
    def budgets(self) -> tuple[str, ...]:
        """Who pays."""
        return self._meter.budgets

    def __enter__(self) -> Self:
        desk = Desk(self._within(_DESK.get()))
        stack = ExitStack()
        stack.callback(desk.close)
        _let(stack, _DESK.reset, _DESK.set(desk))
        _let(stack, reset_stream_sinks, add_stream_sink(_Sink(desk)))
        cover(around_call)
        _hooks.install()
        hooks = _hooks.scoped()
        if after_model not in hooks[InterceptionPoint.POST_MODEL_CALL]:
            hooks[InterceptionPoint.POST_MODEL_CALL].append(after_model)
        stack.callback(_hooks.enter(hooks))
        _ENTERED.set((*_ENTERED.get(), stack))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        *outer, stack = _ENTERED.get()
        _ENTERED.set(tuple(outer))
        stack.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)

    def _within(self, outer: Desk | None) -> Meter:
        """The meter of this scope and of the one around it."""
        if outer is None:
            return self._meter
        around = outer.meter
        if around.ledger is not self.ledger:
            raise InvalidCall("one ledger counts here already; a scope inside it must use it, too")
        names = tuple(dict.fromkeys((*around.budgets, *self.budgets)))
        session = self._meter.session or around.session
        return Meter(self.ledger, *names, session=session, **self._options)


class _Sink:
    """Hears of each event in the place where it happens, before anything else goes on there."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def __call__(self, source: Any, event: Any) -> None:
        if _DESK.get() is not self._desk:
            return  # a scope further in counts
        if event.type == "llm_call_started":
            _gate(self._desk.started, source, event)
        elif event.type == "llm_call_completed":
            self._desk.completed(source, event)
        elif event.type == "llm_call_failed":
            self._desk.failed(source, event)


def before_model(context: Any) -> None:
    """A model is about to be called."""
    desk = _DESK.get()
    if desk is not None:
        _gate(desk.announced, context)


def after_model(context: Any) -> None:
    """A model answered with text; with a tool's call CrewAI does not say so."""
    desk = _DESK.get()
    if desk is not None and context.executor is not None:
        desk.answered(context.executor)


@contextmanager
def around_call(model: Any, messages: Any, tools: Any, schema: Any) -> Generator[None]:
    """What is around each call of a model of somebody's own."""
    desk = _DESK.get()
    if desk is None:
        yield
        return
    _gate(desk.called, model, messages, tools, schema)
    failed: BaseException | None = None
    try:
        yield
    except BaseException as error:
        failed = error
        raise
    finally:
        desk.returned(model, failed)


def _gate(deed: Callable[..., None], *args: Any) -> None:
    """Whatever stops a call must stop the run: CrewAI goes on after any other error of a hook."""
    try:
        deed(*args)
    except LedgerError as error:
        stop = error
    except Exception as error:  # noqa: BLE001 - a call that cannot be bounded is not made
        stop = BudgetError(
            f"the call was not made: what it may use is not known ({type(error).__name__}: {error})"
        )
    else:
        return
    # One without a cause: inside a call of a model CrewAI reads that for a reason to retry.
    raise copy.copy(aborting(stop)) from None


def _let(stack: ExitStack, reset: Callable[[Token[Any]], object], token: Token[Any]) -> None:
    stack.callback(reset, token)


if before_model not in _hooks.BEFORE_MODEL:
    _hooks.BEFORE_MODEL.append(before_model)
