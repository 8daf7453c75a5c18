"""Learning that has run away is ended with an error that says which setting to change."""

from __future__ import annotations

import math

import numpy as np

from marl.episodes import Episodes
from marl.learning.config import LearnerConfig

FACTOR = 100.0
"""Errors of so many times what a sequence has ever earned are not made by learning that works. One
that is cut is worth more than it earned, but not by so much."""


class DivergedError(ValueError):
    """Values have left all that a game can be worth, and do not come back."""


class Watch:
    """Looks at every update, before it changes a weight or a priority.

    Args:
        config: the settings to be named.
    """

    def __init__(self, config: LearnerConfig) -> None:
        self.config = config
        self.earned = 1.0
        """Most that a sequence has earned or paid so far, steps added up without their signs."""

    def check(self, updates: int, episodes: Episodes, loss: float, td_error: float) -> None:
        """Refuses to learn from errors that cannot be.

        Args:
            updates: made so far.
            episodes: what the errors are about.
            loss: mean over the steps.
            td_error: mean absolute TD error.

        Raises:
            DivergedError: if one of them is not finite or beyond all measure.
        """
        starts = np.cumsum(episodes.lengths) - episodes.lengths
        earned = np.add.reduceat(np.abs(episodes.rewards), starts)
        self.earned = max(self.earned, float(earned.max()))
        if math.isfinite(loss) and td_error <= FACTOR * self.earned:
            return
        rates = " or ".join(
            f"--learner.{name.replace('_', '-')} {getattr(self.config, name):g}"
            for name in ("learning_rate", "text_learning_rate")
        )
        raise DivergedError(
            f"learning has diverged: after {updates:,} updates the mean TD error is "
            f"{td_error:.3g}, where a sequence earns {self.earned:g} at most: begin another run "
            f"with less than {rates}; checkpoints saved so far stay"
        )
