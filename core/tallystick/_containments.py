"""The ledger's half for when something went wrong: contain it; each verb with two faces."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple, Self, cast

from tallystick._context import CURRENT
from tallystick._faces import Awaiting, Blocking, run_sync
from tallystick._flows import containments, surveying
from tallystick._flows.choosing import Selection, since_of
from tallystick._flows.containments import Order
from tallystick._flows.undoing import House
from tallystick._keys import check_name, is_a
from tallystick._policy import Seconds, seconds
from tallystick._ports import Ports
from tallystick._undoing._containment import Containment
from tallystick.errors import InvalidCall

Since = datetime | Seconds


class Containing:
    """What a ledger does about what an agent, a tool or a workflow should not have done."""

    tenant: str
    _blocking: Blocking
    _awaiting: Awaiting
    _house: Callable[[], House]

    def contain(
        self,
        *,
        workflow: str | None = None,
        agent: str | None = None,
        tool: str | None = None,
        since: Since | None = None,
        resume: str | None = None,
        by: str = "",
        reason: str = "",
        undo: bool = True,
        dependents: bool = False,
        wait: Seconds = 60.0,
    ) -> Containment:
        """
        Freeze what went wrong, undo of it what can be undone, and say what stays.

        What is said has to hold together; at least one of these must be given:

        workflow
            It, and all the runs inside of it.
        agent
            The runs whose recorded label ``agent`` it is (``ledger.workflow(…, input=…,
            labels={"agent": …})``), and all the runs inside of them. Runs that it opens later are
            not known of: halt its tools, too.
        tool
            The effects of this tool.
        since
            What changed since: was asked for, begun, complete or in doubt. A moment with a time
            zone, or seconds (or a timedelta) ago.

        First nothing starts any more but what undoes: in each workflow with such an effect or with
        an open run of the selection; with *tool* (and no *workflow*) that tool anywhere; with
        *since* alone in the whole tenant. That stays so until a person says otherwise:
        ``unhalt(containment=…)``. What is running is waited for, *wait* seconds in all; what a dead
        process left is in doubt; what has not begun is withdrawn.

        Then the effects are undone, the newest first across all workflows, each as
        :meth:`compensate` does. One is refused while a later effect that stays depends on it: one
        whose arguments hold a value that its result brought forth (an id, an address, a path, a
        large number; not what its own arguments held), anywhere in the tenant. With *dependents*
        those are contained, too, and what depends on them. A person who knows that it does no harm
        undoes what was refused with :meth:`compensate`, which does not ask about that.

        The containment is recorded, as ``tallystick.contain``, with its report. One that was cut
        off is gone on with by whoever says the same, or gives its key to *resume*; while another
        process is at it that is waited for, and its report is the answer. Runs keep their status:
        ``compensate()`` ends one, and one that is unhalted can be gone on with.

        With *undo* false nothing is written, and the answer says what could be undone until when.

        Raises InvalidCall (UnknownEffect for what is not recorded, CalledFromItself from inside
        what would be contained) before anything happened, StillRunning while another process
        contains the same for longer than *wait*, Halted where a halt forbids everything.

        >>> from tallystick import Ledger, Policy
        >>> ledger = Ledger("memory://")
        >>> @ledger.compensation("refund")
        ... def refund(order: str, result: str) -> None:
        ...     print(f"{result} is paid back for {order}")
        >>> policy = Policy(compensate="refund")
        >>> for order in ("A-1", "A-2"):
        ...     _ = ledger.call("charge", lambda order: f"ch-{order}", {"order": order},
        ...                     workflow=order, policy=policy)
        >>> len(ledger.contain(tool="charge", undo=False).undoable)
        2
        >>> done = ledger.contain(tool="charge", by="ann", reason="charged twice")
        ch-A-2 is paid back for A-2
        ch-A-1 is paid back for A-1
        >>> done.complete, len(done.done), len(done.frozen)
        (True, 2, 3)
        >>> ledger.unhalt(containment=done.key, by="ann")
        3
        >>> ledger.close()
        """
        asked = _Asked.checked(
            workflow, agent, tool, since, resume, by, reason, undo, dependents, wait
        )
        return run_sync(asked.done(self._blocking, self._house()))

    async def acontain(
        self,
        *,
        workflow: str | None = None,
        agent: str | None = None,
        tool: str | None = None,
        since: Since | None = None,
        resume: str | None = None,
        by: str = "",
        reason: str = "",
        undo: bool = True,
        dependents: bool = False,
        wait: Seconds = 60.0,
    ) -> Containment:
        """As :meth:`contain`, awaited."""
        asked = _Asked.checked(
            workflow, agent, tool, since, resume, by, reason, undo, dependents, wait
        )
        return await asked.done(self._awaiting, self._house())


class _Asked(NamedTuple):
    """What was asked for, and is no nonsense."""

    order: Order
    since: Since | None
    resume: str | None
    undo: bool

    @classmethod
    def checked(
        cls,
        workflow: str | None,
        agent: str | None,
        tool: str | None,
        since: Since | None,
        resume: str | None,
        by: str,
        reason: str,
        undo: bool,
        dependents: bool,
        wait: Seconds,
    ) -> Self:
        """InvalidCall where it is."""
        named = {"workflow": workflow, "agent": agent, "tool": tool, "resume": resume}
        for name, value in named.items():
            if value is not None:
                check_name(value, name)
        for name, said in (("undo", undo), ("dependents", dependents)):
            if not is_a(said, bool):
                raise InvalidCall(f"{name}={said!r}: True or False")
        if undo and resume is None:
            check_name(by, "by")
            check_name(reason, "reason")
        _check_selection([workflow, agent, tool, since], resume, undo=undo, dependents=dependents)
        current = CURRENT.get()
        within = frozenset[bytes]() if current is None else current.within
        selection = Selection(workflow, agent, tool)
        order = Order(selection, by, reason, dependents, seconds(wait, "wait"), within)
        return cls(order, _since(since), resume, undo)

    async def done(self, p: Ports, house: House) -> Containment:
        """The answer."""
        order = self.order
        if self.resume is not None:
            return await containments.resume(p, house, order, self.resume)
        since = None if self.since is None else await since_of(p, self.since)
        order = order._replace(selection=order.selection._replace(since=since))
        if self.undo:
            return await containments.contain(p, house, order)
        return await surveying.survey(p, house, order.selection, takes_along=order.takes_along)


def _check_selection(
    said: list[object], resume: str | None, *, undo: bool, dependents: bool
) -> None:
    selects = any(value is not None for value in said)
    if resume is None and not selects:
        raise InvalidCall(
            "say what is to be contained: workflow=…, agent=…, tool=… or since=…; to stop "
            "everything there is ledger.halt(by=…, reason=…)"
        )
    if resume is not None and (selects or dependents or not undo):
        raise InvalidCall("resume=… goes on with what was said then; leave the rest out")


def _since(since: Since | None) -> Since | None:
    if is_a(since, datetime):
        if cast("datetime", since).tzinfo is None:
            raise InvalidCall(f"since={since!r}: give it a time zone, like datetime.UTC")
        return since
    return None if since is None else seconds(cast("Seconds", since), "since")
