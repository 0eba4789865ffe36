"""Engines of a caller's own on a ledger's database, and which stores go by a lease."""

from __future__ import annotations

from typing import Any

import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

#: where a worker counts as dead when its lease has run out, and not at once
LEASED = frozenset({"postgres", "mariadb"})

_BLOCKING = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql"}
_AWAITED = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+psycopg",
    "mariadb": "mariadb+aiomysql",
}


def engine_on(url: str, **options: Any) -> sqlalchemy.Engine:
    """A blocking engine whose connections can be lent."""
    scheme, _, rest = url.partition("://")
    full = f"{_BLOCKING.get(scheme, scheme)}://{rest}"
    return sqlalchemy.create_engine(full, **_options(url), **options)


def async_engine_on(url: str) -> AsyncEngine:
    """The same for an event loop."""
    scheme, _, rest = url.partition("://")
    return create_async_engine(f"{_AWAITED[scheme]}://{rest}", **_options(url))


def _options(url: str) -> dict[str, Any]:
    return {"isolation_level": "READ COMMITTED"} if url.startswith("mariadb") else {}
