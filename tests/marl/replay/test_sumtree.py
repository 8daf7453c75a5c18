"""The sum tree against plain sums."""

from __future__ import annotations

import numpy as np
import pytest

from marl.replay.sumtree import assign, find, grow


def tree_of(priorities: np.ndarray) -> np.ndarray:
    nodes = grow(len(priorities))
    assign(nodes, np.arange(len(priorities)), priorities)
    return nodes


def find_all(nodes: np.ndarray, fractions: object, root: int = 1) -> np.ndarray:
    fractions = np.asarray(fractions, np.float64)
    return find(nodes, fractions, np.full(len(fractions), root))


@pytest.mark.parametrize("leaves", [1, 2, 3, 7, 64, 1000])
def test_find_inverts_the_cumulative_sum(leaves: int) -> None:
    rng = np.random.default_rng(leaves)
    priorities = rng.integers(0, 5, leaves).astype(np.float64)  # sums of integers are exact
    priorities[rng.integers(leaves)] = 3
    nodes = tree_of(priorities)
    assert nodes[1] == priorities.sum()
    # Half-way between integers no rounding can move a point over a border.
    masses = np.arange(int(priorities.sum())) + 0.5
    expected = np.searchsorted(np.cumsum(priorities), masses, side="right")
    np.testing.assert_array_equal(find_all(nodes, masses / nodes[1]), expected)


def test_leaves_are_found_as_often_as_their_priority_says() -> None:
    rng = np.random.default_rng(0)
    priorities = rng.random(50) ** 3
    nodes = tree_of(priorities)
    points = (np.arange(20_000) + rng.random(20_000)) / 20_000
    counts = np.bincount(find_all(nodes, points), minlength=50)
    # Points that are so evenly spread differ by less than one at either border of a leaf.
    assert (np.abs(counts - 20_000 * priorities / priorities.sum()) <= 2).all()


def test_a_subtree_is_searched_alone() -> None:
    nodes = tree_of(np.array([1.0, 1.0, 5.0, 3.0]))
    assert nodes[3] == 8
    assert find_all(nodes, [0.0, 0.6, 0.65, 1.0], 3).tolist() == [2, 2, 3, 3]


def test_zero_is_never_found_even_at_the_ends() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        leaves = int(rng.integers(2, 40))
        priorities = rng.random(leaves) * (rng.random(leaves) < 0.3)
        priorities[rng.integers(leaves)] = 1e-3
        nodes = tree_of(priorities)
        points = [0.0, 1.0, np.nextafter(1, 0), *rng.random(50)]
        found = find_all(nodes, points)
        assert (priorities[found] > 0).all()
        live = np.flatnonzero(priorities)
        assert found[:2].tolist() == [live[0], live[-1]]


def test_a_rebuilt_tree_is_the_grown_one_bit_for_bit() -> None:
    rng = np.random.default_rng(2)
    grown = grow(777)
    for _ in range(500):
        priorities = rng.random(40) * 10.0 ** rng.integers(-12, 12, 40) * (rng.random(40) < 0.9)
        assign(grown, rng.integers(0, 777, 40), priorities)
    rebuilt, order = grow(777), rng.permutation(777)
    assign(rebuilt, order, grown[len(grown) // 2 + order])
    assert rebuilt.tobytes() == grown.tobytes()


def test_sums_do_not_drift() -> None:
    nodes = tree_of(np.array([0.1, 0.2, 0.3, 0.4]))
    before = nodes.tobytes()
    for _ in range(100):
        assign(nodes, np.array([2]), np.array([1e18]))
        assign(nodes, np.array([2]), np.array([0.3]))
    assert nodes.tobytes() == before


def test_the_last_of_a_repeated_leaf_counts() -> None:
    nodes = grow(8)
    assign(nodes, np.array([3, 5, 3]), np.array([1.0, 2.0, 4.0]))
    assert nodes[8:].tolist() == [0, 0, 0, 4, 0, 2, 0, 0]
    assert nodes[1] == 6


def test_a_tree_needs_a_leaf() -> None:
    with pytest.raises(ValueError, match="at least 1 leaf, got 0"):
        grow(0)
