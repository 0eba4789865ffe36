"""
Windows: which row of a line an amount belongs to at a moment.

A window is named by when it begins, so a new one is a new row and nothing has to be reset. Times
are microseconds since 1970 by the database's clock.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tallystick._values import Value
from tallystick.errors import InvalidCall

Kind = Literal["total", "hour", "day", "week", "month", "rolling"]
CALENDAR = ("hour", "day", "week", "month")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000
#: pieces that a rolling window is made of; the oldest counts until all of it is outside
PIECES = 60
_LONGEST = timedelta(days=3660)


class Window(Value):
    """The stretch of time that a limit holds for."""

    kind: Kind = "total"
    zone: str = "UTC"
    #: of a rolling window
    seconds: int = 0

    def __str__(self) -> str:
        return self.kind if self.kind != "rolling" else f"{self.seconds} s"

    @property
    def piece(self) -> int:
        """Microseconds of one piece of a rolling window."""
        return max(_SECOND, self.seconds * _SECOND // PIECES)

    def start(self, now: int) -> int:
        """Where the row begins that an amount of this moment belongs to."""
        if self.kind == "total":
            return 0
        if self.kind == "rolling":
            return now - now % self.piece
        return _micros(_floor(self.kind, self._local(now)))

    def since(self, now: int) -> int:
        """The first row that still counts at this moment."""
        if self.kind != "rolling":
            return self.start(now)
        oldest = now - self.seconds * _SECOND
        return oldest - oldest % self.piece

    def ends(self, now: int) -> int | None:
        """When what counts now begins to be forgotten; ``None`` for never."""
        if self.kind == "total":
            return None
        if self.kind == "rolling":
            return self.start(now) + self.seconds * _SECOND + self.piece
        # far enough to be in the next window, whatever the clocks are turned by
        step = {"hour": 3600, "day": 30 * 3600, "week": 8 * 86_400, "month": 32 * 86_400}
        begin = _floor(self.kind, self._local(now))
        end = _micros(_floor(self.kind, _later(begin, step[self.kind])))
        if end <= _micros(begin):  # half an hour comes twice, and belongs to the hour before
            end = _micros(_floor(self.kind, _later(begin, 2 * step[self.kind])))
        return end

    def _local(self, now: int) -> datetime:
        return (_EPOCH + timedelta(microseconds=now)).astimezone(ZoneInfo(self.zone))


#: all of time in one row
FOREVER = Window()


def _floor(kind: str, moment: datetime) -> datetime:
    hour = moment.replace(minute=0, second=0, microsecond=0)
    if kind == "hour":
        return hour
    day = hour.replace(hour=0, fold=0)
    if kind == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if kind == "month" else day


def _later(moment: datetime, seconds: int) -> datetime:
    return (moment.astimezone(UTC) + timedelta(seconds=seconds)).astimezone(moment.tzinfo)


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def window_of(value: Any, zone: str = "UTC") -> Window:
    """
    The window that *value* names.

    ``None``, ``"hour"``, ``"day"``, ``"week"`` (from Monday), ``"month"``, or a ``timedelta`` (or
    seconds) for a rolling one; calendar windows are those of *zone*. InvalidCall otherwise.
    """
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError) as error:
        raise InvalidCall(f"zone={zone!r}: give a name like 'Europe/Berlin'") from error
    if value is None:
        return Window()
    if isinstance(value, str) and value in CALENDAR:
        return Window(kind=cast("Kind", value), zone=zone)
    length = value
    if isinstance(value, int) and not isinstance(value, bool):
        length = timedelta(seconds=min(value, 1 << 40))
    if isinstance(length, timedelta) and timedelta(seconds=1) <= length <= _LONGEST:
        return Window(kind="rolling", seconds=int(length.total_seconds()))
    raise InvalidCall(
        f"window={value!r}: give None, 'hour', 'day', 'week', 'month', or a timedelta from one "
        "second to ten years"
    )
