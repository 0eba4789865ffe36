"""A tool whose calls are effects, and that is otherwise what it was."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine, Mapping
from typing import Any

from autogen_core import CancellationToken
from autogen_core.tools import BaseTool, StreamTool, ToolSchema
from pydantic import BaseModel

from tallystick_autogen._begun import Begun
from tallystick_autogen._component import Bound
from tallystick_autogen._effect import Binding, Body, Ongoing, Told, begun, outcome
from tallystick_autogen._relay import Relay
from tallystick_autogen._stops import gate


class LedgeredTool(Bound, BaseTool[Any, Any]):
    """
    A tool every call of which is an effect of a ledger; made by :func:`wrap_tools`.

    To agents and models it is the tool that it wraps: schema, types, state and the words of its
    results are that tool's own.
    """

    def __init__(self, inner: BaseTool[Any, Any], bound: Binding) -> None:
        super().__init__(inner.args_type(), inner.return_type(), inner.name, inner.description)
        self._inner = inner
        self._bound = bound

    @property
    def inner(self) -> BaseTool[Any, Any]:
        """The tool that is wrapped."""
        return self._inner

    @property
    def bound(self) -> Binding:
        """Its ledger, and how it is used."""
        return self._bound

    @property
    def schema(self) -> ToolSchema:
        """The wrapped tool's own; raises what stopped the run where a model would be asked."""
        gate(self._bound.ledger, self._bound.where)
        return self._inner.schema

    @property
    def name(self) -> str:
        """The wrapped tool's own."""
        return self._inner.name

    @property
    def description(self) -> str:
        """The wrapped tool's own."""
        return self._inner.description

    def args_type(self) -> type[BaseModel]:
        """The wrapped tool's own."""
        return self._inner.args_type()

    def return_type(self) -> type[Any]:
        """The wrapped tool's own."""
        return self._inner.return_type()

    def state_type(self) -> type[BaseModel] | None:
        """The wrapped tool's own."""
        return self._inner.state_type()

    def return_value_as_string(self, value: Any) -> str:
        """What the model is told of a result, by the wrapped tool."""
        return str(value) if isinstance(value, Told) else self._inner.return_value_as_string(value)

    async def save_state_json(self) -> Mapping[str, Any]:
        """The wrapped tool's own; nothing of the ledger is in it."""
        return await self._inner.save_state_json()

    async def load_state_json(self, state: Mapping[str, Any]) -> None:
        """As the wrapped tool does."""
        await self._inner.load_state_json(state)

    async def run(self, args: Any, cancellation_token: CancellationToken) -> Any:
        """As :meth:`run_json`."""
        return await self.run_json(args.model_dump(mode="json", by_alias=True), cancellation_token)

    def run_json(  # pyright: ignore[reportIncompatibleMethodOverride] - a coroutine, of its own kind
        self,
        args: Mapping[str, Any],
        cancellation_token: CancellationToken,
        call_id: str | None = None,
    ) -> Coroutine[Any, Any, Any]:
        """
        Perform the call as an effect, or return what became of it before.

        Raises what the tool raised when that certainly means that nothing happened, else the
        ledger's errors; StillRunning when the token is cancelled meanwhile. The effect goes on
        then, and its outcome is recorded.
        """
        return Begun(self._performed(args, cancellation_token, call_id), cancellation_token)

    async def run_json_stream(
        self,
        args: Mapping[str, Any],
        cancellation_token: CancellationToken,
        call_id: str | None = None,
    ) -> AsyncGenerator[Any, None]:
        """
        As :meth:`run_json`, with the tool's events on the way if it has any; the result is last.

        Every wrapped tool can be streamed, for AutoGen links no cancellation to such a tool, and so
        does not hang. A recorded call has no events.
        """
        inner = self._inner
        if not isinstance(inner, StreamTool):
            yield await self.run_json(args, cancellation_token, call_id)
            return
        relay = Relay()
        # a token of its own, as above
        body = relay.body(
            lambda recorded: inner.run_json_stream(recorded, CancellationToken(), call_id)
        )
        call = self._begun(body, args, cancellation_token)
        async for event in relay.heard(call, cancellation_token):
            yield event

    async def _performed(
        self, args: Mapping[str, Any], token: CancellationToken, call_id: str | None
    ) -> Any:
        async def body(**recorded: Any) -> Any:
            # a token of its own: what is cancelled half way has an outcome that nobody knows
            return await self._inner.run_json(recorded, CancellationToken(), call_id)

        return await outcome(self._begun(body, args, token), token)

    def _begun(self, body: Body, args: Mapping[str, Any], token: CancellationToken) -> Ongoing:
        # what the tool would make of them: unknown names dropped, defaults filled in
        given = self._inner.args_type().model_validate(args)
        body.__annotations__["return"] = self._inner.return_type()
        shown = given.model_dump(mode="json", by_alias=True)
        return begun(self._bound, self.name, body, shown, token, self.return_value_as_string)
