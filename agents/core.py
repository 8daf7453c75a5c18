"""What every player is given: facts and choices, as ids, for a batch of seats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Observations:
    """What B seats observe on their own turns.

    Attributes:
        facts: int16 [B, F], ids of the facts, padded with ``games.text.PAD``.
        fact_counts: int16 [B], how many of each row are facts.
        choices: int16 [B, C], ids of the legal choices, padded likewise.
        choice_counts: int16 [B], how many of each row are choices, at least 1.
    """

    facts: NDArray[np.int16]
    fact_counts: NDArray[np.int16]
    choices: NDArray[np.int16]
    choice_counts: NDArray[np.int16]

    def __len__(self) -> int:
        """Number of seats, B."""
        return len(self.fact_counts)

    def __getitem__(self, rows: NDArray[np.generic] | slice) -> Observations:
        """The observations of some of the seats."""
        return Observations(
            self.facts[rows], self.fact_counts[rows], self.choices[rows], self.choice_counts[rows]
        )
