"""
Errors of the ledger as LangChain and LangGraph understand them.

A *stop* must reach the person who runs the agent: it also is a ``GraphBubbleUp``, which every
layer of LangChain and LangGraph lets through. An *answer* is for the model: it also is a
``ToolException``. Both keep their class, their attributes and their traceback.
"""

from __future__ import annotations

import importlib
import sys
from types import CodeType
from typing import Any, cast

from langchain_core.tools import ToolException

from tallystick import Policy
from tallystick._kinds import become
from tallystick.errors import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalRequired,
    ArgumentsChanged,
    BudgetError,
    DamagedRecord,
    EffectCancelled,
    EffectFailed,
    EffectStopped,
    Halted,
    LedgerError,
    NotApplied,
    ResultNotStored,
    ResultTypeUnknown,
    ThreadError,
)

#: it happened, or it may have: whoever hears of a failure here may do it a second time; or nobody
#: pays for it, and doing it again costs the same
STOPS = (EffectStopped, ResultNotStored, ResultTypeUnknown, DamagedRecord, ThreadError, BudgetError)
#: it did not happen, for a reason that concerns the model
ANSWERS = (ApprovalDenied, ApprovalExpired, EffectCancelled, ArgumentsChanged, NotApplied)


def translate(error: LedgerError) -> LedgerError:
    """*error* itself, now also of the framework's kind where it needs one."""
    if isinstance(error, STOPS):
        bubble = _bubble()
        return error if bubble is None else become(error, bubble)
    if isinstance(error, ApprovalDenied):
        error.args = (_denial(error),)
    elif isinstance(error, EffectFailed) and _tool_said_no(error):
        error.args = (error.error_message,)
    elif not isinstance(error, ANSWERS):
        return error
    return become(error, ToolException)


def classifying(policy: Policy, stub: CodeType | None) -> Policy:
    """
    *policy*, for which control flow is no outcome.

    *stub* is the code of a ``_run`` beside an ``_arun``: where that itself raises
    NotImplementedError, nothing was attempted.
    """
    rules = policy.classify

    def classify(error: BaseException) -> Any:
        if is_control_flow(error) or (stub is not None and _is_stub(error, stub)):
            return "interrupted"
        if rules is None or callable(rules):
            return None if rules is None else rules(error)
        return next((rules[kind] for kind in type(error).__mro__ if kind in rules), None)

    return policy.but(classify=classify)


def is_control_flow(error: BaseException) -> bool:
    """
    Whether *error* only says that the run stops here and comes back.

    That is an interrupt, an answer to one that did not fit, and another effect inside this one
    that waits for a person and did not start. One that is in doubt is not: run again, an agent
    inside the tool might ask for it under another id. Nor is a model that nobody pays for: the
    tool may have done something before it asked it.
    """
    if isinstance(error, ApprovalRequired | Halted):
        return True
    errors = sys.modules.get("langgraph.errors")
    if errors is None or not isinstance(error, Exception):
        return False
    if isinstance(error, errors.GraphBubbleUp):
        return not isinstance(error, STOPS)
    is_invalid_resume = getattr(errors, "is_invalid_resume", None)
    return is_invalid_resume is not None and bool(is_invalid_resume(error))


def _bubble() -> type[Exception] | None:
    try:
        errors = importlib.import_module("langgraph.errors")
    except ImportError:
        return None
    return cast("type[Exception]", errors.GraphBubbleUp)


def _denial(error: ApprovalDenied) -> str:
    why = f": {error.reason}" if error.reason else ""
    return f"This call was denied by {error.by}{why}. It was not made; do not repeat it."


def _tool_said_no(error: EffectFailed) -> bool:
    kinds: list[type[Exception]] = [ToolException, NotApplied]
    for kind in kinds:  # grows: every kind there is
        kinds += kind.__subclasses__()
    return error.error_type in {f"{kind.__module__}.{kind.__qualname__}" for kind in kinds}


def _is_stub(error: BaseException, stub: CodeType) -> bool:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    raised_there = trace is not None and trace.tb_frame.f_code is stub
    return isinstance(error, NotImplementedError) and raised_there
