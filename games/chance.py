"""Random numbers for compiled engines: one 64-bit state a game, which its seed alone decides.

splitmix64 (Steele, Lea and Flood 2014; constants of Stafford). A draw returns the number and the
next state, so that an engine keeps the state in the record of the game and saves it with the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_30, _27, _31, _11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_UNIT = 2.0**-53


@njit(cache=True, nogil=True)
def _mix(x: Any) -> Any:
    x = (x ^ (x >> _30)) * _MIX_1
    x = (x ^ (x >> _27)) * _MIX_2
    return x ^ (x >> _31)


@njit(cache=True, nogil=True)
def begin(seed: Any) -> Any:
    """The state that a seed starts with; hashed, so that neighbouring seeds share no stream."""
    return _mix(seed + _GOLDEN)


@njit(cache=True, nogil=True)
def uniform(state: Any) -> tuple[Any, Any]:
    """A number in [0, 1) and the next state."""
    state = state + _GOLDEN
    return np.float64(_mix(state) >> _11) * _UNIT, state


@njit(cache=True, nogil=True)
def below(state: Any, n: Any) -> tuple[Any, Any]:
    """An integer in 0 .. n - 1 and the next state."""
    draw, state = uniform(state)
    return np.int64(draw * n), state
