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
    │   ├── UnboundTool              a restored tool that has no ledger here
    │   └── UnknownEffect            no such key, or a prefix of several
    ├── EffectError                  about one effect: key, tool, workflow
    │   ├── EffectStopped            do not retry, do not tell the model to try again
    │   │   ├── ApprovalRequired
    │   │   ├── CompensationIncomplete   what is left needs a person, or another try
    │   │   ├── Divergence           a replayed run does something else than recorded
    │   │   ├── EffectInDoubt
    │   │   ├── Halted
    │   │   └── StillRunning         its holder is alive and outlasted the wait
    │   ├── ApprovalDenied
    │   ├── ApprovalExpired
    │   ├── EffectCancelled
    │   ├── EffectCompensated        it happened, and was taken back
    │   ├── RunFinished              the run has its outcome; its block is not entered again
    │   ├── EffectFailed             a recorded failure: it did not happen
    │   ├── ResultNotStored          it succeeded; its result could not be kept, or was dropped
    │   ├── ArgumentsDropped         what was recorded to run is gone
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
    ├── EncryptionError              about keys; nothing was started
    │   ├── KeyMissing               what is there is sealed, and no key was given
    │   ├── WrongKey                 the key opens none of it, or it was damaged
    │   └── WorkflowShredded         its key was deleted: nothing happens in it any more
    ├── ThreadError                  about one thread of checkpoints
    │   ├── ThreadDeleted            it was deleted while something ran in it
    │   ├── UnknownThread            the ledger has never seen it
    │   ├── WrongLedger              its checkpoints are in another ledger than its tools' effects
    │   ├── AnswerRefused            to no question that is open, or no answer to it
    │   ├── CheckpointLate           what asked for an effect did not get durable in time
    │   └── CheckpointDamaged        a piece of it is not what was stored
    ├── BudgetError                  about money, tokens and the like; nothing was started
    │   ├── UnknownBudget            nobody declared it
    │   ├── BudgetExceeded           a line has no room for what was asked
    │   ├── UnpricedModel            a limit in money, and no price: never taken for nothing
    │   └── RunawayStopped           a session goes round in circles
    ├── ArchiveError                 about an exported file; the message names the line
    │   ├── ArchiveDamaged           cut off, edited, put in another order
    │   ├── ArchiveUnknown           no archive, or one of a newer version
    │   ├── ArchiveElsewhere         of another tenant, whose keys mean nothing here
    │   ├── ArchiveConflict          the ledger has other records under its keys
    │   └── SealDamaged              a file of seals is not what was signed
    └── NotApplied                   raised *by tools*: it did not happen
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

