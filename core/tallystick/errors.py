"""
Everything that can go wrong, as one drawing.

::

    LedgerError
    ├── InvalidCall                  refused before anything happened
    │   ├── NotSerializable          an argument has no canonical form
    │   ├── ArgumentsTooLarge
    │   ├── ArgumentsChanged         the same key, other arguments
    │   ├── NoWorkflow               nobody said which unit of work this is
    │   ├── AsyncTool                an async function on the blocking face
    │   ├── CalledFromItself         an effect that would wait for itself
    │   ├── InvalidPolicy
    │   └── UnknownEffect            no such key, or a prefix of several
    ├── EffectError                  about one effect: key, tool, workflow
    │   ├── EffectStopped            do not retry, do not tell the model to try again
    │   │   ├── ApprovalRequired
    │   │   ├── EffectInDoubt
    │   │   ├── Halted
    │   │   └── StillRunning         its holder is alive and outlasted the wait
    │   ├── ApprovalDenied
    │   ├── ApprovalExpired
    │   ├── EffectCancelled
    │   ├── EffectFailed             a recorded failure: it did not happen
    │   ├── ResultNotStored          it succeeded; its result could not be kept
    │   ├── ResultTypeUnknown        the class of the result is not imported
    │   ├── DamagedRecord            the row does not match its digest
    │   └── DecisionRefused          too late, already decided, or other arguments
    ├── StoreError                   about the database
    │   ├── InvalidUrl
    │   ├── DriverMissing
    │   ├── SchemaMismatch           missing, older or newer than this version
    │   ├── StoreUnavailable         it cannot be reached
    │   ├── StoreBusy                a lock or a queue did not clear in time
    │   ├── StoreFull                no space, or read only
    │   ├── StoreCorrupt
    │   └── LedgerClosed
    ├── ThreadError                  about one thread of checkpoints
    │   ├── ThreadDeleted            it was deleted while something ran in it
    │   ├── UnknownThread            the ledger has never seen it
    │   ├── WrongLedger              its checkpoints are in another ledger than its tools' effects
    │   ├── AnswerRefused            to no question that is open, or no answer to it
    │   ├── CheckpointLate           what asked for an effect did not get durable in time
    │   └── CheckpointDamaged        a piece of it is not what was stored
    └── NotApplied                   raised *by tools*: it did not happen
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AnswerRefused",
    "ApprovalDenied",
    "ApprovalExpired",
    "ApprovalRequired",
    "ArgumentsChanged",
    "ArgumentsTooLarge",
    "AsyncTool",
    "CalledFromItself",
    "CheckpointDamaged",
    "CheckpointLate",
    "DamagedRecord",
    "DecisionRefused",
    "DriverMissing",
    "EffectCancelled",
    "EffectError",
    "EffectFailed",
    "EffectInDoubt",
    "EffectStopped",
    "Halted",
    "InvalidCall",
    "InvalidPolicy",
    "InvalidUrl",
    "LedgerClosed",
    "LedgerError",
    "NoWorkflow",
    "NotApplied",
    "NotSerializable",
    "ResultNotStored",
    "ResultTypeUnknown",
    "SchemaMismatch",
    "StillRunning",
    "StoreBusy",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "ThreadDeleted",
    "ThreadError",
    "UnknownEffect",
    "UnknownThread",
    "WrongLedger",
]


class LedgerError(Exception):
    """The root: catch this to catch everything that tallystick raises."""


class InvalidCall(LedgerError, ValueError):
    """Bad input; nothing was recorded and no tool ran."""


class NotSerializable(InvalidCall):
    """A value has no canonical form; the message names its path and its type."""


class ArgumentsTooLarge(InvalidCall):
    """The arguments exceed the ledger's ``max_arguments`` bytes."""


class NoWorkflow(InvalidCall):
    """No workflow was given and none is ambient."""


class AsyncTool(InvalidCall):
    """An async function was handed to the blocking face; await the ``a`` twin."""


class CalledFromItself(InvalidCall):
    """The effect is being performed by the caller itself and would wait for itself."""


class InvalidPolicy(InvalidCall):
    """A ``Policy`` field has the wrong type or contradicts another one."""


class UnknownEffect(InvalidCall, LookupError):
    """This tenant has no such effect, or the prefix fits several."""


class EffectError(LedgerError):
    """
    Something about one effect.

    ``key`` is the effect's hex key (empty where none was made yet), ``tool`` and ``workflow``
    say which call it was.
    """

    def __init__(
        self,
        message: str,
        *,
        key: str | None = None,
        tool: str | None = None,
        workflow: str | None = None,
    ) -> None:
        super().__init__(message)
        self.key = key or ""
        self.tool = tool or ""
        self.workflow = workflow or ""

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (type(self), self.args, self.__dict__)


