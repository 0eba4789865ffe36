"""Where every request of a watched client stops to be reserved."""

from __future__ import annotations

from typing import Any

from tallystick._recording import Recorder
from tallystick.clients._endpoints import is_free, provider_of, tells_unasked
from tallystick.clients._held import Held
from tallystick.clients._recording import Recording, Told
from tallystick.clients._requests import Wanted, wanted_from
from tallystick.metering import Meter, ModelRequest

#: where a request carries what was decided about it: a reservation, or None for what is free
MARK = "tallystick"


class Gate:
    """What all copies of one watched client share."""

    def __init__(
        self,
        meter: Meter,
        *,
        provider: str | None,
        ask_usage: bool,
        least_output: int | None,
        recorder: Recorder | None = None,
    ) -> None:
        self.meter = meter
        self._recorder = recorder
        self._ask_usage = ask_usage
        #: hosts that refuse to be asked for the usage of a stream
        self._refusing: set[str] = set()
        self._least_output = least_output
        self._provider = provider

    def admit(self, request: Any, base: Any = None) -> Held | Told | None:
        """
        Reserve what *request* may cost; None for what costs nothing, Told for what is replayed.

        *base* is the base URL of its client, where that is known.
        """
        call = self._call(request, base)
        if call is None:
            return None
        kept = self._recording(call[0])
        if kept is not None and kept.replays:
            return kept.told()
        return Held(self.meter.begin(call[1]), *call, kept)

    async def aadmit(self, request: Any, base: Any = None) -> Held | Told | None:
        """The same for an event loop."""
        call = self._call(request, base)
        if call is None:
            return None
        kept = self._recording(call[0])
        if kept is not None and kept.replays:
            return await kept.atold()
        return Held(await self.meter.abegin(call[1]), *call, kept)

    def _recording(self, wanted: Wanted) -> Recording | None:
        """Where the answer is kept, if it is."""
        return None if self._recorder is None else Recording(self._recorder, wanted)

    def asks(self, request: Any) -> bool:
        """Whether the server of *request* is asked to tell the usage of a stream."""
        host = str(request.url.host)
        return self._ask_usage and host not in self._refusing and not tells_unasked(host)

    def gives_up_asking(self, request: Any, response: Any) -> bool:
        """Whether *response* refuses no more than to be asked; its host is not asked again."""
        refused = b"stream_options" in response.content
        if refused:
            self._refusing.add(str(request.url.host))
        return refused

    def _call(self, request: Any, base: Any) -> tuple[Wanted, ModelRequest] | None:
        path = str(request.url.path)
        if is_free(request.method, _below(path, base)):
            return None
        raw, size = _content(request)
        provider = self._provider or provider_of(str(request.url.host))
        wanted = wanted_from(path, raw, size, provider)
        return wanted, wanted.bounded(self.meter.prices, self._least_output)


def _below(path: str, base: Any) -> str | None:
    """*path* as the client's own methods write it, without the path of its base URL."""
    prefix = "" if base is None else str(base.path).rstrip("/")
    if base is None or not path.startswith(f"{prefix}/"):
        return None
    return path[len(prefix) :]


def _content(request: Any) -> tuple[bytes | None, int]:
    """The body of a request and its size; no body where it is sent piecemeal."""
    try:
        raw: bytes = request.content
    except RuntimeError:  # RequestNotRead, of either library
        return None, int(request.headers.get("content-length") or 0)
    return raw, len(raw)
