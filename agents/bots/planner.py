"""A player of the particle games by rules: plans through the physics, by what its facts say.

It says word k where it sees that its partner has to reach landmark k, and goes where it is told;
in simple-spread it takes the landmark that makes everybody's ways shortest. It is the player *by
text* of :mod:`games.mpe.reference`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agents.core import Observations
from games.mpe.phrases import PHRASEBOOK
from games.mpe.reference import plan_rows
from games.text import Phrasebook

DEPTH = 2
"""Steps that it looks ahead: a third costs a tenth of a point less and five times the time."""


class Planner:
    """A ``Policy`` of ``marl.core`` for the particle games; it carries no memory."""

    version = 0
    phrasebook: Phrasebook | None = PHRASEBOOK
    name, memory_size = "planner", 0

    def act(
        self, observations: Observations, memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Chooses for B seats at once; values are 1 for the choice and 0 for the others.

        Raises:
            ValueError: if the facts are not those of a particle game.
        """
        counts = observations.choice_counts
        found = plan_rows(observations.facts, observations.choices, counts, DEPTH)
        column = np.arange(observations.choices.shape[1])
        values = (column == found[:, None]).astype(np.float32)
        values[column >= counts[:, None]] = -np.inf
        return found, values, memory
