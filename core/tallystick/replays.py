"""Runs that are told again from their record; see ``Ledger.replay``."""

from __future__ import annotations

from contextlib import suppress
from contextvars import Token
from types import TracebackType
from typing import Any, Self

from tallystick._context import REPLAYS, Assumed
from tallystick._faces import run_sync
from tallystick._flows import replaying
from tallystick._flows.attempt import success
from tallystick._flows.call import Call
from tallystick._model import Row
from tallystick._ports import Ports
from tallystick._replay._play import Play
from tallystick._scope import WorkflowScope
from tallystick.errors import Divergence, InvalidCall, StoreError

__all__ = ["Replay"]


class Replay:
    """
    Calls inside are answered from a workflow's record; enter it with ``with`` or ``async with``.

    Nothing is executed, claimed, charged or asked. Every thread and task with the caller's context
    is inside; a thread without it is, too, for a workflow that only one replay of the process has.
    """

    def __init__(
        self, blocking: Ports, awaiting: Ports, play: Play, plays: list[Play], call: Call
    ) -> None:
        self._blocking = blocking
        self._awaiting = awaiting
        self._play = play
        self._plays = plays
        self._call = call
        self._row: Row | None = None
        self._scope = WorkflowScope(Assumed(play.workflow))
        self._token: Token[tuple[Any, ...]] | None = None

    @property
    def workflow(self) -> str:
        """The workflow that is replayed."""
        return self._play.workflow

    @property
    def served(self) -> int:
        """Calls that were answered, repeated ones included."""
        return self._play.served

    @property
    def divergences(self) -> tuple[Divergence, ...]:
        """What was otherwise than recorded, in the order in which it was noticed."""
        return tuple(self._play.divergences)

    @property
    def missing(self) -> tuple[Divergence, ...]:
        """The recorded calls that were not made, or not yet."""
        return tuple(self._play.missing())

    def __enter__(self) -> Self:
        return self._entered(run_sync(self._begun(self._blocking)))

    async def __aenter__(self) -> Self:
        return self._entered(await self._begun(self._awaiting))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._left(error)
        run_sync(self._recorded(self._blocking, error))
        self._judge(error)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._left(error)
        await self._recorded(self._awaiting, error)
        self._judge(error)

    async def _begun(self, p: Ports) -> Row:
        if self._row is not None:
            raise InvalidCall("this replay was entered before; make another one")
        return await replaying.begin(p, self._play, self._call)

    def _entered(self, row: Row) -> Self:
        self._row = row
        self._plays.append(self._play)
        self._token = REPLAYS.set((*REPLAYS.get(), self._play))
        self._scope.__enter__()
        return self

    def _left(self, error: BaseException | None) -> None:
        """Whatever still runs gets no more answers; what was not called is missing."""
        if not isinstance(error, Divergence):
            self._play.divergences += self._play.missing()
        self._play.closed = True
        self._plays.remove(self._play)
        with suppress(ValueError):  # left in another context than entered
            self._scope.__exit__(None, None, None)
            if self._token is not None:
                REPLAYS.reset(self._token)

    async def _recorded(self, p: Ports, error: BaseException | None) -> None:
        """Keep what became of the replay; an error that goes on its way is not hidden by ours."""
        assert self._row is not None
        settle = success(self._call, self._row, self._report(error))
        if error is None:
            await p.settle(settle)
            return
        with suppress(StoreError):
            p.post(settle)

    def _report(self, error: BaseException | None) -> dict[str, Any]:
        told = [
            {"kind": d.kind, "step": d.step, "key": d.key, "tool": d.tool, "workflow": d.workflow}
            for d in self._play.divergences
        ]
        raised = None if error is None else type(error).__name__
        return {"served": self.served, "divergences": told, "raised": raised}

    def _judge(self, error: BaseException | None) -> None:
        """A difference that nobody heard of, because something swallowed it, is told at the end."""
        if error is None and self._play.strict and self._play.divergences:
            raise self._play.divergences[0]
