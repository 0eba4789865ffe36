"""
Errors of the ledger as CrewAI understands them.

CrewAI turns whatever a tool raises into text for the model, and on its text path runs the tool up
to six times before. So a tool that an agent called raises nothing. It returns a ``ToolFailure``: a
*stop*, in place of which a hook raises the ledger's error, made a ``HookAborted`` that no layer
retries; or an *answer* for the model.
"""

from __future__ import annotations

import re
from typing import Any

from crewai.hooks import HookAborted
from crewai.tools.tool_failure import ToolFailure, ToolFailureReason
from pydantic import PrivateAttr

from tallystick import NotApplied, Policy
from tallystick._kinds import E, become
from tallystick.errors import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalRequired,
    ArgumentsChanged,
    EffectCancelled,
    EffectFailed,
    Halted,
    LedgerError,
)

#: it did not happen, for a reason that concerns the model; every other error of ours is a stop
ANSWERS = (
    ApprovalDenied,
    ApprovalExpired,
    ArgumentsChanged,
    EffectCancelled,
    EffectFailed,
    NotApplied,
)

#: by these words in an error CrewAI calls a model again, summarises, or drops native tool calls
TRIGGERS = (
    *("rate limit", "rate-limit", "too many requests", "throttled", "resource exhausted"),
    *("expected a string with maximum length", "maximum context length"),
    *("context length exceeded", "context_length_exceeded", "context window full"),
    *("too many tokens", "input is too long", "exceeds token limit"),
    *("does not support tools", "doesn't support tools", "tools are not supported"),
    *("tool calling is not supported", "tool calls are not supported"),
    *("function calling is not supported", "does not support function calling"),
)
_TRIGGER = re.compile("|".join(re.escape(words) for words in TRIGGERS), re.IGNORECASE)
_JOINER = "\N{WORD JOINER}"


class Escaped(Exception):
    """What a tool raised was no Exception: past CrewAI it would hang or empty the run."""


class Reported(NotApplied):
    """The tool itself returned a ``ToolFailure``."""

    def __init__(self, failure: ToolFailure) -> None:
        super().__init__(failure.as_agent_message(), retryable=failure.retryable)
        self.failure = failure


class Stopped(ToolFailure):
    """What a tool returns in whose place a hook raises :attr:`error`."""

    _error: Any = PrivateAttr(default=None)

    @property
    def error(self) -> LedgerError:
        """The ledger's own error."""
        error: LedgerError = self._error
        return error

    def carrying(self, error: LedgerError) -> Stopped:
        """This, with the error that it stands for."""
        self._error = error
        return self


def aborting(error: E) -> E:
    """*error* itself, now also a ``HookAborted``: no loop of CrewAI retries or swallows it."""
    if error.args and isinstance(error.args[0], str):
        quiet = _TRIGGER.sub(lambda words: words[0][:1] + _JOINER + words[0][1:], error.args[0])
        error.args = (quiet, *error.args[1:])
    also: Any = become(error, HookAborted)
    also.source = "tallystick"
    if not hasattr(also, "reason"):
        also.reason = str(error)
    return error


def stopped(error: LedgerError) -> Stopped:
    """The failure that stops the run with *error*."""
    code = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()
    key = str(getattr(error, "key", ""))
    failure = Stopped(message=str(error), code=code, details={"key": key} if key else {})
    return failure.carrying(error)


def answered(error: Exception) -> ToolFailure:
    """What the model is told of *error*, the same when it is replayed."""
    if isinstance(error, EffectFailed) and error.error_type == _REPORTED:
        return ToolFailure(message=error.error_message)
    if isinstance(error, Reported):
        return error.failure
    if isinstance(error, ApprovalDenied):
        why = f": {error.reason}" if error.reason else ""
        text = f"This call was denied by {error.by}{why}. It was not made; do not repeat it."
        return ToolFailure(message=text)
    if isinstance(error, ANSWERS) and not isinstance(error, EffectFailed | NotApplied):
        return ToolFailure(message=str(error))
    said = error.error_message if isinstance(error, EffectFailed) else str(error)
    return ToolFailure(
        message=f"Error executing tool: {said or type(error).__name__}",
        reason=ToolFailureReason.EXCEPTION,
    )


_REPORTED = f"{Reported.__module__}.{Reported.__qualname__}"


def classifying(policy: Policy) -> Policy:
    """*policy*, for which control flow is no outcome, and which sees what a tool really raised."""
    rules = policy.classify

    def classify(error: BaseException) -> Any:
        raised = error.__cause__ if isinstance(error, Escaped) and error.__cause__ else error
        if isinstance(raised, ApprovalRequired | Halted):
            return "interrupted"  # an effect inside this one did not start; run again then
        if rules is None or callable(rules):
            return None if rules is None else rules(raised)
        return next((rules[kind] for kind in type(raised).__mro__ if kind in rules), None)

    return policy.but(classify=classify)
