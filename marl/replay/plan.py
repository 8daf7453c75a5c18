"""What to draw from replay, whether it is one table or lies in several: which points of the line.

Every sequence takes up as much of a line as its priority. A plan says at which points of the line
sequences are drawn, and what their importance weights are; a table says what lies there. Where
there are several tables, their lines lie end to end (``marl.replay.sharded``), so the distribution
is that of one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from marl.episodes import Episodes


class Figures(NamedTuple):
    """What has to be known of a table, or of several, to draw from it.

    Attributes:
        counts: int64 [settings, 3], live sequences, live steps and live first seats.
        masses: float64 [subtrees], sums of the priorities, each to the power of alpha.
        nbytes: that the live sequences take.
    """

    counts: NDArray[np.int64]
    masses: NDArray[np.float64]
    nbytes: int


class Drawn(NamedTuple):
    """What lies under some points.

    Attributes:
        ids: int64 [n], as in ``Sample``.
        priorities: float64 [n], each to the power of alpha.
        masses: float64 [n], sums of such over the subtree that each was drawn from.
        episodes: the sequences.
    """

    ids: NDArray[np.int64]
    priorities: NDArray[np.float64]
    masses: NDArray[np.float64]
    episodes: Episodes


def subtrees_of(num_settings: int, balanced: bool) -> int:
    """Subtrees of a table's sum tree: one, or where settings are balanced at least one for each."""
    # Subtrees begin on one level, so their number is a power of two.
    return 1 << (num_settings - 1).bit_length() if balanced else 1


class Plan:
    """Which settings are drawn from, and how often; for one table, or several taken together.

    Args:
        counts: live sequences, steps and first seats of every setting (see ``Figures``).
        subtrees: of the sum tree; more than one where settings are balanced.
        whole_episodes: whether episodes are drawn whole.

    Raises:
        ValueError: if there is nothing to draw.
    """

    def __init__(
        self, counts: NDArray[np.int64], *, subtrees: int = 1, whole_episodes: bool = False
    ) -> None:
        self._counts, self._whole = counts, whole_episodes
        self._balanced = subtrees > 1
        self._drawable = counts[:, 2 if whole_episodes else 0]
        if not self._drawable.any():
            raise ValueError("replay is empty: insert sequences before sampling")

    def points(
        self, n: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Where about n sequences are drawn: the subtree of each, and how far along it it lies.

        Raises:
            ValueError: if n is below 1.
        """
        if n < 1:
            raise ValueError(f"a sample needs at least 1 sequence, got {n}")
        if self._whole:
            n = self._episodes_of(n)
        # Strata: the k-th point lies in the k-th of n equal parts of the line.
        points = (np.arange(n) + rng.random(n)) / n
        if not self._balanced:
            return np.zeros(n, np.int64), points
        ends = np.cumsum(self._shares())
        # Rounding may leave the last end below 1: what lies beyond is of the last subtree in use.
        subtrees = np.minimum(
            np.searchsorted(ends, points, "right"), np.flatnonzero(self._drawable)[-1]
        )
        starts = np.concatenate([[0.0], ends])
        fractions = (points - starts[subtrees]) / (starts[subtrees + 1] - starts[subtrees])
        return subtrees, np.clip(fractions, 0.0, 1.0)

    def weights(
        self,
        subtrees: NDArray[np.int64],
        priorities: NDArray[np.float64],
        masses: NDArray[np.float64],
        beta: float,
    ) -> NDArray[np.float32]:
        """Importance weights of what was drawn, the largest being 1: float32 [n]."""
        sizes = self._drawable[subtrees] if self._balanced else self._drawable.sum()
        chances = sizes * priorities
        chances /= masses
        weights: NDArray[np.float64] = (chances / chances.min()) ** -beta
        return weights.astype(np.float32)

    def _shares(self) -> NDArray[np.float64]:
        """The share of each setting in the draws where settings are balanced: [settings]."""
        widths = self._drawable / np.maximum(self._counts[:, 1], 1)
        shares: NDArray[np.float64] = widths / widths.sum()
        return shares

    def _episodes_of(self, n: int) -> int:
        """How many episodes have about n sequences."""
        drawable, sequences = self._drawable, self._counts[:, 0]
        shares = self._shares() if self._balanced else drawable / drawable.sum()
        mean = float((shares * sequences / np.maximum(drawable, 1)).sum())
        return max(1, round(n / mean))
