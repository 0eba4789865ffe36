"""One HTTP request whose time and size are bounded, and which follows nobody anywhere else."""

from __future__ import annotations

import http.client
import io
import ipaddress
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from tallystick.errors import InvalidCall
from tallystick.hooks._signing import wall_micros

#: bytes of an answer that are read at most: its head, for whose sake we ask
_ANSWER = 1 << 16


class Answer(NamedTuple):
    """What a receiver said: its status, and the seconds after which it wants to be asked again."""

    status: int
    after: float | None


class Receiver:
    """
    Where to post to, from one thread at a time; :meth:`cut` may come from another.

    Proxies of the environment are not asked, redirects are not followed.
    """

    def __init__(self, url: str, *, insecure: bool, tls: ssl.SSLContext | None) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except (AttributeError, TypeError, ValueError) as error:
            raise InvalidCall(f"url=…: {error}; give one like https://host/path") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InvalidCall("url=…: give one like https://host/path")
        if parts.username is not None or parts.password is not None:
            raise InvalidCall("url=…: it holds a name or a password; the signature says who we are")
        self._secure = parts.scheme == "https"
        if not (self._secure or insecure or _loopback(parts.hostname)):
            raise InvalidCall(
                f"url=…: http to {parts.hostname} can be read on the way; give https, or say "
                "insecure=True"
            )
        self._host, self._port = parts.hostname, port
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._tls = tls
        self._socket: socket.socket | None = None

    def __str__(self) -> str:
        """The host; paths of webhooks are often secrets."""
        return self._host if self._port is None else f"{self._host}:{self._port}"

    def post(self, body: bytes, headers: Mapping[str, str], timeout: float) -> Answer:
        """
        Post *body*, and read the head of the answer within *timeout* seconds once it is sent.

        Raises OSError or http.client.HTTPException when there is no answer that could be read.
        """
        connection = self._connection(timeout)
        try:
            connection.connect()
            self._socket = connection.sock
            connection.request("POST", self._target, body, {**headers, "Connection": "close"})
            bounded = _Bounded(connection.sock, time.monotonic() + timeout)
            answer = http.client.HTTPResponse(cast("socket.socket", bounded), method="POST")
            answer.begin()
            return Answer(answer.status, _after(answer.headers.get("Retry-After")))
        finally:
            self._socket = None
            connection.close()

    def cut(self) -> None:
        """End a request that is under way, from another thread; it fails there."""
        open_socket = self._socket
        if open_socket is not None:
            with suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        if not self._secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        self._tls = self._tls or ssl.create_default_context()
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=timeout, context=self._tls
        )


class _Bounded:
    """As much of a socket as an HTTPResponse uses: a file, until a deadline."""

    def __init__(self, source: socket.socket, until: float) -> None:
        self._reader = _Reader(source, until)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._reader)


class _Reader(io.RawIOBase):
    """A socket's timeout is for each piece; this one is for all of them, and counts the bytes."""

    def __init__(self, source: socket.socket, until: float) -> None:
        super().__init__()
        self._source = source
        self._until = until
        self._most = _ANSWER

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took too long")
        if not self._most:
            raise ConnectionError("the answer was too long")
        self._source.settimeout(left)
        size = self._source.recv_into(memoryview(buffer)[: self._most])
        self._most -= size
        return size


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _after(value: str | None) -> float | None:
    """Retry-After, seconds or a date, as seconds from now."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(parsedate_to_datetime(value).timestamp() - wall_micros() / 1e6, 0.0)
    except ValueError:
        return None
