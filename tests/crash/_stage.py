"""
Where stories are played: an agent that tries again, a person who looks, and a world that counts.

A :class:`Stage` knows nothing of crashes. Everything that must outlive a process is in the world's
file, so the same story can be cut off anywhere, in this process or for real, and told again from
its beginning by a new process, as an agent that is run again would.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import sqlalchemy

from tallystick import (
    Approval,
    ApprovalDenied,
    ApprovalRequired,
    Effect,
    EffectFailed,
    EffectInDoubt,
    Guarantee,
    Halted,
    Ledger,
    NotApplied,
    Policy,
    ProbeAnswer,
    Retry,
    Status,
    current_effect,
)
from tallystick._budgets._topups import RAISE
from tallystick._faces import run_sync
from tallystick._undoing._tools import RESUMABLE
from tallystick.errors import ApprovalExpired, BudgetExceeded, EffectCancelled, LedgerError
from tallystick.hooks import Details
from tallystick.testing import Witness, crash, turn_clock
from tallystick.testing._contract._spot import Spot
from tests._urls import LEASED, async_engine_on, engine_on

Outcome = Literal["value", "failed", "denied", "cancelled", "expired"]
#: blocking; an async tool awaited; a sync tool awaited; a caller's own blocking connection
Way = Literal["blocking", "awaiting", "threaded", "lent"]

#: seconds; a death on a server is seen when they are over
LEASE = 4.0
#: seconds; a call waits as long for a living holder, and in vain
WAIT = 5.0
#: a retrying agent gives up after as many calls
PATIENCE = 12
#: where a TRANSACTIONAL tool writes
WORLD = sqlalchemy.Table(
    "crash_world",
    sqlalchemy.MetaData(),
    sqlalchemy.Column("tenant", sqlalchemy.Text, nullable=False),
    sqlalchemy.Column("key", sqlalchemy.Text, nullable=False),
    sqlalchemy.Column("token", sqlalchemy.Text, nullable=False),
)


class Setting(NamedTuple):
    """In which store, from which side, and under which promise a story is played."""

    store: str
    url: str
    way: Way
    guarantee: Guarantee
    #: where the world keeps its files
    folder: Path
    #: what ledgers are opened with; the URL, or an engine that knows the tables already
    target: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What an agent, its tool and a person want to do; told again after a crash."""

    name: str
    #: what the tool does in its nth run; the last one from then on
    steps: tuple[str, ...] = ("do",)
    #: what goes before the agent's own calls
    prelude: Callable[[Stage], Awaitable[None]] | None = None
    #: whether a person must decide, and how
    approval: Callable[[Stage], Approval] | None = None
    people: tuple[str, ...] = ("ann",)
    decision: Literal["yes", "no", "edit", "withdraw"] = "yes"
    doubt: Literal["look", "withdraw"] = "look"
    #: further fields of the policy
    policy: dict[str, Any] = field(default_factory=dict[str, Any])
    call_id: str | None = None
    #: each call stands at a place, and an equal one at another place is the same
    placed: bool = False
    by_hand: bool = False
    probe: Literal["honest", "conflict"] = "honest"
    #: the listener fails when it is told of a request for the first time
    deaf: bool = False
    #: the highest limit that a budget may have in the end
    most: int | None = None
    ends: frozenset[Outcome] = frozenset({"value"})
    #: how else it may end when it is cut off
    also: frozenset[Outcome] = frozenset()
    guarantees: frozenset[Guarantee] = frozenset(Guarantee)
    ways: frozenset[Way] = frozenset({"blocking", "awaiting", "threaded", "lent"})
    stores: frozenset[str] = frozenset({"memory", "sqlite", "postgres", "mariadb"})

    def fits(self, setting: Setting) -> bool:
        """Whether this story can be told there."""
        return (
            setting.guarantee in self.guarantees
            and setting.way in self.ways
            and setting.store in self.stores
        )


