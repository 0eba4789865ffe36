"""The ledger's records outside of it: exported, imported; each with two faces."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal

from tallystick._archive._reading import Source, source
from tallystick._archive._seal_file import Appending, Read, read
from tallystick._archive._signing import KeyFile, public_of, signer
from tallystick._archive._values import Exported, Loaded, Sealed
from tallystick._archive._writing import Format, Target, written
from tallystick._faces import Awaiting, Blocking, run_sync
from tallystick._flows import archives, sealing
from tallystick.errors import InvalidCall
from tallystick.stores import _locks

OnConflict = Literal["refuse", "skip"]
#: seconds that a sealing waits for another one
_PATIENCE = 30.0


class Archiving:
    """What leaves a ledger and comes back."""

    tenant: str
    _blocking: Blocking
    _awaiting: Awaiting

    def export(
        self,
        file: Target,
        *,
        workflow: str | None = None,
        since: datetime | None = None,
        format: Format = "jsonl",  # noqa: A002 - what it is called everywhere
    ) -> Exported:
        """
        Write this tenant's effects to *file*, with all that belongs to them, in constant memory.

        workflow, since
            Only those of one workflow; only those that changed at a moment or later.
        format
            ``"jsonl"`` is what :meth:`load` reads; ``"parquet"`` (extra ``parquet``) is one row for
            each effect, for analysis, and cannot be loaded.

        A path is written whole or not at all. Each effect is exported as it was at one moment, with
        its events; what is recorded while it is written is in it or not. Equal records make equal
        lines. Raises InvalidCall for a *file* that cannot be written.

        Of an encrypted ledger the archive is in the clear, and its header says ``opened``: keep it
        as you keep the key. Raises KeyMissing without the key. What was shredded stays unreadable,
        and so does what events quote, since their hashes are over what is stored.

        >>> import io
        >>> from tallystick import Ledger
        >>> here, there = Ledger("memory://"), Ledger("memory://")
        >>> here.call("charge", lambda: "receipt 1", workflow="A-1")
        'receipt 1'
        >>> archive = io.BytesIO()
        >>> here.export(archive).effects
        1
        >>> archive.seek(0)
        0
        >>> there.load(archive).imported
        1
        >>> there.call("charge", lambda: "receipt 2", workflow="A-1")
        'receipt 1'
        >>> here.close(), there.close()
        (None, None)
        """
        with written(file, format) as writer:
            flow = archives.export(
                self._blocking, self.tenant, writer, workflow=workflow, since=since
            )
            return run_sync(flow)

    async def aexport(
        self,
        file: Target,
        *,
        workflow: str | None = None,
        since: datetime | None = None,
        format: Format = "jsonl",  # noqa: A002 - what it is called everywhere
    ) -> Exported:
        """As :meth:`export`, awaited; the file is written in a thread."""
        with written(file, format) as writer:
            return await archives.export(
                self._awaiting, self.tenant, writer, workflow=workflow, since=since
            )

    def load(self, file: Source, *, on_conflict: OnConflict = "refuse", by: str = "code") -> Loaded:
        """
        Take over the effects of an archive that :meth:`export` wrote, of this tenant.

        All of it is checked before anything is written: that it is whole and unedited, that every
        history, result and argument matches its hash, and that the ledger has no other record
        under one of its keys (ArchiveConflict; ``on_conflict="skip"`` leaves those out). A record
        that is here already, or has moved on here, is left as it is, so an import that was cut off
        is simply done again.

        What has an outcome is replayed from now on. Nothing that comes in may start without a
        person's word here: what was approved or could be tried again waits for a decision, what was
        running or in doubt is in doubt, and *by* is said to have brought it. What was shredded
        elsewhere becomes a tombstone. A ledger with a key encrypts what comes in, but for what
        events quote; WorkflowShredded where a workflow was shredded here.

        Raises ArchiveDamaged, ArchiveUnknown, ArchiveElsewhere (another tenant's), or InvalidCall
        for what cannot be read.
        """
        with source(file) as reader:
            flow = archives.load(
                self._blocking, self.tenant, reader, on_conflict=on_conflict, by=by
            )
            return run_sync(flow)

    async def aload(
        self, file: Source, *, on_conflict: OnConflict = "refuse", by: str = "code"
    ) -> Loaded:
        """As :meth:`load`, awaited; the file is read in a thread."""
        with source(file) as reader:
            return await archives.load(
                self._awaiting, self.tenant, reader, on_conflict=on_conflict, by=by
            )

    def seal(self, file: KeyFile, *, key: KeyFile) -> Sealed:
        """
        Append a seal over what was settled, or moved on, since the last one to *file*.

        *key* is the file of a private Ed25519 key (``tallystick.seals.new_key``). Keep *file* and
        *key* where nobody who can write the database can write them. The seals that are there
        already are checked first; what a sealing that was cut off left behind is written over.
        Raises SealDamaged, or InvalidCall for a key or a file that cannot be used.
        """
        with _appending(self.tenant, file, key) as (before, out):
            return run_sync(sealing.seal(self._blocking, self.tenant, before, out))

    async def aseal(self, file: KeyFile, *, key: KeyFile) -> Sealed:
        """As :meth:`seal`, awaited."""
        with _appending(self.tenant, file, key) as (before, out):
            return await sealing.seal(self._awaiting, self.tenant, before, out)


@contextmanager
def _appending(tenant: str, file: KeyFile, key: KeyFile) -> Generator[tuple[Read, Appending]]:
    """A file of seals that nobody else appends to meanwhile; on the disk in the end."""
    sign, path = signer(key), Path(file)
    lock = _locks.patiently(path.with_name(f"{path.name}.lock"), _PATIENCE)
    try:
        lock.acquire()
    except _locks.Locked as error:
        raise InvalidCall(f"another process has been sealing to {path} for a while") from error
    except OSError as error:
        raise InvalidCall(f"{path} cannot be written: {error}") from error
    try:
        path.touch()
        before = read(path, public_of(key), tenant)
        with path.open("r+b") as stream:
            yield before, Appending(stream, before, sign)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise InvalidCall(f"{path} cannot be written: {error}") from error
    finally:
        lock.release()
