"""The ledger's half that is about runs and about undoing them; each verb with two faces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from tallystick._context import CURRENT
from tallystick._faces import Awaiting, Blocking, run_sync
from tallystick._flows import compensating, listing, planned
from tallystick._flows.compensating import Target
from tallystick._flows.undoing import House
from tallystick._keys import check_name, is_a
from tallystick._policy import Policy, Seconds, seconds
from tallystick._undoing._names import Names
from tallystick._undoing._report import Compensation, Run, RunStatus, UndoPlan
from tallystick.errors import CalledFromItself, InvalidPolicy

F = TypeVar("F", bound=Callable[..., Any])


class Saga:
    """What a ledger knows of runs, and how it takes them back."""

    tenant: str
    _blocking: Blocking
    _awaiting: Awaiting
    _names: Names
    _nonces: Callable[[], bytes]

    def compensation(self, name: str, *, policy: Policy | None = None) -> Callable[[F], F]:
        """
        Register a function under a name, so that any process that does so can undo with it.

        *policy* is what the compensation goes by where its effect's ``Undo`` says nothing else.

        >>> from tallystick import Ledger, Policy
        >>> ledger = Ledger("memory://")
        >>> @ledger.compensation("refund")
        ... def refund(order: str, result: str) -> None:
        ...     print(f"{result} is paid back for {order}")
        >>> policy = Policy(compensate="refund")
        >>> args = {"order": "A-1"}
        >>> ledger.call("charge", lambda order: "ch_1", args, workflow="w", policy=policy)
        'ch_1'
        >>> ledger.compensate("w", by="ann").complete
        ch_1 is paid back for A-1
        True
        >>> ledger.close()
        """
        check_name(name, "name")
        if policy is not None and not is_a(policy, Policy):
            raise InvalidPolicy(f"policy={policy!r}: give a tallystick.Policy")

        def register(fn: F) -> F:
            self._names.register(name, fn, policy)
            return fn

        return register

    def compensate(
        self,
        workflow: str,
        *,
        to: str | None = None,
        by: str = "code",
        reason: str = "",
        wait: Seconds = 60.0,
    ) -> Compensation:
        """
        Undo what a workflow did, the newest first; with *to*, back to that savepoint.

        Each effect that happened and has a compensation gets it, as an effect of its own; while
        that goes on nothing else starts in the workflow. What another process began is waited for
        (*wait* seconds), or taken over from the dead; what failed before is tried again. Effects
        without a compensation are in the answer as ``kept``.

        Raises CompensationIncomplete where something is left to do, UnknownEffect where nothing is
        recorded, StillRunning where an effect of the workflow outlasts the wait, ApprovalRequired
        where a person was asked whether to compensate and did not answer.
        """
        target = self._target(workflow, to, by, reason, wait)
        return run_sync(compensating.compensate(self._blocking, self._house(), target))

    async def acompensate(
        self,
        workflow: str,
        *,
        to: str | None = None,
        by: str = "code",
        reason: str = "",
        wait: Seconds = 60.0,
    ) -> Compensation:
        """As :meth:`compensate`, awaited."""
        target = self._target(workflow, to, by, reason, wait)
        return await compensating.compensate(self._awaiting, self._house(), target)

    def undo_of(self, key: str) -> UndoPlan:
        """
        How an effect can be undone, as it was recorded before it began, and whether it still can.

        *key* is an effect's key in hex, or its beginning. Raises UnknownEffect if that is not
        exactly one effect.

        >>> from tallystick import Ledger, Policy
        >>> from tallystick.runs import Undo
        >>> ledger = Ledger("memory://")
        >>> policy = Policy(compensate=Undo(steps="refund", residue="a line in the statement"))
        >>> ledger.call("charge", lambda: "ch_1", workflow="w", policy=policy)
        'ch_1'
        >>> plan = ledger.undo_of(ledger.effects()[0].key)
        >>> plan.reversibility, plan.steps, plan.possible, plan.residue
        ('compensable', ('refund',), True, 'a line in the statement')
        >>> ledger.close()
        """
        return run_sync(planned.undo_of(self._blocking, self.tenant, key))

    async def aundo_of(self, key: str) -> UndoPlan:
        """As :meth:`undo_of`, awaited."""
        return await planned.undo_of(self._awaiting, self.tenant, key)

    def undone(self, workflow: str) -> Compensation:
        """
        How far a workflow is undone, by what is recorded; nothing is done about it.

        What nobody began to undo is among the ``failed``. Raises UnknownEffect where nothing is
        recorded.
        """
        check_name(workflow, "workflow")
        return run_sync(planned.undone(self._blocking, self.tenant, workflow))

    async def aundone(self, workflow: str) -> Compensation:
        """As :meth:`undone`, awaited."""
        check_name(workflow, "workflow")
        return await planned.undone(self._awaiting, self.tenant, workflow)

    def run(self, workflow: str) -> Run:
        """The run of a workflow, as it is recorded; UnknownEffect where it is not."""
        check_name(workflow, "workflow")
        return run_sync(listing.run(self._blocking, self.tenant, workflow))

    async def arun(self, workflow: str) -> Run:
        """As :meth:`run`, awaited."""
        check_name(workflow, "workflow")
        return await listing.run(self._awaiting, self.tenant, workflow)

    def runs(
        self,
        *,
        status: RunStatus | str | None = None,
        parent: str | None = None,
        limit: int = 1000,
    ) -> list[Run]:
        """This tenant's runs, newest first, at most *limit*; with *parent* those inside of it."""
        flow = listing.runs(self._blocking, self.tenant, status=status, parent=parent, limit=limit)
        return run_sync(flow)

    async def aruns(
        self,
        *,
        status: RunStatus | str | None = None,
        parent: str | None = None,
        limit: int = 1000,
    ) -> list[Run]:
        """As :meth:`runs`, awaited."""
        return await listing.runs(
            self._awaiting, self.tenant, status=status, parent=parent, limit=limit
        )

    def _house(self) -> House:
        return House(self.tenant, self._names, self._nonces)

    def _target(self, workflow: str, to: str | None, by: str, reason: str, wait: Seconds) -> Target:
        check_name(workflow, "workflow")
        check_name(by, "by")
        if to is not None:
            check_name(to, "to")
        current = CURRENT.get()
        if current is not None and current.workflow == workflow:
            raise CalledFromItself(
                f"{current.tool} is an effect of {workflow} itself and would have to be undone "
                "while it is performed; compensate from outside of it"
            )
        why = reason or f"{by} asked for it"
        return Target(workflow, to, by, why, seconds(wait, "wait"))