class Stage:
    """One telling of one story; a tenant of its own in a place that others share."""

    def __init__(self, setting: Setting, story: Story, tenant: str) -> None:
        self.setting = setting
        self.story = story
        self.tenant = tenant
        self.log = Witness(setting.folder / tenant)
        self.awaiting = setting.way in {"awaiting", "threaded"}
        self.transactional = setting.guarantee is Guarantee.TRANSACTIONAL
        self._ledger: Ledger | None = None
        self._colleagues: list[Ledger] = []
        self._engine: sqlalchemy.Engine | None = None

    # -- processes ----------------------------------------------------------------------------

    @property
    def ledger(self) -> Ledger:
        """The agent's own."""
        if self._ledger is None:
            self._ledger = self._open()
        return self._ledger

    def _open(self, **options: Any) -> Ledger:
        options.setdefault("tenant", self.tenant)
        ledger = Ledger(
            self.setting.target, create=True, lease=LEASE, hooks=[self._hear], **options
        )
        ledger._keeper.close()  # pyright: ignore[reportPrivateUsage]
        turn_clock(ledger, self._passed())
        return ledger

    def _passed(self) -> float:
        """Seconds that have passed since the story began, as the world remembers."""
        said = [line.split() for line in self.log.counts().elements()]
        passed = sum(float(words[1]) for words in said if words[0] == "passed")
        deaths = sum(words[0] == "died" for words in said)
        return passed + deaths * (LEASE + 0.1) * (self.setting.store in LEASED)

    async def colleague(self, **options: Any) -> Ledger:
        """Another process of the same agent, or of somebody beside it."""
        ledger = self._open(**options)
        self._colleagues.append(ledger)
        return ledger

    async def bury(self, ledger: Ledger) -> None:
        """A colleague's process is killed."""
        self._colleagues.remove(ledger)
        crash(ledger)
        self.log.saw("died colleague")
        if self.setting.store in LEASED:
            turn_clock(self.ledger, LEASE + 0.1)

    async def later(self, seconds: float) -> None:
        """Time passes."""
        self.log.saw(f"passed {seconds}")
        turn_clock(self.ledger, seconds)

    def die(self) -> None:
        """All of it is killed."""
        for ledger in [*self._colleagues, self._ledger]:
            if ledger is not None:
                crash(ledger)
        self._colleagues, self._ledger = [], None
        self.log.saw("died all")

    def close(self) -> None:
        """The end of the story."""
        for ledger in [*self._colleagues, self._ledger]:
            if ledger is not None:
                ledger.close()
        self._colleagues, self._ledger = [], None
        if self._engine is not None:
            self._engine.dispose()

    def once(self, what: str) -> bool:
        """Whether *what* has not been tried before, also not by a process that died in it."""
        if self.log.times(f"once {what}"):
            return False
        self.log.saw(f"once {what}")
        return True

    # -- the story ----------------------------------------------------------------------------

    def play(self) -> Outcome:
        """Tell the story from its beginning to its end; what became of the agent's wish."""
        if not self.awaiting:
            return run_sync(self._play())
        return asyncio.run(self._play())

    async def _play(self) -> Outcome:
        if self.story.prelude is not None:
            await self.story.prelude(self)
        outcome = await self.agent()
        again = await self.agent()
        if again != outcome:
            self.log.saw(f"wrong told-{outcome}-then-{again}")
        return outcome

    async def agent(self) -> Outcome:
        """Call until there is an outcome, as an agent does whose run is tried again."""
        refusals = 0
        for _ in range(PATIENCE):
            try:
                return await self._called()
            except NotApplied as no:
                refusals += not no.retryable
                if refusals > 1:
                    return "failed"
            except (ApprovalRequired, BudgetExceeded, EffectInDoubt, Halted) as stopped:
                await self._stopped(stopped)
            except (ApprovalDenied, EffectCancelled, ApprovalExpired, EffectFailed) as end:
                return _ENDS[type(end)]
            except RuntimeError as lost:
                if str(lost) != "no answer":
                    raise
        raise AssertionError(f"{PATIENCE} calls and no outcome")

    async def _called(self) -> Outcome:
        key, value = await (self.hand() if self.story.by_hand else self.call())
        self.log.saw(f"got {key} {value}")
        return "value"

    async def _stopped(self, stopped: LedgerError) -> None:
        if isinstance(stopped, Halted):
            await self.do("unhalt", by="ann", tool="charge")
            return
        if isinstance(stopped, BudgetExceeded):
            await self.do("approve", stopped.request, by="ann")
        elif isinstance(stopped, ApprovalRequired):
            await self.decide(stopped.key)
        else:
            await self.resolve_all()

    async def call(self, *, call_id: str | None = None) -> tuple[str, Any]:
        """One call of the tool through the ledger: the effect's key, and the result."""
        options: dict[str, Any] = {
            "workflow": "order",
            "policy": self.policy(),
            **self.where(call_id or self.story.call_id),
        }
        args = {"what": "A", "amount": 1}
        if self.transactional and self.setting.way != "blocking":
            async with self._transaction() as connection:
                options["connection"] = connection
                value = await self.do("call", "charge", self.tool(), args, **options)
        else:
            value = await self.do("call", "charge", self.tool(), args, **options)
        return str(value).partition("#")[0], value

    def where(self, call_id: str | None) -> dict[str, Any]:
        """The id of a call, and its place where it has one."""
        place = Spot(call_id) if self.story.placed and call_id is not None else None
        return {"call_id": call_id, "place": place}

    async def hand(self) -> tuple[str, Any]:
        """The same by hand: claim, act, and say what became of it."""
        claim = self.ledger.claim(
            "charge", {"what": "A", "amount": 1}, workflow="order", policy=self.policy()
        )
        if self.awaiting:
            async with claim:
                if claim.fresh:
                    await claim.asucceed(await self._act(claim.key, 1, None))
                return claim.key, claim.result
        with claim:
            if claim.fresh:
                claim.succeed(run_sync(self._act(claim.key, 1, None)))
            return claim.key, claim.result

    async def do(self, verb: str, *args: Any, **options: Any) -> Any:
        """One verb of the ledger, on the face that this story is told on."""
        if self.awaiting:
            return await getattr(self.ledger, f"a{verb}")(*args, **options)
        return getattr(self.ledger, verb)(*args, **options)

    def policy(self) -> Policy:
        """What the tool declares."""
        story, guarantee = self.story, self.setting.guarantee
        more: dict[str, Any] = {"retry": None, "wait": WAIT}
        if guarantee is Guarantee.RECONCILE:
            more |= {"probe": self._probe(), "quiet": 0.0}
        if guarantee is Guarantee.IDEMPOTENT:
            more["key_lifetime"] = 1000.0
        if story.approval is not None:
            more["approval"] = story.approval(self)
        return Policy(guarantee=guarantee, **more | story.policy)

    # -- the tool -----------------------------------------------------------------------------

    def tool(self) -> Callable[..., Any]:
        """The tool as a function of the kind that this face is used with."""

        def charge(what: str, amount: int) -> str:
            effect = current_effect()
            return run_sync(self._act(effect.key, amount, effect.connection))

        async def acharge(what: str, amount: int) -> str:
            effect = current_effect()
            return await self._act(effect.key, amount, effect.connection)

        return acharge if self.setting.way == "awaiting" else charge

    async def _act(self, key: str, amount: int, connection: Any) -> str:
        self._may_run(key, amount)
        run = self._runs(key)
        self.log.saw(f"ran {key}")
        step = self.story.steps[min(run, len(self.story.steps) - 1)]
        if step == "no":
            raise NotApplied("declined")
        if step == "later":
            raise NotApplied("throttled", retryable=True)
        if step == "lose":
            raise RuntimeError("no answer")
        if step == "inner":
            await self._inner()
        token = await self.effect(key, f"{key}#{run + 1}", connection)
        if step == "do, lose":
            raise RuntimeError("no answer")
        return token

    def _runs(self, key: str) -> int:
        """How often the tool ran before: each READ_ONLY call is another effect of the same tool."""
        if self.setting.guarantee is not Guarantee.READ_ONLY:
            return self.log.times(f"ran {key}")
        return sum(line.startswith("ran ") for line in self.log.counts().elements())

    def _may_run(self, key: str, amount: int) -> None:
        """Nothing runs that nobody approved, nor with other arguments than the approved ones."""
        if self.story.approval is not None and self.story.steps != ("inner",):
            if not self.log.times(f"yes {key}"):
                self.log.saw(f"wrong ran-unapproved {key}")
        if amount != (7 if self.story.decision == "edit" else 1):
            self.log.saw(f"wrong amount-{amount} {key}")

    async def effect(self, key: str, token: str, connection: Any = None) -> str:
        """The thing itself; what the outside world answers."""
        if self.transactional:
            insert = WORLD.insert().values(tenant=self.tenant, key=key, token=token)
            if isinstance(connection, sqlalchemy.Connection):
                connection.execute(insert)
            else:
                await connection.execute(insert)
            return token
        before = self.happened(key)
        if before is not None and self.setting.guarantee is Guarantee.IDEMPOTENT:
            return before  # the downstream remembers the key
        self.log.saw(f"did {key} {token}")
        return token

    async def _inner(self) -> None:
        """An effect inside of this one, which waits for a person."""
        args = {"what": "inner"}
        options: dict[str, Any] = {"workflow": "order", "policy": Policy(approval=True)}
        if self.setting.way == "awaiting":
            await self.ledger.acall("sign", self._sign, args, **options)
        else:
            self.ledger.call("sign", self._sign, args, **options)

    def _sign(self, what: str) -> str:
        key = current_effect().key
        if not self.log.times(f"yes {key}"):
            self.log.saw(f"wrong ran-unapproved {key}")
        self.log.saw(f"did {key} {key}#1")
        return f"{key}#1"

    def happened(self, key: str) -> str | None:
        """What the world says became of an effect: its receipt, if it happened."""
        found = self.world().get(key, [])
        return found[0] if found else None

    def world(self) -> dict[str, list[str]]:
        """The receipts of everything that happened, by key."""
        found: dict[str, list[str]] = {}
        for line in self.log.counts().elements():
            words = line.split()
            if words[0] == "did":
                found.setdefault(words[1], []).append(words[2])
        if self.transactional:
            with self.engine.connect() as db:
                mine = sqlalchemy.select(WORLD).where(WORLD.c.tenant == self.tenant)
                for _, key, token in db.execute(mine):
                    found.setdefault(key, []).append(token)
        return found

    def _probe(self) -> Callable[..., Any]:
        def probe(effect: Any) -> ProbeAnswer:
            if self.story.probe == "conflict" and self.once("conflict"):
                return ProbeAnswer.conflict("two receipts")
            receipt = self.happened(effect.key)
            return ProbeAnswer.happened(receipt) if receipt else ProbeAnswer.not_happened()

        async def aprobe(effect: Any) -> ProbeAnswer:
            return probe(effect)

        return aprobe if self.setting.way == "awaiting" else probe

    # -- the person ---------------------------------------------------------------------------

    async def decide(self, key: str | None) -> None:
        """Approve, edit, deny or withdraw, as the story wants; and say so to the world first."""
        assert key is not None
        story = self.story
        if story.decision == "withdraw":
            await self.do("cancel", key, by="ann", reason="not needed")
        elif story.decision == "no":
            await self.do("deny", key, by="ann", reason="too much")
        else:
            edits = {"amount": 7} if story.decision == "edit" else None
            self.log.saw(f"yes {key}")
            for person in story.people:
                await self.do("approve", key, by=person, args=edits, reason="fine")

    async def resolve_all(self) -> None:
        """Go through the inbox and say what became of everything in doubt."""
        for item in await self.do("pending"):
            if item.kind == "in_doubt":
                await self._resolve(item.effect.key)

    async def _resolve(self, key: str) -> None:
        if self.story.doubt == "withdraw":
            await self.do("cancel", key, by="ann", reason="enough")
            return
        receipt = self.happened(key)
        if receipt is None:
            await self.do("resolve", key, by="ann", failed="nobody saw it")
        else:
            await self.do("resolve", key, by="ann", succeeded=receipt)

    def _hear(self, details: Details) -> None:
        if details.kind == "approval_required":
            if self.story.deaf and self.once("deaf"):
                raise ConnectionError("the messenger is down")
            self.log.saw(f"told {details.key}")

    # -- the user's own connections -----------------------------------------------------------

    @property
    def engine(self) -> sqlalchemy.Engine:
        """The user's own way into the same database."""
        if self._engine is None:
            self._engine = engine_on(self.setting.url, poolclass=sqlalchemy.NullPool)
        return self._engine

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[Any]:
        if not self.awaiting:
            with self.engine.begin() as connection:
                yield connection
            return
        engine = async_engine_on(self.setting.url)
        try:
            async with engine.begin() as connection:
                yield connection
        finally:
            await engine.dispose()


