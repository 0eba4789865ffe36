"""What a wrapped tool knows of its ledger, and how a restored one finds that again."""

from __future__ import annotations

import inspect
import itertools
import typing
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakSet

from crewai.tools import BaseTool
from crewai.tools.base_tool import Tool

from tallystick import Ledger, Policy
from tallystick.errors import InvalidCall, InvalidPolicy, UnboundTool
from tallystick_crewai._args import minted
from tallystick_crewai._hooks import kickoff_inputs
from tallystick_crewai._stops import classifying

Body = Callable[..., Any]

_BASE: Any = BaseTool
_BOUND: dict[str, WeakSet[Binding]] = {}
_NUMBERS = itertools.count()


class Binding:
    """A tool, its ledger, and how it is used; shared by every copy of the wrapped tool."""

    def __init__(
        self,
        tool: BaseTool,
        *,
        ledger: Ledger,
        workflow: str | None,
        policy: Policy,
        inputs: tuple[str, ...] = (),
    ) -> None:
        self.tool = tool
        self.ledger = ledger
        self.workflow = workflow
        self.policy = policy
        self.inputs = inputs
        self.body, self.abody = _bodies(tool)
        self.returns = _returns(self.abody or self.body)
        self.target = _target(tool)
        self.number = next(_NUMBERS)
        self._minted = minted(tool.args_schema)
        self._classifying = classifying(policy)
        _BOUND.setdefault(self.target, WeakSet()).add(self)

    @property
    def closed(self) -> bool:
        """Whether the ledger is of no use any more."""
        ledger: Any = self.ledger
        return bool(ledger._engine.closed)  # noqa: SLF001

    def policy_for(self, shown: dict[str, Any], supplied: frozenset[str]) -> Policy:
        """
        The policy of one call.

        What validation invents anew each time is left out of its identity, and the inputs that
        tell runs apart are part of it.
        """
        policy = self._classifying
        identity = () if callable(policy.identity) else policy.identity or ()
        new = [
            name
            for name, names in self._minted.items()
            if name in shown and not names & supplied and name not in identity
        ]
        policy = policy.but(volatile=(*policy.volatile, *new)) if new else policy
        return apart(policy, self._told_apart()) if self.inputs else policy

    def _told_apart(self) -> dict[str, Any]:
        given = kickoff_inputs()
        missing = [name for name in self.inputs if name not in given]
        if missing:
            raise InvalidCall(
                f"{self.tool.name} is told apart by the inputs {', '.join(self.inputs)}, and the "
                f"crew was kicked off without {', '.join(missing)}: kickoff(inputs={{…}})"
            )
        return {name: given[name] for name in self.inputs}


def apart(policy: Policy, facts: dict[str, Any]) -> Policy:
    """*policy*, for which the same call under other *facts* is another intent."""
    base = policy.identity

    def identity(args: Mapping[str, Any]) -> Any:
        if callable(base):
            return [facts, base(args)]
        names = base if base is not None else [n for n in args if n not in policy.volatile]
        missing = [name for name in names if name not in args]
        if missing:
            raise InvalidPolicy(f"Policy(identity=…) names {', '.join(missing)}: no such argument")
        return [facts, {name: args[name] for name in names}]

    return policy.but(identity=identity)


def found(target: str, name: str) -> Binding:
    """The binding of the tool that a restored one was; UnboundTool where none, or several, are."""
    bound = list(_BOUND.get(target, ()))
    bound = [binding for binding in bound if not binding.closed] or bound
    ledgers = {id(binding.ledger) for binding in bound}
    if len(ledgers) == 1:
        return max(bound, key=lambda binding: binding.number)
    what = (
        f"{len(ledgers)} ledgers have one of that name"
        if ledgers
        else "no tool of that name is wrapped in this process"
    )
    raise UnboundTool(
        f"{name} was restored without its ledger ({target}: {what}), so that it was not run. "
        "Import the module that wraps it before the run, or give the agent the wrapped tool again: "
        "agent.tools = wrap_tools([…], ledger)"
    )


def _bodies(tool: BaseTool) -> tuple[Body | None, Body | None]:
    """What CrewAI runs for the tool: a function, or a coroutine function."""
    if isinstance(tool, Tool):
        func: Body = typing.cast("Any", tool).func
        return (None, func) if _is_async(func) else (func, None)
    inner: Any = tool
    run, arun = inner._run, inner._arun  # noqa: SLF001 - what CrewAI itself calls
    if _is_async(run):
        return None, run
    own = getattr(arun, "__func__", arun) is not _BASE._arun  # noqa: SLF001
    return run, arun if own else None


def _is_async(body: Body) -> bool:
    if inspect.iscoroutinefunction(body):
        return True
    return not inspect.isroutine(body) and inspect.iscoroutinefunction(type(body).__call__)


def _returns(body: Body | None) -> Any:
    """What the tool says it returns: by that a result of a local class comes back."""
    try:
        return typing.get_type_hints(body).get("return")
    except Exception:  # noqa: BLE001 - annotations of others, which may name anything
        return None


def _target(tool: BaseTool) -> str:
    source: Any = typing.cast("Any", tool).func if isinstance(tool, Tool) else type(tool)
    module = getattr(source, "__module__", type(source).__module__)
    return f"{module}:{getattr(source, '__qualname__', type(source).__qualname__)}:{tool.name}"
