"""The operator's half of the ledger: look, decide, resolve, stop, verify; each with two faces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tallystick._acts import Halts
from tallystick._archive._seal_file import Read, read
from tallystick._archive._signing import KeyFile, checker
from tallystick._faces import Awaiting, Blocking, run_sync
from tallystick._flows import desk, sealing
from tallystick._flows.desk import UNSET
from tallystick._model import Effect, Event, Halt, InboxItem, Status, Verification
from tallystick.errors import InvalidCall
from tallystick.redaction import Redaction


class Desk:
    """What people and operators do with a ledger."""

    tenant: str
    _blocking: Blocking
    _awaiting: Awaiting
    _redaction: Redaction

    def get(self, key: str) -> Effect:
        """The effect whose hex key is or starts with *key*; UnknownEffect if not exactly one."""
        return run_sync(desk.get(self._blocking, self.tenant, key))

    async def aget(self, key: str) -> Effect:
        """As :meth:`get`, awaited."""
        return await desk.get(self._awaiting, self.tenant, key)

    def effects(
        self,
        *,
        workflow: str | None = None,
        tool: str | None = None,
        status: Status | str | None = None,
        limit: int = 1000,
    ) -> list[Effect]:
        """This tenant's effects, newest first, at most *limit*."""
        filters = {"workflow": workflow, "tool": tool, "status": status, "limit": limit}
        return run_sync(desk.find(self._blocking, self.tenant, **filters))

    async def aeffects(
        self,
        *,
        workflow: str | None = None,
        tool: str | None = None,
        status: Status | str | None = None,
        limit: int = 1000,
    ) -> list[Effect]:
        """As :meth:`effects`, awaited."""
        filters = {"workflow": workflow, "tool": tool, "status": status, "limit": limit}
        return await desk.find(self._awaiting, self.tenant, **filters)

    def history(self, key: str) -> list[Event]:
        """What happened to an effect off its straight path, oldest first."""
        return run_sync(desk.history(self._blocking, self.tenant, key))

    async def ahistory(self, key: str) -> list[Event]:
        """As :meth:`history`, awaited."""
        return await desk.history(self._awaiting, self.tenant, key)

    def pending(self) -> list[InboxItem]:
        """The inbox: approvals to give, doubts to resolve, conflicts; oldest first."""
        return run_sync(desk.pending(self._blocking, self.tenant))

    async def apending(self) -> list[InboxItem]:
        """As :meth:`pending`, awaited."""
        return await desk.pending(self._awaiting, self.tenant)

    def approve(
        self,
        key: str,
        *,
        by: str,
        args: dict[str, Any] | None = None,
        reason: str = "",
        digest: str | None = None,
    ) -> Effect:
        """
        Approve a pending effect: one use, until it expires, for exactly what was shown.

        *args* replaces some arguments; the edited ones run, the original ones are kept beside
        them. *digest* (of :class:`~tallystick.ApprovalRequired`) asserts what the approver saw.
        Under a quorum the effect stays pending until enough distinct people approved the same.
        Raises DecisionRefused when it was decided before, has expired, or shows something else.
        """
        return run_sync(
            desk.decide(
                self._blocking,
                self.tenant,
                key,
                approve=True,
                by=by,
                args=args,
                reason=reason,
                digest=digest,
                redaction=self._redaction,
            )
        )

    async def aapprove(
        self,
        key: str,
        *,
        by: str,
        args: dict[str, Any] | None = None,
        reason: str = "",
        digest: str | None = None,
    ) -> Effect:
        """As :meth:`approve`, awaited."""
        return await desk.decide(
            self._awaiting,
            self.tenant,
            key,
            approve=True,
            by=by,
            args=args,
            reason=reason,
            digest=digest,
            redaction=self._redaction,
        )

    def deny(self, key: str, *, by: str, reason: str = "") -> Effect:
        """Refuse a pending effect, for good. Raises DecisionRefused when it was decided before."""
        return run_sync(
            desk.decide(
                self._blocking,
                self.tenant,
                key,
                approve=False,
                by=by,
                reason=reason,
                redaction=self._redaction,
            )
        )

    async def adeny(self, key: str, *, by: str, reason: str = "") -> Effect:
        """As :meth:`deny`, awaited."""
        return await desk.decide(
            self._awaiting,
            self.tenant,
            key,
            approve=False,
            by=by,
            reason=reason,
            redaction=self._redaction,
        )

    def resolve(
        self,
        key: str,
        *,
        by: str,
        succeeded: Any = UNSET,
        failed: Any = UNSET,
        reason: str = "",
    ) -> Effect:
        """
        Say what became of an effect in doubt.

        ``succeeded=result`` records that it happened, with what it returned; ``failed="why"`` that
        it did not, so that a later call may try again (under ``RECONCILE`` only after the quiet
        period). Raises DecisionRefused when it is not in doubt (any more).
        """
        return run_sync(
            desk.resolve(
                self._blocking,
                self.tenant,
                key,
                by=by,
                succeeded=succeeded,
                failed=failed,
                reason=reason,
                redaction=self._redaction,
            )
        )

    async def aresolve(
        self,
        key: str,
        *,
        by: str,
        succeeded: Any = UNSET,
        failed: Any = UNSET,
        reason: str = "",
    ) -> Effect:
        """As :meth:`resolve`, awaited."""
        return await desk.resolve(
            self._awaiting,
            self.tenant,
            key,
            by=by,
            succeeded=succeeded,
            failed=failed,
            reason=reason,
            redaction=self._redaction,
        )

    def cancel(self, key: str, *, by: str, reason: str = "") -> Effect:
        """Withdraw an effect that is pending, approved or in doubt; it will never run."""
        return run_sync(
            desk.cancel(
                self._blocking, self.tenant, key, by=by, reason=reason, redaction=self._redaction
            )
        )

    async def acancel(self, key: str, *, by: str, reason: str = "") -> Effect:
        """As :meth:`cancel`, awaited."""
        return await desk.cancel(
            self._awaiting, self.tenant, key, by=by, reason=reason, redaction=self._redaction
        )

    def halt(
        self,
        *,
        by: str,
        reason: str,
        tool: str | None = None,
        workflow: str | None = None,
        everywhere: bool = False,
        mode: str = "halt",
    ) -> None:
        """
        Stop effects from starting: of a tool, a workflow, this tenant, or (*everywhere*) of all.

        Once this returns, nothing that it concerns starts: the statement that starts an effect
        checks it. ``mode="drain"`` still lets effects that have begun be tried again and finished.
        """
        stop = desk.a_halt(
            self.tenant,
            by=by,
            reason=reason,
            tool=tool,
            workflow=workflow,
            everywhere=everywhere,
            mode=mode,
        )
        run_sync(desk.halt(self._blocking, stop))

    async def ahalt(
        self,
        *,
        by: str,
        reason: str,
        tool: str | None = None,
        workflow: str | None = None,
        everywhere: bool = False,
        mode: str = "halt",
    ) -> None:
        """As :meth:`halt`, awaited."""
        stop = desk.a_halt(
            self.tenant,
            by=by,
            reason=reason,
            tool=tool,
            workflow=workflow,
            everywhere=everywhere,
            mode=mode,
        )
        await desk.halt(self._awaiting, stop)

    def unhalt(
        self,
        *,
        by: str,
        reason: str = "",
        tool: str | None = None,
        workflow: str | None = None,
        everywhere: bool = False,
        containment: str | None = None,
    ) -> int:
        """
        Lift the halt of exactly this scope; how many were lifted (0 or 1). It is recorded.

        With *containment*, the key of one, everything that it froze goes again.
        """
        return run_sync(
            desk.unhalt(
                self._blocking,
                self.tenant,
                by=by,
                reason=reason,
                tool=tool,
                workflow=workflow,
                everywhere=everywhere,
                containment=containment,
            )
        )

    async def aunhalt(
        self,
        *,
        by: str,
        reason: str = "",
        tool: str | None = None,
        workflow: str | None = None,
        everywhere: bool = False,
        containment: str | None = None,
    ) -> int:
        """As :meth:`unhalt`, awaited."""
        return await desk.unhalt(
            self._awaiting,
            self.tenant,
            by=by,
            reason=reason,
            tool=tool,
            workflow=workflow,
            everywhere=everywhere,
            containment=containment,
        )

    def halts(self) -> list[Halt]:
        """The halts in force that concern this tenant."""
        return run_sync(self._blocking.read(Halts(tenant=self.tenant)))

    async def ahalts(self) -> list[Halt]:
        """As :meth:`halts`, awaited."""
        return await self._awaiting.read(Halts(tenant=self.tenant))

    def recover(self) -> int:
        """
        Put what dead workers left running in doubt, and in the inbox, now; how many there were.

        A ledger does this by itself every few seconds.
        """
        return run_sync(desk.recover(self._blocking))

    async def arecover(self) -> int:
        """As :meth:`recover`, awaited."""
        return await desk.recover(self._awaiting)

    def verify(
        self,
        *,
        seal: KeyFile | None = None,
        public_key: KeyFile | None = None,
        last_root: str | None = None,
    ) -> Verification:
        """
        Check every stored result and every chain of events of this tenant.

        Also the halts: each one in force has its event, and each event's halt is in force until
        it was lifted. What was removed from the end of an effect's chain is noticed.

        With the file of *seal* and the *public_key* that it was signed for, each sealed record is
        also compared with its seal: what was changed, removed, renumbered or slipped in is named,
        however well its own hashes fit. A record may have moved on since, by events that go on from
        the sealed ones. That the last seals themselves were cut off cannot be seen from the file:
        *last_root* is the root that the last one has to have. Raises SealDamaged where the file is
        not what was signed.
        """
        seals = _seals(seal, public_key, self.tenant)
        return run_sync(sealing.verify(self._blocking, self.tenant, seals, last_root))

    async def averify(
        self,
        *,
        seal: KeyFile | None = None,
        public_key: KeyFile | None = None,
        last_root: str | None = None,
    ) -> Verification:
        """As :meth:`verify`, awaited."""
        seals = _seals(seal, public_key, self.tenant)
        return await sealing.verify(self._awaiting, self.tenant, seals, last_root)


def _seals(seal: KeyFile | None, public_key: KeyFile | None, tenant: str) -> Read | None:
    """The seals in a file, if one is given."""
    if (seal is None) != (public_key is None):
        raise InvalidCall("seal=… and public_key=… go together: without the key no seal counts")
    if seal is None or public_key is None:
        return None
    check = checker(public_key)
    try:
        return read(Path(seal), check, tenant)
    except OSError as error:
        raise InvalidCall(f"the seals in {seal} cannot be read: {error}") from error
