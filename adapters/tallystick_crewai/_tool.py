"""The tool that agents get: JSON outside, a ledger inside."""

from __future__ import annotations

from typing import Any

from crewai.tools import BaseTool
from crewai.tools.structured_tool import CrewStructuredTool
from crewai.tools.tool_failure import ToolFailure
from pydantic import Field, PrivateAttr

from tallystick.errors import LedgerError, UnboundTool
from tallystick_crewai._binding import Binding, found
from tallystick_crewai._call import SUPPLIED, Call
from tallystick_crewai._hooks import asked, install, mark
from tallystick_crewai._stops import aborting, stopped


def never_cache(_args: Any = None, _result: Any = None) -> bool:
    """CrewAI's cache would answer before the ledger: across tasks, agents and kickoffs."""
    return False


class LedgeredTool(BaseTool):
    """
    A tool every call of which is an effect of a ledger; made by ``wrap_tools``.

    Its fields are JSON, so that crews with it can be checkpointed. A restored one finds its ledger
    by ``target``, once the module that wrapped the tool is imported, and runs nothing before.
    """

    # checkpoints name the class by this
    __module__ = "tallystick_crewai"

    target: str = Field(description="Which wrapped tool this is, wherever it is restored.")
    _bound: Binding | None = PrivateAttr(default=None)

    def model_post_init(self, context: Any, /) -> None:
        """Find the ledger of a restored tool, if it is there already."""
        super().model_post_init(context)
        try:
            self.binding()
        except UnboundTool:
            return

    def bind(self, binding: Binding) -> None:
        """Be the tool of *binding*, with the very schemas that it has."""
        self._bound = binding
        self.args_schema = binding.tool.args_schema
        self.result_schema = binding.tool.result_schema
        self.cache_function = never_cache

    def binding(self) -> Binding:
        """What the tool is bound to; UnboundTool for a restored one that found nothing."""
        if self._bound is None:
            self.bind(found(self.target, self.name))
        assert self._bound is not None
        return self._bound

    def format_output_for_agent(self, raw_result: Any) -> str:
        """What the plain tool makes of a result."""
        if self._bound is None or isinstance(raw_result, ToolFailure):
            return super().format_output_for_agent(raw_result)
        return self._bound.tool.format_output_for_agent(raw_result)

    @property
    def formatted_description(self) -> str:
        """What the plain tool says of itself in a prompt."""
        if self._bound is None:
            return super().formatted_description
        return self._bound.tool.formatted_description

    def to_structured_tool(self) -> CrewStructuredTool:
        """The same, and it knows which arguments the model gave."""
        plain = super().to_structured_tool()
        noting: Any = _Noting.model_construct(**dict(plain))
        noting._original_tool = self  # noqa: SLF001 - as CrewAI does
        made: CrewStructuredTool = noting
        return made

    def _validate_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        SUPPLIED.set(frozenset(kwargs))
        return super()._validate_kwargs(kwargs)

    def _run(self, **kwargs: Any) -> Any:
        try:
            binding = self.binding()
        except UnboundTool as error:
            return self._refused(error)
        call = Call(self.name, binding, self.args_schema, kwargs)
        if binding.body is None:
            return _acalled(call)
        try:
            return call.perform()
        except Exception as error:  # noqa: BLE001 - whatever it is, CrewAI must not run it again
            return call.told(error)

    async def _arun(self, **kwargs: Any) -> Any:
        try:
            binding = self.binding()
        except UnboundTool as error:
            return self._refused(error)
        return await _acalled(Call(self.name, binding, self.args_schema, kwargs))

    def _refused(self, error: LedgerError) -> ToolFailure:
        agent = asked(self.name) or not install()
        error = aborting(error)
        mark(error)
        if not agent:
            raise error
        return stopped(error)


async def _acalled(call: Call) -> Any:
    try:
        return await call.aperform()
    except Exception as error:  # noqa: BLE001 - as above
        return call.told(error)


class _Noting(CrewStructuredTool):
    """A structured tool that notes which arguments the model gave."""

    def _parse_args(self, raw_args: str | dict[str, Any]) -> dict[str, Any]:
        if isinstance(raw_args, dict):
            SUPPLIED.set(frozenset(raw_args))
        return super()._parse_args(raw_args)
