"""The root of a Merkle tree as in RFC 6962, in memory for its depth only."""

from __future__ import annotations

import hashlib


class Tree:
    """Leaves come one after the other; ``root`` is the root over those so far."""

    def __init__(self) -> None:
        self.leaves = 0
        #: the roots of full trees, the largest first; of 2 to the power of the second one's leaves
        self._full: list[tuple[bytes, int]] = []

    def add(self, leaf: bytes) -> None:
        """One more leaf."""
        node, level = hashlib.sha256(b"\0" + leaf).digest(), 0
        while self._full and self._full[-1][1] == level:
            node, level = _joined(self._full.pop()[0], node), level + 1
        self._full.append((node, level))
        self.leaves += 1

    @property
    def root(self) -> bytes:
        """The root; of no leaves, the hash of nothing."""
        if not self._full:
            return hashlib.sha256().digest()
        *rest, (node, _) = self._full
        for left, _ in reversed(rest):
            node = _joined(left, node)
        return node


def _joined(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
