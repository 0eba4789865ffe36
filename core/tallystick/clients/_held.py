"""One call that was reserved: booked once, whatever becomes of it."""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import logging
from typing import Any

from tallystick.clients._answers import Verdict, whole
from tallystick.clients._recording import Recording
from tallystick.clients._requests import Wanted
from tallystick.clients._streams import Observer
from tallystick.metering import Metered, ModelRequest, refused

_log = logging.getLogger("tallystick")

_LOST = (
    "the call %s was answered and could not be booked: it stays charged in full, and is shown as "
    "unreconciled"
)
#: how servers refuse a field that they do not know
_INVALID = {400, 422}
#: seconds that a cancelled task waits for its call to be booked
_PATIENCE = 5.0


#: what is being written for tasks that may have been cancelled meanwhile
_booking: set[asyncio.Task[None]] = set()


class Held:
    """A reservation on its way through the HTTP client."""

    def __init__(
        self,
        metered: Metered,
        wanted: Wanted,
        request: ModelRequest,
        recording: Recording | None = None,
    ) -> None:
        #: where the answer is kept, if it is
        self.recording = recording
        self._metered = metered
        self._wanted = wanted
        self._request = request
        self._observer: Observer | None = None
        self._sent = False
        self._asked = False
        self._booked = False

    # ---------------------------------------------------------------- on the way out

    def outgoing(self, request: Any, *, ask_usage: bool) -> Any:
        """What is sent instead of *request*: limited as it was reserved, and asking for usage."""
        self._sent = True
        self._asked = ask_usage and self._wanted.may_be_asked
        if self._wanted.streamed:
            # an event that was compressed could neither be read nor be kept back
            request.headers["accept-encoding"] = "identity"
        body = self._wanted.rewritten(limit=self._limit(), usage=self._asked)
        if body is None:
            return request
        headers = [(k, v) for k, v in request.headers.multi_items() if k != "content-length"]
        extensions = dict(request.extensions)
        return type(request)(
            request.method, request.url, headers=headers, content=body, extensions=extensions
        )

    def _limit(self) -> int | None:
        """What one choice may have where the budget affords less than was asked for."""
        affordable, asked = self._metered.output_bound, self._request.output_bound
        if affordable is None or (asked is not None and affordable >= asked):
            return None
        return affordable // self._wanted.choices

    # ---------------------------------------------------------------- on the way back

    def may_be_refused_for_asking(self, response: Any) -> bool:
        """Whether *response* says no, perhaps to nothing but what was added to the request."""
        return self._asked and response.status_code in _INVALID

    def failed(self, error: BaseException) -> Verdict:
        """No answer came."""
        told = f"{type(error).__name__}: {error}"[:200]
        return Verdict(act="release" if refused(error) else "leave", reason=told)

    def answered(self, response: Any) -> Verdict | None:
        """An answer began: what it means, or None while its pieces are still to come."""
        if not response.is_success:
            # who says no has done nothing; who breaks down may have done anything
            told = f"HTTP {response.status_code}"
            return Verdict(act="leave" if response.is_server_error else "release", reason=told)
        kind = response.headers.get("content-type") or self._wanted.expected
        if response.is_closed and "event-stream" not in kind:
            return whole(self._wanted.dialect, response.content)
        encoding = response.headers.get("content-encoding", "").lower()
        self._observer = Observer(
            self._wanted.dialect,
            input_bound=self._request.input_bound,
            kind=kind,
            encoding="" if response.is_closed else encoding,
            hide=self._asked,
        )
        # a hook of the HTTP client may have read the stream already
        return self._observer.judged(response.content) if response.is_closed else None

    @property
    def observer(self) -> Observer:
        """Who watches the pieces."""
        assert self._observer is not None
        return self._observer

    def lost(self) -> None:
        """The answer broke off: what is there of it is not kept."""
        if self.recording is not None:
            self.recording.lost()

    # ---------------------------------------------------------------- in the ledger

    @property
    def booked(self) -> bool:
        """Whether it is known what became of the call."""
        return self._booked

    def book(self, verdict: Verdict) -> None:
        """Put *verdict* into the ledger, the first time; a paid answer never fails for it."""
        if not self._taken():
            _apply(self._metered, verdict)

    async def abook(self, verdict: Verdict) -> None:
        """The same for an event loop; a task that is cancelled meanwhile still books."""
        if self._taken():
            return
        task = asyncio.create_task(_aapply(self._metered, verdict))
        # the loop itself remembers tasks only weakly
        _booking.add(task)
        task.add_done_callback(_booking.discard)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task}, timeout=_PATIENCE)
            raise

    def _taken(self) -> bool:
        taken, self._booked = self._booked, True
        return taken

    def __del__(self) -> None:
        # The collector may run anywhere, inside the ledger's own locks too: another thread books.
        if getattr(self, "_booked", True):
            return
        with contextlib.suppress(Exception):  # the interpreter ends, and the reservation expires
            _thread.start_new_thread(_apply, (self._metered, self._abandoned()))

    def _abandoned(self) -> Verdict:
        if self._observer is not None:
            return self._observer.verdict("the stream was abandoned")
        return Verdict(act="leave" if self._sent else "release", reason="abandoned")


def _apply(metered: Metered, verdict: Verdict) -> None:
    try:
        if verdict.usage is not None and verdict.act == "settle":
            metered.settle(verdict.usage, **_told(verdict))
        elif verdict.act == "release":
            metered.release(reason=verdict.reason)
        else:
            metered.leave(verdict.usage, reason=verdict.reason, model=verdict.model)
    except Exception:  # noqa: BLE001 - the answer was paid for, and is the caller's
        _log.exception(_LOST, metered.key)


async def _aapply(metered: Metered, verdict: Verdict) -> None:
    try:
        if verdict.usage is not None and verdict.act == "settle":
            await metered.asettle(verdict.usage, **_told(verdict))
        elif verdict.act == "release":
            await metered.arelease(reason=verdict.reason)
        else:
            await metered.aleave(verdict.usage, reason=verdict.reason, model=verdict.model)
    except Exception:  # noqa: BLE001 - the answer was paid for, and is the caller's
        _log.exception(_LOST, metered.key)


def _told(verdict: Verdict) -> dict[str, Any]:
    return {"model": verdict.model, "context": verdict.tier, "answer": verdict.answer}
