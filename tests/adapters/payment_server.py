"""
A bank over HTTP, in a process of its own, with a book of its own.

``POST /charge`` writes a line into the book. Under an ``Idempotency-Key`` that it saw before it
writes nothing and repeats its answer. ``GET /charges/<key>`` tells what was charged under a key.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BOOK = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("book.db")


def opened() -> sqlite3.Connection:
    """The book."""
    book = sqlite3.connect(BOOK, isolation_level=None, timeout=10)
    book.execute(
        "CREATE TABLE IF NOT EXISTS charges"
        " (id INTEGER PRIMARY KEY, key TEXT UNIQUE, request TEXT, seen TEXT, cents INTEGER)"
    )
    return book


class Bank(BaseHTTPRequestHandler):
    """Charges, and says what it charged."""

    def do_POST(self) -> None:
        """Charge, once for each idempotency key."""
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        given = (self.headers["Idempotency-Key"], self.headers["X-Request"])
        with opened() as book:
            book.execute(
                "INSERT INTO charges (key, request, seen, cents) VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                (*given, wanted["order"], wanted["cents"]),
            )
            where = ("key", given[0]) if given[0] else ("request", given[1])
            row = book.execute(
                f"SELECT max(id) FROM charges WHERE {where[0]} = ?", where[1:]
            ).fetchone()
        self._answer({"id": f"ch_{row[0]}", "order": wanted["order"]})

    def do_GET(self) -> None:
        """What was charged under the key of a request."""
        request = self.path.rpartition("/")[2]
        rows = opened().execute("SELECT id, seen FROM charges WHERE request = ?", (request,))
        self._answer([{"id": f"ch_{number}", "order": order} for number, order in rows])

    def _answer(self, data: Any) -> None:
        body = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Say nothing: the book tells everything."""


if __name__ == "__main__":
    opened().close()
    bank = ThreadingHTTPServer(("127.0.0.1", 0), Bank)
    print(bank.server_port, flush=True)
    bank.serve_forever()
