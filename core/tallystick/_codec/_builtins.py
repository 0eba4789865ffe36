"""The standard library's values as data, and back; each kind in one place."""

from __future__ import annotations

import pathlib
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from tallystick._codec._classes import Unfit
from tallystick._values import Value

_MICROSECOND: Final = timedelta(microseconds=1)


class Kind(Value):
    """How values of exactly *type* become data (of any encodable kind), and come back."""

    name: str
    type: type[object]
    encode: Callable[[Any], object]
    decode: Callable[[Any], object]


def _zone(zone: tzinfo | None) -> tzinfo | None:
    """A zone of a fixed offset, of whatever class, is that offset; others stay what they are."""
    if zone is None or type(zone) in {timezone, ZoneInfo}:
        return zone
    try:
        offset, name = zone.utcoffset(None), zone.tzname(None)
    except Exception:  # noqa: BLE001 - somebody else's class, asked about no date
        return zone
    if offset is None:
        return zone
    return timezone(offset, name) if name else timezone(offset)


def _moment(value: datetime | time) -> object:
    return [value.replace(tzinfo=None).isoformat(), _zone(value.tzinfo), value.fold]


def _datetime(data: Any) -> datetime:
    wall, zone, fold = data
    return datetime.fromisoformat(wall).replace(tzinfo=zone, fold=fold)


def _time(data: Any) -> time:
    wall, zone, fold = data
    return time.fromisoformat(wall).replace(tzinfo=zone, fold=fold)


def _offset(value: timezone) -> object:
    offset, name = value.utcoffset(None), value.tzname(None)
    return [offset // _MICROSECOND, None if name == timezone(offset).tzname(None) else name]


def _timezone(data: Any) -> timezone:
    microseconds, name = data
    offset = timedelta(microseconds=microseconds)
    if name is None:
        return timezone(offset) if offset else UTC
    return timezone(offset, name)


def _key(value: ZoneInfo) -> str:
    key = cast("str | None", value.key)  # from_file() may leave it out
    if key is None:
        raise Unfit("is a time zone without a name")
    return key


def _base64(value: bytes | bytearray) -> str:
    return b64encode(value).decode("ascii")


def _kind(
    kind: type[object], encode: Callable[[Any], object], decode: Callable[[Any], object]
) -> Kind:
    return Kind(name=kind.__name__, type=kind, encode=encode, decode=decode)


def _path(kind: type[pathlib.PurePath]) -> Kind:
    return _kind(kind, str, kind)


KINDS: Final[tuple[Kind, ...]] = (
    _kind(bytes, _base64, lambda data: b64decode(data, validate=True)),
    _kind(bytearray, _base64, lambda data: bytearray(b64decode(data, validate=True))),
    _kind(datetime, _moment, _datetime),
    _kind(date, date.isoformat, date.fromisoformat),
    _kind(time, _moment, _time),
    _kind(
        timedelta,
        lambda value: [value.days, value.seconds, value.microseconds],
        lambda data: timedelta(*data),
    ),
    _kind(timezone, _offset, _timezone),
    _kind(ZoneInfo, _key, ZoneInfo),
    _kind(Decimal, str, Decimal),
    _kind(
        Fraction, lambda value: [value.numerator, value.denominator], lambda data: Fraction(*data)
    ),
    _kind(complex, lambda value: [value.real, value.imag], lambda data: complex(*data)),
    _kind(UUID, str, UUID),
    _kind(range, lambda value: [value.start, value.stop, value.step], lambda data: range(*data)),
    _path(pathlib.PurePosixPath),
    _path(pathlib.PureWindowsPath),
    _path(pathlib.PosixPath),
    _path(pathlib.WindowsPath),
)
