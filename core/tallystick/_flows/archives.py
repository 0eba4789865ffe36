"""Effects into an archive, and out of one into another ledger."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from tallystick._acts import Clock
from tallystick._archive._acts import Known, PutRecords, Record, Records
from tallystick._archive._arrival import arrive, moved_on
from tallystick._archive._checks import misfits
from tallystick._archive._keys import KeysSeen, keys_seen
from tallystick._archive._reading import Batch, Reader, damaged
from tallystick._archive._rim import Header
from tallystick._archive._spool import Spool, spool
from tallystick._archive._values import Exported, Loaded
from tallystick._archive._writing import Writer
from tallystick._flows.treasury import micros
from tallystick._flows.verifying import flaws
from tallystick._keys import check_name, is_a
from tallystick._model import Status
from tallystick._ports import Ports
from tallystick._vault import ReadDataKeys
from tallystick.errors import ArchiveConflict, ArchiveElsewhere, InvalidCall

#: effects that are read at once: as many as fit, so that large ones take no more room
_FIRST, _MOST, _ROOM = 16, 1000, 4 << 20
#: keys that an answer or an error names
_NAMED = 100


async def export(
    p: Ports, tenant: str, writer: Writer, *, workflow: str | None, since: datetime | None
) -> Exported:
    """Write a tenant's effects as they are now, page by page."""
    if workflow is not None:
        check_name(workflow, "workflow")
    if since is not None and not is_a(since, datetime):
        raise InvalidCall(f"since={since!r}: give a datetime with a time zone")
    moment = micros(since)
    keys = await p.read(ReadDataKeys(tenant=tenant, limit=1))
    header = Header(tenant, await p.read(Clock()), workflow, moment, opened=bool(keys))
    await p.ask(writer.begin, header)
    after, limit = 0, _FIRST
    while True:
        act = Records(tenant=tenant, after=after, limit=limit, workflow=workflow, since=moment)
        page = await p.read(act)
        if not page:
            break
        after = page[-1].seq
        await p.ask(writer.page, [found.record for found in page])
        limit = _next_limit(limit, sum(found.record.size for found in page))
    done: Exported = await p.ask(writer.end)
    return done


def _next_limit(limit: int, size: int) -> int:
    if size > _ROOM:
        return max(limit // 2, 1)
    return min(limit * 2, _MOST) if size * 2 < _ROOM else limit


async def load(p: Ports, tenant: str, reader: Reader, *, on_conflict: str, by: str) -> Loaded:
    """Look through a whole archive, then write what is not here yet."""
    if on_conflict not in {"refuse", "skip"}:
        raise InvalidCall(f"on_conflict={on_conflict!r}: 'refuse' or 'skip'")
    check_name(by, "by")
    entry = _Entry(by, refuse=on_conflict == "refuse")
    entry.first = not await p.read(Records(tenant=tenant, after=0, limit=1))
    header = await p.ask(reader.open)
    _refuse_elsewhere(header, tenant)
    with spool() as kept:
        await _look_through(p, reader, header, entry, kept)
        await p.ask(kept.turn)
        entry.now = await p.read(Clock())
        while batch := await p.ask(kept.next):
            await entry.take(p, batch)
    return entry.answer()


def _refuse_elsewhere(header: Header, tenant: str) -> None:
    if header.tenant == tenant:
        return
    error = ArchiveElsewhere(
        f"the archive is of tenant {header.tenant!r} and this ledger of {tenant!r}; a key covers "
        "its tenant, so no call here could ever find these effects: open "
        f"Ledger(…, tenant={header.tenant!r}) for them",
        line=1,
    )
    error.tenant = header.tenant
    raise error


async def _look_through(
    p: Ports, reader: Reader, header: Header, entry: _Entry, kept: Spool
) -> None:
    """Keep what is to be written; raise where it is wrong, or meets other records."""
    with keys_seen() as seen:
        while batch := await p.ask(_checked, reader, header, seen):
            await p.ask(kept.put, await entry.new(p, batch))
        twice = await p.ask(seen.repeated)
    if twice is not None:
        first, second = twice
        raise damaged(second, f"it has the key of line {first}: it is there twice")
    entry.refuse_others("nothing was imported")


def _checked(reader: Reader, header: Header, seen: KeysSeen) -> Batch:
    batch = reader.batch()
    for line, record in batch:
        for flaw in misfits(record, header):
            raise damaged(line, flaw)
        for flaw in flaws(record.row, record.events):
            raise damaged(line, flaw)
    seen.add((line, record.row.key) for line, record in batch)
    return batch


@dataclass(slots=True)
class _Entry:
    """What has come in so far."""

    by: str
    refuse: bool
    #: there was nothing here before
    first: bool = False
    now: int = 0
    effects: int = 0
    imported: int = 0
    known: int = 0
    asked: int = 0
    in_doubt: int = 0
    others: int = 0
    #: the first of those
    named: list[bytes] = field(default_factory=list[bytes])

    async def new(self, p: Ports, batch: Batch) -> Batch:
        """The effects of a batch that the ledger does not have; the others are counted."""
        self.effects += len(batch)
        if self.first:
            return batch
        met = await self._compare(p, {record.row.key: record for _, record in batch})
        return [(line, record) for line, record in batch if record.row.key not in met]

    async def _compare(self, p: Ports, theirs: dict[bytes, Record]) -> set[bytes]:
        """Which of these keys the ledger has, under the same record or under another one."""
        here = await p.read(Known(keys=tuple(theirs)))
        others = [mine.row.key for mine in here if not moved_on(mine, theirs[mine.row.key])]
        self.known += len(here) - len(others)
        self.others += len(others)
        self.named += others[: _NAMED - len(self.named)]
        return {mine.row.key for mine in here}

    def refuse_others(self, done: str) -> None:
        """Raise where there are other records, unless they are to be left out."""
        if not self.others or not self.refuse:
            return
        error = ArchiveConflict(
            f"the ledger has other records under {self.others} key(s) of the archive, the first is "
            f"{self.named[0].hex()[:12]}: {done}. Look at it with `tallystick show`; "
            "on_conflict='skip' leaves such records as they are here"
        )
        error.keys = tuple(key.hex() for key in self.named)
        error.imported = self.imported
        raise error

    async def take(self, p: Ports, batch: Batch) -> None:
        """Write a batch; what somebody else wrote meanwhile is compared with it."""
        arrived: tuple[Record, ...] = await p.ask(self._arrived, batch)
        keys = await p.do(PutRecords(records=arrived))
        taken = set(keys)
        came = Counter([r.row.status for r in arrived if r.row.key not in taken])
        self.imported += came.total()
        self.asked += came[Status.PENDING]
        self.in_doubt += came[Status.IN_DOUBT]
        if taken:
            await self._compare(p, {r.row.key: r for _, r in batch if r.row.key in taken})
            self.refuse_others("they were recorded meanwhile, and what precedes them was imported")

    def _arrived(self, batch: Batch) -> tuple[Record, ...]:
        return tuple([arrive(record, self.now, self.by) for _, record in batch])

    def answer(self) -> Loaded:
        """What became of all of them."""
        return Loaded(
            effects=self.effects,
            imported=self.imported,
            known=self.known,
            skipped=self.others,
            conflicts=tuple(key.hex() for key in self.named),
            asked=self.asked,
            in_doubt=self.in_doubt,
        )
