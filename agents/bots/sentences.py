"""Players by rules that read sentences, for the games that do not wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from agents.bots.blocks import stack
from agents.bots.parcels import sort
from agents.bots.tracking import Tracker
from agents.core import Observations
from games.text import PAD, Phrasebook

Choose = Callable[[Sequence[str], Sequence[str]], str]
"""From the facts and the choices of a seat, one of the choices."""


class SentenceBot:
    """A player that reads what everybody reads; a ``Policy`` of ``marl.core`` without memory.

    Args:
        name: what it is called.
        choose: what decides.
        phrasebook: the sentences of its game.
    """

    version = 0
    memory_size = 0

    def __init__(self, name: str, choose: Choose, phrasebook: Phrasebook) -> None:
        self.name, self.phrasebook = name, phrasebook
        self._choose = choose
        self._index = lru_cache(maxsize=1 << 14)(self._decide)

    def act(
        self, observations: Observations, memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Chooses for B seats at once; values are 1 for the choice, 0 for others, -inf for none."""
        rows, most = observations.choices.shape
        found = np.zeros(rows, np.int64)
        for row in range(rows):
            facts = observations.facts[row, : observations.fact_counts[row]]
            choices = observations.choices[row, : observations.choice_counts[row]]
            found[row] = self._index(tuple(facts.tolist()), tuple(choices.tolist()))
        column = np.arange(most)
        values = (column == found[:, None]).astype(np.float32)
        values[column >= observations.choice_counts[:, None]] = -np.inf
        return found, values, np.zeros((rows, 0), np.float32)

    def _decide(self, facts: tuple[int, ...], choices: tuple[int, ...]) -> int:
        if any(not PAD < id < len(self.phrasebook) for id in (*facts, *choices)):
            raise ValueError(f"bot:{self.name} was shown an id that is no sentence of its game")
        offered = [self.phrasebook[id] for id in choices]
        return offered.index(self._choose([self.phrasebook[id] for id in facts], offered))


GAMES = {"sorter": "parcels", "stacker": "blocks@choose=buttons", "tracker": "tracking"}
"""What each of them plays."""


def make(name: str, phrasebook: Phrasebook) -> SentenceBot | Tracker:
    """A player by its name, one of ``GAMES``, with the phrasebook of its game."""
    if name == "tracker":
        return Tracker(phrasebook)
    return SentenceBot(name, {"sorter": sort, "stacker": stack}[name], phrasebook)
