"""A bank that speaks MCP over stdio; run it with the path of its book."""

from __future__ import annotations

import base64
import os
import sys
import time
from pathlib import Path

from mcp.server.fastmcp import FastMCP, Image
from mcp.types import ToolAnnotations

server = FastMCP("bank", log_level="ERROR")
BOOK = Path(sys.argv[1])
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def write(line: str) -> str:
    """Add a line to the book, and say how many there are."""
    with BOOK.open("a") as book:
        book.write(line + "\n")
    return f"{line} as number {len(BOOK.read_text().splitlines())}"


@server.tool(annotations=ToolAnnotations(readOnlyHint=True))
def balance(account: str) -> str:
    """Look, and change nothing."""
    return write(f"looked at {account}")


@server.tool(annotations=ToolAnnotations(idempotentHint=True, destructiveHint=False))
def set_limit(account: str, cents: int) -> str:
    """Set a limit: doing it again changes nothing."""
    return write(f"limit of {account} is {cents}")


@server.tool(annotations=ToolAnnotations(destructiveHint=True, idempotentHint=True))
def close_account(account: str) -> str:
    """Close an account."""
    return write(f"closed {account}")


@server.tool()
def charge(account: str, cents: int) -> str:
    """Charge an account; nothing is claimed about it."""
    if cents > 1000:
        raise ValueError(f"{cents} is above the limit")
    return write(f"charged {account} {cents}")


@server.tool()
def wire(account: str, cents: int = 100, pause: float = 0.0, dies: bool = False) -> str:
    """Wire money, and be slow to say so, or be gone before it is said."""
    done = write(f"wired {account} {cents}")
    if dies:
        os._exit(1)
    time.sleep(pause)
    return done


@server.tool()
def photo(account: str) -> Image:
    """Take a picture."""
    write(f"photo of {account}")
    return Image(data=PIXEL, format="png")


if __name__ == "__main__":
    server.run("stdio")
