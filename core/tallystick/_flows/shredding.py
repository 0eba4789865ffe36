"""A workflow's payloads made unreadable for good, and the user's key changed."""

from __future__ import annotations

from tallystick._acts import Clock, Find
from tallystick._flows.retention import Batch, Rate
from tallystick._keys import check_name, scope_of
from tallystick._ports import Ports
from tallystick._vault import ReadDataKeys, Rewrap, Shred
from tallystick.encryption import Keyring
from tallystick.errors import InvalidCall, KeyMissing

#: more than any workflow has
_ALL = 1 << 40
_PAGE = 500


async def shred(p: Ports, tenant: str, workflow: str, rate: Rate, *, by: str, reason: str) -> int:
    """Delete the workflow's key, then make tombstones of its effects; how many those were."""
    check_name(workflow, "workflow")
    check_name(by, "by")
    check_name(reason, "reason")
    scope = scope_of(tenant, workflow)
    act = Shred(tenant=tenant, workflow=workflow, scope=scope, by=by, reason=reason)
    done = await p.do(act)
    if not done.known:
        raise InvalidCall(
            f"nothing of the workflow {workflow} was encrypted, so there is no key to delete; "
            "`tallystick retain` drops old payloads"
        )
    if not done.done:
        raise InvalidCall(
            f"{done.open} effects of the workflow {workflow} are pending, approved, running, in "
            "doubt or half undone; nothing was shredded: decide, resolve or cancel them first "
            "(`tallystick inbox`)"
        )
    effects = await p.read(Find(tenant=tenant, workflow=workflow, limit=_ALL))
    held = tuple(bytes.fromhex(effect.key) for effect in effects)
    batch = Batch(p, tenant, await p.read(Clock()), by, rate)
    return (await batch.drop(held, calls=False)).effects


async def rewrap(p: Ports, tenant: str, keyring: Keyring | None) -> int:
    """Wrap a tenant's data keys in the newest of the user's keys; how many were in an older one."""
    page = await p.read(ReadDataKeys(tenant=tenant, limit=_PAGE))
    if keyring is None:
        raise KeyMissing("give the new key and the old one: Ledger(…, cipher=Keyring(new, old))")
    changed = 0
    while page:
        for stored in page:
            if stored.wrapped is None or stored.kek == keyring.id:
                continue
            key = keyring.unwrap(stored.wrapped, stored.scope, stored.kek)
            again = keyring.wrap(key, stored.scope)
            changed += await p.do(
                Rewrap(scope=stored.scope, was=stored.kek, kek=keyring.id, wrapped=again)
            )
        after = page[-1].scope
        page = await p.read(ReadDataKeys(tenant=tenant, after=after, limit=_PAGE))
    return changed
