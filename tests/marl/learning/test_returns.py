"""n-step returns and sequence priorities against plain Python."""

from __future__ import annotations

import numpy as np
import pytest

from marl.learning.returns import n_step, sequence_priorities, shape


def reference(
    rewards: list[float],
    elapsed: list[int],
    terminal: bool,
    begins: bool,
    n: int,
    gamma: float,
    burn_in: int,
) -> list[tuple[float, int, float, bool]]:
    """Return, place of the successor, its discount, whether it is learned: for one sequence."""
    steps = []
    for t in range(len(rewards)):
        # The last step of a cut sequence is only there to bootstrap from: its reward may not be
        # complete.
        last = len(rewards) if terminal else len(rewards) - 1
        end = min(t + n, last)
        times = [sum(elapsed[t:k]) for k in range(t, end + 1)]  # from here to each of them
        total = sum(gamma ** times[k - t] * rewards[k] for k in range(t, end))
        warm = not begins and t < burn_in
        if end == len(rewards):
            steps.append((total, t, 0.0, not warm))
        else:
            steps.append((total, max(end, t), gamma ** times[-1], not warm and end > t))
    return steps


@pytest.mark.parametrize("n", [1, 2, 3, 7])
@pytest.mark.parametrize("burn_in", [0, 1, 4])
@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_returns_of_ragged_sequences(n: int, burn_in: int, gamma: float) -> None:
    rng = np.random.default_rng(100 * n + burn_in)
    lengths = np.array([1, 1, 2, 2, *rng.integers(1, 15, 40)], np.int32)
    terminal = np.array([True, False, True, False, *(rng.random(40) < 0.5)])
    rewards = rng.normal(size=lengths.sum()).astype(np.float32)
    elapsed = rng.integers(0, 5, lengths.sum()).astype(np.int16)
    fresh = rng.random(len(lengths)) < 0.5
    found = n_step(lengths, terminal, rewards, elapsed, fresh, n=n, gamma=gamma, burn_in=burn_in)
    first = 0
    for e, length in enumerate(lengths):
        part, times = (a[first : first + length].tolist() for a in (rewards, elapsed))
        ends, begins = bool(terminal[e]), bool(fresh[e])
        for t, (total, successor, discount, learned) in enumerate(
            reference(part, times, ends, begins, n, gamma, burn_in), first
        ):
            assert found.learned[t] == learned
            if learned:
                assert found.rewards[t] == pytest.approx(total, abs=1e-5)
                assert found.discount[t] == pytest.approx(discount)
                assert found.successor[t] == successor + first or discount == 0
            assert first <= found.successor[t] < first + length, "out of its own sequence"
        first += length


def test_an_episode_by_hand() -> None:
    """Three own turns with rewards 1, 10, 100; two-step returns at a discount of one half."""
    lengths, rewards = np.array([3], np.int32), np.array([1, 10, 100], np.float32)
    times, fresh = np.ones(3, np.int16), np.array([True])
    ended = n_step(lengths, np.array([True]), rewards, times, fresh, n=2, gamma=0.5)
    assert ended.rewards.tolist() == [6, 60, 100]
    assert ended.discount.tolist() == [0.25, 0, 0]
    assert ended.successor[0] == 2
    assert ended.learned.tolist() == [True, True, True]
    cut = n_step(lengths, np.array([False]), rewards, times, fresh, n=2, gamma=0.5)
    assert cut.rewards[:2].tolist() == [6, 10]
    assert cut.discount[:2].tolist() == [0.25, 0.5]
    assert cut.successor[:2].tolist() == [2, 2]
    assert cut.learned.tolist() == [True, True, False]


def test_what_takes_longer_is_discounted_more() -> None:
    """By hand: the first own turn lasts two units of time, the second none, the third four."""
    lengths, rewards = np.array([4], np.int32), np.array([1, 10, 100, 1000], np.float32)
    times, fresh = np.array([2, 0, 4, 1], np.int16), np.array([True])
    ended = n_step(lengths, np.array([True]), rewards, times, fresh, n=2, gamma=0.5)
    assert ended.rewards.tolist() == [1 + 10 / 4, 10 + 100, 100 + 1000 / 16, 1000]
    assert ended.discount.tolist() == [1 / 4, 1 / 16, 0, 0]
    assert ended.successor[:2].tolist() == [2, 3]


