"""A sum tree: finds an index in proportion to its priority, in logarithmic time.

The tree is an array in heap order: node 1 is the root, the children of node i are 2i and 2i + 1,
and the leaves fill the second half. A parent is always recomputed as left + right and never
adjusted by a difference. Sums therefore do not drift, and a tree is a function of its leaves alone:
one rebuilt from saved leaves equals, bit for bit, the one that grew by updates in any order.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


def grow(leaves: int) -> NDArray[np.float64]:
    """The nodes of a tree of at least ``leaves`` leaves, all of priority 0.

    Raises:
        ValueError: if ``leaves`` is below 1.
    """
    if leaves < 1:
        raise ValueError(f"a sum tree needs at least 1 leaf, got {leaves}")
    return np.zeros(2 << (leaves - 1).bit_length(), np.float64)


@njit(cache=True, nogil=True)
def assign(nodes, leaves, priorities):
    """Sets priorities; of a leaf named twice the last one counts.

    Args:
        nodes: float64 [2 * size], the tree.
        leaves: int64 [n], each in [0, size); unchecked.
        priorities: float64 [n], finite and not negative; unchecked.
    """
    for k in range(len(leaves)):
        node, value = len(nodes) // 2 + leaves[k], priorities[k]
        # What is as it should be leaves everything above it as it should be.
        while nodes[node] != value:
            nodes[node] = value
            if node == 1:
                break
            node >>= 1
            value = nodes[2 * node] + nodes[2 * node + 1]


@njit(cache=True, nogil=True)
def find(nodes, fractions, roots):
    """The leaves under some points of the line on which every leaf is as wide as its priority.

    Args:
        nodes: float64 [2 * size], the tree.
        fractions: float64 [n] in [0, 1], how far along its line each point lies.
        roots: int64 [n], the node whose subtree is meant; 1 for the whole tree.

    Returns:
        int64 [n], leaves in [0, size), never one of priority 0 unless all of the subtree are.
    """
    size = len(nodes) // 2
    leaves = np.empty(len(fractions), np.int64)
    for k in range(len(fractions)):
        node = roots[k]
        mass = fractions[k] * nodes[node]
        while node < size:
            node *= 2
            # Rounding can carry a point past the last priority: turn back where nothing lies.
            if mass >= nodes[node] and nodes[node + 1] > 0.0:
                mass -= nodes[node]
                node += 1
        leaves[k] = node - size
    return leaves
