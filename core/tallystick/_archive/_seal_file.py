"""
The file of seals: leaves, and after each lot of them a signed line.

``{"seal":{…},"signature":"…"}`` signs the number, the tenant, the moment, the root over the leaves
since the line before, and the hash of that line. What stands after the last signed line is what a
sealing that was cut off left behind: it is not signed, and the next one writes over it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, NamedTuple

from tallystick._archive._leaves import CHAIN, LEAF, Chain, Leaf
from tallystick._archive._lines import compact, json_of
from tallystick._archive._merkle import Tree
from tallystick._archive._reading import LONGEST
from tallystick._archive._shapes import Shape, Unfit, columns_of
from tallystick._archive._values import Sealed
from tallystick.errors import SealDamaged

#: tells whether a signature is of a text
Check = Callable[[bytes, bytes], bool]

_NOTHING: Final = b"\0" * 32
_OPENS: Final = b'{"seal":'
#: how a signed line goes on behind what is signed, around 128 digits
_SIGNED: Final = b',"signature":"'
_TAIL: Final = len(_SIGNED) + 128 + len(b'"}\n')


class Signed(NamedTuple):
    """What a seal signs."""

    number: int
    tenant: str
    at: int
    leaves: int
    root: bytes
    previous: bytes


_SEAL: Final = Shape(columns_of(Signed))


@dataclass(slots=True)
class Read:
    """What a file of seals says."""

    last: Signed | None = None
    #: the hash of the last signed line
    previous: bytes = _NOTHING
    #: where the last signed line ends
    end: int = 0
    #: of each record the last leaf
    leaves: dict[bytes, Leaf] = field(default_factory=dict[bytes, Leaf])
    chains: dict[bytes, Chain] = field(default_factory=dict[bytes, Chain])
    roots: list[str] = field(default_factory=list[str])
    #: whether unsigned leaves follow
    unfinished: bool = False


def read(path: Path, check: Check, tenant: str, *, since: int = 0) -> Read:
    """
    Read a file of seals; of a leaf only what *since* then changed, the rest may be forgotten.

    Raises SealDamaged, naming the line, where anything signed is not what was signed.
    """
    found = Read()
    with path.open("rb") as file:
        tree, lot = Tree(), list[Leaf | Chain]()
        for n, line in enumerate(_lines(file), 1):
            try:
                if not line.startswith(_OPENS):
                    tree.add(line[:-1])
                    lot.append(_entry(line))
                    continue
                found.last = _signed(line, check, tenant, found, tree)
            except Unfit as unfit:
                raise damaged(path, n, str(unfit)) from unfit
            _keep(found, lot, since)
            found.previous, found.end = hashlib.sha256(line).digest(), file.tell()
            found.roots.append(found.last.root.hex())
            tree, lot = Tree(), []
        found.unfinished = file.tell() > found.end
    return found


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Whole lines; what is cut off at the end of the file was never signed."""
    while (line := file.readline(LONGEST)).endswith(b"\n"):
        yield line


def _entry(line: bytes) -> Leaf | Chain:
    parts = json_of(line)
    try:
        if "leaf" in parts:
            return Leaf._make(LEAF.read(parts["leaf"]))
        return Chain._make(CHAIN.read(parts["chain"]))
    except (KeyError, TypeError, AttributeError):
        raise Unfit("it is neither a leaf nor a seal") from None


def _signed(line: bytes, check: Check, tenant: str, found: Read, tree: Tree) -> Signed:
    """What a signed line says, if it is the one that has to come here."""
    body, rest = line[len(_OPENS) : -_TAIL], line[-_TAIL:]
    try:
        signature = bytes.fromhex(rest[len(_SIGNED) : -len(b'"}\n')].decode("ascii"))
    except ValueError:
        raise Unfit("its signature is no hex") from None
    if not rest.startswith(_SIGNED) or not check(body, signature):
        raise Unfit("its signature does not fit: it was edited, or another key signed it")
    said = Signed._make(_SEAL.read(json_of(body)))
    if said.tenant != tenant:
        raise Unfit(f"it seals tenant {said.tenant!r}, not {tenant!r}")
    if (said.number, said.previous) != (len(found.roots) + 1, found.previous):
        raise Unfit("it does not follow the seal before it: one was removed, added or moved")
    if (said.leaves, said.root) != (tree.leaves, tree.root):
        raise Unfit("the leaves before it are not the ones that were sealed")
    return said


def _keep(found: Read, lot: Iterable[Leaf | Chain], since: int) -> None:
    for entry in lot:
        if isinstance(entry, Chain):
            found.chains[entry.key] = entry
        elif entry.at >= since:
            found.leaves[entry.key] = entry


def damaged(path: Path, line: int, what: str) -> SealDamaged:
    """The refusal of a file of seals because of one line."""
    return SealDamaged(f"{path}, line {line}: {what}; restore the file from a copy", line=line)


class Appending:
    """One more seal at the end of a file; nothing counts before ``finish`` has signed it."""

    def __init__(self, file: IO[bytes], before: Read, sign: Callable[[bytes], bytes]) -> None:
        self._file = file
        self._before = before
        self._sign = sign
        self._tree = Tree()
        file.seek(before.end)
        file.truncate()

    def add(self, entries: Iterable[Leaf | Chain]) -> None:
        """Write leaves."""
        for entry in entries:
            kind, shape = ("leaf", LEAF) if isinstance(entry, Leaf) else ("chain", CHAIN)
            line = compact({kind: shape.said(entry)}).encode()
            self._tree.add(line)
            self._file.write(line + b"\n")

    def finish(self, tenant: str, at: int) -> Sealed:
        """Sign what was written."""
        before, tree = self._before, self._tree
        number = len(before.roots) + 1
        signed = Signed(number, tenant, at, tree.leaves, tree.root, before.previous)
        body = compact(_SEAL.said(signed)).encode()
        signature = self._sign(body).hex().encode()
        self._file.write(_OPENS + body + _SIGNED + signature + b'"}\n')
        self._file.flush()
        return Sealed(number=number, leaves=tree.leaves, root=tree.root.hex())
