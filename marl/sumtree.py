"""A sum tree: finds an index in proportion to its priority, in logarithmic time.

The tree is an array in heap order: node 1 is the root, the children of node i are 2i and 2i + 1,
and the leaves fill the second half. A parent is always recomputed as left + right and never
adjusted by a difference. Sums therefore do not drift, and a tree is a function of its leaves alone:
one rebuilt from saved leaves equals, bit for bit, the one that grew by updates in any order.

All functions are compiled, to be called from compiled loops.
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
def assign(nodes, leaf, priority):
    """Sets the priority of a leaf.

    Args:
        nodes: float64 [2 * leaves], the tree.
        leaf: which one, in [0, leaves); unchecked.
        priority: float64, finite and not negative; unchecked.
    """
    node = len(nodes) // 2 + leaf
    while nodes[node] != priority:
        nodes[node] = priority
        if node == 1:
            return
        node >>= 1
        priority = nodes[2 * node] + nodes[2 * node + 1]


@njit(cache=True, nogil=True)
def find(nodes, fraction, root=1):
    """The leaf under a point of the line on which every leaf is as wide as its priority.

    Args:
        nodes: float64 [2 * leaves], the tree.
        fraction: float64 in [0, 1], how far along the line the point lies.
        root: node whose subtree is meant.

    Returns:
        a leaf of the subtree, in [0, leaves), never one of priority 0 unless all are.
    """
    leaves = len(nodes) // 2
    mass = fraction * nodes[root]
    node = root
    while node < leaves:
        node *= 2
        # Rounding can carry the point past the last priority: turn back where nothing lies.
        if mass >= nodes[node] and nodes[node + 1] > 0.0:
            mass -= nodes[node]
            node += 1
    return node - leaves
