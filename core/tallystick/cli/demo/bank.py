"""
A bank on the loopback interface, with a book of its own: what it wrote down is what happened.

It is an ordinary payment server and knows nothing of ledgers. It charges whoever asks as often as
they ask; it looks a charge up by its reference, and remembers a reference only when asked to
(``Deduplicate: yes``). Orders that it is told to *hold* are charged, written down and then not
answered, so that whoever asked can be killed in exactly the moment that matters.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import sqlite3
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qs, urlsplit

#: seconds that an answer is held back, at most
PATIENCE = 20.0

_TABLE = """
CREATE TABLE IF NOT EXISTS book (
    id INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    kind TEXT NOT NULL,
    "order" TEXT NOT NULL,
    cents INTEGER NOT NULL,
    reference TEXT NOT NULL
)
"""
_FIELDS = 'id, account, kind, "order", cents, reference'


class Entry(NamedTuple):
    """A line of the book."""

    id: int
    account: str
    kind: str
    order: str
    cents: int
    reference: str


class Book:
    """What happened, in the order in which it happened."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute(_TABLE)

    def write(
        self, account: str, kind: str, order: str, cents: int, reference: str, *, once: bool
    ) -> tuple[Entry, bool]:
        """Write a line, unless *once* and one has this reference; the line, and if it is new."""
        with self._lock:
            if once and (found := self._find(account, kind, reference)):
                return found[0], False
            cursor = self._connection.execute(
                'INSERT INTO book (account, kind, "order", cents, reference)'
                " VALUES (?, ?, ?, ?, ?)",
                (account, kind, order, cents, reference),
            )
            return Entry(cursor.lastrowid or 0, account, kind, order, cents, reference), True

    def find(self, account: str, kind: str, reference: str | None = None) -> list[Entry]:
        """Read the lines of an account, or those with a reference."""
        with self._lock:
            return self._find(account, kind, reference)

    def _find(self, account: str, kind: str, reference: str | None) -> list[Entry]:
        rows = self._connection.execute(
            f"SELECT {_FIELDS} FROM book WHERE account = ? AND kind = ?"  # noqa: S608
            " AND reference = coalesce(?, reference) ORDER BY id",
            (account, kind, reference),
        )
        return [Entry(*row) for row in rows]

    def close(self) -> None:
        """Close the book."""
        with self._lock:
            self._connection.close()


class Bank(ThreadingHTTPServer):
    """Listens on a free port of this machine; *tell* hears of every line that is written."""

    daemon_threads = True

    def __init__(
        self,
        path: Path,
        *,
        held: frozenset[str] = frozenset(),
        tell: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Counter)
        self.book = Book(path)
        self._held = held
        self._were_held: set[tuple[str, str]] = set()
        self._tell = tell
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def written(self, entry: Entry, client: socket.socket) -> None:
        """Tell of a line; hold the answer back once, if that is what was agreed for its order."""
        with self._lock:
            place = (entry.account, entry.order)
            hold = entry.order in self._held and place not in self._were_held
            self._were_held.add(place)
            self._tell({"event": "written", "held": hold, **entry._asdict()})
        if hold:
            _until_closed(client)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Customers that were killed don't wait for their answers."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Counter(BaseHTTPRequestHandler):
    """Where the bank's customers are served: ``/<account>/<kind>``."""

    timeout = PATIENCE

    def do_POST(self) -> None:
        """Write a line into the book."""
        size = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(size))
        account, kind, _ = self._place()
        entry, new = self._bank.book.write(
            account,
            kind,
            str(body["order"]),
            int(body["cents"]),
            self.headers.get("Idempotency-Key", ""),
            once=self.headers.get("Deduplicate") == "yes",
        )
        if new:
            self._bank.written(entry, self.connection)
        self._answer(entry._asdict())

    def do_GET(self) -> None:
        """Look lines up, all or by ``?reference=``."""
        account, kind, query = self._place()
        found = self._bank.book.find(account, kind, query.get("reference", [None])[0])
        self._answer([entry._asdict() for entry in found])

    @property
    def _bank(self) -> Bank:
        return cast("Bank", self.server)

    def _place(self) -> tuple[str, str, dict[str, list[Any]]]:
        url = urlsplit(self.path)
        account, kind = url.path.strip("/").split("/")
        return account, kind, parse_qs(url.query)

    def _answer(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing; the book is the log."""


def _until_closed(client: socket.socket) -> None:
    """Wait for the other side to go away: a killed process closes its sockets."""
    select.select([client], [], [], PATIENCE)


@contextmanager
def open_bank(path: Path) -> Generator[str]:
    """Keep a bank open in a thread of this process, and give its address."""
    with Bank(path) as bank:
        thread = threading.Thread(target=bank.serve_forever, daemon=True)
        thread.start()
        try:
            yield bank.url
        finally:
            bank.shutdown()
            thread.join(PATIENCE)
            bank.book.close()


def main() -> None:
    """Be a bank until standard input ends; say on standard output what is written down."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("book", type=Path)
    parser.add_argument("--hold", nargs="*", default=[], metavar="ORDER")
    options = parser.parse_args()
    with Bank(options.book, held=frozenset(options.hold), tell=_print) as bank:
        threading.Thread(target=bank.serve_forever, daemon=True).start()
        _print({"event": "open", "url": bank.url})
        sys.stdin.read()
        bank.shutdown()


def _print(fact: dict[str, Any]) -> None:
    print(json.dumps(fact), flush=True)


if __name__ == "__main__":
    main()
