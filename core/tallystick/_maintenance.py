"""The one background thread of a ledger: heartbeats, the dead, and requests nobody heard of."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from tallystick._acts import Clock, Dead, Inbox, Notified, Sweep
from tallystick._budgets._acts import Overdue, ReadAlerts, Told
from tallystick._faces import Engine
from tallystick._flows.budgets import details_of
from tallystick._hooks import Details
from tallystick._model import at
from tallystick.errors import LedgerClosed, LedgerError

_log = logging.getLogger("tallystick")

#: seconds between rounds where no heartbeat is needed
ROUND = 2.0
#: how old a request is before somebody else tells the listeners of it
UNHEARD = timedelta(seconds=5)


class Keeper:
    """
    Keeps a ledger's worker alive and tidies up after workers that died.

    Each round: a heartbeat (on a server), effects of dead workers put in doubt, approval requests
    whose notification died with its process told again. Ends with :meth:`close`.
    """

    def __init__(self, engine: Engine, tenant: str) -> None:
        self._engine = engine
        self._tenant = tenant
        self._stop = threading.Event()
        self._pause = engine.store.beats() or ROUND
        self._thread: threading.Thread | None = None
        if not engine.store.immediate or engine.hooks.listening:
            self._thread = threading.Thread(target=self._run, name="tallystick-keeper", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            try:
                self.round()
            except LedgerClosed:
                return
            except LedgerError as error:
                _log.warning("the ledger's housekeeping failed and will be tried again: %s", error)
            except Exception:  # noqa: BLE001 - without its heartbeat a worker is taken for dead
                _log.exception("the ledger's housekeeping failed and will be tried again")

    def round(self) -> None:
        """One round of housekeeping."""
        store = self._engine.store
        store.beat()
        self._engine.journal.pay()
        overdue = store.read(Overdue())
        if overdue or store.read(Dead()):
            self._engine.journal.submit(Sweep(actor=store.worker(), dead=None))
        if self._engine.hooks.listening:
            self._tell_again()

    def _tell_again(self, *, old: bool = True) -> None:
        """Tell what a hook of ours did not take, and what others may have told nobody."""
        store, hooks = self._engine.store, self._engine.hooks
        now = at(store.read(Clock()))
        for item in store.read(Inbox(tenant=self._tenant, unnotified=True, limit=100)):
            effect = item.effect
            ours = hooks.owes("approval_required", effect.key)
            unheard = ours or (old and item.opened_at <= now - UNHEARD)
            if item.kind not in {"approval", "suspect", "budget"} or not unheard:
                continue
            details = Details(
                kind="approval_required",
                key=effect.key,
                tenant=effect.tenant,
                workflow=effect.workflow,
                tool=effect.tool,
                status=effect.status.value,
                attempt=effect.attempt,
                facts={
                    "digest": effect.digest,
                    "inbox": item.kind,
                    "until": effect.approval_until and effect.approval_until.isoformat(),
                    "again": True,
                },
            )
            if hooks.tell(details):
                key = bytes.fromhex(effect.key)
                self._engine.journal.submit(Notified(key=key, kind=item.kind))
        for alert in store.read(ReadAlerts(tenant=self._tenant, untold=True)):
            ours = hooks.owes(alert.kind, alert.id.hex())
            unheard = ours or (old and at(alert.at) <= now - UNHEARD)
            if unheard and hooks.tell(details_of(alert, again=True)):
                self._engine.journal.submit(Told(id=alert.id))

    def close(self) -> None:
        """End the thread; waits for the round in progress, at most a few seconds."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(5.0)

    def close_hooks(self) -> None:
        """Close the hooks, and note what they told people on their way out."""
        hooks = self._engine.hooks
        owing = hooks.owing
        hooks.close()
        if owing:
            try:
                self._tell_again(old=False)
            except LedgerError as error:
                _log.warning("what the hooks told at last is not recorded: %s", error)
