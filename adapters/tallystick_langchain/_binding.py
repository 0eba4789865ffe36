"""What a wrapped tool knows of its ledger."""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool, Tool

from tallystick import Ledger, Policy
from tallystick_langchain._args import Arguments, Shape, shape_of
from tallystick_langchain._graph import Fork
from tallystick_langchain._stops import classifying

#: the attribute of a wrapped tool that holds its binding
BINDING = "_tallystick"

Body = Callable[..., Any]

_BASE: Any = BaseTool
_BY_FUNCTION: tuple[Any, ...] = (StructuredTool, Tool)

#: LangChain's own: takes ``_run`` to a thread
DEFAULT_ARUN: Body = _BASE._arun  # noqa: SLF001 - the seam that LangChain itself looks at
#: bodies that call the tool's ``func`` or ``coroutine``, if it has one
BY_FUNC: tuple[Body, ...] = tuple(cls._run for cls in _BY_FUNCTION)
BY_COROUTINE: tuple[Body, ...] = tuple(cls._arun for cls in _BY_FUNCTION)


class Binding:
    """A tool's ledger, and how it is used; shared by every copy of the tool."""

    def __init__(
        self,
        tool: BaseTool,
        *,
        ledger: Ledger,
        workflow: str | None,
        policy: Policy,
        on_fork: Fork = "replay",
    ) -> None:
        cls: Any = type(tool)
        self.ledger = ledger
        self.workflow = workflow
        self.policy = policy
        self.on_fork: Fork = on_fork
        #: one entry for each body that runs now
        self.running: list[object] = []
        self.body: Body = cls._run
        self.abody: Body | None = cls._arun if cls._arun is not DEFAULT_ARUN else None
        self.returns = self._returns(tool)
        self._classifying = classifying(policy, self._stub())
        self._shape = self._read(tool)

    def shape(self, tool: BaseTool) -> Shape:
        """What is known of the tool's arguments."""
        if tool.args_schema is not self._shape.schema:
            self._shape = self._read(tool)
        return self._shape

    def policy_for(self, shape: Shape, given: Arguments, supplied: frozenset[str]) -> Policy:
        """The policy, with what validation invents anew each time left out of the identity."""
        policy = self._classifying
        identity = () if callable(policy.identity) else policy.identity or ()
        minted = [
            name
            for name, names in shape.minted.items()
            if name in given.shown and not names & supplied and name not in identity
        ]
        return policy.but(volatile=(*policy.volatile, *minted)) if minted else policy

    def _bodies(self, tool: BaseTool) -> tuple[Body | None, ...]:
        func, coroutine = getattr(tool, "func", None), getattr(tool, "coroutine", None)
        return func, coroutine, self.body, self.abody

    def _read(self, tool: BaseTool) -> Shape:
        return shape_of(tool, self._bodies(tool))

    def _stub(self) -> Any:
        """The code of a ``_run`` that may be there only to say that the tool is async."""
        if self.abody is None or self.body in BY_FUNC:
            return None
        return getattr(self.body, "__code__", None)

    def _returns(self, tool: BaseTool) -> Any:
        """What the tool says it returns: by that a result of a local class comes back."""
        for body in self._bodies(tool):
            if body is not None and body not in (*BY_FUNC, *BY_COROUTINE):
                hint = _return_hint(body)
                if hint is not None:
                    return hint
        return None

    def __copy__(self) -> Binding:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Binding:
        return self


def binding_of(tool: BaseTool) -> Binding | None:
    """The binding of a wrapped tool."""
    return tool.__dict__.get(BINDING)


def _return_hint(body: Body) -> Any:
    source = body.func if isinstance(body, functools.partial) else body
    try:
        return typing.get_type_hints(source).get("return")
    except Exception:  # noqa: BLE001 - annotations of others, which may name anything
        return None
