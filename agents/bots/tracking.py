"""A player by rules for ``tracking``: points where the target will be if it does not turn round.

Where it is not told which way the target runs, it remembers the cell of its last turn.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from agents.core import Observations
from games.text import Phrasebook

_NUMBER = re.compile(r"\d+")
_UNSAID = -1


class Tracker:
    """A ``Policy`` of ``marl.core``.

    Its memory is the cell of the last turn, counted from 1 (0: none), and the way the target ran:
    -1 to the left, 1 to the right, 0 unknown.

    Args:
        phrasebook: the game's.
    """

    name, version, memory_size = "tracker", 0, 2

    def __init__(self, phrasebook: Phrasebook) -> None:
        self.phrasebook = phrasebook
        shape = len(phrasebook) + 1  # The last one stands for PAD.
        self._cell, self._point = np.full(shape, _UNSAID), np.full(shape, _UNSAID)
        self._way, self._ahead = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for id, sentence in enumerate(phrasebook):
            number = int(next(iter(_NUMBER.findall(sentence)), 0))
            if sentence.startswith("the target is at"):
                self._cell[id] = number - 1
            elif sentence.startswith("I point at"):
                self._point[id] = number - 1
            elif sentence.startswith("the target runs"):
                self._way[id] = 1 if sentence.endswith("right") else -1
            elif sentence.startswith("my choice counts"):
                self._ahead[id] = number
        self._cells = int(self._cell.max()) + 1

    def act(
        self, observations: Observations, memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Chooses for B seats at once; values are 1 for the choice, 0 for others, -inf for none."""
        facts, choices = observations.facts, observations.choices
        after = self._read(facts, memory)
        ahead = self._ahead[facts].max(1, initial=0)
        target = (after[:, 0] - 1 + after[:, 1] * ahead) % self._cells
        there = self._point[choices] == target[:, None]
        if not there.any(1).all():
            raise ValueError("bot:tracker plays tracking, and was shown something else")
        values = there.astype(np.float32)
        column = np.arange(choices.shape[1])
        values[column >= observations.choice_counts[:, None]] = -np.inf
        return there.argmax(1), values, after

    def remember(
        self, facts: NDArray[np.int16], counts: NDArray[np.int16], memory: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """What it remembers after some turns: int16 [B, L, F], counts int16 [B, L], -1 for none."""
        for turn in range(counts.shape[1]):
            here = counts[:, turn, None] >= 0
            memory = np.where(here, self._read(facts[:, turn], memory), memory)
        return memory.astype(np.float32)

    def _read(self, facts: NDArray[np.int16], memory: NDArray[np.float32]) -> NDArray[np.float32]:
        """The memory after a turn."""
        cell, told = self._cell[facts].max(1, initial=_UNSAID), self._way[facts].sum(1)
        last, way = memory[:, 0] - 1, memory[:, 1]
        moved = (cell - last) % self._cells
        way = np.where((last >= 0) & (moved == 1), 1, way)
        way = np.where((last >= 0) & (moved == self._cells - 1), -1, way)
        way = np.where(told != 0, told, way)
        return np.stack([cell + 1, way], 1).astype(np.float32)
