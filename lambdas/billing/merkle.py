"""Merkle tree of RFC 9162 (Certificate Transparency 2.0), section 2.1: one hash commits to every rated charge.

Leaves are hashed with prefix 0x00 and nodes with 0x01, so a node can never pass for a leaf.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256


def leaf_hash(leaf: bytes) -> bytes:
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


class MerkleTree:
    """The root of leaves that arrive one by one; keeps one hash per set bit of their number, nothing more."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []
        """Roots of the complete subtrees so far, largest first: one for each set bit of `size`."""

    def append(self, leaf: bytes) -> None:
        tip = leaf_hash(leaf)
        merged = self.size
        while merged & 1:
            tip = node_hash(self._peaks.pop(), tip)
            merged >>= 1
        self._peaks.append(tip)
        self.size += 1

    def root(self) -> bytes:
        """The tree hash of the leaves so far; of no leaves it is the hash of nothing (2.1.1)."""
        if not self._peaks:
            return sha256(b"").digest()
        peaks = reversed(self._peaks)
        root = next(peaks)
        for peak in peaks:
            root = node_hash(peak, root)
        return root


def inclusion_proof(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """The sibling hashes from leaf `index` up to the root (2.1.3.1), lowest first. Raises IndexError outside."""
    if not 0 <= index < len(leaf_hashes):
        raise IndexError(index)
    proof: list[bytes] = []
    level = list(leaf_hashes)
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            proof.append(level[sibling])
        paired = [node_hash(*level[i : i + 2]) for i in range(0, len(level) - 1, 2)]
        level = paired + level[len(paired) * 2 :]
        index //= 2
    return proof


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """True when `leaf` is number `index` of the `size` leaves under `root` (2.1.3.2)."""
    if not 0 <= index < size:
        return False
    node, last, tip = index, size - 1, leaf_hash(leaf)
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            tip = node_hash(sibling, tip)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            tip = node_hash(tip, sibling)
        node >>= 1
        last >>= 1
    return last == 0 and tip == root
