"""What a saver does about threads as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from langgraph.checkpoint.base import BaseCheckpointSaver

from tallystick import Ledger
from tallystick._faces import run_sync
from tallystick._ports import Ports
from tallystick.errors import InvalidCall
from tallystick_checkpoint import _flows as flows
from tallystick_checkpoint import _pruning as pruning
from tallystick_checkpoint._pruning import Retained
from tallystick_checkpoint._replaying import refuse


class House(BaseCheckpointSaver[str]):
    """The half of :class:`LedgerSaver` that forgets, copies and prunes."""

    ledger: Ledger

    @property
    def _sync(self) -> Ports:
        refuse(self.ledger)
        return self.ledger._blocking  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    @property
    def _async(self) -> Ports:
        refuse(self.ledger)
        return self.ledger._awaiting  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    def delete_thread(self, thread_id: str) -> None:
        """Forget a thread; what its runs still send is refused."""
        run_sync(flows.delete(self._sync, self.ledger.tenant, str(thread_id)))

    async def adelete_thread(self, thread_id: str) -> None:
        """As :meth:`delete_thread`, awaited."""
        await flows.delete(self._async, self.ledger.tenant, str(thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Forget the checkpoints that were made under these ``metadata.run_id``."""
        run_sync(flows.delete_runs(self._sync, self.ledger.tenant, run_ids))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """As :meth:`delete_for_runs`, awaited."""
        await flows.delete_runs(self._async, self.ledger.tenant, run_ids)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread with all its checkpoints; what the target held before goes."""
        source, target = str(source_thread_id), str(target_thread_id)
        run_sync(flows.copy(self._sync, self.ledger.tenant, source, target))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """As :meth:`copy_thread`, awaited."""
        source, target = str(source_thread_id), str(target_thread_id)
        await flows.copy(self._async, self.ledger.tenant, source, target)

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """
        Keep of each thread what it needs to go on (``keep_latest``), or nothing (``delete``).

        A finished subgraph's checkpoints go. Channels that store only what was added keep the
        chain that they are made from.
        """
        run_sync(self._prune(self._sync, [str(thread) for thread in thread_ids], strategy))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """As :meth:`prune`, awaited."""
        await self._prune(self._async, [str(thread) for thread in thread_ids], strategy)

    async def _prune(self, p: Ports, threads: Sequence[str], strategy: str) -> None:
        if strategy in {"delete", "delete_all"}:
            for thread in threads:
                await flows.delete(p, self.ledger.tenant, thread)
        elif strategy == "keep_latest":
            await pruning.retain(p, self.ledger.tenant, pruning.Rule(keep=1), threads)
        else:
            raise InvalidCall(f"strategy={strategy!r}: 'keep_latest' or 'delete'")

    def retain(
        self,
        *,
        older_than: timedelta | None = None,
        keep: int | None = None,
        threads: Sequence[str] | None = None,
    ) -> Retained:
        """
        Drop old checkpoints of *threads*, or of all of the tenant's; returns how many of each.

        older_than
            What was kept in this database for less than this stays, by the database's clock.
        keep
            The newest *keep* checkpoints of the root graph stay; 1 where only a time is given.

        With both, a checkpoint goes only if it is older *and* not among the newest. What stays can
        be read and gone on from as before: the subgraphs that were at work there, what tasks have
        written, and the chains of channels that store only what was added stay with it. The newest
        checkpoint never goes, nor does any effect. Some hundred go in one transaction; newer ones
        first, so that what a crash leaves is whole.

        >>> from tallystick import Ledger
        >>> from tallystick_checkpoint import LedgerSaver
        >>> with Ledger("memory://") as ledger:
        ...     LedgerSaver(ledger).retain(older_than=timedelta(days=30), keep=10)
        Retained(threads=0, dropped=0, kept=0)
        """
        rule = pruning.Rule(keep, older_than)
        return run_sync(pruning.retain(self._sync, self.ledger.tenant, rule, _names(threads)))

    async def aretain(
        self,
        *,
        older_than: timedelta | None = None,
        keep: int | None = None,
        threads: Sequence[str] | None = None,
    ) -> Retained:
        """As :meth:`retain`, awaited."""
        rule = pruning.Rule(keep, older_than)
        return await pruning.retain(self._async, self.ledger.tenant, rule, _names(threads))


def _names(threads: Sequence[str] | None) -> list[str] | None:
    """Thread ids as text, which they may not be."""
    return None if threads is None else [str(thread) for thread in threads]