_ENDS: dict[type[BaseException], Outcome] = {
    ApprovalDenied: "denied",
    EffectCancelled: "cancelled",
    ApprovalExpired: "expired",
    EffectFailed: "failed",
}


def make_world(url: str) -> None:
    """The table that TRANSACTIONAL tools write."""
    engine = engine_on(url)
    WORLD.metadata.create_all(engine)
    engine.dispose()


# -- what must be true ------------------------------------------------------------------------


def recovered(stage: Stage) -> list[str]:
    """A new process begins: recover, and say what is not as promised."""
    stage.ledger.recover()
    return flaws(stage)


def flaws(stage: Stage) -> list[str]:
    """Everything that is untrue at a moment at which nothing runs."""
    ledger, world = stage.ledger, stage.world()
    effects = {effect.key: effect for effect in ledger.effects()}
    found = [line for line in stage.log.counts().elements() if line.startswith("wrong ")]
    for key, effect in effects.items():
        found += _flaws_of(stage, effect, world.get(key, []))
    found += [f"{key[:6]} happened and is not recorded" for key in world if key not in effects]
    found += _inbox_flaws(ledger, effects)
    for line in stage.log.counts().elements():
        if line.startswith("got "):
            _, key, value = line.split()
            forgotten = key in effects and effects[key].payload_dropped_at is not None
            if key not in effects or (effects[key].result != value and not forgotten):
                found.append(f"the caller got {value}, the record says otherwise")
    verification = ledger.verify()
    found += [f"damage: {damage}" for damage in verification.damage]
    return found + _purse_flaws(stage, effects) + _saga_flaws(effects)


