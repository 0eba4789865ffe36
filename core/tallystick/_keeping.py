"""The ledger's half that forgets; each verb with two faces."""

from __future__ import annotations

from tallystick._faces import Awaiting, Blocking, run_sync
from tallystick._flows import retention, shredding
from tallystick._flows.call import micros
from tallystick._flows.retention import Rate
from tallystick._keys import check_name, is_a
from tallystick._policy import Seconds, seconds
from tallystick._retention import Gone
from tallystick.encryption import Keyring
from tallystick.errors import InvalidCall, InvalidPolicy
from tallystick.retention import Retained

#: effects in one transaction; more would keep others waiting whatever the machine
_MOST = 10_000


class Keeping:
    """What a ledger forgets, and what it never does."""

    tenant: str
    _blocking: Blocking
    _awaiting: Awaiting
    _cipher: Keyring | None

    def retain(
        self,
        *,
        payloads: Seconds,
        by: str = "retention",
        limit_per_batch: int = 50,
        pause: Seconds = 0.005,
        dry_run: bool = False,
    ) -> Retained:
        """
        Drop the payloads of effects that came to their end *payloads* ago or earlier.

        Arguments, edited arguments, facts, results and the words of errors go, and what events
        quote of them; so do the notes of settled reservations. What stays is the fact: key,
        digests, tool, workflow, outcome, times and events, so nothing runs again; a call that
        meets such an effect gets ResultNotStored, or the error it got before without its words.
        What is pending, approved, running, in doubt or in the inbox is never touched.

        It happens while calls go on, in transactions of at most *limit_per_batch* effects (fewer
        where one takes long) with a *pause* in between. Running it again, at once or after a crash,
        goes on with what is left. Only the database file keeps its size: VACUUM gives that back.

        >>> from tallystick import Ledger
        >>> ledger = Ledger("memory://")
        >>> ledger.call("greet", lambda name: f"hello {name}", {"name": "ann"}, workflow="w")
        'hello ann'
        >>> ledger.retain(payloads=0).effects
        1
        >>> ledger.effects()[0].args, ledger.effects()[0].status
        ({}, <Status.SUCCEEDED: 'succeeded'>)
        >>> ledger.close()
        """
        age, rate = _checked(payloads, by, limit_per_batch, pause)
        flow = retention.retain(self._blocking, self.tenant, age, rate, by=by, dry=dry_run)
        return _said(run_sync(flow), dry=dry_run)

    async def aretain(
        self,
        *,
        payloads: Seconds,
        by: str = "retention",
        limit_per_batch: int = 50,
        pause: Seconds = 0.005,
        dry_run: bool = False,
    ) -> Retained:
        """As :meth:`retain`, awaited."""
        age, rate = _checked(payloads, by, limit_per_batch, pause)
        flow = retention.retain(self._awaiting, self.tenant, age, rate, by=by, dry=dry_run)
        return _said(await flow, dry=dry_run)

    def shred(self, workflow: str, *, by: str, reason: str) -> int:
        """
        Delete the key of a workflow, so that nobody reads its payloads again; how many effects.

        For a ledger with a ``cipher``. What was sealed is unreadable at once, in every copy of the
        database; then the effects become tombstones as :meth:`retain` makes them. Nothing runs
        again, and nothing new begins in the workflow: WorkflowShredded. Raises InvalidCall, and
        does nothing, while anything in it is pending, approved, running or in doubt.
        """
        rate = Rate(50, 0)
        flow = shredding.shred(self._blocking, self.tenant, workflow, rate, by=by, reason=reason)
        return run_sync(flow)

    async def ashred(self, workflow: str, *, by: str, reason: str) -> int:
        """As :meth:`shred`, awaited."""
        rate = Rate(50, 0)
        return await shredding.shred(
            self._awaiting, self.tenant, workflow, rate, by=by, reason=reason
        )

    def rewrap(self) -> int:
        """
        Wrap all data keys of this tenant in the newest key of the ledger's keyring; how many.

        After a change of key: open with ``Keyring(new, old)``, call this, and drop the old one. No
        payload is touched.
        """
        return run_sync(shredding.rewrap(self._blocking, self.tenant, self._cipher))

    async def arewrap(self) -> int:
        """As :meth:`rewrap`, awaited."""
        return await shredding.rewrap(self._awaiting, self.tenant, self._cipher)


def _checked(payloads: Seconds, by: str, most: int, pause: Seconds) -> tuple[int, Rate]:
    """What was asked for, refused before anything goes."""
    check_name(by, "by")
    if not is_a(most, int) or is_a(most, bool) or not 1 <= most <= _MOST:
        raise InvalidCall(f"limit_per_batch={most!r}: give a whole number from 1 to {_MOST:,}")
    try:
        age = micros(seconds(payloads, "retain(payloads=…)"))
        return age, Rate(most, seconds(pause, "retain(pause=…)"))
    except InvalidPolicy as error:
        raise InvalidCall(str(error)) from None


def _said(gone: Gone, *, dry: bool) -> Retained:
    return Retained(effects=gone.effects, calls=gone.calls, dry_run=dry)
