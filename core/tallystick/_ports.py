"""What each part needs of the next one down."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, NamedTuple, Protocol, TypeVar

from tallystick._acts import (
    Act,
    Claim,
    EventRow,
    Find,
    Found,
    Page,
    Settle,
    Settled,
    Start,
)
from tallystick._budgets._register import Register
from tallystick._changes import Vote
from tallystick._hooks import Details
from tallystick._model import Halt, Row
from tallystick._places import Neighbour, Neighbours
from tallystick._replay._records import ReadRecords, Record
from tallystick._undoing._acts import Planned, ReadPlans

T = TypeVar("T")
A = TypeVar("A")

AnyAct = Claim | Settle | Act[Any]


class Tx(Protocol):
    """
    One transaction of a store: the few things that the scripts are made of.

    Every method is atomic with the others of the same transaction. A store that offers these, with
    the conditions in the docstrings held by the database itself, is a complete store.
    """

    def now(self) -> int:
        """Microseconds since 1970 by the database's clock."""
        ...

    def claim(self, claims: Sequence[Claim]) -> list[Found]:
        """Insert each unless its key is taken, halted or suspect; say what each one met."""
        ...

    def settle(self, settles: Sequence[Settle]) -> list[bool | None]:
        """
        Record each outcome where key, tenant, epoch and nonce match a running row.

        ``None`` where nothing matched, else whether another process awaits the effect.
        """
        ...

    def start(self, act: Start) -> Row | None:
        """Make the row running for a new holder under all the guards that ``Start`` names."""
        ...

    def load(self, tenant: str, key: bytes) -> Row | None:
        """Read a row and keep others from changing it until the transaction ends."""
        ...

    def change(self, row: Row, columns: dict[str, Any]) -> None:
        """Write *columns*, provided that the row still has *row*'s status, epoch and events."""
        ...

    def append(self, event: EventRow) -> None:
        """Add an event; (key, n) is unique."""
        ...

    def open_item(self, row: Row, kind: str, note: str, at: int, due: int | None) -> None:
        """Put an effect into the inbox; once per kind."""
        ...

    def close_items(self, key: bytes, kinds: Iterable[str]) -> None:
        """Take an effect out of the inbox."""
        ...

    def notified(self, key: bytes, kind: str) -> None:
        """Mark an inbox item as told."""
        ...

    def put_vote(self, row: Row, by: str, digest: bytes, reason: str, at: int) -> None:
        """Add an approval to the row's current round; (key, round, by) is unique."""
        ...

    def votes(self, row: Row) -> list[Vote]:
        """Read the approvals of the row's latest round of decisions."""
        ...

    def alive(self, holder: str | None) -> bool:
        """Whether the worker *holder* lives, by a lock or by the database's clock."""
        ...

    def put_halt(self, halt: Halt, at: int) -> None:
        """Add a halt, replacing one of the same scope."""
        ...

    def lift_halt(
        self,
        tenant: str | None,
        tool: str | None,
        workflow: str | None,
        *,
        contain: bool,
        only: str | None = None,
    ) -> int:
        """
        Remove the halt of exactly this scope, or (*contain*) the one that lets through what
        undoes, where *only* is its reason or not given; how many there were.
        """
        ...

    def halts(self, tenant: str | None) -> list[Halt]:
        """Read the halts that concern a tenant, or all."""
        ...

    def last_event(self, key: bytes) -> EventRow | None:
        """Read the newest event of a chain that has no effect row."""
        ...

    def beat(self, worker: str) -> None:
        """Record that a worker lives, and where its rows begin when it is new."""
        ...

    def dead(self) -> list[str]:
        """Read the workers that are known and no longer live."""
        ...

    def held(self, worker: str, limit: int) -> list[Row]:
        """Read effects that *worker* left running, locked like ``load``."""
        ...

    def bury(self, worker: str) -> None:
        """Forget a worker."""
        ...

    def await_(self, tenant: str, key: bytes) -> None:
        """Mark an unfinished effect as awaited by another process."""
        ...

    def look(self, tenant: str, key: bytes) -> Row | None:
        """Read a row without locking it."""
        ...

    def glance(self, tenant: str, key: bytes) -> Found:
        """Read a row without locking it, whether its holder lives, and the clock."""
        ...

    def find(self, act: Find) -> list[Row]:
        """Read rows, newest first."""
        ...

    def plans(self, act: ReadPlans) -> list[Planned]:
        """Read the effects of a workflow, or of the tenant, with their plans, oldest first."""
        ...

    def neighbours(self, act: Neighbours) -> list[Neighbour]:
        """Read the effects beside which a call may stand, oldest first."""
        ...

    def recorded(self, act: ReadRecords) -> list[Record]:
        """Read the effects of a workflow in the order in which they were asked for."""
        ...

    def place(self, key: bytes) -> str | None:
        """Read the places at which an effect was asked for, as they are stored."""
        ...

    def put_place(self, key: bytes, place: str) -> None:
        """Write them."""
        ...

    def history(self, tenant: str, key: bytes) -> list[EventRow]:
        """Read the events of an effect, oldest first."""
        ...

    def inbox(
        self, tenant: str | None, limit: int, *, unnotified: bool
    ) -> list[tuple[str, int, int | None, str, Row]]:
        """Read (kind, opened, due, note, row) of the inbox, oldest first."""
        ...

    def page(self, act: Page) -> list[tuple[int, Row, list[EventRow]]]:
        """Read rows in the order they were written, each with its events."""
        ...


