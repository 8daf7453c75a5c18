"""The samples-per-insert limiter: the ratio it keeps, and that it never locks up."""

from __future__ import annotations

import math

import numpy as np
import pytest

from marl.replay.limiter import Limiter


def test_nothing_is_sampled_during_the_warm_up() -> None:
    limiter = Limiter(min_size=10, samples_per_insert=2.0)
    for _ in range(9):
        assert limiter.can_insert()
        limiter.inserted(1)
        assert not limiter.can_sample()
    limiter.inserted(1)
    assert limiter.can_sample()


@pytest.mark.parametrize("samples_per_insert", [0.25, 1.0, 3.5])
@pytest.mark.parametrize("error_buffer", [0.0, 5.0, 200.0])
@pytest.mark.parametrize(("insert_size", "sample_size"), [(1, 1), (7, 64), (300, 1), (64, 1000)])
def test_the_ratio_holds_and_one_side_can_always_go_on(
    samples_per_insert: float, error_buffer: float, insert_size: int, sample_size: int
) -> None:
    """Both sides in random order; batches far larger than the buffer among them."""
    rng = np.random.default_rng(0)
    limiter = Limiter(50, samples_per_insert, error_buffer)
    largest = max(insert_size * samples_per_insert, sample_size)
    for _ in range(20_000):
        assert limiter.can_insert() or limiter.can_sample()
        if rng.random() < 0.5:
            if limiter.can_insert():
                limiter.inserted(insert_size)
        elif limiter.can_sample():
            limiter.sampled(sample_size)
        if limiter.inserts >= 50:
            assert abs(limiter.error) <= error_buffer + largest
    slack = (error_buffer + largest) / (limiter.inserts - 50)
    assert limiter.measured == pytest.approx(samples_per_insert, abs=1.001 * slack)
    assert slack < samples_per_insert  # both sides went on for long


@pytest.mark.parametrize("fast", ["actor", "learner"])
def test_a_fast_side_waits_for_a_slow_one(fast: str) -> None:
    limiter = Limiter(1, 1.0, 10.0)
    limiter.inserted(1)
    go_on = limiter.can_insert if fast == "actor" else limiter.can_sample
    count = limiter.inserted if fast == "actor" else limiter.sampled
    steps = 0
    while go_on() and steps < 100:
        count(1)
        steps += 1
    assert steps == 11
    (limiter.sampled if fast == "actor" else limiter.inserted)(1)
    assert go_on()


def test_counts_survive_a_checkpoint() -> None:
    limiter = Limiter(5, 3.0, 4.0)
    limiter.inserted(2**40)
    limiter.sampled(7)
    restored = Limiter(5, 3.0, 4.0)
    restored.load_state(limiter.state())
    assert (restored.inserts, restored.samples) == (2**40, 7)
    assert restored.error == limiter.error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1.0), "at least 1 sequence, got 0"),
        ((1, 0.0), "positive, got 0.0"),
        ((1, math.inf), "positive, got inf"),
        ((1, math.nan), "positive, got nan"),
        ((1, 1.0, -1.0), "negative, got -1.0"),
        ((1, 1.0, math.nan), "negative, got nan"),
    ],
)
def test_bad_values_are_refused(arguments: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Limiter(*arguments)  # type: ignore[arg-type]
