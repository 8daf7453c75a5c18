"""Staleness: how many updates ago the weights that played a sequence were made; what is too old.

Q-learning may learn from what anybody played, but not equally well, and a replay that is large for
the speed, or actors that do not keep up, can make everything old. Sequences beyond a bound are
skipped: the update is made of the others, and those skipped get the least priority there is. Where
nothing is left, no update is made and the newest weights are published at once, so that what is
played next is fresh. Both sides go on whatever the bound: what is skipped counts as sampled, so the
limiter lets actors play for it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from marl.episodes import Episodes, concatenate
from marl.replay.prioritised import Sample

WARN = 0.25
"""Share of skipped sequences from which on a run warns."""


def ages(episodes: Episodes, updates: int) -> NDArray[np.int64]:
    """Updates since the weights that began to play each sequence, int64 [E]; of a teacher's, 0."""
    own = episodes.taught[np.cumsum(episodes.lengths) - 1] < 0
    return np.where(own, updates - episodes.version.astype(np.int64), 0)


def mean_age(episodes: Episodes, updates: int) -> float:
    """The mean age of the agent's own sequences; 0 without any."""
    own = episodes.taught[np.cumsum(episodes.lengths) - 1] < 0
    return float(ages(episodes, updates)[own].mean()) if own.any() else 0.0


def split(
    sample: Sample, edges: NDArray[np.int64], updates: int, bound: int
) -> tuple[Sample | None, NDArray[np.int64]]:
    """Leaves out what is older than a bound.

    Args:
        sample: what was drawn.
        edges: int64 [U + 1], where each of its units begins among the sequences, and where the last
            ends (see ``marl.learning.mixing``).
        updates: made so far.
        bound: updates that a sequence may be old; a unit is as old as its oldest.

    Returns:
        what is left, its largest weight 1, or None if nothing is; and the ids of what is not.
    """
    stale = np.maximum.reduceat(ages(sample.episodes, updates), edges[:-1]) > bound
    if not stale.any():
        return sample, sample.ids[:0]
    if stale.all():
        return None, sample.ids
    kept = np.flatnonzero(~stale)
    # Runs of neighbours are cut out as one.
    breaks = np.flatnonzero(np.diff(kept) > 1) + 1
    parts = [
        sample.episodes.part(int(edges[run[0]]), int(edges[run[-1] + 1]))
        for run in np.split(kept, breaks)
    ]
    weights = sample.weights[kept] / sample.weights[kept].max()
    left = replace(sample, ids=sample.ids[kept], weights=weights, episodes=concatenate(parts))
    return left, sample.ids[stale]
