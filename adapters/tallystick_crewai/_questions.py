"""What a flow asked a person, as it is pending with CrewAI or recorded with the answer to it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from crewai.flow.async_feedback.types import PendingFeedbackContext
from crewai.flow.persistence.factory import default_flow_persistence

from tallystick import Effect, Guarantee, Ledger, Policy
from tallystick._context import WORKFLOW
from tallystick._flows import desk
from tallystick._policy import Seconds
from tallystick._ports import Ports
from tallystick.errors import InvalidCall, NoWorkflow

#: a feedback that was given stays given
_FOR_EVER = timedelta(days=36_500)
#: answers of one workflow among which a flow's own are looked for
_RECENT = 1000


class Question:
    """One question, and how the flow goes on from it."""

    def __init__(
        self,
        flow: Any,
        asked: dict[str, Any],
        *,
        ledger: Ledger,
        workflow: str,
        persistence: Any,
        options: dict[str, Any],
    ) -> None:
        self.workflow = workflow
        self.tool = _tool(flow)
        self._ledger = ledger
        self._class = flow
        self._asked = asked
        self._persistence = persistence
        self._options = options

    def args(self, feedback: str) -> dict[str, Any]:
        """What is recorded before anything is done."""
        return {**self._asked, "feedback": feedback}

    def policy(self, wait: Seconds | None) -> Policy:
        """Once, by the question; a resume that broke off goes on."""
        place = [self._asked["flow_id"], self._asked["asked_at"]]
        policy = Policy(
            guarantee=Guarantee.IDEMPOTENT,
            key_lifetime=_FOR_EVER,
            identity=_always(place),
            volatile=("context", "state", "turn"),
            classify=_interrupted,
        )
        return policy if wait is None else policy.but(wait=wait)

    def flow(self, recorded: dict[str, Any]) -> Any:
        """The flow as it was when it asked, also where CrewAI has forgotten that."""
        flow_id = recorded["flow_id"]
        pending = self._persistence.load_pending_feedback(flow_id)
        if pending is None or _asked_at(pending[1]) != recorded["asked_at"]:
            context = PendingFeedbackContext.from_dict(recorded["context"])
            self._persistence.save_pending_feedback(flow_id, context, recorded["state"])
        made = self._class.from_pending(flow_id, self._persistence, **self._options)
        choose: Callable[..., Any] = made._collapse_to_outcome  # noqa: SLF001 - asks a model

        def chosen(**given: Any) -> Any:
            place = [flow_id, recorded["asked_at"]]
            policy = self.policy(None).but(identity=_always(place), volatile=())
            args = {"feedback": given["feedback"], "outcomes": list(given["outcomes"])}

            def ask(**_: Any) -> Any:
                return choose(**given)

            return self._ledger.call(f"{self.tool}.outcome", ask, args, policy=policy)

        object.__setattr__(made, "_collapse_to_outcome", chosen)
        return made


async def question(
    p: Ports,
    ledger: Ledger,
    flow: Any,
    flow_id: str,
    workflow: str | None,
    persistence: Any,
    asked_at: datetime | None,
    options: dict[str, Any],
) -> Question:
    """The question that *flow_id* waits with, or the newest that it was answered."""
    workflow = workflow or WORKFLOW.get()
    if workflow is None:
        raise NoWorkflow(
            "resume_once needs the workflow that the flow was kicked off in: name it, workflow=…, "
            "or call this inside `with ledger.workflow('order-42'):`"
        )
    persistence = default_flow_persistence() if persistence is None else persistence
    wanted = None if asked_at is None else asked_at.isoformat()
    effects = await desk.find(p, ledger.tenant, workflow=workflow, tool=_tool(flow), limit=_RECENT)
    mine = [one for one in effects if one.args.get("flow_id") == flow_id]
    pending = persistence.load_pending_feedback(flow_id)
    asked: dict[str, Any] | None = None
    if pending is not None and wanted in (None, _asked_at(pending[1])):
        state, context = pending
        asked = _question(flow_id, state, context, _turn(mine, _asked_at(context)))
    else:
        known = [one for one in mine if wanted in (None, one.args["asked_at"])]
        asked = dict(known[0].args) if known else None
    if asked is None:
        raise InvalidCall(
            f"{_tool(flow)}: {flow_id!r} does not wait for feedback, and none was given to it in "
            f"the workflow {workflow!r}"
        )
    return Question(
        flow,
        asked,
        ledger=ledger,
        workflow=workflow,
        persistence=persistence,
        options=options,
    )


def _question(flow_id: str, state: Any, context: Any, turn: int) -> dict[str, Any]:
    return {
        "flow_id": flow_id,
        "method": context.method_name,
        "asked_at": _asked_at(context),
        "context": context.to_dict(),
        "state": state,
        "turn": turn,
    }


def _turn(before: list[Effect], asked_at: str) -> int:
    """How often the flow was resumed before it asked; what it asked by itself begins anew."""
    for one in before:
        result: dict[str, Any] = one.result or {}
        paused = result.get("paused")
        if paused is not None and paused["requested_at"] == asked_at:
            return int(one.args["turn"]) + 1
    return 1


def _tool(flow: Any) -> str:
    return f"{flow.__name__}.resume"


def _asked_at(context: Any) -> str:
    return str(context.requested_at.isoformat())


def _always(place: list[Any]) -> Callable[[Any], Any]:
    return lambda _: place


def _interrupted(error: BaseException) -> Any:
    """Whatever stops a resume, it goes on by another one."""
    return "interrupted"
