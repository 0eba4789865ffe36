"""
A wire to PostgreSQL that can be cut at any request, at a chosen moment.

It reads as much of the protocol as it needs: where a request of the client is complete (Sync or
Query), and where the server has answered it (ReadyForQuery).
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from enum import Enum
from types import TracebackType
from typing import Self

import sqlalchemy


class Moment(Enum):
    """When the wire is cut."""

    BEFORE = "before the request reaches the server"
    AFTER = "after the server has done it, before the answer returns"
    MIDDLE = "in the middle of the answer"
    DURING = "while the server is at it"


class Proxy:
    """Listens on a port of its own; everything goes through, until a cut that was asked for."""

    def __init__(self, url: str) -> None:
        parsed = sqlalchemy.make_url(url)
        self._server = (parsed.host or "127.0.0.1", parsed.port or 5432)
        self._listener = socket.create_server(("127.0.0.1", 0))
        plain = {"sslmode": "disable", "gssencmode": "disable"}
        port = self._listener.getsockname()[1]
        through = parsed.set(host="127.0.0.1", port=port, query={**parsed.query, **plain})
        self.url = through.render_as_string(hide_password=False)
        self._lock = threading.Lock()
        self._cut: tuple[int, Moment] | None = None
        self._wires: set[_Wire] = set()
        #: requests since the last :meth:`arm`
        self.requests = 0
        self.cuts = 0
        self._thread = threading.Thread(target=self._accept, name="wire", daemon=True)
        self._thread.start()

    def arm(self, nth: int = 0, moment: Moment = Moment.BEFORE) -> None:
        """Cut the *nth* request from now on; 0: none, only count."""
        with self._lock:
            self.requests = 0
            self._cut = (nth, moment) if nth else None

    def asked(self) -> Moment | None:
        """A request is complete; when to cut it, if so."""
        with self._lock:
            self.requests += 1
            if self._cut is None or self._cut[0] != self.requests:
                return None
            moment, self._cut = self._cut[1], None
            self.cuts += 1
            return moment

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
            except OSError:
                return
            wire = _Wire(self, client, server)
            self._wires.add(wire)
            wire.start()

    def close(self) -> None:
        """Cut everything."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5.0)
        for wire in self._wires:
            wire.cut()
        for wire in self._wires:
            wire.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Wire:
    """One connection, with a thread for each direction."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        #: what to do with the answer that is on its way
        self._moment: Moment | None = None
        self._threads = [
            threading.Thread(target=self._run, args=(way,), name="wire", daemon=True)
            for way in (self._forth, self._back)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(5.0)

    def cut(self, *, reset: bool = False) -> None:
        """Close both ends: with a reset, or as a process that ends."""
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)  # also wakes the thread that reads from it
            end.close()

    def _run(self, way: object) -> None:
        with contextlib.suppress(OSError, EOFError):
            if callable(way):
                way()
        self.cut()

    def _forth(self) -> None:
        """From the client to the server, request by request."""
        size = _exactly(self._client, 4)
        self._server.sendall(size + _exactly(self._client, _length(size)))
        request = b""
        while True:
            kind, message = _message(self._client)
            request += message
            if kind in (b"S", b"Q"):
                moment = self._proxy.asked()
                if moment is Moment.BEFORE:
                    self.cut(reset=True)
                    return
                self._moment = moment
                self._server.sendall(request)
                request = b""
                if moment is Moment.DURING:
                    return
            elif kind in (b"p", b"X", b"H"):  # a password, the end, a flush
                self._server.sendall(request)
                request = b""

    def _back(self) -> None:
        """From the server to the client; an answer that is to be cut is collected first."""
        answer = b""
        while True:
            kind, message = _message(self._server)
            if self._moment not in (Moment.AFTER, Moment.MIDDLE):
                self._client.sendall(message)
                continue
            answer += message
            if kind == b"Z":
                if self._moment is Moment.MIDDLE:
                    self._client.sendall(answer[: len(answer) // 2])
                return


def _message(end: socket.socket) -> tuple[bytes, bytes]:
    head = _exactly(end, 5)
    return head[:1], head + _exactly(end, _length(head[1:]))


def _length(size: bytes) -> int:
    """How much follows the four bytes that say so."""
    return int.from_bytes(size, "big") - 4


def _exactly(end: socket.socket, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = end.recv(size)
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
