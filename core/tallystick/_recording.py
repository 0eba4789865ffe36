"""Answers of models in the record of a workflow, for those who want them replayed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from tallystick._context import WORKFLOW
from tallystick._faces import run_sync
from tallystick._flows.call import Call
from tallystick._flows.replaying import keep, serve
from tallystick._ports import Ports
from tallystick._replay._play import Play, play_of
from tallystick.errors import LedgerError, NoWorkflow

if TYPE_CHECKING:
    from tallystick.ledger import Ledger

_LOG = logging.getLogger("tallystick")
#: characters of the end of a question that are kept, to be read by people
_END = 2000


class Question(NamedTuple):
    """What a model is asked, as it is recorded: named by its digest, shown by its end."""

    model: str
    provider: str | None
    digest: bytes
    end: str


class Recorder:
    """
    Records what models answer as effects of the ledger's own, and answers from there in a replay.

    No budget pays for such an effect. An answer that cannot be recorded is the caller's all the
    same: the log says so, and a replay will miss it.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger: Any = ledger

    @property
    def replays(self) -> bool:
        """Whether answers come from the record here."""
        return play_of(self._ledger) is not None

    def call(self, question: Question, workflow: str | None = None) -> Call:
        """The effect that an answer is; NoWorkflow where nobody says which run it belongs to."""
        name = workflow if workflow is not None else WORKFLOW.get()
        if name is None:
            raise NoWorkflow(
                f"{question.model} was asked outside of a workflow, so that its answer could not "
                "be found again; ask inside of `with ledger.workflow('order-42'):`, or do not "
                "record"
            )
        about = {
            "model": question.model,
            "provider": question.provider,
            "request": question.digest.hex(),
            "end": question.end[-_END:],
        }
        call: Call = self._ledger._answer(name, about)  # noqa: SLF001 - the ledger's own half
        return call

    def answer(self, call: Call) -> Any:
        """What was recorded; Divergence where nothing is."""
        return run_sync(serve(self._ports(awaiting=False), self._play(), call))

    async def aanswer(self, call: Call) -> Any:
        """As :meth:`answer`, awaited."""
        return await serve(self._ports(awaiting=True), self._play(), call)

    def keep(self, call: Call, value: Any) -> None:
        """Record an answer."""
        try:
            run_sync(keep(self._ports(awaiting=False), call, value))
        except LedgerError:
            _LOG.exception(_LOST, call.workflow)

    async def akeep(self, call: Call, value: Any) -> None:
        """As :meth:`keep`, awaited."""
        try:
            await keep(self._ports(awaiting=True), call, value)
        except LedgerError:
            _LOG.exception(_LOST, call.workflow)

    def _ports(self, *, awaiting: bool) -> Ports:
        p: Ports = self._ledger._awaiting if awaiting else self._ledger._blocking  # noqa: SLF001
        return p

    def _play(self) -> Play:
        play = play_of(self._ledger)
        assert play is not None, "who asks for a recorded answer is in a replay"
        return play


_LOST = "an answer of a model in %s could not be recorded; a replay will miss it"
