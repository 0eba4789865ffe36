"""Somebody on loopback who receives webhooks and answers as it is told, and what to tell them."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest
from standardwebhooks.webhooks import Webhook as Verifier

from tallystick import ApprovalRequired, Ledger, Policy, Retry
from tallystick._acts import Inbox
from tallystick.hooks import Details, NotYet, Webhook
from tests.conftest import Face

SECRET = "whsec_" + "c2VjcmV0" * 4
OLD_SECRET = "whsec_" + "b2xkb2xk" * 4


class Received(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def data(self) -> dict[str, Any]:
        return dict(json.loads(self.body)["data"])

    def verified(self, secret: str = SECRET) -> Any:
        """The body, if the independent implementation believes it."""
        return Verifier(secret).verify(self.body, self.headers)


class Receiver:
    """A server; ``plan`` holds what to answer next: a status, or a status and headers."""

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.got: list[Received] = []
        self.plan: list[int | tuple[int, dict[str, str]]] = []
        self.delay = 0.0
        self.gate = threading.Event()
        self.gate.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.answer(self)

            def do_GET(self) -> None:
                receiver.answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Not of interest."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """Clients that were cut off are part of the test."""

        self._server = Server(("127.0.0.1", port), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/secret-path?x=1"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        self.got.append(Received(request.path, dict(request.headers), body, time.monotonic()))
        time.sleep(self.delay)
        self.gate.wait(20)
        step = self.plan.pop(0) if self.plan else 204
        status, headers = step if isinstance(step, tuple) else (step, dict[str, str]())
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", "0")
        request.end_headers()

    def wait(self, count: int, seconds: float = 10.0) -> list[Received]:
        """The first *count* requests, once they are there."""
        until(lambda: len(self.got) >= count, seconds)
        return self.got[:count]

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def receiving(port: int = 0, tls: ssl.SSLContext | None = None) -> Generator[Receiver]:
    """A receiver for the duration."""
    receiver = Receiver(port, tls)
    try:
        yield receiver
    finally:
        receiver.close()


def until(condition: Any, seconds: float = 10.0) -> None:
    """Wait until *condition* holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


FAST = Retry(attempts=4, initial=0.02, maximum=0.05, jitter=0.01)
APPROVED = Policy(approval=True)


def moment(key: str = "abc", kind: str = "in_doubt", **facts: Any) -> Details:
    """Something to tell."""
    return Details(
        kind=kind, key=key, tenant="acme", workflow="w", tool="charge", facts=facts, attempt=1
    )


def tell(hook: Webhook, details: Details) -> bool:
    """Whether it is told already."""
    try:
        hook(details)
    except NotYet:
        return False
    return True


def charge(order: Any = None) -> None:
    """Somebody has to agree before."""


def ask(ledger: Ledger, face: Face, **args: Any) -> str:
    """Ask for an approval; the key."""
    with pytest.raises(ApprovalRequired) as caught:
        face.do(ledger, "call", "charge", charge, args, workflow="w", policy=APPROVED)
    return caught.value.key


def housekeeping(ledger: Ledger) -> None:
    """What a ledger does every few seconds."""
    ledger._keeper.round()  # pyright: ignore[reportPrivateUsage]


def unheard(ledger: Ledger) -> int:
    """Requests that count as told to nobody."""
    act = Inbox(tenant="default", unnotified=True, limit=100)
    return len(ledger._engine.store.read(act))  # pyright: ignore[reportPrivateUsage]


def free_port() -> int:
    """Where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
