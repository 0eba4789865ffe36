"""A store that breaks any one of its promises does not pass the contract."""

# ruff: noqa: E501 - one fault, one line

from __future__ import annotations

import types
import uuid
from pathlib import Path
from typing import Any

import pytest

from tallystick import Ledger
from tallystick._flows import effects
from tallystick.stores import _memory
from tallystick.testing import StoreContract

SOURCE = Path(_memory.__file__).read_text()

#: a line of the memory store, what is made of it, and the part of the contract that notices
FAULTS = [
    # claims
    ("key is taken", "if row is not None:\n            if row.tenant", "if row is not None and row.key is None:\n            if row.tenant", "call_that_is_repeated"),
    ("a claim's tenant", "if row.tenant != c.tenant:", "if row.tenant is None:", "no_act_reaches"),
    ("a claim's nonce", "row.nonce == c.nonce and", "", "claim_whose_answer"),
    ("a claim's status", " and row.status == c.status", "", "claim_whose_answer"),
    ("its own claim", "mine = row.nonce == c.nonce and", "mine = False and", "claim_whose_answer"),
    ("life", "return holder in self._shelf.workers", "return False", "living_holder"),
    ("death", "return holder in self._shelf.workers", "return holder is not None", "a_no_counts"),
    ("a halt of the new", "if self._shelf.stops and self._stopped(", "if self._shelf.dead is None and self._stopped(", "halt_concerns"),
    ("suspects", 'twin is not None and c.suspect != "run"', "False", "suspected_duplicate"),
    ("neighbours not seen", "[0] > c.after", "[0] > c.after and not c.after", "not_seen_all_its"),
    ("neighbours seen", "[0] > c.after", "[0] > 0", "a_new_call_is"),
    ("a place", "self._put(self._shelf.places, key, (*self._shelf.places[key][:2], place))", "pass", "same_call_elsewhere_is"),
    ("the first place", "c.twin, c.place))", "c.twin, None))", "a_new_call_is"),
    ("neighbours", "keys = self._shelf.twins.get(act.twin, [])", "keys = []", "adopt_an_effect"),
    # halts
    ("a halt's tenant", "(h.tenant is None or h.tenant == e.tenant)\n", "True\n", "halt_concerns"),
    ("a halt's tool", "(h.tool is None or h.tool == e.tool)", "True", "halt_concerns"),
    ("a halt's workflow", "(h.workflow is None or h.workflow == e.workflow)", "True", "halt_concerns"),
    ("draining", "forbids(h.mode, fresh=fresh, undoing=undoing)", "True", "draining_does_not"),
    ("halts of others", "if h.tenant in (None, tenant)", "", "halt_of_one_tenant"),
    # outcomes
    ("an outcome's tenant", "or row.tenant != s.tenant", "", "no_act_reaches"),
    ("an outcome's status", '            or row.status != "running"\n', "", "late_settle_of_the_current"),
    ("an outcome's epoch", "or row.epoch != s.epoch", "", "outcome_needs"),
    ("an outcome's nonce", "or row.nonce != s.nonce", "", "outcome_needs"),
    ("a result's digest", "settled_row(row, s, self._now)", "settled_row(row, s._replace(result_digest=None), self._now)", "call_that_is_repeated"),
    # starts
    ("a start's tenant", "if row is None or row.tenant != act.tenant:", "if row is None:", "nobody_starts"),
    ("a start's status", "row.status == act.status and row.epoch", "row.epoch", "start_needs_what"),
    ("a start's epoch", "and row.epoch == act.epoch ", "", "start_needs_what"),
    ("a start's digest", " and row.shown == act.shown", "", "start_needs_what"),
    ("a living holder", '(row.status == "running" and self.alive(row.holder))', "False", "start_spares"),
    ("expiry", "too_late(row, self._now)", "False", "still_holds"),
    ("a halt of the begun", "fresh=row.attempt == 0", "fresh=False", "approved_effect_cannot_start"),
    ("draining the begun", "fresh=row.attempt == 0", "fresh=True", "draining_does_not"),
    ("the fencing token", "epoch=row.epoch + 1,\n            attempt", "epoch=row.epoch,\n            attempt", "takeover_is_another"),
    ("the first claim's moment", "started_at=row.started_at or self._now", "started_at=self._now", "lifetime_is_never"),
    ("the earlier attempt", "result_note=UNSURE if", "result_note=None if", "says_nothing"),
    # reading
    ("a row's tenant", "return row if row is not None and row.tenant == tenant else None", "return row", "no_act_reaches"),
    ("a chain's tenant", "if row is not None and row.tenant != tenant:", "if row is None:", "history_is_read"),
    ("a list's tenant", "row.tenant == act.tenant\n", "True\n", "does_not_exist"),
    ("a list's prefix", "(act.prefix is None or row.key.hex().startswith(act.prefix))", "True", "found_by_key"),
    ("a list's workflow", "(act.workflow is None or row.workflow == act.workflow)", "True", "found_by_key"),
    ("a list's tool", "(act.tool is None or row.tool == act.tool)", "True", "found_by_key"),
    ("a list's status", "(act.status is None or row.status == act.status)", "True", "found_by_key"),
    ("a list's order", "reversed(self._shelf.rows.values())", "self._shelf.rows.values()", "found_by_key"),
    ("a list's end", "if len(found) == act.limit:", "if False:", "found_by_key"),
    ("a page's tenant", "if r.tenant == act.tenant]", "]", "same_call_of_two"),
    # people
    ("the inbox's tenant", "if tenant is None or i[4].tenant == tenant", "", "does_not_exist"),
    ("the inbox's order", "key=lambda i: i[1])[:limit]", "key=lambda i: -i[1])[:limit]", "request_until"),
    ("what was decided", "self._drop(self._shelf.items, (key, kind))", "pass", "request_until"),
    ("who was told", "(*item[:3], True)", "(*item[:3], False)", "told_to_the_listeners"),
    ("whom nobody told", "if not (unnotified and told)", "if not unnotified", "listener_failed"),
    ("the other votes", "{**ballots, by: (digest, reason, at)}", "{by: digest}", "quorum_is"),
    ("earlier rounds", 'if row.status == "pending":', 'if row.status == "nothing":', "asked_for_again"),
    # death and history
    ("atomicity", "in reversed(self._undo):", "in ():", "whole_or_not"),
    ("whose effects", "if r.holder == worker)", ")", "every_effect_of_the_dead"),
    ("the chain", "[*chain, event]", "[event]", "out_of_the_ordinary"),
]  # fmt: skip