def test_shaping_adds_what_the_potential_gains() -> None:
    """By hand: a sequence that ended, and one that was cut, whose last step has no target."""
    lengths, terminal = np.array([2, 3], np.int32), np.array([True, False])
    rewards, times = np.ones(5, np.float32), np.array([1, 1, 2, 1, 1], np.int16)
    potential = np.array([4, 8, 16, 32, 64], np.float32)
    found = shape(lengths, terminal, rewards, times, potential, gamma=0.5)
    assert found.tolist() == [1 + 4 - 4, 1 - 8, 1 + 8 - 16, 1 + 32 - 32, 1]


def test_shaping_leaves_the_difference_between_two_policies() -> None:
    """The returns of two ways on from the same step move by the same amount."""
    rng = np.random.default_rng(0)
    lengths, fresh = np.array([6, 4], np.int32), np.array([True, True])
    ends, times = np.array([True, True]), np.ones(10, np.int16)
    rewards, potential = rng.normal(size=(2, 10)).astype(np.float32)
    potential[6] = potential[0]  # the same beginning
    plain = n_step(lengths, ends, rewards, times, fresh, n=6, gamma=0.9).rewards
    added = shape(lengths, ends, rewards, times, potential, 0.9)
    shaped = n_step(lengths, ends, added, times, fresh, n=6, gamma=0.9).rewards
    assert shaped[0] - shaped[6] == pytest.approx(plain[0] - plain[6], abs=1e-5)
    assert shaped[1] != pytest.approx(plain[1], abs=1e-3)


def test_burn_in_is_for_sequences_that_begin_midway() -> None:
    lengths, terminal = np.array([3, 3], np.int32), np.array([True, True])
    ones, fresh = np.ones(6, np.float32), np.array([True, False])
    times = np.ones(6, np.int16)
    found = n_step(lengths, terminal, ones, times, fresh, n=1, gamma=1.0, burn_in=2)
    assert found.learned.tolist() == [True, True, True, False, False, True]


@pytest.mark.parametrize("eta", [0.0, 0.9, 1.0])
def test_priorities_mix_the_largest_error_with_the_mean(eta: float) -> None:
    rng = np.random.default_rng(1)
    lengths = rng.integers(1, 9, 30).astype(np.int32)
    errors = rng.normal(size=lengths.sum()).astype(np.float32)
    learned = rng.random(lengths.sum()) < 0.5
    learned[: lengths[0]] = False
    found = sequence_priorities(lengths, errors, learned, eta)
    assert found.dtype == np.float32
    first = 0
    for e, length in enumerate(lengths):
        part = [abs(float(errors[t])) for t in range(first, first + length) if learned[t]]
        expected = eta * max(part) + (1 - eta) * sum(part) / len(part) if part else 0.0
        assert found[e] == pytest.approx(expected, abs=1e-6)
        first += length
    assert found[0] == 0


def test_every_sequence_has_its_own_discount_and_n() -> None:
    rng = np.random.default_rng(5)
    lengths = np.array([6, 3, 9, 4], np.int32)
    terminal, fresh = np.array([True, False, False, True]), np.ones(4, np.bool_)
    rewards = rng.normal(size=22).astype(np.float32)
    elapsed = rng.integers(0, 4, 22).astype(np.int16)
    n, gamma = np.array([1, 4, 2, 3]), np.array([0.5, 0.999, 0.9, 1.0])
    together = n_step(lengths, terminal, rewards, elapsed, fresh, n=n, gamma=gamma)
    first = 0
    for e, length in enumerate(lengths):
        steps, one = slice(first, first + length), slice(e, e + 1)
        alone = n_step(
            lengths[one], terminal[one], rewards[steps], elapsed[steps], fresh[one],
            n=int(n[e]), gamma=float(gamma[e]),
        )  # fmt: skip
        np.testing.assert_array_equal(together.rewards[steps], alone.rewards)
        np.testing.assert_array_equal(together.discount[steps], alone.discount)
        np.testing.assert_array_equal(together.successor[steps] - first, alone.successor)
        np.testing.assert_array_equal(together.learned[steps], alone.learned)
        first += length
