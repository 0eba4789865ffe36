"""Only one session of a workflow is open at a time, over all processes."""

from __future__ import annotations

import asyncio
import contextlib

from tallystick._policy import Seconds
from tallystick._scope import Claimed
from tallystick.errors import StoreError
from tallystick_autogen._recorded import MISSING, POLICY, SESSION, Shelf


class Sole:
    """The right to be it: the claim of the next session, which is settled at its end."""

    def __init__(self, shelf: Shelf, wait: Seconds) -> None:
        self._shelf = shelf
        self._policy = POLICY.but(wait=wait)
        self._claim: Claimed | None = None
        self._n = 0
        self._replays = False

    @property
    def held(self) -> bool:
        """Whether this is the one."""
        return self._claim is not None or self._replays

    async def enter(self) -> None:
        """
        Wait for the one that is open; one whose process died is taken over.

        In a replay nobody waits: the recorded sessions are told as one.
        """
        if self._shelf.replays:
            self._replays = True
            while await self._known():
                self._n += 1
            return
        last = await self._shelf.newest(SESSION)
        self._n = 0 if last is MISSING else last
        while self._claim is None:
            self._n += 1
            claim = self._shelf.ledger.claim(
                SESSION, {"n": self._n}, workflow=self._shelf.workflow, policy=self._policy
            )
            # in a context of its own: what is called inside of the session is not inside of this
            await asyncio.create_task(self._entered(claim))

    async def _entered(self, claim: Claimed) -> None:
        """Held from the moment on in which it is granted, whatever becomes of who waits for it."""
        await claim.__aenter__()
        self._claim = claim if claim.fresh else None

    async def _known(self) -> bool:
        """Whether the next session is recorded."""
        about, where = {"n": self._n + 1}, self._shelf.workflow
        ledger = self._shelf.ledger
        return await ledger.aask(SESSION, about, workflow=where, policy=self._policy) is not None

    async def leave(self) -> None:
        """Let the next one in."""
        self._replays = False
        claim, self._claim = self._claim, None
        if claim is not None:
            with contextlib.suppress(StoreError):  # closed: its process counts as gone then
                await claim.asucceed(self._n)