def _flaws_of(stage: Stage, effect: Effect, receipts: list[str]) -> list[str]:
    key, status, times = effect.key[:6], effect.status, len(receipts)
    repeated = effect.guarantee is Guarantee.READ_ONLY
    found: list[str] = []
    if times > 1 and not repeated:
        found.append(f"{key} happened {times} times")
    if effect.tool == RAISE or effect.tool in RESUMABLE:
        return []
    known = receipts if effect.payload_dropped_at is None else [None]
    if status is Status.SUCCEEDED and (not times or effect.result not in known):
        found.append(f"{key} is recorded as {effect.result}, the world has {receipts}")
    if times and status in _NEVER and not repeated and stage.story.doubt == "look":
        found.append(f"{key} is {status} and happened")
    if times and stage.transactional and effect.tool == "charge" and status is not Status.SUCCEEDED:
        found.append(f"{key} happened without a record: {status}")
    if status is Status.RUNNING:
        found.append(f"{key} is running in nobody's hands")
    events = stage.ledger.history(effect.key)
    approved = sum(event.kind == "approved" for event in events)
    given_back = sum(event.kind == "released" for event in events)
    used = sum(e.kind == "started" and e.detail["from"] == "approved" for e in events)
    if used > approved + given_back:
        found.append(f"{key}: {approved} approvals were used {used} times")
    asked = any(event.kind == "asked" for event in events)
    if asked and effect.attempt and not approved:
        found.append(f"{key} ran without approval")
    return found