def _revive(kind: Any, args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    error = kind.__new__(kind, *args)
    Exception.__init__(error, *args)
    error.__dict__.update(state)
    return error


class ArgumentsChanged(EffectError, InvalidCall):
    """
    The key is taken by a call with other arguments; neither runs nor replays.

    ``recorded`` and ``given`` are the hex digests of the two sets of arguments.
    """

    recorded: str = ""
    given: str = ""


class EffectStopped(EffectError):
    """The run must stop here: retrying now would be wrong, and so would telling a model to."""


class ApprovalRequired(EffectStopped):
    """
    A person must decide first; the effect is recorded as pending.

    ``arguments`` is what was shown, ``digest`` the hex digest that an approval binds to.
    """

    arguments: dict[str, object]
    digest: str = ""


class EffectInDoubt(EffectStopped):
    """It may or may not have happened, and nothing but a probe or a person can tell."""


class Halted(EffectStopped):
    """A halt forbids this effect to start; ``by`` and ``reason`` are the operator's."""

    by: str = ""
    reason: str = ""


class StillRunning(EffectStopped):
    """Its holder is alive and did not finish within ``Policy(wait=…)``."""


class ApprovalDenied(EffectError):
    """A person refused it; ``by`` and ``reason`` say who and why."""

    by: str = ""
    reason: str = ""


class ApprovalExpired(EffectError):
    """Nobody approved it in time, or the approval was not used in time."""


class EffectCancelled(EffectError):
    """It was withdrawn before it started."""


class EffectFailed(EffectError):
    """
    A recorded failure, replayed: the effect did not happen.

    ``error_type``, ``error_message`` and ``error_traceback`` are those of the original exception.
    """

    error_type: str = ""
    error_message: str = ""
    error_traceback: str = ""


class ResultNotStored(EffectError):
    """The effect succeeded; its result could not be stored and cannot be replayed."""


class ResultTypeUnknown(EffectError):
    """The result's class is not imported in this process."""


class DamagedRecord(EffectError):
    """What is stored does not match its digest; it is never replayed."""


class DecisionRefused(EffectError):
    """The decision came too late, was taken before, or is about other arguments."""


class StoreError(LedgerError):
    """The database said no, or nothing."""


class InvalidUrl(StoreError, ValueError):
    """The URL names no store that exists."""


class DriverMissing(StoreError, ImportError):
    """The database driver is not installed; the message names the extra."""


class SchemaMismatch(StoreError):
    """The tables are missing, older or newer than this version of tallystick."""


class StoreUnavailable(StoreError):
    """The database cannot be reached; nothing started."""


class StoreBusy(StoreError):
    """A lock or a queue did not clear in time; nothing started."""


class StoreFull(StoreError):
    """The database cannot be written: no space, or read only."""


class StoreCorrupt(StoreError):
    """The database is damaged."""


class LedgerClosed(StoreError):
    """The ledger was closed."""


class ThreadError(LedgerError):
    """Something about one thread of checkpoints; ``thread`` is its id."""

    def __init__(self, message: str, *, thread: str) -> None:
        super().__init__(message)
        self.thread = thread

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (type(self), self.args, self.__dict__)


class ThreadDeleted(ThreadError):
    """The thread was deleted while something ran in it; what that still sends is not kept."""


class UnknownThread(ThreadError, LookupError):
    """The ledger has no checkpoint of it."""


class WrongLedger(ThreadError):
    """Checkpoints in one ledger and effects in another: neither could vouch for the other."""


class AnswerRefused(ThreadError, ValueError):
    """
    A person's answer fits no question that is open; nothing was decided, the question stands.

    ``interrupt`` is the id of the interrupt, ``effects`` the hex keys that it asks about.
    """

    def __init__(
        self, message: str, *, thread: str, interrupt: str = "", effects: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message, thread=thread)
        self.interrupt = interrupt
        self.effects = effects


class CheckpointLate(ThreadError):
    """
    The checkpoint that asked for an effect did not become durable in time; nothing started.

    A crash right after would have lost the question and kept the effect.
    """


class CheckpointDamaged(ThreadError):
    """A piece of a checkpoint is missing, or not what was stored."""


class NotApplied(LedgerError):
    """
    Raised by a tool: *this did not happen*.

    With ``retryable=True`` the effect may be tried again under the same key.
    """

    def __init__(self, message: str = "it did not happen", *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable
