"""
What budgets do, said a second time: what is charged is but the sum of what reservations weigh.

Where a store keeps figures and moves them, this adds them up anew for each question. Windows are
left out: all budgets of this model are for all time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tallystick._budgets import _acts as spending
from tallystick._budgets._rules import Demand
from tallystick._budgets._terms import Terms, budget_id, line_id
from tallystick._retention import Retain

Answer = Any
Weights = tuple[int, int, int]
NOTHING = ("nothing",)
#: what becomes of an effect's money by what becomes of the effect
FOLLOWS = {
    "succeeded": "settled",
    "failed": "released",
    "approved": "released",
    "in_doubt": "unreconciled",
}
ORDER = ("deny", "downgrade", "ask")


class Held(NamedTuple):
    """One reservation."""

    tenant: str
    kind: str
    session: str | None
    iteration: int | None
    state: str
    holder: str
    nonce: bytes
    until: int | None
    #: line, metric, amount, and what is known to be spent of it
    parts: tuple[tuple[bytes, str, int, int | None], ...]
    bound: int | None = None
    cost: int | None = None
    tokens: int | None = None
    note: str | None = None

    def known(self, state: str, cost: int | None = None) -> int | None:
        """What it cost once it is in *state*; what was reserved, where only a model could tell."""
        said = self.cost if cost is None else cost
        return self.bound if said is None and state == "settled" and self.kind != "model" else said


def weight(state: str, amount: int, actual: int | None) -> Weights:
    """What is reserved, spent, and unknown."""
    known = actual or 0
    return {
        "held": (amount, 0, 0),
        "settled": (0, amount if actual is None else actual, 0),
        "unreconciled": (0, known, max(0, amount - known)),
        "released": (0, 0, 0),
    }[state]


class Purses:
    """All budgets of a place."""

    def __init__(self) -> None:
        self.standing: dict[str, int] = {}
        self.terms: dict[bytes, tuple[str, int, Terms]] = {}
        self.lines: dict[bytes, tuple[bytes, str, str]] = {}
        self.held: dict[bytes, Held] = {}
        self.raises: dict[bytes, tuple[bytes, int]] = {}
        self.sessions: dict[tuple[str, str], tuple[int, int, int]] = {}
        self.alerts: dict[bytes, tuple[str, str]] = {}
        self.reached: dict[bytes, int] = {}
        self._told: set[tuple[bytes, str, int]] = set()
        #: the number of attempts whose money was put aside
        self.aside = 0

    # -- figures ------------------------------------------------------------------------------

    def forget(self, act: Retain) -> int:
        """Nothing is said any more about what is over; how many that were."""
        count = 0
        for id_ in act.calls:
            held = self.held.get(id_)
            if held is not None and held.state in ("settled", "released") and held.note:
                self.held[id_] = held._replace(note=None)
                count += 1
        return count

    def charged(self, line: bytes) -> Weights:
        """What is charged to a line."""
        sums = [0, 0, 0]
        for held in self.held.values():
            for where, _, amount, actual in held.parts:
                if where == line:
                    sums = [
                        a + b for a, b in zip(sums, weight(held.state, amount, actual), strict=True)
                    ]
        return (sums[0], sums[1], sums[2])

    def limit(self, line: bytes) -> int:
        """A line's limit with what it was raised by."""
        budget, metric, _ = self.lines[line]
        limits = {m.value: n for m, n in self.terms[budget][2].limits}
        return limits.get(metric, 0) + sum(n for where, n in self.raises.values() if where == line)

    def figures(self, tenant: str) -> dict[bytes, tuple[Weights, int]]:
        """All lines of a tenant's budgets that have a limit now."""
        return {
            line: (self.charged(line), self.limit(line))
            for line, (budget, metric, _) in self.lines.items()
            if self.terms[budget][0] == tenant
            and metric in {m.value for m, _ in self.terms[budget][2].limits}
        }

    def view(self, id_: bytes) -> Answer:
        """A reservation, as everybody must agree on it."""
        h = self.held[id_]
        note = h.note and h.note.split()[0]
        return (h.kind, h.session, h.iteration, h.state, h.holder, h.parts, h.cost, h.tokens, note)

    # -- reserving ----------------------------------------------------------------------------

    def reserve(  # noqa: PLR0911 - one for each thing that a wish may meet
        self,
        now: int,
        act: spending.Reserve,
        effect: Any,
        begin: Callable[[Any], Answer],
        twin: bytes | None = None,
    ) -> Answer:
        """*effect* is what the claim or the start is about, *begin* does either."""
        if self._stale(act):
            return ("stale",)
        if act.claim is not None and effect is not None and effect.tenant == act.claim.tenant:
            return _met(begin(act.claim))
        before = self.held.get(act.row.id) if act.start is not None else None
        if before is not None and not self._anew(act, before, effect):
            return self._carried_on(act, before, begin)
        answer = self._refused(act)
        if answer is not None and twin is not None and act.claim and act.claim.suspect != "run":
            return _met(("suspect", twin))
        if answer is None and act.claim is None and act.start is None and act.row.id in self.held:
            answer = self._again(act) or _met(None)
        if answer is not None:
            return answer
        met = None
        if act.claim is not None or act.start is not None:
            met = begin(act.claim if act.claim is not None else act.start)
            if met[0] != "granted":
                return _met(met)
        if before is not None and before.state != "released":
            self.aside += 1
            state = "unreconciled" if before.state == "held" else before.state
            self.held[act.row.id + bytes([self.aside])] = before._replace(state=state)
        return self._hold(now, act, met)

    def _stale(self, act: spending.Reserve) -> bool:
        if act.standing is not None and act.standing != self.standing.get(act.row.tenant, 0):
            return True
        return any(self._version(demand) != demand.version for demand in act.demands)

    def _carried_on(
        self, act: spending.Reserve, before: Held, begin: Callable[[Any], Answer]
    ) -> Answer:
        met = begin(act.start)
        if met[0] == "granted":
            holder, nonce = act.row.holder, act.row.nonce
            self.held[act.row.id] = before._replace(state="held", holder=holder, nonce=nonce)
        return _met(met)

    def _refused(self, act: spending.Reserve) -> Answer:
        against = [d for d in act.demands if not self._fits(d)]
        if not against or act.force:
            return None
        again = self._again(act)
        if again is not None:
            return again
        worst = min(against, key=lambda d: ORDER.index(d.terms.on_exceed))
        figures = (self.charged(worst.line), self.limit(worst.line))
        return ("refused", worst.terms.name, worst.metric.value, worst.label, *figures)

    def _version(self, demand: Demand) -> int | None:
        if demand.budget not in self.terms:
            return None
        self.lines.setdefault(demand.line, (demand.budget, demand.metric.value, demand.label))
        return self.terms[demand.budget][1]

    def _fits(self, d: Demand) -> bool:
        return d.terms.on_exceed == "warn" or sum(self.charged(d.line)) + d.amount <= self.limit(
            d.line
        )

    @staticmethod
    def _anew(act: spending.Reserve, before: Held, effect: Any) -> bool:
        if before.state == "released":
            return True
        if act.start is None or effect is None or effect.nonce == act.start.nonce:
            return False
        if before.state == "settled":
            return effect.status in ("failed", "approved")
        return bool(effect.guarantee == "read_only")

    def _again(self, act: spending.Reserve) -> Answer:
        held = self.held.get(act.row.id) if act.claim is None and act.start is None else None
        if held is None or held.nonce != act.row.nonce:
            return None
        return ("reserved", held.state == "held", None, held.iteration or 0, ())

    def _hold(self, now: int, act: spending.Reserve, met: Answer) -> Answer:
        row = act.row
        iteration = None
        if row.session is not None:
            iteration = self._count(row.tenant, row.session, 1, 0, 0)
        dollars = [d.amount for d in act.demands if d.metric.value == "usd"]
        self.held[row.id] = Held(
            bound=max(dollars, default=None) if row.bound is None else row.bound,
            tenant=row.tenant,
            kind=row.kind,
            session=row.session,
            iteration=iteration,
            state="held",
            holder=row.holder,
            nonce=row.nonce,
            until=None if row.until is None else now + row.until,
            parts=tuple((d.line, d.metric.value, d.amount, None) for d in act.demands),
        )
        alerts = tuple(kind for d in act.demands if (kind := self._passed(d)) is not None)
        if not act.force:
            strict = [d.line for d in act.demands if d.terms.on_exceed != "warn"]
            assert all(sum(self.charged(line)) <= self.limit(line) for line in strict)
        return ("reserved", True, met, iteration or 0, alerts)

    def _count(self, tenant: str, session: str, *more: int) -> int:
        before = self.sessions.get((tenant, session), (0, 0, 0))
        calls, tokens, nanos = (a + b for a, b in zip(before, more, strict=True))
        self.sessions[tenant, session] = (calls, tokens, nanos)
        return calls

    def _passed(self, d: Demand) -> str | None:
        """Tell of the highest threshold that was reached, once."""
        total, limit = sum(self.charged(d.line)), self.limit(d.line)
        parts = [part for part in d.terms.soft if total * 1000 >= part * limit]
        over = total > limit
        reached = len(d.terms.soft) + 1 if over else len(parts)
        before = self.reached.get(d.line, 0)
        self.reached[d.line] = max(before, reached)
        which = (d.line, "over" if over else str(max(parts, default=0)), limit)
        if reached <= before or which in self._told:
            return None
        self._told.add(which)
        return "budget_warned" if over else "budget_threshold"

    # -- what became of it --------------------------------------------------------------------

    def follow(self, key: bytes, tenant: str, status: str, *, harmless: bool = False) -> None:
        """An effect's money goes with the effect."""
        state = "unreconciled" if harmless else FOLLOWS.get(status)
        held = self.held.get(key)
        if held is None or state is None or held.tenant != tenant:
            return
        if _may(held.state, state):
            self.held[key] = held._replace(state=state, cost=held.known(state))

    def sweep(self, now: int, living: frozenset[str], effects: Any) -> int:
        """What the dead held, and what is past its time; how much of it there was."""
        found = 0
        for id_, held in self.held.items():
            late = held.until is not None and held.until <= now
            if held.state != "held" or (held.holder in living and not late):
                continue
            effect = effects.get(id_) if held.kind == "tool" else None
            if effect is not None and effect.status == "running":
                continue
            found += 1
            if effect is not None and effect.status in FOLLOWS:
                state = FOLLOWS[effect.status]
                self.held[id_] = held._replace(state=state, cost=held.known(state))
            else:
                self.held[id_] = held._replace(state="unreconciled", note="its worker")
        return found

    def apply(self, act: Any) -> Answer:
        """Any other act about budgets."""
        return _ACTS[type(act)](self, act)

    def reckon(self, act: spending.Reckon) -> Answer:
        """Say what became of a reservation."""
        held = self.held.get(act.key)
        if held is None or held.tenant != act.tenant:
            return NOTHING
        if not _may(held.state, act.state):
            return self.view(act.key)
        parts = tuple(
            (line, metric, amount, (act.actual or {}).get(metric, actual))
            for line, metric, amount, actual in held.parts
        )
        after = held._replace(
            state=act.state,
            parts=parts,
            cost=held.known(act.state, act.cost),
            tokens=held.tokens if act.tokens is None else act.tokens,
            note=act.note or held.note,
        )
        self.held[act.key] = after
        if held.session is not None:
            tokens = (after.tokens or 0) - (held.tokens or 0)
            self._count(held.tenant, held.session, 0, tokens, (after.cost or 0) - (held.cost or 0))
        return self.view(act.key)

    def reprice(self, act: spending.Reprice) -> Answer:
        """Put another cost in its place."""
        held = self.held.get(act.key)
        if held is None or held.tenant != act.tenant or held.cost != act.was:
            return False
        if held.state not in {"settled", "unreconciled"}:
            return False
        parts = tuple((li, m, n, act.cost if m == "usd" else a) for li, m, n, a in held.parts)
        self.held[act.key] = held._replace(state="settled", parts=parts, cost=act.cost)
        if held.session is not None:
            self._count(held.tenant, held.session, 0, 0, act.cost - (act.was or 0))
        return True

    def put_terms(self, act: spending.PutTerms) -> Answer:
        """Declare a budget."""
        id_ = budget_id(act.tenant, act.terms.name)
        _, version, terms = self.terms.get(id_, ("", 0, None))
        if terms != act.terms:
            version += 1
            if act.terms.where or (terms is not None and terms.where):
                self.standing[act.tenant] = self.standing.get(act.tenant, 0) + 1
            self.terms[id_] = (act.tenant, version, act.terms)
        return ("known", version, act.terms)

    def raise_limit(self, act: spending.Raise) -> Answer:
        """Raise a line; once for each id."""
        budget = budget_id(act.tenant, act.name)
        if budget not in self.terms:
            return NOTHING
        if act.metric not in {m.value for m, _ in self.terms[budget][2].limits}:
            return NOTHING
        line = line_id(act.tenant, act.name, act.metric, act.label)
        self.lines.setdefault(line, (budget, act.metric, act.label))
        self.raises.setdefault(act.id, (line, act.amount))
        return ("figures", self.charged(line), self.limit(line))

    def put_alert(self, act: spending.PutAlert) -> Answer:
        """Remember an alert."""
        if act.alert.id in self.alerts:
            return False
        self.alerts[act.alert.id] = (act.alert.tenant, "new")
        return True

    def tell(self, act: spending.Told) -> Answer:
        """Somebody heard of it."""
        if act.id in self.alerts:
            self.alerts[act.id] = (self.alerts[act.id][0], "told")
        return NOTHING


def _met(met: Answer) -> Answer:
    """What a claim or a start met, nothing being reserved."""
    if met == ("stale",):
        return met
    return ("reserved", met is not None and met[0] == "granted", met, 0, ())


def _may(before: str, after: str) -> bool:
    if before in (after, "settled"):
        return False
    return before != "released" or after == "settled"


_ACTS: dict[type, Callable[[Any, Any], Answer]] = {
    spending.Reckon: Purses.reckon,
    spending.Reprice: Purses.reprice,
    spending.PutTerms: Purses.put_terms,
    spending.Raise: Purses.raise_limit,
    spending.PutAlert: Purses.put_alert,
    spending.Told: Purses.tell,
}
ACTS = tuple(_ACTS)
