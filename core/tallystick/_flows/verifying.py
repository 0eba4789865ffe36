"""Whether what is stored is what was written: results, arguments, every chain of events."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from tallystick import _acts as acts
from tallystick import _changes as changes
from tallystick._canonical import digest
from tallystick._codec import decode
from tallystick._flows.call import REDACTED
from tallystick._keys import halts_chain
from tallystick._model import Damage, Halt, Row, Verification
from tallystick._ports import Ports
from tallystick.errors import LedgerError, ResultTypeUnknown

#: how often the halts are read anew because somebody halted meanwhile
_READINGS = 5


async def verify(p: Ports, tenant: str) -> Verification:
    """Check every chain of events and every stored result of this tenant."""
    effects, events, damage, after = 0, 0, list[Damage](), 0
    while True:
        page = await p.read(acts.Page(tenant=tenant, after=after))
        if not page:
            break
        for seq, row, chain in page:
            after = seq
            effects += 1
            events += len(chain)
            damage += [Damage(key=row.key.hex(), what=what) for what in flaws(row, chain)]
    for whose in (tenant, None):
        chain, halts = await _halts(p, tenant, whose)
        events += len(chain)
        key = halts_chain(whose)
        found = halt_flaws(key, chain, halts)
        damage += [Damage(key=key.hex(), what=f"halts: {what}") for what in found]
    return Verification(effects=effects, events=events, damage=tuple(damage))


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
    if row.result is not None:
        if hashlib.sha256(row.result.encode("utf-8", "replace")).digest() != row.result_digest:
            found.append("the stored result does not match its digest")
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
    told: dict[tuple[str | None, str | None], tuple[str, str, str]] = {}
    for event in chain:
        detail = json.loads(event.detail)
        scope = (detail["tool"], detail["workflow"])
        told.pop(scope, None)
        if event.kind != "lifted":
            told[scope] = (event.kind, event.actor, detail["reason"])
    if halts is None or told == {(h.tool, h.workflow): (h.mode, h.by, h.reason) for h in halts}:
        return []
    return [f"{len(halts)} are in force; their events tell of {len(told)}, or of other ones"]


def _break(key: bytes, chain: Sequence[acts.EventRow]) -> str | None:
    """Where a chain of events is not what was written."""
    previous = changes.GENESIS
    for n, event in enumerate(chain, 1):
        _, _, kind, actor, moment, epoch, detail, before, hash_ = event
        expected = changes.event_hash(previous, key, n, kind, actor, moment, epoch, detail)
        if event.n != n or before != previous or hash_ != expected:
            return f"the chain of events breaks at number {n}"
        previous = hash_
    return None


def _end(chain: Sequence[acts.EventRow]) -> bytes:
    return chain[-1].hash if chain else changes.GENESIS


def _args_sound(row: Row) -> bool:
    """Whether the arguments are the ones that were hashed; true where that cannot be told."""
    if REDACTED in row.args:
        return True  # the hash covers what was never stored
    try:
        return digest(decode(row.args)) == row.shown
    except ResultTypeUnknown:
        return True  # a class that is not imported here
    except LedgerError:
        return False


def _edit_sound(row: Row, chain: Sequence[acts.EventRow]) -> bool:
    said = [json.loads(e.detail) for e in chain if e.kind in {"voted", "approved"}]
    return bool(said) and said[-1].get("digest") == changes.runs(row).hex()
