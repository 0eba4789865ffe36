"""
The providers, on loopback: a real HTTP server with real sockets and scripted answers.

It speaks OpenAI's and Anthropic's APIs closely enough for their own clients, counts what it is
asked, and fails in the ways that networks and providers fail.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.providers import _anthropic_wire, _openai_wire
from tests.providers._answers import Answer, Fault
from tests.providers._openai_wire import Event

Whole = Callable[[dict[str, Any], Answer], dict[str, Any]]
Events = Callable[[dict[str, Any], Answer], Iterable[Event]]

#: what each path answers, whole and streamed
ROUTES: dict[str, tuple[Whole, Events | None]] = {
    "/chat/completions": (_openai_wire.chat, _openai_wire.chat_events),
    "/completions": (_openai_wire.completion, None),
    "/embeddings": (_openai_wire.embeddings, None),
    "/responses": (_openai_wire.response, _openai_wire.response_events),
    "/messages": (_anthropic_wire.message, _anthropic_wire.message_events),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass(slots=True)
class _Desk:
    """What the handlers of one server share."""

    script: deque[Answer] = field(default_factory=deque[Answer])
    asked: list[Asked] = field(default_factory=list[Asked])
    ending: threading.Event = field(default_factory=threading.Event)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def next(self, asked: Asked) -> Answer:
        """Note what was asked, and take the next answer, or the usual one."""
        with self.changed:
            self.asked.append(asked)
            self.changed.notify_all()
            return self.script.popleft() if self.script else Answer()


class Provider:
    """The server; use it as a context manager."""

    def __init__(self) -> None:
        self._desk = _Desk()
        desk = self._desk

        class Handler(_Handler):
            shared = desk

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._desk.ending.set()
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    @property
    def origin(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def asked(self) -> list[Asked]:
        """What arrived so far."""
        return list(self._desk.asked)

    def wait_for(self, count: int, within: float = 10.0) -> None:
        """Return when *count* requests have arrived."""
        with self._desk.changed:
            assert self._desk.changed.wait_for(lambda: len(self._desk.asked) >= count, within)

    def script(self, *answers: Answer) -> None:
        """Give these answers next, and after them the usual one."""
        self._desk.script.extend(answers)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # forty callers at once are what this is for
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    shared: _Desk
    protocol_version = "HTTP/1.1"
    # a chunk must not wait for the one before it to be acknowledged
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.shared.next(Asked(path=self.path, headers=dict(self.headers), body={}))
        self._whole(200, {"object": "list", "data": [], "has_more": False})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"] or 0))
        with contextlib.suppress(OSError):
            self._answer(json.loads(raw) if raw.startswith(b"{") else {})

    def handle(self) -> None:
        # clients that give up in the middle are what this is for
        with contextlib.suppress(ConnectionError):
            super().handle()

    def _answer(self, wanted: dict[str, Any]) -> None:
        answer = self.shared.next(Asked(path=self.path, headers=dict(self.headers), body=wanted))
        if answer.fault is Fault.HANG:
            self._hang()
        elif answer.unknown in wanted:
            told = {"loc": ["body", answer.unknown], "msg": "Extra inputs are not permitted"}
            self._whole(422, {"error": {"message": json.dumps(told), "type": "invalid"}})
        elif answer.status != 200:
            self._error(answer)
        else:
            self._say(wanted, answer)

    def _route(self) -> tuple[Whole, Events | None] | None:
        path = self.path.partition("?")[0]
        return next((ROUTES[end] for end in ROUTES if path.endswith(end)), None)

    def _say(self, wanted: dict[str, Any], answer: Answer) -> None:
        route = self._route()
        if route is None:
            return self._whole(200, {"id": "thing_1", "object": "thing", "data": []})
        whole, events = route
        if wanted.get("stream") and events is not None:
            return self._stream(list(events(wanted, answer)), answer)
        body = json.dumps(whole(wanted, answer)).encode()
        return self._written(200, body, {}, answer.fault)

    def _error(self, answer: Answer) -> None:
        anthropic = "/messages" in self.path
        body = (_anthropic_wire if anthropic else _openai_wire).error(answer.status)
        wait = {} if answer.retry_after is None else {"Retry-After": str(answer.retry_after)}
        self._whole(answer.status, body, wait)

    def _whole(
        self, status: int, data: dict[str, Any], headers: dict[str, str] | None = None
    ) -> None:
        self._written(status, json.dumps(data).encode(), headers or {})

    def _written(
        self, status: int, body: bytes, headers: dict[str, str], fault: Fault | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if fault is Fault.HANG_AFTER_HEADERS:
            return self._hang()
        if fault is Fault.RESET:
            self.wfile.write(body[: len(body) // 2])
            return self._reset()
        self.wfile.write(body)
        return None

    def _stream(self, events: list[Event], answer: Answer) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if answer.fault is Fault.HANG_AFTER_HEADERS:
            return self._hang()
        for at, event in enumerate(events):
            if at >= len(events) // 2 and self._fails(answer):
                return None
            self._chunk(_sse(*event))
            if answer.fault is Fault.SLOW:
                self.shared.ending.wait(0.05)
        if "/messages" not in self.path and "/responses" not in self.path:
            self._chunk(b"data: [DONE]\n\n")
        return self._chunk(b"")

    def _fails(self, answer: Answer) -> bool:
        if answer.fault is Fault.RESET:
            self._reset()
        elif answer.fault is Fault.CUT:
            self._chunk(b"")
        elif answer.fault is Fault.ERROR_EVENT:
            told = {"type": "error", "error": {"type": "overloaded_error", "message": "too much"}}
            self._chunk(_sse("error", told))
            self._chunk(b"")
        else:
            return False
        return True

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _hang(self) -> None:
        self.close_connection = True
        self.shared.ending.wait(30)

    def _reset(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        at_once = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base
        """Say nothing."""


def _sse(kind: str | None, data: dict[str, Any]) -> bytes:
    named = f"event: {kind}\n" if kind else ""
    return f"{named}data: {json.dumps(data)}\n\n".encode()
