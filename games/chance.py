"""Random numbers for compiled engines: one 64-bit state a game, which its seed alone decides.

splitmix64 (Steele, Lea and Flood 2014; constants of Stafford). A draw returns the number and the
next state, so that an engine keeps the state in the record of the game and saves it with the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""By which a state advances."""
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_30, _27, _31, _11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_UNIT = 2.0**-53


@njit(cache=True, nogil=True)
def mix(x: Any) -> Any:
    """The output function of splitmix64: 64 bits from 64 bits, or from each of an array."""
    x = (x ^ (x >> _30)) * _MIX_1
    x = (x ^ (x >> _27)) * _MIX_2
    return x ^ (x >> _31)


@njit(cache=True, nogil=True)
def begin(seed: Any) -> Any:
    """The state that a seed starts with; hashed, so that neighbouring seeds share no stream."""
    return mix(seed + GOLDEN)


@njit(cache=True, nogil=True)
def uniform(state: Any) -> tuple[Any, Any]:
    """A number in [0, 1) and the next state."""
    state = state + GOLDEN
    return np.float64(mix(state) >> _11) * _UNIT, state


@njit(cache=True, nogil=True)
def below(state: Any, n: Any) -> tuple[Any, Any]:
    """An integer in 0 .. n - 1 and the next state."""
    draw, state = uniform(state)
    return np.int64(draw * n), state


def packed(rng: np.random.Generator) -> NDArray[np.uint64]:
    """The state of a PCG64, uint64 [4], for who saves arrays; ``unpack`` takes it.

    The buffered half of a 32-bit draw is not part of it: it is for who draws 64-bit numbers.
    """
    words = rng.bit_generator.state["state"]
    halves = [words[name] >> shift for name in ("state", "inc") for shift in (0, 64)]
    return np.array([half % 2**64 for half in halves], np.uint64)


def unpack(rng: np.random.Generator, words: NDArray[Any]) -> None:
    """Makes a PCG64 go on where another was ``packed``."""
    state, state_high, inc, inc_high = (int(word) for word in words)
    generator = dict(rng.bit_generator.state)
    generator["state"] = {"state": state | state_high << 64, "inc": inc | inc_high << 64}
    rng.bit_generator.state = generator
