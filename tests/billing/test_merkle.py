"""The Merkle tree against RFC 9162 written down as it reads."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdas.billing.merkle import MerkleTree, inclusion_proof, is_included, leaf_hash

LEAVES = st.lists(st.binary(max_size=8), max_size=70)


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = split(len(leaves))
    return sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 9162, 2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if index < k:
        return [*naive_path(index, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(index - k, leaves[k:]), naive_root(leaves[:k])]


def split(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def tree_of(leaves: list[bytes]) -> MerkleTree:
    tree = MerkleTree()
    for leaf in leaves:
        tree.append(leaf)
    return tree


@pytest.mark.parametrize("size", [*range(18), 31, 32, 33, 63, 64, 65, 127, 128, 129])
def test_the_root_of_every_size_is_that_of_the_specification(size: int) -> None:
    leaves = [str(n).encode() for n in range(size)]
    assert tree_of(leaves).root() == naive_root(leaves)


def test_roots_known_from_certificate_transparency() -> None:
    """Test vectors that the implementations of RFC 6962 and 9162 share."""
    leaves = [bytes.fromhex(text) for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )]  # fmt: skip
    assert tree_of([]).root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert tree_of(leaves[:1]).root().hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert tree_of(leaves).root().hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


@given(LEAVES)
def test_the_root_can_be_read_while_the_tree_grows(leaves: list[bytes]) -> None:
    tree = MerkleTree()
    for count, leaf in enumerate(leaves, start=1):
        tree.append(leaf)
        assert tree.size == count
        assert tree.root() == naive_root(leaves[:count])


@given(LEAVES.filter(bool), st.data())
def test_every_leaf_can_be_shown_to_be_included(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof = inclusion_proof([leaf_hash(leaf) for leaf in leaves], index)
    root = naive_root(leaves)
    assert proof == naive_path(index, leaves)
    assert is_included(leaves[index], index, len(leaves), proof, root)


@given(LEAVES.filter(bool), st.data())
def test_no_proof_fits_another_leaf_place_or_root(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof, root = naive_path(index, leaves), naive_root(leaves)
    assert not is_included(leaves[index] + b"x", index, len(leaves), proof, root)
    assert not is_included(leaves[index], index, len(leaves), proof, sha256(root).digest())
    assert not is_included(leaves[index], index, len(leaves), [*proof, root], root)
    assert not is_included(leaves[index], len(leaves), len(leaves), proof, root)
    assert not is_included(leaves[index], -1, len(leaves), proof, root)
    if proof:
        assert not is_included(leaves[index], index, len(leaves), proof[:-1], root)
        assert not is_included(leaves[index], index, len(leaves), [sha256(proof[0]).digest(), *proof[1:]], root)


@pytest.mark.parametrize("index", [-1, 0, 5])
def test_there_is_no_proof_outside_the_tree(index: int) -> None:
    with pytest.raises(IndexError):
        inclusion_proof([leaf_hash(b"")] * (3 if index else 0), index)


def test_a_node_cannot_pass_for_a_leaf() -> None:
    two = tree_of([b"a", b"b"]).root()
    assert tree_of([leaf_hash(b"a") + leaf_hash(b"b")]).root() != two
