"""
The HTTP client of a watched client: the caller's own, with a gate in front of ``send``.

The twin shares everything with the original, connections and settings alike, as the copies that
the providers' clients make of themselves do; httpx and its successor httpx2 are told apart by
nothing but the classes that are found.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Generator
from functools import cache
from typing import Any

from tallystick.clients._gate import MARK, Gate
from tallystick.clients._held import Held
from tallystick.clients._recording import Told

_UNSEEN = object()
_CLOSED = "the stream was closed before its end"


def is_async(http: Any) -> bool:
    """Whether *http* is an awaiting client."""
    kind: Any = http.__class__
    return inspect.iscoroutinefunction(kind.send)


def gate_of(http: Any) -> Gate | None:
    """The gate in front of *http*, if it is a twin."""
    return getattr(http, "tallystick_gate", None)


def twin_of(http: Any, gate: Gate) -> Any:
    """A client that shares all of *http* and sends nothing past *gate*."""
    kind: Any = http.__class__
    twin: Any = object.__new__(_twin_class(kind))
    twin.__dict__ = http.__dict__
    twin.tallystick_gate = gate
    # the original closes itself when it is forgotten, so somebody has to remember it
    twin.tallystick_original = http
    return twin


@cache
def _twin_class(kind: Any) -> Any:
    awaiting = inspect.iscoroutinefunction(kind.send)
    namespace: dict[str, Any] = {
        "__slots__": ("tallystick_gate", "tallystick_original"),
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__del__": _stay_open,
        "send": _awaiting_send(kind) if awaiting else _blocking_send(kind),
    }
    return type(kind.__name__, (kind,), namespace)


def _stay_open(self: Any) -> None:
    """The connections are the original's to close."""


def _blocking_send(kind: Any) -> Any:
    def send(self: Any, request: Any, **options: Any) -> Any:
        gate: Gate = self.tallystick_gate
        decided = request.extensions.pop(MARK, _UNSEEN)
        held = gate.admit(request) if decided is _UNSEEN else decided
        if held is None:
            return kind.send(self, request, **options)
        if isinstance(held, Told):
            return held.response(request)
        try:
            sent = held.outgoing(request, ask_usage=gate.asks(request))
            response = kind.send(self, sent, **options)
            if held.may_be_refused_for_asking(response):
                response.read()
                if gate.gives_up_asking(request, response):
                    sent = held.outgoing(request, ask_usage=False)
                    response = kind.send(self, sent, **options)
        except BaseException as error:
            held.book(held.failed(error))
            raise
        verdict = held.answered(response)
        if verdict is None:
            response.stream = _counted(response, held, _Pieces)
        else:
            held.book(verdict)
            if held.recording is not None:
                held.recording.whole(response)
        return response

    return send


def _awaiting_send(kind: Any) -> Any:
    async def send(self: Any, request: Any, **options: Any) -> Any:
        gate: Gate = self.tallystick_gate
        decided = request.extensions.pop(MARK, _UNSEEN)
        held = await gate.aadmit(request) if decided is _UNSEEN else decided
        if held is None:
            return await kind.send(self, request, **options)
        if isinstance(held, Told):
            return held.response(request)
        try:
            sent = held.outgoing(request, ask_usage=gate.asks(request))
            response = await kind.send(self, sent, **options)
            if held.may_be_refused_for_asking(response):
                await response.aread()
                if gate.gives_up_asking(request, response):
                    sent = held.outgoing(request, ask_usage=False)
                    response = await kind.send(self, sent, **options)
        except BaseException as error:
            await held.abook(held.failed(error))
            raise
        verdict = held.answered(response)
        if verdict is None:
            response.stream = _counted(response, held, _AwaitingPieces)
        else:
            await held.abook(verdict)
            if held.recording is not None:
                await held.recording.awhole(response)
        return response

    return send


def _counted(response: Any, held: Held, pieces: type) -> Any:
    """The stream of *response*, watched by *held*; of the class that its response insists on."""
    stream = response.stream
    if held.recording is not None:
        held.recording.begins(response)
    name = "AsyncByteStream" if pieces is _AwaitingPieces else "SyncByteStream"
    base = next((kind for kind in type(stream).__mro__ if kind.__name__ == name), None)
    # what cannot be watched is charged in full, as soon as it is forgotten
    return stream if base is None else _counted_class(pieces, base)(stream, held)


@cache
def _counted_class(pieces: type, base: type) -> Any:
    return type("Counted", (pieces, base), {})


class _Pieces:
    """The pieces of an answer, counted as they pass."""

    def __init__(self, stream: Any, held: Held) -> None:
        self._stream = stream
        self._held = held
        #: what the caller got; empty where nobody records it
        self._seen = bytearray()

    def __iter__(self) -> Generator[bytes]:
        held, observer = self._held, self._held.observer
        try:
            for data in self._stream:
                kept = observer.feed(data)
                if observer.final and not held.booked:
                    held.book(observer.verdict(""))
                if kept:
                    self._seen += kept if held.recording is not None else b""
                    yield kept
            rest = observer.rest()
            held.book(observer.verdict(""))
            self._seen += rest
            self._keep()
            if rest:
                yield rest
        except GeneratorExit:
            # whoever stops reading closes the stream, or forgets it
            raise
        except BaseException as error:
            held.lost()
            held.book(observer.verdict(f"{type(error).__name__} in the middle of the answer"))
            raise

    def close(self) -> None:
        """Let the connection go; what was not read counts as abandoned."""
        try:
            self._stream.close()
        finally:
            if not self._held.booked:
                self._held.book(self._held.observer.verdict(_CLOSED))
            self._keep()

    def _keep(self) -> None:
        """Record what the caller has seen, once: whoever stopped early stops there again."""
        if self._held.recording is not None:
            self._held.recording.ended(bytes(self._seen))


class _AwaitingPieces:
    """The same for an event loop."""

    def __init__(self, stream: Any, held: Held) -> None:
        self._stream = stream
        self._held = held
        #: what the caller got; empty where nobody records it
        self._seen = bytearray()

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        held, observer = self._held, self._held.observer
        try:
            async for data in self._stream:
                kept = observer.feed(data)
                if observer.final and not held.booked:
                    await held.abook(observer.verdict(""))
                if kept:
                    self._seen += kept if held.recording is not None else b""
                    yield kept
            rest = observer.rest()
            await held.abook(observer.verdict(""))
            self._seen += rest
            await self._keep()
            if rest:
                yield rest
        except GeneratorExit:
            raise
        except BaseException as error:
            held.lost()
            told = f"{type(error).__name__} in the middle of the answer"
            await held.abook(observer.verdict(told))
            raise

    async def aclose(self) -> None:
        """Let the connection go; what was not read counts as abandoned."""
        try:
            await self._stream.aclose()
        finally:
            if not self._held.booked:
                await self._held.abook(self._held.observer.verdict(_CLOSED))
            await self._keep()

    async def _keep(self) -> None:
        if self._held.recording is not None:
            await self._held.recording.aended(bytes(self._seen))
