"""A model client that spends no more than the budgets allow, and stops where the run did."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from autogen_core import CancellationToken
from autogen_core.models import (
    ChatCompletionClient,
    CreateResult,
    LLMMessage,
    ModelInfo,
    RequestUsage,
)
from autogen_core.tools import Tool, ToolSchema

from tallystick import Ledger
from tallystick._context import WORKFLOW
from tallystick._keys import is_a
from tallystick.errors import Divergence, InvalidCall, LedgerError
from tallystick_autogen._booking import answered, failed
from tallystick_autogen._component import Bound
from tallystick_autogen._handoff import handed_off
from tallystick_autogen._recorded import MEMORY
from tallystick_autogen._request import Asked, Made
from tallystick_autogen._stops import Gating, raised, standing

if TYPE_CHECKING:
    from tallystick.metering import Metered
    from tallystick.prices import PriceBook
    from tallystick.runaway import Runaway

_NOTHING: Mapping[str, Any] = {}


class BudgetedModelClient(Bound, Gating, ChatCompletionClient):
    """
    A client that works like *client*, and spends no more than *budgets* allow.

    Before a model is asked, the most that the answer can use is reserved in the named budgets and
    in every budget that concerns such calls; all or none. When the answer is there, what it used
    takes the place of that. A refused request gives its reservation back; a call that failed or was
    cancelled, and a stream that was left, stay charged, as *unreconciled*. So does a stream that
    does not tell what it used: OpenAI's and Azure's are asked to, for other servers make the client
    with ``stream_options={"include_usage": True}``.

    ``session``, ``prices``, ``runaway``
        See :class:`tallystick.metering.Meter`.
    ``model``, ``provider``
        Whose prices count, where the client cannot be dumped and so does not tell.
    ``handoff``
        To whom the agent hands off where a call waits for a person: the target of one of its
        handoffs. The run ends by ``HandoffTermination``, the team's state can be saved, and once it
        is loaded the agent goes on with a HandoffMessage from the person; the call that was
        approved is then made. By default ApprovalRequired is raised. It takes another round of the
        agent (``max_tool_iterations`` above 1).

    Raises BudgetExceeded, UnpricedModel, RunawayStopped or another BudgetError where the model must
    not be asked, and what stopped the run (see :func:`wrap_tools`) where a tool has; nothing is
    asked then. From an agent that comes out as it is, from a team by :func:`raising_stops`.

    Within a :func:`team_session` every answer is recorded, and a question that was answered before
    a crash is not asked again.
    """

    component_type = "model"

    def __init__(
        self,
        client: ChatCompletionClient,
        ledger: Ledger,
        *budgets: str,
        session: str | None = None,
        prices: PriceBook | None = None,
        runaway: Runaway | None = None,
        model: str | None = None,
        provider: str | None = None,
        handoff: str | None = None,
    ) -> None:
        if not is_a(client, ChatCompletionClient) or is_a(client, BudgetedModelClient):
            raise InvalidCall(
                f"{client!r}: give a ChatCompletionClient, once, and name all budgets with it"
            )
        if not is_a(ledger, Ledger):
            raise InvalidCall(f"{ledger!r} is no ledger; give a tallystick.Ledger")
        from tallystick.metering import Meter  # who wraps tools needs none of it

        self._inner = client
        self._ledger = ledger
        self._meter = Meter(ledger, *budgets, session=session, prices=prices, runaway=runaway)
        self._made = Made.of(client, model, provider)
        self._handoff = handoff

    @property
    def inner(self) -> ChatCompletionClient:
        """The client that is wrapped."""
        return self._inner

    async def create(
        self,
        messages: Sequence[LLMMessage],
        *,
        tools: Sequence[Tool | ToolSchema] = (),
        tool_choice: Any = "auto",
        json_output: Any = None,
        extra_create_args: Mapping[str, Any] = _NOTHING,
        cancellation_token: CancellationToken | None = None,
    ) -> CreateResult:
        """As the wrapped client, within the budgets."""
        instead = self._gate(messages, tools)
        if instead is not None:
            return instead
        asked = Asked(
            messages=messages,
            tools=tools,
            tool_choice=tool_choice,
            json_output=json_output,
            extra=extra_create_args,
        )
        memory = MEMORY.get()
        if memory is None:
            return await self._create(asked, cancellation_token)
        try:
            return await memory.answer(
                asked.digest(self._made.model), lambda: self._create(asked, cancellation_token)
            )
        except Divergence as error:
            raise raised(error)  # noqa: B904 - it is the same error

    async def create_stream(
        self,
        messages: Sequence[LLMMessage],
        *,
        tools: Sequence[Tool | ToolSchema] = (),
        tool_choice: Any = "auto",
        json_output: Any = None,
        extra_create_args: Mapping[str, Any] = _NOTHING,
        cancellation_token: CancellationToken | None = None,
    ) -> AsyncGenerator[str | CreateResult, None]:
        """As the wrapped client, within the budgets; a recorded answer comes in one piece."""
        instead = self._gate(messages, tools)
        if instead is not None:
            yield instead
            return
        asked = Asked(
            messages=messages,
            tools=tools,
            tool_choice=tool_choice,
            json_output=json_output,
            extra=extra_create_args,
        )
        memory = MEMORY.get()
        stream = self._stream(asked, cancellation_token)
        if memory is not None:
            stream = memory.stream(asked.digest(self._made.model), stream)
        try:
            async for piece in stream:
                yield piece
        except Divergence as error:
            raise raised(error)  # noqa: B904 - it is the same error
        finally:
            await stream.aclose()

    async def close(self) -> None:
        """Close the wrapped client."""
        await self._inner.close()

    def actual_usage(self) -> RequestUsage:
        """What the wrapped client counted."""
        return self._inner.actual_usage()

    def total_usage(self) -> RequestUsage:
        """What the wrapped client counted."""
        return self._inner.total_usage()

    def count_tokens(
        self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = ()
    ) -> int:
        """As the wrapped client counts."""
        return self._inner.count_tokens(messages, tools=tools)

    def remaining_tokens(
        self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = ()
    ) -> int:
        """As the wrapped client counts."""
        return self._inner.remaining_tokens(messages, tools=tools)

    @property
    def capabilities(self) -> Any:
        """The wrapped client's."""
        return self._inner.capabilities

    @property
    def model_info(self) -> ModelInfo:
        """The wrapped client's."""
        return self._inner.model_info

    # -- one question -------------------------------------------------------------------------

    def _gate(
        self, messages: Sequence[LLMMessage], tools: Sequence[Tool | ToolSchema]
    ) -> CreateResult | None:
        """Raise what stopped the run, or hand it off."""
        error = standing(self._ledger, WORKFLOW.get())
        if error is None:
            return None
        handed = handed_off(error, self._handoff, tools, len(messages))
        if handed is None:
            raise error
        return handed

    async def _create(self, asked: Asked, token: CancellationToken | None) -> CreateResult:
        metered = await self._reserved(asked)
        try:
            result = await self._inner.create(asked.messages, **asked.options(token))
        except BaseException as error:
            await failed(metered, error)
            raise
        await answered(metered, result)
        return result

    async def _stream(
        self, asked: Asked, token: CancellationToken | None
    ) -> AsyncGenerator[str | CreateResult, None]:
        metered, begun, ended = await self._reserved(asked), False, False
        options = replace(asked, extra=self._made.streamed(asked.extra)).options(token)
        try:
            async with aclosing(self._inner.create_stream(asked.messages, **options)) as stream:
                async for piece in stream:
                    begun = True
                    if isinstance(piece, CreateResult):
                        ended = True
                        await answered(metered, piece)
                    yield piece
        except BaseException as error:
            if not ended:
                await failed(metered, error, begun=begun)
            raise

    async def _reserved(self, asked: Asked) -> Metered:
        try:
            return await self._meter.abegin(self._made.request(asked, self._meter.prices))
        except LedgerError as error:
            raise raised(error)  # noqa: B904 - it is the same error
