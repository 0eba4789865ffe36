"""Sealing what was settled, and comparing a ledger with its seals."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Final

from tallystick import _acts as acts
from tallystick._archive._acts import Numbered, Records
from tallystick._archive._leaves import (
    Chain,
    Leaf,
    differences,
    goes_on,
    leaf_of,
    moment,
    settled,
)
from tallystick._archive._seal_file import Appending, Read
from tallystick._archive._values import Sealed
from tallystick._flows import verifying
from tallystick._keys import halts_chain
from tallystick._model import Damage, Verification
from tallystick._ports import Ports

#: microseconds for which something settled may stay uncommitted, and so unseen by a sealing
GRACE: Final = 600_000_000
_PAGE = 500


async def seal(p: Ports, tenant: str, before: Read, out: Appending) -> Sealed:
    """Seal what was settled, or moved on, since the last seal."""
    now = await p.read(acts.Clock())
    since = None if before.last is None else before.last.at - GRACE
    async for page in _pages(p, tenant, since=since):
        leaves = [leaf_of(found) for found in page if settled(found.record)]
        await p.ask(out.add, [leaf for leaf in leaves if before.leaves.get(leaf.key) != leaf])
    for whose in (tenant, None):
        key = halts_chain(whose)
        chain = await p.read(acts.Chain(key=key, tenant=tenant))
        link = Chain(key, len(chain), chain[-1].hash) if chain else None
        if link is not None and link != before.chains.get(key):
            await p.ask(out.add, [link])
    done: Sealed = await p.ask(out.finish, tenant, now)
    return done


async def _pages(p: Ports, tenant: str, **asked: Any) -> AsyncGenerator[list[Numbered]]:
    """Records as they are stored: another key of the user's, or none, changes no leaf."""
    after = 0
    while page := await p.read(
        Records(tenant=tenant, after=after, limit=_PAGE, stored=True, **asked)
    ):
        after = page[-1].seq
        yield page


async def verify(p: Ports, tenant: str, seals: Read | None, expected: str | None) -> Verification:
    """What ``verify`` finds by itself, and what is not as it was sealed, record by record."""
    plain = await verifying.verify(p, tenant)
    if seals is None:
        return plain
    if seals.last is None:
        found = [Damage(key="", what="the file of seals holds none: nothing was ever sealed")]
    else:
        found = [*_of_the_file(seals, expected), *await _of_the_records(p, tenant, seals)]
    news = [damage for damage in found if damage not in plain.damage]
    return Verification(effects=plain.effects, events=plain.events, damage=(*plain.damage, *news))


async def _of_the_records(p: Ports, tenant: str, seals: Read) -> list[Damage]:
    found, left = list[Damage](), dict(seals.leaves)
    async for page in _pages(p, tenant, thorough=True):
        for each in page:
            found += _compared(each, seals, left)
    gone = "it was sealed, and is not there any more"
    found += [Damage(key=key.hex(), what=gone) for key in left]
    for chain in seals.chains.values():
        events = await p.read(acts.Chain(key=chain.key, tenant=tenant))
        if not goes_on(chain.events, chain.head, events):
            what = "halts: their events do not go on from the ones that were sealed"
            found.append(Damage(key=chain.key.hex(), what=what))
    return found


def _of_the_file(seals: Read, expected: str | None) -> list[Damage]:
    found: list[Damage] = []
    if seals.unfinished:
        what = "the file of seals ends in leaves that nobody signed: seal again"
        found.append(Damage(key="", what=what))
    if expected is not None and seals.roots[-1:] != [expected.lower()]:
        known = expected.lower() in seals.roots
        what = "other seals follow it" if known else "it is not there: seals were removed"
        found.append(Damage(key="", what=f"the last seal should be {expected[:12]}: {what}"))
    return found


def _compared(each: Numbered, seals: Read, left: dict[bytes, Leaf]) -> list[Damage]:
    """What is wrong with one record; it is no longer *left* to be found."""
    record, key = each.record, each.record.row.key
    leaf = left.pop(key, None)
    said: list[str] = []
    if leaf is not None:
        said += differences(leaf, each)
    elif seals.last is not None and settled(record) and moment(record) < seals.last.at - GRACE:
        said.append("it was settled before the last seal, and is in none: it was slipped in")
    said += verifying.flaws(record.row, record.events)
    return [Damage(key=key.hex(), what=what) for what in said]