class Applied(NamedTuple):
    """The answers to a group of acts (or the error of one), and the keys that changed."""

    answers: list[Any]
    touched: list[tuple[bytes, bool]]


class Store(Protocol):
    """A place where effects are kept. All methods may be called from any thread."""

    #: microseconds added to the database's clock; only tests turn it
    shift: int
    #: whether a caller's own thread may apply acts (no commit that waits for a disk)
    immediate: bool
    #: whether reading never leaves this machine, so that an event loop may do it inline
    local: bool

    def apply(self, acts: Sequence[AnyAct]) -> Applied:
        """Apply acts in one transaction, in an order that cannot deadlock; commit."""
        ...

    def attempt(self, acts: Sequence[AnyAct]) -> Applied | None:
        """As ``apply``, unless somebody else is at it just now: then ``None``, and no waiting."""
        ...

    def read(self, act: Act[A]) -> A:
        """Answer a reading act from a snapshot, without a write transaction."""
        ...

    def worker(self) -> str:
        """The identity under which this process holds effects; alive from now on."""
        ...

    def beats(self) -> float | None:
        """Seconds between heartbeats, or ``None`` where a lock tells."""
        ...

    def beat(self) -> None:
        """Say that this worker lives, apart from any other work of the store."""
        ...

    def lively(self) -> bool:
        """Whether nobody can have taken this worker for dead, judged by its own monotonic clock."""
        ...

    def publish(self, keys: Sequence[bytes]) -> None:
        """Hint to other processes that these effects changed; may be lost."""
        ...

    def watch(self, wake: Callable[[Sequence[bytes] | None], None]) -> Callable[[], None]:
        """Call *wake* when other processes may have changed something; returns the end of it."""
        ...

    def lend(self, connection: Any) -> AbstractContextManager[Lent]:
        """A transaction on a caller's connection, or on one of our own; InvalidPolicy if none."""
        ...

    def alend(self, connection: Any) -> AbstractAsyncContextManager[Lent]:
        """As ``lend``, for an event loop's connection."""
        ...

    def close(self) -> None:
        """Release everything: connections, locks, threads."""
        ...


class Lent(Protocol):
    """A connection that somebody lent; what is done on it counts once they commit."""

    connection: Any
    #: whether the lender's transaction keeps everybody else from writing, us included
    exclusive: bool

    async def claim(self, act: Claim) -> Found:
        """Claim in the lender's transaction."""
        ...

    async def do(self, act: Act[A]) -> A:
        """Apply any other act in the lender's transaction."""
        ...

    async def settle(self, act: Settle) -> Settled:
        """Record the outcome in the lender's transaction."""
        ...


class Ports(Protocol):
    """What the flows need of the outside world. Methods are coroutines on both faces."""

    @property
    def local(self) -> bool:
        """Whether looking first is cheaper than claiming at once."""
        ...

    @property
    def holder(self) -> str:
        """The worker under which this process holds effects."""
        ...

    def remember(self, key: bytes) -> None:
        """This effect has an outcome; next time it is worth to look before claiming."""
        ...

    def remembers(self, key: bytes) -> bool:
        """Whether this process saw an outcome of the effect not long ago."""
        ...

    @property
    def budgets(self) -> Register:
        """What this process knows of the budgets."""
        ...

    @property
    def listening(self) -> bool:
        """Whether any hook wants to hear of anything."""
        ...

    async def claim(self, act: Claim) -> Found:
        """Submit a claim; if the caller is cancelled meanwhile, it is given back."""
        ...

    async def settle(self, act: Settle) -> Settled:
        """Submit an outcome."""
        ...

    async def do(self, act: Act[A]) -> A:
        """Submit any other act."""
        ...

    async def read(self, act: Act[A]) -> A:
        """Answer a reading act."""
        ...

    def post(self, act: Settle | Act[Any]) -> None:
        """Submit without suspending, on a path that must not suspend."""
        ...

    async def wait(self, row: Row, timeout: float) -> Found | None:
        """Wait until *row* has changed or lost its holder; ``None`` after *timeout* seconds."""
        ...

    async def pause(self, seconds: float) -> None:
        """Do nothing for a while."""
        ...

    async def until(self, done: Future[T], timeout: float) -> T:
        """Wait for what another thread of this process will do; TimeoutError after *timeout*."""
        ...

    async def clock(self) -> int:
        """The database's clock in microseconds, as it was read a minute ago, and gone on."""
        ...

    def owe(self, act: Act[Any]) -> None:
        """Submit as soon as the database answers again; what is owed is bounded in number."""
        ...

    async def lively(self) -> bool:
        """Whether this worker certainly still counts as alive; renews that where it is unsure."""
        ...

    def monotonic(self) -> float:
        """Seconds of a clock that only goes forward."""
        ...

    async def ask(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Call a user's predicate, probe or precondition, sync or async."""
        ...

    async def invoke(
        self, fn: Callable[..., Any], args: dict[str, Any], timeout: float | None
    ) -> Any:
        """Call a tool here: on this thread, or on this event loop within *timeout* seconds."""
        ...

    async def enter(
        self,
        attempt: Callable[[Ports], Coroutine[Any, Any, T]],
        *,
        is_async: bool,
        timeout: float | None,
    ) -> T:
        """
        Run an attempt (tool and settle) where the tool belongs.

        Once begun, the attempt of a sync tool is carried to its end even if the caller goes;
        TimeoutError says that the caller's *timeout* seconds are over.
        """
        ...

    def lend(self, connection: Any) -> AbstractAsyncContextManager[Lent]:
        """Work on a caller's connection, in a savepoint; or on one of our own and commit."""
        ...

    def tell(self, details: Details) -> bool:
        """Tell the hooks a fact that is about no effect; never raises; whether all took it."""
        ...

    def emit(self, kind: str, row: Row, **facts: Any) -> bool:
        """Tell the hooks a fact; never raises; whether all of them took it."""
        ...

    def around(self, kind: str, row: Row, **facts: Any) -> AbstractContextManager[None]:
        """Let the hooks stand around a moment that lasts; never raises."""
        ...
