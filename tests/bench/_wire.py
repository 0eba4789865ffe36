"""Counts the SQL statements that really cross the wire, whatever driver sends them.

A proxy stands between a subject and PostgreSQL and reads the client's half of the protocol: every
simple query and every execution of a prepared one is a statement, BEGIN and COMMIT included. It
needs no extension and no rights on the server. It counts, and is never there while something is
timed.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import struct
import threading
from collections import Counter
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_ASKS_FOR_ENCRYPTION = {80877103, 80877104}  # SSLRequest, GSSENCRequest: answered with a plain no
_WORD = re.compile(rb"[A-Za-z]+")


class _Client:
    """One connection's half of the conversation: which statement stands behind which portal."""

    def __init__(self, counter: Counter[str], trips: list[int]) -> None:
        self._counter = counter
        self._trips = trips
        self._statements: dict[bytes, bytes] = {}
        self._portals: dict[bytes, bytes] = {}

    def hear(self, kind: bytes, body: bytes) -> None:
        self._trips[0] += kind in b"QS"  # a query, or the end of a batch: the client waits
        match kind:
            case b"Q":
                for text in body.rstrip(b"\0").split(b";"):
                    self._count(text)
            case b"P":
                name, text, *_ = body.split(b"\0", 2)
                self._statements[name] = text
            case b"B":
                portal, name, *_ = body.split(b"\0", 2)
                self._portals[portal] = self._statements.get(name, b"")
            case b"E":
                self._count(self._portals.get(body.split(b"\0", 1)[0], b""))
            case _:
                pass

    def _count(self, text: bytes) -> None:
        word = _WORD.search(text)
        if word is not None:
            self._counter[word[0].decode().upper()] += 1


class Wire:
    """A place to connect to instead of the server; `statements` says what has passed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._counter: Counter[str] = Counter()
        self._trips = [0]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._talks: set[asyncio.Task[None]] = set()
        self._port = 0

    @property
    def url(self) -> str:
        """The database's address, by way of the proxy."""
        parts = urlsplit(self._url)
        user = parts.netloc.rpartition("@")[0] or "postgres"
        return urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{self._port}", query=""))

    def statements(self) -> Mapping[str, int]:
        """How many statements have passed so far, by their first word."""
        return dict(self._counter)

    def total(self) -> int:
        """How many statements have passed so far."""
        return sum(self._counter.values())

    def trips(self) -> int:
        """How often a client has had to wait for the server so far."""
        return self._trips[0]

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._hang_up(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._port = int(self._server.sockets[0].getsockname()[1])

    async def _hang_up(self) -> None:
        self._server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._relay(reader, writer)
        finally:
            self._talks.discard(task)
            writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await _opening(reader, writer)
        back, up = await self._connect()
        up.write(first)
        answers = asyncio.create_task(_copy(back, writer))
        client = _Client(self._counter, self._trips)
        try:
            while True:
                head = await reader.readexactly(5)
                body = await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)
                client.hear(head[:1], body)
                up.write(head + body)
                await up.drain()
        finally:
            answers.cancel()
            up.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self._url)
        port = parts.port or 5432
        folder = parse_qs(parts.query).get("host", [""])[0]
        if folder.startswith("/"):
            return await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.{port}")
        return await asyncio.open_connection(parts.hostname or "127.0.0.1", port)


async def _opening(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The client's first real message; requests for encryption before it are turned down."""
    while True:
        head = await reader.readexactly(8)
        length, code = struct.unpack("!II", head)
        rest = await reader.readexactly(length - 8)
        if code not in _ASKS_FOR_ENCRYPTION:
            return head + rest
        writer.write(b"N")
        await writer.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(1 << 16):
            writer.write(chunk)
            await writer.drain()
    writer.close()
