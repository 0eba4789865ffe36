"""Whether what is stored is what was written: results, arguments, every chain of events."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from tallystick import _acts as acts
from tallystick import _changes as changes
from tallystick._budgets._acts import ReadBooks
from tallystick._budgets._rules import Weight
from tallystick._canonical import digest
from tallystick._codec import decode
from tallystick._keys import halts_chain
from tallystick._model import Damage, Halt, Row, Verification
from tallystick._ports import Ports
from tallystick._rules import dropped_at
from tallystick._tombstones import residues, told
from tallystick._vault import is_sealed
from tallystick.errors import LedgerError, ResultTypeUnknown
from tallystick.redaction._trees import MARK

#: how often the halts are read anew because somebody halted meanwhile
_READINGS = 5


async def verify(p: Ports, tenant: str) -> Verification:
    """Check every chain of events and every stored result of this tenant."""
    effects, events, damage, after, unchecked = 0, 0, list[Damage](), 0, 0
    while True:
        page = await p.read(acts.Page(tenant=tenant, after=after))
        if not page:
            break
        for seq, row, chain in page:
            after = seq
            effects += 1
            events += len(chain)
            unchecked += any(map(is_sealed, (row.args, row.edited, row.result)))
            damage += [Damage(key=row.key.hex(), what=what) for what in flaws(row, chain)]
    for whose in (tenant, None):
        chain, halts = await _halts(p, tenant, whose)
        events += len(chain)
        key = halts_chain(whose)
        found = halt_flaws(key, chain, halts)
        damage += [Damage(key=key.hex(), what=f"halts: {what}") for what in found]
    damage += await _books(p, tenant)
    return Verification(effects=effects, events=events, damage=tuple(damage), unchecked=unchecked)


async def _books(p: Ports, tenant: str) -> list[Damage]:
    """Whether each line is charged with what its reservations weigh, not one unit more or less."""
    wrong: dict[tuple[bytes, int], tuple[Weight, Weight]] = {}
    for reading in range(_READINGS):
        books = await p.read(ReadBooks(tenant=tenant))
        found = {place: both for place, both in books.items() if both[0] != both[1]}
        # what somebody changed between two statements is not wrong twice in the same way
        wrong = found if not reading else dict(wrong.items() & found.items())
        if not wrong:
            break
    return [
        Damage(
            key=line.hex(),
            what=f"a budget's line is charged {charged}, and its reservations weigh {weighed}",
        )
        for (line, _), (charged, weighed) in wrong.items()
    ]


async def _halts(
    p: Ports, tenant: str, whose: str | None
) -> tuple[list[acts.EventRow], list[Halt] | None]:
    """A chain of halts and the halts in force, both of one moment; ``None``: too much going on."""
    chain = await p.read(acts.Chain(key=halts_chain(whose), tenant=tenant))
    for _ in range(_READINGS):
        halts = [h for h in await p.read(acts.Halts(tenant=tenant)) if h.tenant == whose]
        before, chain = chain, await p.read(acts.Chain(key=halts_chain(whose), tenant=tenant))
        if before == chain:
            return chain, halts
    return chain, None


def flaws(row: Row, chain: Sequence[acts.EventRow]) -> list[str]:
    """What is untrue about one effect's row and its chain of events."""
    found: list[str] = []
    if row.result is not None and not is_sealed(row.result):
        if _digest(row.result) != row.result_digest:
            found.append("the stored result does not match its digest")
    elif row.result is None and row.result_digest is not None and not told(chain):
        found.append("the stored result is gone, and nothing says that it was dropped")
    if dropped_at(row) is not None and not told(chain):
        found.append("the arguments are gone, and nothing says that they were dropped")
    if not _args_sound(row):
        found.append("the recorded arguments do not match their digest")
    if row.edited is not None and not _edit_sound(row, chain):
        found.append("the edited arguments are not the ones that were approved")
    broken = _break(row.key, chain)
    if broken is not None:
        found.append(broken)
    elif len(chain) != row.events or (row.head or changes.GENESIS) != _end(chain):
        found.append(f"{row.events} events were written, {len(chain)} are there")
    return found


def halt_flaws(
    key: bytes, chain: Sequence[acts.EventRow], halts: Sequence[Halt] | None
) -> list[str]:
    """What is untrue about the halts in force and the chain of events that made them."""
    broken = _break(key, chain)
    if broken is not None:
        return [broken]
    told: dict[tuple[str | None, str | None, bool], tuple[str, str, str]] = {}
    for event in chain:
        detail = json.loads(event.detail)
        scope = (detail["tool"], detail["workflow"], detail.get("mode") == "contain")
        told.pop(scope, None)
        if event.kind != "lifted":
            told[scope] = (event.kind, event.actor, detail["reason"])
    if halts is None:
        return []
    there = {(h.tool, h.workflow, h.mode == "contain"): (h.mode, h.by, h.reason) for h in halts}
    if told == there:
        return []
    return [f"{len(halts)} are in force; their events tell of {len(told)}, or of other ones"]


def _break(key: bytes, chain: Sequence[acts.EventRow]) -> str | None:
    """Where a chain of events is not what was written."""
    if not chain:
        return None
    previous, left = changes.GENESIS, residues(chain)
    for n, event in enumerate(chain, 1):
        _, _, kind, actor, moment, epoch, detail, before, hash_ = event
        expected = changes.event_hash(previous, key, n, kind, actor, moment, epoch, detail)
        proven = hash_ == expected or left.get(n) == expected
        if event.n != n or before != previous or not proven:
            return f"the chain of events breaks at number {n}"
        previous = hash_
    return None


def _end(chain: Sequence[acts.EventRow]) -> bytes:
    return chain[-1].hash if chain else changes.GENESIS


def _digest(text: object) -> bytes:
    """Of what is stored, be it no text at all."""
    raw = text if isinstance(text, bytes) else str(text).encode("utf-8", "replace")
    return hashlib.sha256(raw).digest()


def _args_sound(row: Row) -> bool:
    """Whether the arguments are the ones that were hashed; true where that cannot be told."""
    if is_sealed(row.args) or MARK in row.args or dropped_at(row) is not None:
        return True  # the hash covers what was never stored, or is not any more
    try:
        return digest(decode(row.args)) == row.shown
    except ResultTypeUnknown:
        return True  # a class that is not imported here
    except LedgerError:
        return False


def _edit_sound(row: Row, chain: Sequence[acts.EventRow]) -> bool:
    said = [json.loads(e.detail) for e in chain if e.kind in {"voted", "approved"}]
    return bool(said) and said[-1].get("digest") == changes.runs(row).hex()
