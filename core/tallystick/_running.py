"""A workflow that is recorded as a run: entered, held, left, gone back in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import Token
from types import TracebackType
from typing import Any, Self, cast

from tallystick._codec import encode, frozen_copy
from tallystick._context import AROUND, REPLAYS, RUNS
from tallystick._faces import Awaiting, Blocking, run_sync
from tallystick._flows import compensating, runs, stops
from tallystick._flows.compensating import Target
from tallystick._flows.runs import Opened, Opening
from tallystick._flows.undoing import House
from tallystick._keys import check_name
from tallystick._policy import seconds
from tallystick._scope import WorkflowScope
from tallystick._undoing._report import Compensation
from tallystick._wanted import UNSET, Wanted
from tallystick.errors import CalledFromItself, CompensationIncomplete, Halted, InvalidCall


def _replayed(face: Blocking) -> bool:
    """Whether the ledger of *face* is being replayed around the caller."""
    return any(getattr(play.owner, "_blocking", None) is face for play in REPLAYS.get())


class RunScope(WorkflowScope):
    """
    A workflow that calls inside belong to; where it is recorded, a run with input and output.

    Enter it with ``with`` or ``async with``.
    """

    def __init__(
        self,
        name: str,
        house: Callable[[], House],
        faces: tuple[Blocking, Awaiting],
        wanted: Wanted,
        *,
        budget: str | Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name, budget=budget, labels=labels)
        self._house = house
        self._blocking, self._awaiting = faces
        self._wanted = wanted.checked()
        self._given = {} if wanted.input is UNSET else frozen_copy({"input": wanted.input})
        self._opening: Opening | None = None
        self._opened: Opened | None = None
        self._output: Any = None
        self._savepoints = 0
        self._undone = False
        #: in a replay the run is what is recorded of it, and nothing becomes of it
        self._told = False
        self._token: Token[tuple[str, ...]] | None = None

    # -- what is known of the run ---------------------------------------------------------------

    @property
    def input(self) -> Any:
        """The recorded input: also where it was left out when the run was opened again."""
        return self._mine().args.get("input")

    @property
    def attempt(self) -> int:
        """1 for whoever opened it first."""
        return self._mine().row.attempt

    @property
    def resumed(self) -> bool:
        """Whether somebody was in it before, and what they did replays."""
        return self.attempt > 1

    @property
    def joined(self) -> bool:
        """Whether somebody else holds it: their end of the block is the run's."""
        return not (self._mine().held or self.finished or self._told)

    @property
    def finished(self) -> bool:
        """Whether it had its outcome before: what is recorded replays, and nothing begins."""
        return self._mine().finished

    @property
    def key(self) -> str:
        """Of the run's record, in hex."""
        return self._mine().row.key.hex()

    @property
    def output(self) -> Any:
        """What was set so far; of a run that is finished, what was recorded."""
        if self._opened is not None and self._opened.finished:
            return stops.replay(self._opened.call, self._opened.row)
        return self._output

    def set_output(self, value: Any) -> None:
        """
        Say what the run puts out, recorded when its block comes to its end.

        Of a run that is finished the recorded output stays. Raises NotSerializable at once for what
        could not be kept.
        """
        if self.joined:
            raise InvalidCall(f"the run {self.name} was joined; its output is its holder's to set")
        encode(value, where="output")
        self._output = value

    # -- going back -----------------------------------------------------------------------------

    def savepoint(self, name: str | None = None) -> str:
        """A place that can be gone back to, by its name; the number of it where none is given."""
        named = self._place(name)
        if self._told:
            return named
        return run_sync(runs.savepoint(self._blocking, self._house(), self.name, named))

    async def asavepoint(self, name: str | None = None) -> str:
        """As :meth:`savepoint`, awaited."""
        named = self._place(name)
        if self._told:
            return named
        return await runs.savepoint(self._awaiting, self._house(), self.name, named)

    def compensate(self, *, to: str | None = None, reason: str = "") -> Compensation:
        """
        Undo what was done since the savepoint *to*, and go on; without it all, and nothing more.

        Raises CompensationIncomplete where something is left to do.
        """
        done = run_sync(compensating.compensate(self._blocking, *self._back(to, reason)))
        self._undone = to is None
        return done

    async def acompensate(self, *, to: str | None = None, reason: str = "") -> Compensation:
        """As :meth:`compensate`, awaited."""
        done = await compensating.compensate(self._awaiting, *self._back(to, reason))
        self._undone = to is None
        return done

    def _place(self, name: str | None) -> str:
        self._mine()
        if name is not None:
            return check_name(name, "savepoint")
        self._savepoints += 1
        return f"{self._savepoints}"

    def _back(self, to: str | None, reason: str) -> tuple[House, Target]:
        self._mine()
        if self._told:
            raise InvalidCall(f"{self.name} is being replayed, and a replay undoes nothing")
        wait = seconds(self._wanted.wait, "wait")
        return self._house(), Target(self.name, to, "run", reason or "the run goes back", wait)

    def _mine(self) -> Opened:
        if self._opened is None:
            raise InvalidCall(
                f"{self.name} is not open as a run: enter it first, and give it an input=… (or "
                "kind=…, compensate=…) so that it is recorded"
            )
        return self._opened

    # -- entering and leaving -------------------------------------------------------------------

    def _open(self) -> Opening:
        if self._opening is not None:
            raise InvalidCall(f"the run {self.name} is open already; open it anew for each use")
        around, wanted = RUNS.get(), self._wanted
        if self.name in around and wanted.rival != "join":
            raise CalledFromItself(
                f"the run {self.name} is open around this and would wait for itself; leave the "
                "options out to be in its workflow, or rival='join' to be in the run"
            )
        about = {
            "compensate": wanted.compensate or "never",
            "kind": wanted.kind,
            "framework": wanted.framework,
            "version": wanted.version,
            "labels": {**AROUND.get().labels, **self._labels},
            "budgets": list(self._budgets),
        }
        return Opening(
            self.name,
            self._given,
            about,
            wanted.rival or "wait",
            seconds(wanted.wait, "wait"),
            parent=around[-1] if around else None,
            replays=(wanted.finished or ("replay" if around else "raise")) == "replay",
            closed=AROUND.get().closed,
            classify=wanted.classify,
        )

    async def _enter(self, p: Blocking | Awaiting, opening: Opening) -> Opened:
        self._told = _replayed(self._blocking)
        if not self._told:
            return await runs.enter(p, self._house(), opening)
        opened = await runs.told(p, self._house(), opening)
        if opened is None:
            raise InvalidCall(
                f"{self.name} is replayed as a run, and none is recorded of it; leave the run's "
                "options out to be in its workflow"
            )
        return opened

    def _entered(self, opening: Opening, opened: Opened) -> None:
        self._opening, self._opened = opening, opened
        self._closed = opened.finished
        self._token = RUNS.set((*RUNS.get(), self.name))
        super().__enter__()

    def __enter__(self) -> Self:
        if not self._wanted.recorded:
            return super().__enter__()
        opening = self._open()
        self._entered(opening, run_sync(self._enter(self._blocking, opening)))
        return self

    async def __aenter__(self) -> Self:
        if not self._wanted.recorded:
            return super().__enter__()
        opening = self._open()
        self._entered(opening, await self._enter(self._awaiting, opening))
        return self

    def _left(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> tuple[Opening, Opened] | None:
        super().__exit__(kind, error, trace)
        if self._opening is None or self._opened is None:
            return None
        left = (self._opening, self._opened)
        self._opening = self._opened = None
        if self._token is not None:
            RUNS.reset(self._token)
        return left

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        left = self._left(kind, error, trace)
        if left is not None and not self._told:
            run_sync(self._leave(self._blocking, left, error))

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        left = self._left(kind, error, trace)
        if left is not None and not self._told:
            await self._leave(self._awaiting, left, error)

    async def _leave(
        self,
        p: Blocking | Awaiting,
        left: tuple[Opening, Opened],
        error: BaseException | None,
    ) -> None:
        """What becomes of the run, by how its block was left."""
        opening, opened = left
        if self._undone:
            if error is None or isinstance(error, Exception):
                await runs.left_contained(p, self._house(), opened)
        elif error is None:
            await runs.succeed(p, self._house(), opened, self._output)
        elif runs.is_stop(opened, error):
            await runs.stop(p, opened, error)
            if isinstance(error, Halted):  # perhaps by somebody who undoes the run
                await runs.left_contained(p, self._house(), opened)
        else:
            try:
                failure = cast("Exception", error)
                await runs.fail(p, self._house(), opened, opening, failure)
            except CompensationIncomplete as incomplete:
                raise incomplete from error
