"""What a session keeps in the ledger: answers of models and people, and the ends of runs."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final

from autogen_core.models import CreateResult

from tallystick import Guarantee, Ledger, Policy, Status
from tallystick._canonical import canonical
from tallystick._keys import identify
from tallystick._replay._play import play_of
from tallystick.errors import UnknownEffect

#: under which answers, what tools told, what people said, runs and sessions are recorded
ANSWER, TOLD, SAID = "autogen.answer", "autogen.told", "autogen.said"
RUN, SESSION = "autogen.run", "autogen.session"
#: to record once more is safe at any time
POLICY = Policy(guarantee=Guarantee.IDEMPOTENT, key_lifetime=100 * 365 * 86_400.0)

MISSING: Final = object()


class Shelf:
    """
    Values of one workflow by what they are about, each an effect that succeeded.

    One is written when it is whole, and nothing is claimed before: what is cut off leaves no
    trace, and asks nobody to resolve it.
    """

    def __init__(self, ledger: Ledger, workflow: str) -> None:
        self.ledger = ledger
        self.workflow = workflow

    @property
    def replays(self) -> bool:
        """Whether the program is told again from its record."""
        return play_of(self.ledger) is not None

    async def get(self, kind: str, about: Mapping[str, Any]) -> Any:
        """
        What was put, or MISSING.

        In a replay a run begins anew, and what its tools told comes from them again; an answer of a
        model that is not recorded is a Divergence.
        """
        if self.replays and kind == ANSWER:
            return await self.put(kind, about, None)
        if self.replays:
            return self._ended().get(canonical(about), MISSING)
        identity = identify(
            tenant=self.ledger.tenant,
            workflow=self.workflow,
            tool=kind,
            args=about,
            call_id=None,
            occurrence=0,
            policy=POLICY,
        )
        try:
            effect = await self.ledger.aget(identity.key.hex())
        except UnknownEffect:
            return MISSING
        return effect.result if effect.status is Status.SUCCEEDED else MISSING

    async def put(self, kind: str, about: Mapping[str, Any], value: Any) -> Any:
        """Keep *value*; what was there before stays, and is returned."""

        async def it(**_: Any) -> Any:
            return value

        kept = await self.ledger.acall(kind, it, about, workflow=self.workflow, policy=POLICY)
        if kind == RUN and self.replays:
            self._ended()[canonical(about)] = kept
        return kept

    def _ended(self) -> dict[bytes, Any]:
        """The runs of the workflow that ended in this replay, the oldest first."""
        play = play_of(self.ledger)
        if play is None:
            return {}
        return play.stand_in(self.ledger, _Runs).setdefault(self.workflow, {})

    async def newest(self, kind: str) -> Any:
        """What was put last of a kind, or MISSING; a replay sees its own runs only."""
        if self.replays:
            return next(reversed(self._ended().values()), MISSING) if kind == RUN else MISSING
        found = await self.ledger.aeffects(
            workflow=self.workflow, tool=kind, status=Status.SUCCEEDED, limit=1
        )
        return found[0].result if found else MISSING


class _Runs(dict[str, dict[bytes, Any]]):
    """The runs that ended in a replay, by their workflow."""


class Memory:
    """
    The answers of one run, by what was asked, and what its tools told that may change.

    The same question asked twice within a run is two questions, told apart by their order.
    """

    def __init__(self, shelf: Shelf, run: str) -> None:
        self._shelf = shelf
        self._run = run
        self._asked: Counter[bytes] = Counter()

    async def answer(
        self, question: bytes, ask: Callable[[], Awaitable[CreateResult]]
    ) -> CreateResult:
        """The recorded answer, or what *ask* answers, recorded."""
        about = self._about(question)
        known = await self._shelf.get(ANSWER, about)
        if known is not MISSING:
            return CreateResult.model_validate(known)
        return await self._kept(about, await ask())

    async def stream(
        self, question: bytes, stream: AsyncGenerator[str | CreateResult, None]
    ) -> AsyncGenerator[str | CreateResult, None]:
        """The recorded answer in one piece, or what *stream* tells, recorded at its end."""
        about = self._about(question)
        known = await self._shelf.get(ANSWER, about)
        if known is not MISSING:
            result = CreateResult.model_validate(known)
            if isinstance(result.content, str):
                yield result.content
            yield result
            return
        try:
            async for piece in stream:
                yield await self._kept(about, piece) if isinstance(piece, CreateResult) else piece
        finally:
            await stream.aclose()

    async def said(self, question: bytes, ask: Callable[[], Awaitable[str]]) -> str:
        """What a person said, or says to *ask* now, recorded."""
        about = self._about(question)
        known = await self._shelf.get(SAID, about)
        said: str = await self._shelf.put(SAID, about, await ask()) if known is MISSING else known
        return said

    def call(self, tool: str, args: Mapping[str, Any]) -> dict[str, Any]:
        """The next call of a tool with these arguments, for :meth:`told` and :meth:`tell`."""
        text = json.dumps([tool, args], sort_keys=True, default=repr)
        return self._about(hashlib.sha256(text.encode()).digest())

    async def told(self, call: Mapping[str, Any]) -> Any:
        """
        What the model was told of a call, or MISSING.

        A tool that only reads may say something else the next time, and one that failed may
        succeed: the model would go another way, and do by other calls what was done already.
        """
        return await self._shelf.get(TOLD, call)

    async def tell(self, call: Mapping[str, Any], what: Mapping[str, Any]) -> None:
        """The model will be told this, now and again."""
        await self._shelf.put(TOLD, call, what)

    async def _kept(self, about: Mapping[str, Any], result: CreateResult) -> CreateResult:
        await self._shelf.put(ANSWER, about, result.model_dump(mode="json"))
        return result

    def _about(self, question: bytes) -> dict[str, Any]:
        n = self._asked[question]
        self._asked[question] += 1
        return {"run": self._run, "question": question.hex(), "n": n}


MEMORY: ContextVar[Memory | None] = ContextVar("tallystick_autogen_memory", default=None)
