"""Threads of another saver, copied into the ledger and compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, cast

from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    CheckpointTuple,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT

from tallystick._checkpoints import PutWrites, ReadCheckpoints, ReadGrave, Written, thread_key
from tallystick._faces import run_sync
from tallystick._values import Value
from tallystick.errors import InvalidCall, ThreadDeleted, ThreadError
from tallystick_checkpoint._reading import Head, head_of, marks_of, outline, place, threads_of
from tallystick_checkpoint._saver import LedgerSaver

Outcome = Literal["copied", "unchanged", "missing", "deleted", "refused", "unreadable", "different"]

#: outcomes that leave nothing to do
FINE: frozenset[Outcome] = frozenset({"copied", "unchanged"})

_WHY: dict[Outcome, str] = {
    "missing": "the source has no checkpoint of it",
    "deleted": "it was deleted in the ledger, and stays so",
    "refused": (
        "it has gone on in the ledger: checkpoint {} there is not as in the source; "
        "go on with what the ledger has, or import into another tenant"
    ),
    "unreadable": (
        "{}; if it is encrypted or pickled, use copy_threads() with savers whose serde reads it"
    ),
    "different": (
        "checkpoint {} read back from the ledger is not as in the source; do not go on with it, "
        "and please report this"
    ),
}


class Copied(Value):
    """
    What became of one thread.

    outcome
        ``copied`` and ``unchanged``: all its checkpoints were read back and equal the source's.
        ``missing``: the source does not have it. ``deleted``: it was deleted in the ledger and
        stays so. ``refused``: it has gone on in the ledger. ``unreadable``: the source's serializer
        cannot read it. ``different``: what was read back is not what was written.
    checkpoints
        How many the source has.
    added
        How many of them were not in the ledger, or not whole.
    """

    thread: str
    outcome: Outcome
    checkpoints: int = 0
    added: int = 0
    why: str = ""

    @property
    def fine(self) -> bool:
        """Whether the ledger has all that the source has."""
        return self.outcome in FINE


def copy_threads(
    source: BaseCheckpointSaver[Any],
    target: LedgerSaver,
    threads: Sequence[str] | None = None,
    *,
    dry_run: bool = False,
) -> list[Copied]:
    """
    Copy *threads*, or all, from another saver into the ledger; what became of each.

    Every checkpoint of every namespace with its metadata, its parent and its pending writes, oldest
    first. Each is read back from the database and compared. Doing it again copies what is new in
    the source and changes nothing else, also after a crash. A thread that has gone on in the ledger
    is left as it is, and so is one that was deleted there.

    The source is only read. Its values are read with ``source.serde`` and written with
    ``target.serde``: give both the same, and one that may make the classes of your state, or
    `tallystick threads import`, which copies them unopened.

    >>> from langgraph.checkpoint.memory import InMemorySaver
    >>> from tallystick import Ledger
    >>> with Ledger("memory://") as ledger:
    ...     copy_threads(InMemorySaver(), LedgerSaver(ledger))
    []
    """
    if isinstance(source, LedgerSaver):
        raise InvalidCall("the source is a LedgerSaver: copy_thread() copies inside of a ledger")
    return list(copying(source, target, threads, dry_run=dry_run))


def copying(
    source: BaseCheckpointSaver[Any],
    target: LedgerSaver,
    threads: Sequence[str] | None = None,
    *,
    dry_run: bool = False,
) -> Iterator[Copied]:
    """As :func:`copy_threads`, one after the other."""
    names = threads_of(source) if threads is None else [str(thread) for thread in threads]
    for thread in dict.fromkeys(names):
        yield _Copy(source, target, thread, dry=dry_run).made()


class _Copy:
    """One thread."""

    def __init__(
        self, source: BaseCheckpointSaver[Any], target: LedgerSaver, thread: str, *, dry: bool
    ) -> None:
        self.source, self.target, self.thread, self.dry = source, target, thread, dry
        # one that remembers nothing: what it reads comes from the database
        self.reader = LedgerSaver(target.ledger, serde=target.serde)
        self.ports = target._sync  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        self.key = thread_key(target.ledger.tenant, thread)
        self.count, self.added = 0, 0

    def made(self) -> Copied:
        """Copy what is missing."""
        try:
            return self._made()
        except ThreadDeleted:  # while this ran
            return self._said("deleted")
        except ThreadError as error:
            return self._said("refused", why=str(error))
        except (NotImplementedError, TypeError, ValueError, KeyError) as error:
            return self._said("unreadable", error)

    def _made(self) -> Copied:
        heads = outline(self.source, self.thread)
        self.count = len(heads)
        known = self._known()
        strange = self._strange(heads, known)
        if strange is not None:
            return self._said("refused", strange)
        if not heads:
            return self._said("missing")
        if run_sync(self.ports.read(ReadGrave(key=self.key))) is not None:
            return self._said("deleted")
        for head in heads:
            outcome = self._one(head, there=(head.ns, head.id) in known)
            self.added += outcome == "copied"
            if outcome not in FINE:
                return self._said(outcome, head.id)
        return self._said("copied" if self.added else "unchanged")

    def _said(self, outcome: Outcome, what: object = "", *, why: str = "") -> Copied:
        return Copied(
            thread=self.thread,
            outcome=outcome,
            checkpoints=self.count,
            added=self.added,
            why=why or _WHY.get(outcome, "").format(what),
        )

    def _known(self) -> dict[tuple[str, str], str | None]:
        asked = ReadCheckpoints(tenant=self.target.ledger.tenant, key=self.key)
        return {(row.ns, row.id): row.parent for row in run_sync(self.ports.read(asked))}

    def _strange(
        self, heads: Sequence[Head], known: Mapping[tuple[str, str], str | None]
    ) -> str | None:
        """A checkpoint of the ledger that is none of the source's, or has another parent there."""
        theirs = {(head.ns, head.id, head.parent) for head in heads}
        return min(
            (id_ for (ns, id_), up in known.items() if (ns, id_, up) not in theirs), default=None
        )

    def _one(self, head: Head, *, there: bool) -> Outcome:
        where = place(self.thread, head.ns, head.id)
        theirs = self.source.get_tuple(where)
        if theirs is None:  # deleted while this ran
            return "unchanged"
        ours = self.reader.get_tuple(where) if there else None
        if ours is not None:
            if self._same(ours, theirs):
                return "unchanged"
            if not self._ahead(theirs, ours):
                return "refused"
        if self.dry:
            return "copied"
        self._write(head, theirs)
        found = self.reader.get_tuple(where)
        return "copied" if found is not None and self._same(found, theirs) else "different"

    def _write(self, head: Head, theirs: CheckpointTuple) -> None:
        parents: Any = (theirs.metadata or {}).get("parents") or {}
        above = place(self.thread, head.ns, head.parent, checkpoint_map=parents)
        versions = theirs.checkpoint["channel_versions"]
        self.target.put(above, _whole(theirs), theirs.metadata, versions)
        writes = theirs.pending_writes or []
        marks = marks_of(self.source, self.thread, head, writes)
        rows: list[Written] = []
        for mark, (task, channel, value) in zip(marks, writes, strict=True):
            kind, data = self.target.serde.dumps_typed(value)
            rows.append(Written(head.ns, head.id, task, mark.idx, channel, mark.path, kind, data))
        if rows:
            run_sync(self.ports.do(PutWrites(key=self.key, writes=tuple(rows), replace=True)))

    def _same(self, ours: CheckpointTuple, theirs: CheckpointTuple) -> bool:
        return self._told(ours) == self._told(theirs) and self._writes(ours) == self._writes(theirs)

    def _told(self, found: CheckpointTuple) -> list[Any]:
        """All of a checkpoint but its writes, comparable whatever its values are."""
        dumps = self.target.serde.dumps_typed
        whole: dict[str, Any] = cast("dict[str, Any]", _whole(found))
        values = {name: dumps(value) for name, value in whole.pop("channel_values").items()}
        bare = {name: dumps(value) for name, value in whole.items()}
        metadata = get_checkpoint_metadata({}, found.metadata or {})
        return [head_of(found), bare, values, metadata]

    def _writes(self, found: CheckpointTuple) -> list[tuple[str, str, tuple[str, bytes]]]:
        dumps = self.target.serde.dumps_typed
        return [(task, channel, dumps(v)) for task, channel, v in found.pending_writes or []]

    def _ahead(self, theirs: CheckpointTuple, ours: CheckpointTuple) -> bool:
        """Whether the source only has more writes; a question may have become another one."""
        if self._told(theirs) != self._told(ours):
            return False

        def counted(found: CheckpointTuple) -> Counter[Any]:
            return Counter(
                (task, channel, None if channel in {INTERRUPT, ERROR} else value)
                for task, channel, value in self._writes(found)
            )

        return counted(theirs) > counted(ours)


def _whole(found: CheckpointTuple) -> Any:
    """A checkpoint of any age, which may lack what LangGraph now writes."""
    return {**found.checkpoint, "channel_values": found.checkpoint.get("channel_values") or {}}