_NEVER = {Status.PENDING, Status.APPROVED, Status.DENIED, Status.EXPIRED, Status.CANCELLED}


def _inbox_flaws(ledger: Ledger, effects: dict[str, Effect]) -> list[str]:
    shown = {(item.effect.key, item.kind) for item in ledger.pending()}
    found: list[str] = []
    for key, effect in effects.items():
        kinds = {kind for k, kind in shown if k == key}
        if effect.status is Status.IN_DOUBT and "in_doubt" not in kinds:
            found.append(f"{key[:6]} is in doubt and nobody is told")
        if effect.status is Status.PENDING and not kinds & {"approval", "suspect", "budget"}:
            found.append(f"{key[:6]} waits for a decision and nobody is told")
        left = effect.status is Status.COMPENSATION_FAILED and effect.tool not in RESUMABLE
        if left != ("compensation" in kinds):
            found.append(f"{key[:6]} is {effect.status} and shown as {kinds or 'nothing'}")
        if kinds - {"compensation"} and effect.status not in {Status.IN_DOUBT, Status.PENDING}:
            found.append(f"{key[:6]} is {effect.status} and still shown as {kinds}")
    return found


def _purse_flaws(stage: Stage, effects: dict[str, Effect]) -> list[str]:
    """What is untrue about budgets: what is charged, against the limit and against the world."""
    found: list[str] = []
    charged: Counter[str] = Counter()
    for line in stage.ledger.budgets():
        total = line.spent + line.reserved + line.unreconciled
        charged[line.budget] += int(total)
        if total > line.limit:
            found.append(f"{line.budget}: {total} is charged under a limit of {line.limit}")
        if stage.story.most is not None and line.limit > stage.story.most:
            found.append(f"{line.budget}: the limit is {line.limit}")
    spent: Counter[str] = Counter()
    for said in stage.log.counts().elements():
        if said.startswith("spent "):
            _, name, amount = said.split()
            spent[name] += int(amount)
    found += [
        f"{name}: {spent[name]} was spent, {charged[name]} is charged" for name in spent - charged
    ]
    for row in stage.ledger.reservations():
        if row.state == "held":
            found.append(f"{row.key[:6]} is held in nobody's hands")
        effect = effects.get(row.key)
        if effect is not None and row.state != _PAYS.get(effect.status, row.state):
            found.append(f"{row.key[:6]} is {effect.status} and its money {row.state}")
    return found


def _saga_flaws(effects: dict[str, Effect]) -> list[str]:
    """What is untrue about undoing: each effect has a compensation of its own, done once."""
    found: list[str] = []
    for key, effect in effects.items():
        done = [e for e in effects.values() if e.call_id == key and e.status is Status.SUCCEEDED]
        if len(done) > 1 or (effect.status is Status.COMPENSATED and len(done) != 1):
            if effect.tool not in RESUMABLE:
                found.append(f"{key[:6]} is {effect.status} and was undone {len(done)} times")
    return found


#: what became of the money by what became of the effect; of what was withdrawn nobody knows
_PAYS: dict[Status, str] = {
    Status.SUCCEEDED: "settled",
    Status.FAILED: "released",
    Status.APPROVED: "released",
    Status.IN_DOUBT: "unreconciled",
    Status.CANCELLED: "unreconciled",
}


def quick_retry(attempts: int) -> Retry:
    """Retries without pauses."""
    return Retry(attempts=attempts, initial=0, jitter=0)