__all__ = [
    "AnswerRefused",
    "ApprovalDenied",
    "ApprovalExpired",
    "ApprovalRequired",
    "ArchiveConflict",
    "ArchiveDamaged",
    "ArchiveElsewhere",
    "ArchiveError",
    "ArchiveUnknown",
    "ArgumentsChanged",
    "ArgumentsDropped",
    "ArgumentsTooLarge",
    "AsyncTool",
    "BudgetError",
    "BudgetExceeded",
    "CalledFromItself",
    "CheckpointDamaged",
    "CheckpointLate",
    "CompensationIncomplete",
    "DamagedRecord",
    "DecisionRefused",
    "Divergence",
    "DriverMissing",
    "EffectCancelled",
    "EffectCompensated",
    "EffectError",
    "EffectFailed",
    "EffectInDoubt",
    "EffectStopped",
    "EncryptionError",
    "Halted",
    "InvalidCall",
    "InvalidPolicy",
    "InvalidUrl",
    "KeyMissing",
    "LedgerClosed",
    "LedgerError",
    "NoWorkflow",
    "NotApplied",
    "NotSerializable",
    "ResultNotStored",
    "ResultTypeUnknown",
    "RunFinished",
    "RunawayStopped",
    "SchemaMismatch",
    "SealDamaged",
    "StillRunning",
    "StoreBusy",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "ThreadDeleted",
    "ThreadError",
    "UnboundTool",
    "UnknownBudget",
    "UnknownEffect",
    "UnknownThread",
    "UnpricedModel",
    "WorkflowShredded",
    "WrongKey",
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


class UnboundTool(InvalidCall):
    """A tool was restored, and nothing in this process says which ledger it belongs to."""


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

    ``arguments`` is what was shown, ``digest`` the hex digest that an approval binds to. ``reason``
    is set where it is the policy's ``min_reversibility`` that asks: ``"irreversible, and the policy
    asks for compensable"``.
    """

    arguments: dict[str, object]
    digest: str = ""
    reason: str = ""


class CompensationIncomplete(EffectStopped):
    """
    Some of what a workflow did could not be undone yet; what could was.

    ``failed``, ``missing``, ``in_doubt`` and ``waiting`` hold the hex keys of the effects: their
    compensation failed, cannot be found, nobody knows what became of the effect or of its
    compensation, or a person has to approve it. ``compensation`` is the whole report. The workflow
    stays contained until ``ledger.compensate()`` has come to its end.
    """

    failed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    in_doubt: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    compensation: Any = None


class Divergence(EffectStopped):
    """
    A replayed run does something else than what is recorded; nothing was executed.

    ``kind`` is ``arguments`` (a call of the tool, with others), ``extra`` (a call that is not
    recorded) or ``missing`` (a recorded call that was not made); ``step`` the number of the call in
    the replay, or of the missing one in the record; ``difference`` the arguments, line by line.
    """

    kind: str = ""
    step: int = 0
    difference: str = ""


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


class EffectCompensated(EffectError):
    """
    It happened and was undone, or is being undone: its result no longer holds.

    ``status`` is ``compensating``, ``compensated`` or ``compensation_failed``.
    """

    status: str = ""


class RunFinished(EffectError):
    """
    A run was opened that has its outcome; nothing in its block was done again.

    ``status`` is ``succeeded``, ``compensated`` or ``cancelled``; ``output`` is what the run that
    succeeded put out: ``None`` where retention dropped it, and then the cause is ResultNotStored.
    Another piece of work is another run, with an id of its own.
    """

    status: str = ""
    output: Any = None


class EffectFailed(EffectError):
    """
    A recorded failure, replayed: the effect did not happen.

    ``error_type``, ``error_message`` and ``error_traceback`` are those of the original exception.
    """

    error_type: str = ""
    error_message: str = ""
    error_traceback: str = ""


class ResultNotStored(EffectError):
    """The effect succeeded; its result could not be stored, or was dropped, and is not replayed."""


class ArgumentsDropped(EffectError):
    """The effect may be tried again; what was recorded to run is gone, and this call has others."""


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


class EncryptionError(LedgerError):
    """The payloads of the ledger are encrypted, and this cannot be done with them."""


class KeyMissing(EncryptionError):
    """There are sealed payloads, and no key was given; nothing was started."""


class WrongKey(EncryptionError):
    """The key does not open what is sealed, or what is sealed is not what was written."""


class WorkflowShredded(EncryptionError):
    """The workflow's key was deleted; nothing is recorded in it any more, and nothing runs."""

    def __init__(self, message: str = "", *, workflow: str = "") -> None:
        super().__init__(message)
        self.workflow = workflow


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


class BudgetError(LedgerError):
    """About a budget; what it would have paid for was not started."""


class UnknownBudget(BudgetError, LookupError):
    """A budget that nobody declared; without it there would be no limit at all."""


class BudgetExceeded(BudgetError):
    """
    A line has no room for what was asked; nothing was started, and asking again changes nothing.

    ``budget`` and ``per`` (a mapping, empty where the budget is not split) name the line;
    ``metric`` is ``usd``, ``tokens``, ``requests`` or ``amount``; ``limit``, ``spent``,
    ``reserved``, ``unreconciled`` and ``needed`` are in its unit. ``resets_at`` is when the window
    ends, ``None`` for never. ``on_exceed`` is what the budget wants to happen, ``request`` the hex
    key of the top-up request that waits in the inbox, if one does.
    """

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.budget: str = facts.get("budget", "")
        self.per: dict[str, str] = facts.get("per", {})
        self.metric: str = facts.get("metric", "")
        self.limit: Decimal | int = facts.get("limit", 0)
        self.spent: Decimal | int = facts.get("spent", 0)
        self.reserved: Decimal | int = facts.get("reserved", 0)
        self.unreconciled: Decimal | int = facts.get("unreconciled", 0)
        self.needed: Decimal | int = facts.get("needed", 0)
        self.resets_at: datetime | None = facts.get("resets_at")
        self.on_exceed: str = facts.get("on_exceed", "deny")
        self.request: str | None = facts.get("request")

    @property
    def remaining(self) -> Decimal | int:
        """What was left."""
        return self.limit - self.spent - self.reserved - self.unreconciled


class UnpricedModel(BudgetError):
    """A budget limits money, and nobody knows what ``model`` costs; it is never taken for 0."""

    def __init__(self, message: str, *, model: str = "", provider: str | None = None) -> None:
        super().__init__(message)
        self.model = model
        self.provider = provider


class RunawayStopped(BudgetError):
    """A session was found to go round in circles; ``rule`` is which detector said so."""

    def __init__(self, message: str, *, rule: str = "", session: str = "") -> None:
        super().__init__(message)
        self.rule = rule
        self.session = session


class ArchiveError(LedgerError):
    """About an exported file; ``line`` is the number of the line, 0 where it is none's."""

    def __init__(self, message: str, *, line: int = 0) -> None:
        super().__init__(message)
        self.line = line

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (type(self), self.args, self.__dict__)


class ArchiveDamaged(ArchiveError):
    """It is not what was exported: cut off, edited, put in another order; nothing was imported."""


class ArchiveUnknown(ArchiveError):
    """It is no archive, or one of a newer version; nothing was imported."""


class ArchiveElsewhere(ArchiveError):
    """It is of another tenant, whose keys mean nothing here; nothing was imported."""

    tenant: str = ""


class ArchiveConflict(ArchiveError):
    """
    The ledger has other records under keys of the archive.

    ``keys`` are the first hundred of them, in hex; ``imported`` how many effects had been written
    when it was found: none, unless somebody recorded one of them meanwhile.
    """

    keys: tuple[str, ...] = ()
    imported: int = 0


class SealDamaged(ArchiveError):
    """A line in a file of seals is not what was signed, or not in its place."""


class NotApplied(LedgerError):
    """
    Raised by a tool: *this did not happen*.

    With ``retryable=True`` the effect may be tried again under the same key.
    """

    def __init__(self, message: str = "it did not happen", *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable
