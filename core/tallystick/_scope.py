"""Context managers: the ambient workflow, and a claim by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import Token
from types import TracebackType
from typing import Any, Self

from tallystick import _changes as changes
from tallystick import _points
from tallystick import _rules as rules
from tallystick._acts import Doubt, Settle
from tallystick._context import AROUND, CURRENT, ENTERING, WORKFLOW, Around, CurrentEffect
from tallystick._faces import run_sync
from tallystick._flows import replaying, stops
from tallystick._flows.attempt import current, given_back, held, success, verdict_on
from tallystick._flows.call import Call, describe, recorded_args
from tallystick._flows.effects import settle_by_hand, until_ours
from tallystick._keys import check_name
from tallystick._model import Row, Status
from tallystick._ports import Ports
from tallystick._replay._play import Play
from tallystick._rules import Step
from tallystick.errors import InvalidCall


class WorkflowScope:
    """Calls inside belong to a workflow; enter it with ``with`` or ``async with``."""

    _closed = False

    def __init__(
        self,
        name: str,
        *,
        budget: str | Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        names = (budget,) if isinstance(budget, str) else tuple(budget)
        self._budgets = tuple(check_name(each, "budget") for each in names)
        self._labels = {check_name(n, "label"): check_name(v, n) for n, v in (labels or {}).items()}
        self._tokens: list[tuple[Token[str | None], Token[Around]]] = []
        self._leaving: list[list[Callable[[], object]]] = []

    def __enter__(self) -> Self:
        outer = AROUND.get()
        inner = Around(
            {**outer.labels, **self._labels},
            tuple(dict.fromkeys((*outer.budgets, *self._budgets))),
            outer.closed or self._closed,
        )
        self._leaving.append([entered(self.name) for entered in ENTERING])
        self._tokens.append((WORKFLOW.set(self.name), AROUND.set(inner)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        workflow, around = self._tokens.pop()
        AROUND.reset(around)
        WORKFLOW.reset(workflow)
        for leave in reversed(self._leaving.pop()):
            leave()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)


class Claimed:
    """
    An effect claimed by hand.

    ``fresh`` is true for exactly one holder at a time. Leaving the block without having settled
    puts the effect in doubt, unless what was raised certainly means that it did not happen.
    """

    def __init__(
        self, blocking: Ports, awaiting: Ports, call: Call, play: Play | None = None
    ) -> None:
        self._blocking = blocking
        self._awaiting = awaiting
        self._call = call
        self._play = play
        self._row: Row | None = None
        self._result: Any = None
        self._entered = False
        self._settled = False
        self._token: Token[CurrentEffect | None] | None = None

    @property
    def key(self) -> str:
        """The effect's key, to pass downstream."""
        return self._call.hex

    @property
    def args(self) -> dict[str, Any]:
        """What to perform a fresh claim with: the arguments that were recorded, or approved."""
        return recorded_args(self._call, self._ours())

    @property
    def fresh(self) -> bool:
        """Whether the effect is the caller's to perform."""
        if not self._entered:
            raise InvalidCall("enter the claim first: `with ledger.claim(…) as claim:`")
        return self._row is not None

    @property
    def result(self) -> Any:
        """The recorded result of a claim that is not fresh."""
        if self.fresh and not self._settled:
            raise InvalidCall("a fresh claim has no result yet; perform it and call succeed()")
        return self._result

    def succeed(self, result: Any = None) -> None:
        """Record that it happened; raises EffectInDoubt if another holder took over meanwhile."""
        act = self._success(result)
        run_sync(settle_by_hand(self._blocking, self._call, act))
        self._recorded()

    async def asucceed(self, result: Any = None) -> None:
        """As :meth:`succeed`."""
        act = self._success(result)
        await settle_by_hand(self._awaiting, self._call, act)
        self._recorded()

    def fail(self, error: BaseException | str, *, retryable: bool = False) -> None:
        """
        Record that it certainly did not happen.

        Where this repeats an attempt of which nobody knows, that says nothing about the earlier
        one, and the effect is in doubt.
        """
        run_sync(settle_by_hand(self._blocking, self._call, self._failure(error, retryable)))
        self._settled = True

    async def afail(self, error: BaseException | str, *, retryable: bool = False) -> None:
        """As :meth:`fail`."""
        await settle_by_hand(self._awaiting, self._call, self._failure(error, retryable))
        self._settled = True

    def _success(self, result: Any) -> Settle:
        self._result = result
        act = success(self._call, self._ours(), result)
        if _points.armed:
            _points.reach("tool.after")
        return act

    def _recorded(self) -> None:
        self._settled = True
        if _points.armed:
            _points.reach("tool.recorded")

    def _failure(self, error: BaseException | str, retryable: bool) -> Settle | Doubt:
        row = self._ours()
        raised = error if isinstance(error, BaseException) else RuntimeError(error)
        said = describe(raised, self._call)
        if row.result_note == rules.UNSURE:
            reason = "this attempt did not happen, but an earlier one may have"
            return changes.left_open(row, row.holder or "", said, reason)
        return Settle(
            key=row.key,
            tenant=row.tenant,
            epoch=row.epoch,
            nonce=row.nonce or b"",
            status=Status.FAILED.value,
            note="retryable" if retryable else None,
            error=said,
        )

    def _ours(self) -> Row:
        if self._row is None or self._settled:
            raise InvalidCall("only a fresh claim that is not settled yet can be settled")
        return self._row

    def _entering(self, step: Step, row: Row, call: Call) -> None:
        self._entered = True
        # the effect that a placed call stands for may have another key than the call by itself
        self._call = call._replace(identity=call.identity._replace(key=row.key))
        if step is Step.REPLAY:
            self._result = stops.replay(self._call, row)
        else:
            self._row = row
            self._token = CURRENT.set(current(self._call, row, self.args))

    def _leaving(self) -> None:
        if self._token is not None:
            with suppress(ValueError):  # left in another context than entered
                CURRENT.reset(self._token)

    def __enter__(self) -> Self:
        self._entering(*run_sync(self._until_ours(self._blocking)))
        return self._begun(self._blocking)

    async def __aenter__(self) -> Self:
        self._entering(*await self._until_ours(self._awaiting))
        return self._begun(self._awaiting)

    def _begun(self, p: Ports) -> Self:
        if _points.armed and self._row is not None:
            try:
                _points.reach("tool.before")
            except BaseException as error:
                self._leaving()
                self._left(p, self._row, error)
                raise
        return self

    async def _until_ours(self, p: Ports) -> tuple[Step, Row, Call]:
        if self._play is not None:
            return await replaying.claimed(p, self._play, self._call)
        return await until_ours(p, self._call)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leaving()
        if self._row is not None and not self._settled:
            self._left(self._blocking, self._row, error)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leaving()
        if self._row is not None and not self._settled:
            self._left(self._awaiting, self._row, error)

    def _left(self, p: Ports, row: Row, error: BaseException | None) -> None:
        """Nobody said what became of it."""
        self._settled = True
        verdict = verdict_on(error, self._call, row) if error else "unknown"
        if error is not None and verdict == "interrupted":
            p.post(given_back(row, error))
        elif error is not None and verdict in {"failed", "retryable"}:
            failed = self._failure_of(row, error, verdict == "retryable")
            p.post(held(self._call, failed) if isinstance(failed, Settle) else failed)
        else:
            reason = describe(error, self._call) if error else None
            p.post(changes.left_open(row, p.holder, reason))

    def _failure_of(self, row: Row, error: BaseException, retryable: bool) -> Settle | Doubt:
        self._settled = False
        settle = self._failure(error, retryable)
        self._settled = True
        return settle
