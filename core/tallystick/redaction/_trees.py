"""
Rules applied to values as they are stored: JSON, with tags for what JSON has no word for.

See :mod:`tallystick._codec` for the tags. A tag's own words are never touched, so that what is left
can be read again; what only looks like data of a kind (the text in bytes, a number that is too
long for JSON) is looked into.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as NoBase64
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeGuard, cast

from tallystick.redaction._detectors import Detector, scan
from tallystick.redaction._rules import REDACTED, Path

#: how every mark begins, those of detectors, too
MARK = "[redacted"
#: tags that hold parts by their names
_NAMED = ("dataclass", "model", "namedtuple")
#: tags whose data is a list of values
_LISTED = ("tuple", "set", "frozenset")
#: tags whose data is one value
_WRAPPED = ("root", "codec")
#: tags whose data is text that people chose
_SPOKEN = ("PurePosixPath", "PureWindowsPath", "PosixPath", "WindowsPath")


def _is_list(tree: object) -> TypeGuard[list[Any]]:
    return isinstance(tree, list)


def _is_object(tree: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(tree, dict)


class Sieve(NamedTuple):
    """The paths and detectors that one value is seen through."""

    paths: tuple[Path, ...]
    detectors: tuple[Detector, ...]

    def through(self, tree: Any) -> Any:
        """What is left of a tree."""
        if () in self.paths:
            return REDACTED
        if isinstance(tree, str):
            return self._text(tree)
        if isinstance(tree, int) and not isinstance(tree, bool):
            return self._number(tree)
        if _is_list(tree):
            return [*map(self.each().through, tree)]
        if _is_object(tree):
            return self._tagged(tree) if "$" in tree else self._parts(tree)
        return tree

    def below(self, name: object) -> Sieve:
        """The sieve for what has a name."""
        on = tuple([path[1:] for path in self.paths if path[0] in (name, "*")])
        return Sieve(on, self.detectors)

    def each(self) -> Sieve:
        """The sieve for the elements of a list; a name goes for each of them."""
        on = tuple([path[1:] if path[0] == "[]" else path for path in self.paths])
        return Sieve(on, self.detectors)

    def _parts(self, found: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, part in found.items():
            shown, n = self._text(name), 1
            while shown in made:
                n += 1
                shown = f"{self._text(name)} {n}"
            made[shown] = self.below(name).through(part)
        return made

    def _text(self, text: str) -> str:
        return scan(text, self.detectors) if self.detectors else text

    def _number(self, number: int) -> int | str:
        shown = self._text(str(number))
        return shown if MARK in shown else number

    def _tagged(self, tag: dict[str, Any]) -> Any:
        kind, data = tag["$"], tag.get("v")
        if kind in _NAMED:
            parts = {key: self._parts(tag[key]) for key in ("v", "x") if key in tag}
            return tag | parts
        if kind in _LISTED:
            return tag | {"v": self.through(data)}
        if kind in _WRAPPED:
            return tag | {"v": self.through(data)}
        if kind == "dict":
            return tag | {"v": [*self._pairs(cast("list[Any]", data))]}
        return self._leaf(kind, tag, data)

    def _pairs(self, pairs: list[Any]) -> Iterator[Any]:
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            yield Sieve((), self.detectors).through(key)
            yield self.below(key if isinstance(key, str) else None).through(value)

    def _leaf(self, kind: str, tag: dict[str, Any], data: Any) -> Any:
        """A tag around a single text; what is not text for anybody stays."""
        if not self.detectors:
            return tag
        if kind == "int":
            shown = self._number(int(data, 16))
            return shown if isinstance(shown, str) else tag
        if kind == "Decimal":
            return tag if (shown := self._text(data)) == data else shown
        if kind == "str":
            shown = self._text(bytes.fromhex(data).decode("utf-8", "replace"))
            return shown if MARK in shown else tag
        if kind in ("bytes", "bytearray"):
            return tag | {"v": self._bytes(data)}
        return tag | {"v": self._text(data)} if kind in _SPOKEN else tag

    def _bytes(self, data: str) -> str:
        try:
            text = b64decode(data, validate=True).decode()
        except (NoBase64, UnicodeDecodeError):
            return data
        shown = self._text(text)
        return data if shown == text else b64encode(shown.encode()).decode("ascii")


def marked(tree: Any) -> bool:
    """Whether anything was left out of a tree."""
    if isinstance(tree, str):
        return MARK in tree
    if _is_object(tree):
        return any(marked(name) or marked(part) for name, part in tree.items())
    return _is_list(tree) and any(map(marked, tree))


def leaves(tree: Any, paths: Iterable[Path]) -> Iterator[str]:
    """The texts and numbers that stand where the paths lead, as somebody would quote them."""
    rules = tuple(paths)
    if not rules:
        return
    if _is_list(tree):
        for part in tree:
            yield from leaves(part, Sieve(rules, ()).each().paths if () not in rules else rules)
    elif _is_object(tree):
        for name, part in tree.items():
            if () in rules:
                yield name
            yield from leaves(part, rules if () in rules else _on(rules, tree, name))
    elif () in rules and tree is not None and not isinstance(tree, bool):
        yield str(tree)


def _on(rules: tuple[Path, ...], found: dict[str, Any], name: str) -> tuple[Path, ...]:
    """The paths below a name; a tag is no step."""
    if "$" in found:
        return rules if name in ("v", "x") else ()
    return Sieve(rules, ()).below(name).paths


class Moved(Exception):
    """An edit touches something that was left out of what was shown."""


def restored(edited: Any, shown: Any, real: Any) -> Any:
    """
    *edited* with the real values in the place of the marks, which stand where they were *shown*.

    Raises Moved where a mark was changed or moved: nobody can tell then what it stands for.
    """
    if edited == shown:
        return real
    pairs = _both(edited, shown, real)
    if pairs is None:
        if marked(edited) or marked(shown):
            raise Moved
        return edited
    before, now = pairs
    made: dict[str, Any] = {}
    for name, part in cast("dict[str, Any]", edited).items():
        if name not in before and marked([name, part]):
            raise Moved
        made[name] = restored(part, before[name], now[name]) if name in before else part
    return made


def _both(edited: Any, shown: Any, real: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """What was shown, and what it stands for, by name; ``None`` where there are no names."""
    objects = all(isinstance(each, dict) and "$" not in each for each in (edited, shown, real))
    if not objects:
        return None
    now = cast("dict[str, Any]", real)
    return {name: part for name, part in shown.items() if name in now}, now
