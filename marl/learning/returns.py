"""n-step returns and sequence priorities over ragged sequences."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray


class Returns(NamedTuple):
    """What the targets of S steps are made of.

    Attributes:
        rewards: float32 [S], discounted rewards of the next n own turns.
        successor: int64 [S], the step whose value stands for what comes after them.
        discount: float32 [S], its discount; 0 where the episode ends first.
        learned: bool [S], whether the step has a target at all: not during burn-in, nor at the
            last step of a cut sequence.
    """

    rewards: NDArray[np.float32]
    successor: NDArray[np.int64]
    discount: NDArray[np.float32]
    learned: NDArray[np.bool_]


def stored(targets: NDArray[np.float32]) -> Returns:
    """Returns of steps that brought their targets with them, float32 [S]: nothing is to come."""
    steps = len(targets)
    return Returns(targets, np.arange(steps), np.zeros(steps, np.float32), np.ones(steps, np.bool_))


@numba.njit(cache=True, nogil=True)
def _n_step(lengths, terminal, rewards, elapsed, fresh, n, gamma, burn_in, out):
    first = 0
    for b in range(len(lengths)):
        end = first + lengths[b]
        # Where the episode begins, zeros are what memory is: there is nothing to warm up.
        warm = first if fresh[b] else first + burn_in
        for t in range(first, end):
            horizon = min(n[b], end - t if terminal[b] else end - 1 - t)
            total, scale = 0.0, 1.0
            for k in range(horizon):
                total += scale * rewards[t + k]
                scale *= gamma[b] ** np.int64(elapsed[t + k])
            ends = t + horizon >= end
            out.rewards[t] = total
            out.successor[t] = t if ends else t + horizon
            out.discount[t] = 0.0 if ends else scale
            out.learned[t] = t >= warm and horizon > 0
        first = end


def n_step(
    lengths: NDArray[np.int32],
    terminal: NDArray[np.bool_],
    rewards: NDArray[np.float32],
    elapsed: NDArray[np.int16],
    fresh: NDArray[np.bool_],
    *,
    n: int | NDArray[np.integer],
    gamma: float | NDArray[np.float64],
    burn_in: int = 0,
) -> Returns:
    """n-step returns of packed sequences; the arguments are fields of ``Episodes``.

    Close to the end of a cut sequence the horizon shrinks to what there is.

    Args:
        lengths: int32 [E].
        terminal: bool [E].
        rewards: float32 [S].
        elapsed: int16 [S], time from each own turn to the next; rewards count from its end.
        fresh: bool [E], sequences that begin an episode.
        n: own turns to sum over, at least 1; for all, or [E].
        gamma: discount of one unit of time, in (0, 1]; for all, or [E].
        burn_in: first steps of a mid-episode sequence that only warm the memory up.
    """
    steps = len(rewards)
    out = Returns(
        np.empty(steps, np.float32),
        np.empty(steps, np.int64),
        np.empty(steps, np.float32),
        np.empty(steps, np.bool_),
    )
    of_each = np.broadcast_to(np.asarray(n, np.int64), lengths.shape)
    discount = np.broadcast_to(np.asarray(gamma, np.float64), lengths.shape)
    _n_step(lengths, terminal, rewards, elapsed, fresh, of_each, discount, burn_in, out)
    return out


def shape(
    lengths: NDArray[np.int32],
    terminal: NDArray[np.bool_],
    rewards: NDArray[np.float32],
    elapsed: NDArray[np.int16],
    potential: NDArray[np.float32],
    gamma: float | NDArray[np.float64],
) -> NDArray[np.float32]:
    """Adds to rewards what a potential gains: ``r[t] + gamma ** elapsed[t] * p[t + 1] - p[t]``.

    Potential-based shaping, which leaves the best policies what they are (Ng, Harada and Russell
    1999, "Policy invariance under reward transformations"). After an end the potential is 0. The
    last step of a cut sequence, which has no target, stays as it is.

    Args:
        lengths: int32 [E], steps of each sequence.
        terminal: bool [E].
        rewards: float32 [S].
        elapsed: int16 [S].
        potential: float32 [S].
        gamma: discount of one unit of time; for all, or [E].

    Returns:
        float32 [S].
    """
    last = np.cumsum(lengths) - 1
    after = np.append(potential[1:], np.float32(0))
    after[last[terminal]] = 0
    discount = np.repeat(np.broadcast_to(np.asarray(gamma, np.float64), lengths.shape), lengths)
    shaped = rewards + discount**elapsed * after - potential
    cut = last[~terminal]
    shaped[cut] = rewards[cut]
    return shaped.astype(np.float32)


@numba.njit(cache=True, nogil=True)
def sequence_priorities(lengths, errors, learned, eta):
    """One priority a sequence, ``eta * max + (1 - eta) * mean`` of its absolute errors.

    Kapturowski et al. 2019 ("Recurrent Experience Replay in Distributed Reinforcement Learning"),
    section 2.3.

    Args:
        lengths: int32 [E].
        errors: float32 [S], temporal-difference errors of either sign.
        learned: bool [S], which of them count; a sequence without any gets priority 0.
        eta: weight of the largest, in [0, 1].

    Returns:
        float32 [E].
    """
    out = np.zeros(len(lengths), np.float32)
    first = 0
    for b in range(len(lengths)):
        largest, total, count = 0.0, 0.0, 0
        for t in range(first, first + lengths[b]):
            if learned[t]:
                error = abs(errors[t])
                largest = max(largest, error)
                total += error
                count += 1
        out[b] = eta * largest + (1 - eta) * total / max(count, 1)
        first += lengths[b]
    return out
