"""Effects as OpenTelemetry spans, named after the GenAI conventions' ``execute_tool``."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from tallystick._hooks import Details, Hook
from tallystick.errors import LedgerError

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

_LAST = {"claim", "call", "settle"}


def otel_hook(tracer_provider: TracerProvider | None = None) -> Hook:
    """
    A hook that makes a span of each claim, call and settle, and an event of each fact.

    The span of a call is named ``execute_tool <tool>`` and is the parent of whatever spans the tool
    makes; attributes are ``gen_ai.operation.name``, ``gen_ai.tool.name``, ``gen_ai.tool.call.id``
    and ``tallystick.*``. Arguments and results are not recorded. Raises LedgerError when the
    ``otel`` extra is not installed.
    """
    try:
        from opentelemetry import trace
    except ImportError as error:
        raise LedgerError(
            'spans need OpenTelemetry, which is not installed: pip install "tallystick[otel]"'
        ) from error
    tracer = trace.get_tracer("tallystick", tracer_provider=tracer_provider)

    def hook(details: Details) -> AbstractContextManager[Any] | None:
        attributes = _attributes(details)
        if details.kind in _LAST:
            name = "execute_tool" if details.kind == "call" else f"tallystick.{details.kind}"
            return tracer.start_as_current_span(f"{name} {details.tool}", attributes=attributes)
        trace.get_current_span().add_event(f"tallystick.{details.kind}", attributes)
        return None

    return hook


def _attributes(details: Details) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": details.tool,
        "tallystick.effect.key": details.key,
        "tallystick.effect.state": details.status,
        "tallystick.effect.attempt": details.attempt,
        "tallystick.tenant": details.tenant,
        "tallystick.workflow": details.workflow,
    }
    call_id = details.facts.get("call_id")
    if isinstance(call_id, str):
        attributes["gen_ai.tool.call.id"] = call_id
    return attributes
