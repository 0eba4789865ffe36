"""What the doctor is given, and what a look at it comes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import text

from tallystick.stores._revision import MARIADB

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: Literal["ok", "warn", "fail"]
    says: str
    next: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What there is to look at."""

    url: str
    tenant: str
    db: Connection
    path: Path | None

    @property
    def maria(self) -> bool:
        """Whether MariaDB or MySQL answers."""
        return self.db.dialect.name in MARIADB

    def one(self, query: str) -> Any:
        """The first value of the first row."""
        return self.db.execute(text(query)).scalar()

    def rows(self, query: str, **values: Any) -> list[Any]:
        """All rows."""
        return list(self.db.execute(text(query), values))


Examination = Callable[[Case], Check]
