"""Interquartile means over seeds, and their stratified bootstrap intervals.

After Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice"
(arXiv 2108.13264): a few runs are few, and the mean of what they came to follows the luckiest. The
interquartile mean (IQM) of R runs in M settings leaves out the lowest and the highest quarter of
all R * M scores. Its interval comes from drawing runs again, with replacement, each *stratum* by
itself, and taking percentiles of the IQMs.

In that paper a run plays one setting, and a stratum is a setting. Here a run may play several with
one set of weights, whose scores are then no independent draws: what is drawn again is the run, with
all its scores, and a stratum holds the runs that play the same settings. Where every run plays one
setting the two are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """Interquartile means at T points, float64 [T], and the ends of their intervals.

    Attributes:
        iqm: interquartile means.
        low, high: NaN where no stratum has two runs: nothing is known of the spread then.
    """

    iqm: Array
    low: Array
    high: Array


def interquartile_mean(scores: Array) -> Array:
    """The mean without the lowest and the highest quarter, along the first axis.

    Args:
        scores: float64 [n, ...], of which NaN is left out, the same number of times in every
            column. A quarter is rounded down, so that up to three scores are averaged whole.

    Returns:
        float64 [...].
    """
    ordered = np.sort(scores, axis=0)  # NaN comes last
    present = int(np.isfinite(ordered).sum(axis=0).max(initial=0))
    cut = present // 4
    return ordered[cut : present - cut].mean(axis=0)


def draw(strata: Sequence[NDArray[np.int64]], resamples: int, seed: int = 0) -> NDArray[np.int64]:
    """Draws runs again, from every stratum as many as it has.

    Args:
        strata: the places of the runs of each, R in all.
        resamples: B.
        seed: of the draw.

    Returns:
        int64 [B, R], places of runs.
    """
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [stratum[rng.integers(0, len(stratum), (resamples, len(stratum)))] for stratum in strata],
        axis=1,
    )


def estimate(
    scores: Array,
    strata: Sequence[NDArray[np.int64]],
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """The interquartile mean of runs, and its interval.

    Args:
        scores: float64 [R, M, T], of R runs in M settings at T points, each point by itself; NaN
            where a run does not play a setting.
        strata: the places of the runs of each stratum, which play the same settings.
        resamples: how often runs are drawn again.
        level: of the intervals (0.95: of 20, one leaves out what it is about).
        seed: of the draw.
    """
    points = scores.shape[2]
    iqm = interquartile_mean(scores.reshape(-1, points))
    if all(len(stratum) < 2 for stratum in strata):
        unknown = np.full(points, np.nan)
        return Estimate(iqm, unknown, unknown)
    drawn = draw(strata, resamples, seed)
    low, high = np.empty(points), np.empty(points)
    tails = [50 * (1 - level), 50 * (1 + level)]
    for point in range(points):  # all at once would take gigabytes
        again = scores[drawn, :, point].reshape(resamples, -1)
        low[point], high[point] = np.percentile(interquartile_mean(again.T), tails)
    return Estimate(iqm, low, high)
