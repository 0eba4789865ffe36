"""
Errors of the ledger as AutoGen understands them.

AutoGen turns every Exception of a tool into words for the model, hangs for ever on what is no
Exception, and loses the type of what ends a team. So a *stop*, which must reach the person who runs
the agent, is noted beside: the next question to the model is not asked but raises it, and
:func:`raising_stops` raises it to whoever started the run. An *answer* is for the model.
"""

from __future__ import annotations

import inspect
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from tallystick import Ledger
from tallystick._context import WORKFLOW
from tallystick._model import Status
from tallystick.errors import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalRequired,
    ArgumentsChanged,
    ArgumentsTooLarge,
    EffectCancelled,
    EffectError,
    EffectFailed,
    EffectInDoubt,
    EffectStopped,
    InvalidCall,
    LedgerError,
    NotApplied,
    NotSerializable,
    StillRunning,
)
from tallystick_autogen._recorded import MEMORY

#: it did not happen, for a reason that concerns the model
ANSWERS = (
    *(ApprovalDenied, ApprovalExpired, EffectCancelled, EffectFailed, NotApplied),
    *(ArgumentsChanged, ArgumentsTooLarge, NotSerializable),
)

#: what an effect is as long as its stop holds
_OPEN: dict[type[LedgerError], Status] = {
    ApprovalRequired: Status.PENDING,
    EffectInDoubt: Status.IN_DOUBT,
    StillRunning: Status.RUNNING,
}

#: the private method of AssistantAgent that is about to ask the model
_ASKING = "_call_llm"
#: how many calls away it may be
_DEPTH = 16


class Gating:
    """A model client that raises by itself what stopped the run."""


@dataclass(slots=True, eq=False)
class Stops:
    """What stopped a run, in the order in which it did."""

    errors: list[LedgerError] = field(default_factory=list[LedgerError])

    @property
    def first(self) -> LedgerError | None:
        """What stopped it first, if anything did."""
        return self.errors[0] if self.errors else None


STOPS: ContextVar[Stops | None] = ContextVar("tallystick_autogen_stops", default=None)

#: by ledger and workflow, where nobody collects them
_left: WeakKeyDictionary[Ledger, dict[str | None, LedgerError]] = WeakKeyDictionary()


@contextmanager
def raising_stops() -> Generator[Stops]:
    """
    Raise what stopped an agent or a team inside, as itself.

    Whatever AutoGen makes of it: words for the model, a summary, or a RuntimeError without its
    type. Inside, once something has stopped, no model that has one of the ledger's tools or clients
    is asked again. What is yielded tells in ``first`` and ``errors`` what stopped. A team logs each
    stop at length, as the logger ``autogen_core``.

    >>> from tallystick import ApprovalRequired
    >>> with raising_stops() as stops:
    ...     stops.first is None
    True
    """
    stops = Stops()
    token = STOPS.set(stops)
    try:
        yield stops
    except LedgerError:
        raise
    except Exception as error:
        if stops.first is not None:
            raise stops.first from error
        raise
    finally:
        STOPS.reset(token)
    if stops.first is not None:
        raise stops.first


def noted(ledger: Ledger, workflow: str | None, error: LedgerError) -> LedgerError:
    """*error* in words that fit; a stop is also noted, so that no model is asked after it."""
    worded(error)
    if not isinstance(error, ANSWERS):
        stops = STOPS.get()
        if stops is None:
            _left.setdefault(ledger, {})[workflow] = error
        else:
            stops.errors.append(error)
    return error


def worded(error: Exception) -> Exception:
    """*error* in the words that the model gets."""
    if isinstance(error, ApprovalDenied):
        error.args = (_denial(error),)
    elif isinstance(error, EffectFailed) and error.error_message:
        error.args = (error.error_message,)
    return error


def raised(error: LedgerError) -> LedgerError:
    """*error*, which leaves an agent by itself; noted only for the team, which loses its type."""
    stops = STOPS.get()
    if stops is not None:
        stops.errors.append(error)
    return error


def passed(error: LedgerError) -> None:
    """The run is handed off to whoever *error* waits for: it ends there, and nothing is raised."""
    stops = STOPS.get()
    if stops is not None:
        stops.errors[:] = [other for other in stops.errors if other is not error]


def standing(ledger: Ledger, workflow: str | None) -> LedgerError | None:
    """What stopped the run that is about to ask a model; one that nobody collects, only once."""
    stops = STOPS.get()
    if stops is not None:
        return stops.first
    error = _left.get(ledger, {}).pop(workflow, None)
    return error if error is not None and _still(ledger, error) else None


def gate(ledger: Ledger, workflow: str | None) -> None:
    """
    Raise what stopped the run, where a tool's schema is read to ask the model.

    Only there: the schema is also read to find the tool of a call, and what is raised there makes
    the agent hang. In a session a model of which no answer is kept is refused there, too.
    """
    stops, in_session = STOPS.get(), MEMORY.get() is not None
    noticed = _left.get(ledger) if stops is None else stops.errors
    client = about_to_ask() if noticed or in_session else None
    if client is None:
        return
    looks = isinstance(client, Gating)
    if in_session and not looks:
        raise raised(_forgetful(client))
    if noticed and not (looks and (stops is not None or workflow == WORKFLOW.get())):
        error = standing(ledger, workflow)
        if error is not None:
            raise error


def about_to_ask() -> object:
    """The client that an agent is about to ask; None where it does something else."""
    frame = inspect.currentframe()
    for _ in range(_DEPTH):
        frame = None if frame is None else frame.f_back
        if frame is not None and frame.f_code.co_name == _ASKING:
            return frame.f_locals.get("model_client")
    return None


def _forgetful(client: object) -> InvalidCall:
    return InvalidCall(
        f"in a team_session the answers of a {type(client).__name__} would not be kept: after a "
        "crash it would be asked again, and might say something else. Nothing was asked; give the "
        "agent BudgetedModelClient(client, ledger)"
    )


def _still(ledger: Ledger, error: LedgerError) -> bool:
    """Whether nobody has decided meanwhile, and it is not about a run that was cancelled."""
    status = _OPEN.get(type(error))
    if not isinstance(error, EffectError) or not error.key:
        return not isinstance(error, EffectStopped)
    if status is None:
        return True
    try:
        return ledger.get(error.key).status == status
    except LedgerError:
        return True


def _denial(error: ApprovalDenied) -> str:
    why = f": {error.reason}" if error.reason else ""
    return f"This call was denied by {error.by}{why}. It was not made; do not repeat it."
