"""Answer sheets: what the auxiliary head is asked, in the words of every game that is learned.

A game's sheet has K *slots* (in Hanabi one a card), each with the same number N of answers, which
are phrases. The sheets of several games lie side by side, and one head serves them all: it
compares the recurrent state with the answers' phrases, and within a slot they compete. Where one
sheet is the beginning of another (hands of four and of five cards), they are one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Ids = NDArray[np.int16]


class AnswerSheets:
    """The sheets of several games.

    Attributes:
        sheets: int16 [K, N] each, ids of the answers' phrases.
    """

    def __init__(self) -> None:
        self.sheets: list[Ids] = []

    @property
    def slots(self) -> int:
        """Slots of all sheets together."""
        return sum(len(sheet) for sheet in self.sheets)

    @property
    def size(self) -> int:
        """Answers of all slots together, A."""
        return sum(sheet.size for sheet in self.sheets)

    @property
    def ids(self) -> Ids:
        """int16 [A], the answers of all slots, one after the other."""
        return np.concatenate([np.zeros(0, np.int16), *(sheet.ravel() for sheet in self.sheets)])

    def add(self, sheet: Ids) -> bool:
        """Adds a game's sheet, int16 [K, N]; true if it was not there."""
        if not sheet.size:
            return False
        for i, known in enumerate(self.sheets):
            if _alike(sheet, known):
                if len(sheet) > len(known):
                    self.sheets[i] = sheet
                return len(sheet) > len(known)
        self.sheets.append(sheet)
        return True

    def place(self, sheet: Ids) -> int:
        """The slot in which a game's sheet begins; 0 for one that is not there."""
        first = 0
        for known in self.sheets:
            if _alike(sheet, known):
                return first
            first += len(known)
        return 0

    def split(self, logits: Tensor) -> list[Tensor]:
        """Logits [S, A] by sheet: [S, K, N] each."""
        parts = logits.split([sheet.size for sheet in self.sheets], 1)
        return [
            part.unflatten(1, sheet.shape) for part, sheet in zip(parts, self.sheets, strict=True)
        ]


def _alike(one: Ids, other: Ids) -> bool:
    """Whether one sheet is the beginning of the other."""
    slots = min(len(one), len(other))
    return bool(slots) and np.array_equal(one[:slots], other[:slots])
