"""What a method of a flow is given: as it is recorded, and as it was meant."""

from __future__ import annotations

from typing import Any

from crewai.crews.crew_output import CrewOutput
from crewai.flow.human_feedback import HumanFeedbackResult
from crewai.lite_agent_output import LiteAgentOutput

from tallystick_crewai._args import plain


def told(value: Any) -> Any:
    """What a method is given, without what is another one each time."""
    if isinstance(value, HumanFeedbackResult):
        return {
            "output": plain(value.output),
            "feedback": value.feedback,
            "outcome": value.outcome,
        }
    if isinstance(value, CrewOutput | LiteAgentOutput):
        return value.raw
    return plain(value)


def meant(flow: Any, method: str, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """
    What the flow's *method* would have been *given* if the flow had not been restored.

    Where a restored flow skips a method that completed, CrewAI gives the next one None, or what
    yet another method returned. What the right one returned is in the checkpoint.
    """
    if not flow._is_execution_resuming or len(given) != 1:  # noqa: SLF001 - said nowhere else
        return given
    before = _before(flow._definition.methods[method].listen)  # noqa: SLF001
    outputs: list[Any] = flow._method_outputs  # noqa: SLF001
    returned = [one for one in outputs if getattr(one, "get", str)("method") in before]
    if not returned:
        return given
    return (returned[-1].get("human_feedback", returned[-1]["output"]),)


def _before(condition: Any) -> list[str]:
    """The methods the last of which the condition waits for; of ``or_`` it may be any."""
    if isinstance(condition, str):
        return [condition]
    names: Any = condition.get("and", ()) if hasattr(condition, "get") else ()
    return list(names) if all(isinstance(name, str) for name in names) else []
