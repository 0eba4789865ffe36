"""Flows that wait for a person's feedback, and are resumed once, whoever delivers it how often."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from crewai.flow.async_feedback.types import HumanFeedbackPending, PendingFeedbackContext

from tallystick import Ledger
from tallystick._faces import run_sync
from tallystick._keys import is_a
from tallystick._policy import Seconds
from tallystick._ports import Ports
from tallystick.errors import InvalidCall
from tallystick_crewai._questions import question
from tallystick_crewai._steps import TURN


def resume_once(
    flow: Any,
    flow_id: str,
    feedback: str = "",
    *,
    ledger: Ledger,
    workflow: str | None = None,
    persistence: Any = None,
    asked_at: datetime | None = None,
    wait: Seconds | None = None,
    **options: Any,
) -> Any:
    """
    ``flow.from_pending(flow_id).resume(feedback)``, once for each time that feedback is asked for.

    *flow* is the flow's class, *flow_id* what it is pending under. CrewAI forgets the feedback
    before anything is done about it. Here it is recorded first: after a crash, or an error in a
    listener, call this again, and the same feedback goes through the flow again, taken for the
    same outcome even if a model had to say which; listeners that are steps
    (:func:`ledgered_step`) and completed are not run again. Several who resume the same flow run
    its listeners once: the others wait, *wait* seconds at most, and get the same result, or
    StillRunning. Other feedback than what was given is refused with ArgumentsChanged.

    Returns what ``resume`` returns: the flow's result, or ``HumanFeedbackPending`` where it asks
    again.

    workflow
        The one that the flow was kicked off in; by default the ambient one.
    persistence
        Where the flow is pending, by default CrewAI's own place.
    asked_at
        ``requested_at`` of the question that is answered. A delivery that comes twice may find the
        next question otherwise.
    options
        Further arguments of ``from_pending``.
    """
    p = _face(ledger, awaiting=False)
    answer = run_sync(question(p, ledger, flow, flow_id, workflow, persistence, asked_at, options))

    def body(**recorded: Any) -> dict[str, Any]:
        token = TURN.set(recorded["turn"])
        try:
            return _told(answer.flow(recorded).resume(recorded["feedback"]))
        finally:
            TURN.reset(token)

    with ledger.workflow(answer.workflow):
        args, policy = answer.args(feedback), answer.policy(wait)
        return _heard(ledger.call(answer.tool, body, args, policy=policy))


async def aresume_once(
    flow: Any,
    flow_id: str,
    feedback: str = "",
    *,
    ledger: Ledger,
    workflow: str | None = None,
    persistence: Any = None,
    asked_at: datetime | None = None,
    wait: Seconds | None = None,
    **options: Any,
) -> Any:
    """As :func:`resume_once`, awaited."""
    p = _face(ledger, awaiting=True)
    answer = await question(p, ledger, flow, flow_id, workflow, persistence, asked_at, options)

    async def body(**recorded: Any) -> dict[str, Any]:
        token = TURN.set(recorded["turn"])
        try:
            return _told(await answer.flow(recorded).resume_async(recorded["feedback"]))
        finally:
            TURN.reset(token)

    async with ledger.workflow(answer.workflow):
        args, policy = answer.args(feedback), answer.policy(wait)
        return _heard(await ledger.acall(answer.tool, body, args, policy=policy))


def _told(result: Any) -> dict[str, Any]:
    if isinstance(result, HumanFeedbackPending):
        return {"paused": result.context.to_dict(), "result": None}
    return {"paused": None, "result": result}


def _heard(recorded: dict[str, Any]) -> Any:
    if recorded["paused"] is not None:
        return HumanFeedbackPending(context=PendingFeedbackContext.from_dict(recorded["paused"]))
    return recorded["result"]


def _face(ledger: Any, *, awaiting: bool) -> Ports:
    if not is_a(ledger, Ledger):
        raise InvalidCall(f"{ledger!r} is no ledger; give a tallystick.Ledger")
    face: Ports = ledger._awaiting if awaiting else ledger._blocking  # noqa: SLF001
    return face
