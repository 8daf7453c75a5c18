"""From facts to numbers: what a seat knows, as arrays.

Scripted players read the games through this view, and tests compare it with the engine's state. An
amount is read as the number that was said, in metres; ``least`` and ``most`` say between which
amounts it lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from games.mpe.phrases import BLOCKS, PARTNERS, PHRASEBOOK, PLACES, SPEEDS, Scale
from games.mpe.rules import MAX_PLAYERS
from games.text import PAD

UNSAID: Final = -1
"""What is read where no fact says anything."""

_VELOCITY, _POSITION, _LANDMARKS = 0, 2, 4
_PARTNERS = _LANDMARKS + 4 * MAX_PLAYERS
_AMOUNTS = _PARTNERS + 4 * PARTNERS
_WORDS = ("TASK", "GOAL", "HEARD", "SAYING")


class Amounts(NamedTuple):
    """Amounts in metres (a second), x to the east and y to the north; NaN where unsaid.

    Attributes:
        velocity: float64 [R, 2], one's own.
        position: float64 [R, 2], one's own, from the centre.
        landmarks: float64 [R, 2 * MAX_PLAYERS, 2], from here, by name: colours, then nearness.
        partners: float64 [R, 2 * PARTNERS, 2], from here: partner A first, then by nearness.
    """

    velocity: NDArray[np.float64]
    position: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    partners: NDArray[np.float64]


@dataclass(frozen=True)
class Views:
    """What R rows of facts say.

    Attributes:
        said: amounts as the sentences give them (the last number where it is "more than").
        least: least amounts that are given so; -inf where there is none.
        most: greatest ones.
        task: int64 [R], which game it is.
        goal: int64 [R], the landmark that partner A has to reach, or UNSAID.
        heard: int64 [R], what partner A said: 0 for nothing, else the word from 1; or UNSAID.
        saying: int64 [R], the word about to be said, from 0; or UNSAID.
    """

    said: Amounts
    least: Amounts
    most: Amounts
    task: NDArray[np.int64]
    goal: NDArray[np.int64]
    heard: NDArray[np.int64]
    saying: NDArray[np.int64]


def read(facts: NDArray[np.int16]) -> Views:
    """Reads rows of facts.

    Args:
        facts: int16 [R, F], padded rows of ids.

    Raises:
        ValueError: if an id is no phrase of these games.
    """
    if facts.size and not PAD <= facts.min() <= facts.max() < len(PHRASEBOOK):
        raise ValueError(f"a fact must be a phrase id below {len(PHRASEBOOK)}, got {facts.max()}")
    row, column = np.nonzero(facts != PAD)
    ids = facts[row, column]
    amounts = np.full((3, len(facts), _AMOUNTS), np.nan)
    measured = _SLOT[ids] >= 0
    amounts[:, row[measured], _SLOT[ids[measured]]] = _AMOUNT[:, ids[measured]]
    words = np.full((len(_WORDS), len(facts)), UNSAID)
    for kind, name in enumerate(_WORDS):
        block = BLOCKS[name]
        told = (ids >= block.base) & (ids < block.base + block.size)
        words[kind, row[told]] = ids[told] - block.base
    said, least, most = map(_divide, amounts)
    return Views(said, least, most, *words)


def _divide(rows: NDArray[np.float64]) -> Amounts:
    pairs = rows.reshape(len(rows), -1, 2)
    ends = (_POSITION // 2, _LANDMARKS // 2, _PARTNERS // 2)
    velocity, position, landmarks, partners = np.split(pairs, ends, axis=1)
    return Amounts(velocity[:, 0], position[:, 0], landmarks, partners)


def _index() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Of each phrase: which amount it is about (-1 none), and what it gives, least and most."""
    slot = np.full(len(PHRASEBOOK), -1)
    amount = np.full((3, len(PHRASEBOOK)), np.nan)
    for name, first, scale in (
        ("SPEED", _VELOCITY, SPEEDS),
        ("PLACE", _POSITION, PLACES),
        ("LANDMARK", _LANDMARKS, PLACES),
        ("PARTNER", _PARTNERS, PLACES),
    ):
        block = BLOCKS[name]
        axes = block.size // scale.fine_size
        ids = slice(block.base, block.base + block.size)
        slot[ids] = first + np.repeat(np.arange(axes), scale.fine_size)
        amount[0, ids] = np.tile(_numbers(scale), axes)
        amount[1:, ids] = np.tile(scale.bins().T, axes)
    return slot, amount


def _numbers(scale: Scale) -> NDArray[np.float64]:
    numbers = np.array([*scale.numbers, scale.numbers[-1]]) / 100
    return np.concatenate([-numbers[:0:-1], numbers])


_SLOT, _AMOUNT = _index()
