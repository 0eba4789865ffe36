"""What tells one run of a session from another, and what a run that had ended came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tallystick._keys import check_name
from tallystick.errors import ResultTypeUnknown
from tallystick_autogen._recorded import RUN

if TYPE_CHECKING:
    from autogen_agentchat.base import TaskResult

#: what is made anew each time that a program says the same
_MINTED = {"id", "created_at", "models_usage"}


def about_run(task: Any, key: str | None, runs: int) -> dict[str, Any]:
    """The run with this *key*, else with this *task*, else the one after so many *runs*."""
    if key is not None:
        return {"key": check_name(key, "key")}
    if task is None:
        return {"after": runs}
    if isinstance(task, str):
        return {"task": task}
    messages: list[Any] = list(task) if isinstance(task, Sequence) else [task]  # pyright: ignore[reportUnknownArgumentType]
    dumped = [message.dump() for message in messages]
    return {"task": [{k: v for k, v in one.items() if k not in _MINTED} for one in dumped]}


def ended(known: Mapping[str, Any], types: Sequence[type[Any]], workflow: str) -> TaskResult:
    """The recorded result; ResultTypeUnknown for a message that is not among *types*."""
    from autogen_agentchat.base import TaskResult
    from autogen_agentchat.messages import MessageFactory

    factory = MessageFactory()
    for kind in types:
        factory.register(kind)
    try:
        messages = [factory.create(message) for message in known["messages"]]
    except ValueError as error:
        raise ResultTypeUnknown(
            f"the recorded run holds a message that is not known here ({error}); name its "
            "type in team_session(…, message_types=[…])",
            tool=RUN,
            workflow=workflow,
        ) from error
    return TaskResult(messages=messages, stop_reason=known["stop_reason"])
