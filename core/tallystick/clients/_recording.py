"""An answer of a provider as it is recorded, and made again of its record."""

from __future__ import annotations

import sys
from typing import Any

from tallystick._recording import Question, Recorder
from tallystick.clients._requests import Wanted

#: about the connection, or the form in which the body was sent, and not about the answer
_PASSING = {"connection", "content-length", "set-cookie", "transfer-encoding"}
#: the providers' clients ask again after these
_AGAIN = {408, 409, 429}
_BROKEN = 500


class Told:
    """An answer from the record of a replay."""

    def __init__(self, recorded: dict[str, Any]) -> None:
        self._recorded = recorded

    def response(self, request: Any) -> Any:
        """The response that *request* would have got, of the library that it is of."""
        library: Any = sys.modules[type(request).__module__.partition(".")[0]]
        recorded, body = self._recorded, self._recorded["body"]
        return library.Response(
            recorded["status"],
            headers=recorded["headers"],
            content=body.encode() if isinstance(body, str) else body,
            request=request,
        )


class Recording:
    """Where the answer to one request is kept."""

    def __init__(self, recorder: Recorder, wanted: Wanted) -> None:
        end = wanted.raw.decode("utf-8", "replace")
        question = Question(wanted.model, wanted.provider, wanted.digest, end)
        self._recorder = recorder
        self._call = recorder.call(question)
        self._head: dict[str, Any] | None = None

    @property
    def replays(self) -> bool:
        """Whether the answer comes from the record."""
        return self._recorder.replays

    def told(self) -> Told:
        """The recorded answer; Divergence where there is none."""
        return Told(self._recorder.answer(self._call))

    async def atold(self) -> Told:
        """As :meth:`told`, awaited."""
        return Told(await self._recorder.aanswer(self._call))

    # -- an answer that came at once ------------------------------------------------------------

    def whole(self, response: Any) -> None:
        """Keep an answer that is there."""
        if _final(response) and response.is_closed:
            self._recorder.keep(self._call, _kept(response, response.content, decoded=True))

    async def awhole(self, response: Any) -> None:
        """As :meth:`whole`, awaited."""
        if _final(response) and response.is_closed:
            kept = _kept(response, response.content, decoded=True)
            await self._recorder.akeep(self._call, kept)

    # -- an answer in pieces --------------------------------------------------------------------

    def begins(self, response: Any) -> None:
        """The pieces of an answer are on their way."""
        self._head = _kept(response, b"", decoded=False)

    def lost(self) -> None:
        """They break off."""
        self._head = None

    def ended(self, body: bytes) -> None:
        """Keep what came of it, the first time."""
        head, self._head = self._head, None
        if head is not None:
            self._recorder.keep(self._call, head | {"body": _text(body)})

    async def aended(self, body: bytes) -> None:
        """As :meth:`ended`, awaited."""
        head, self._head = self._head, None
        if head is not None:
            await self._recorder.akeep(self._call, head | {"body": _text(body)})


def _final(response: Any) -> bool:
    status: int = response.status_code
    return status not in _AGAIN and status < _BROKEN


def _kept(response: Any, body: bytes, *, decoded: bool) -> dict[str, Any]:
    gone = _PASSING | {"content-encoding"} if decoded else _PASSING
    headers = [(k.lower(), v) for k, v in response.headers.multi_items()]
    return {
        "status": response.status_code,
        "headers": [[name, value] for name, value in headers if name not in gone],
        "body": _text(body),
    }


def _text(body: bytes) -> str | bytes:
    """Readable where it is text."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body