def broken(old: str, new: str) -> Any:
    """The memory store with one line of it changed."""
    assert SOURCE.count(old) == 1, f"the memory store has {SOURCE.count(old)} times {old!r}"
    module = types.ModuleType(f"broken_{uuid.uuid4().hex}")
    exec(compile(SOURCE.replace(old, new), module.__name__, "exec"), module.__dict__)  # noqa: S102
    return module


def keeps(store: Any, part: str) -> bool:
    """Whether *store* passes the tests of the contract whose names hold *part*."""

    class Tried(StoreContract):
        place = ""

        def open(self, **options: Any) -> Ledger:
            return Ledger(store(self.place), **options)

    names = [name for name in dir(Tried) if name.startswith("test_") and part in name]
    assert names, f"no test of the contract is called …{part}…"
    return all(passes(Tried(), name) for name in names)


def passes(tried: Any, name: str) -> bool:
    """Whether one test of the contract passes."""
    tried.place = uuid.uuid4().hex
    tried.setup_method()
    tried.ledger()  # a shelf lives as long as somebody uses it
    try:
        getattr(tried, name)()
        tried.teardown_method()
    except Exception:  # noqa: BLE001 - however it fails
        for faced in tried._ledgers:
            faced.ledger.close()
        return False
    return True


@pytest.mark.parametrize(
    ("old", "new", "part"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS]
)
def test_a_store_that_forgets(
    old: str, new: str, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The contract fails on it, and passes without the fault."""
    monkeypatch.setattr(effects, "_RIVALS", 10)  # a store that refuses for no reason is given up
    assert keeps(_memory.MemoryStore, part)
    assert not keeps(broken(old, new).MemoryStore, part)
