"""Random numbers: those of the published generator, and a generator's state as an array."""

from __future__ import annotations

import numpy as np

from games.chance import GOLDEN, mix, packed, unpack


def test_the_published_numbers() -> None:
    """The first three of SplitMix64 from 0."""
    found = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    states = np.arange(1, 4, dtype=np.uint64) * GOLDEN
    assert mix(states).tolist() == found
    assert int(mix(states[0])) == found[0]


def test_a_packed_generator_goes_on() -> None:
    one, other = np.random.default_rng(3), np.random.default_rng(4)
    one.random(7)
    words = packed(one)
    assert (words.dtype, words.shape) == (np.uint64, (4,))
    unpack(other, words)
    np.testing.assert_array_equal(one.random(9), other.random(9))
