"""The sentences of ``blocks``."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from games.gameboy.console import DOWN, LEFT, RIGHT, UP, A, B
from games.gameboy.pieces import HEIGHT, NAMES, SPEED, WIDTH
from games.gameboy.presses import MOST_PENDING
from games.text import Phrasebook

BUTTONS = {
    "I press nothing": 0,
    "I press left": LEFT,
    "I press right": RIGHT,
    "I press A to turn": A,
    "I press B to turn back": B,
    "I press down to lower it": DOWN,
    "I press up to drop it": UP,
}
"""The choices of ``buttons``, and their keys."""

# Consequences beyond these limits are said as the limit.
FILL = (0, 4)
BURY = (-2, 4)
LAND = (0, 4)  # thirds of the well's height, nearly: rows 0-2, 3-5, ...
ROUGH = (-5, 7)


def _many(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _consequence(fill: int, bury: int, land: int, rough: int) -> str:
    buried = f"free {_many(-bury, 'cell')}" if bury < 0 else f"bury {_many(bury, 'cell')}"
    texture = f"{-rough} smoother" if rough < 0 else f"{rough} rougher"
    height = f"{3 * land} to {3 * land + 2}" if land < LAND[1] else f"{3 * land} or more"
    return f"I fill {_many(fill, 'row')} , {buried} , land {height} high , {texture}"


_SPANS = [high - low + 1 for low, high in (FILL, BURY, LAND, ROUGH)]


@lru_cache(maxsize=1)
def sentences() -> tuple[dict[str, int], Phrasebook]:
    """The book of every ``blocks``, and where its parts begin."""
    parts: dict[str, list[str]] = {
        "kind": [f"a {name} falls" for name in NAMES],
        "next": [f"the next piece is a {name}" for name in NAMES],
        "height": [
            f"column {x + 1} is {height} high" for x in range(WIDTH) for height in range(HEIGHT + 1)
        ],
        "buried": [
            f"column {x + 1} has {_many(count, 'buried cell')}"
            for x in range(WIDTH)
            for count in range(1, HEIGHT)
        ],
        "speed": [f"a piece falls a row in {frames} frames" for frames in SPEED],
        "left": [f"the piece reaches from column {x + 1} on" for x in range(WIDTH)],
        "turn": [f"the piece has made {_many(turn, 'quarter turn')}" for turn in range(4)],
        "row": [f"the piece has fallen {_many(row, 'row')}" for row in range(HEIGHT)],
        "wait": [f"it falls again in {_many(wait, 'frame')}" for wait in range(1, SPEED[0] + 1)],
        "button": list(BUTTONS),
        "nothing": ["I come too late for this piece"],
        "place": [
            f"I let the {name} lie {('flat', 'upright', 'flat and over', 'upright and over')[turn]}"
            f" from column {x + 1} on"
            for name in NAMES
            for turn in range(4)
            for x in range(WIDTH)
        ],
        "consequence": [
            _consequence(fill, bury, land, rough)
            for fill in range(FILL[0], FILL[1] + 1)
            for bury in range(BURY[0], BURY[1] + 1)
            for land in range(LAND[0], LAND[1] + 1)
            for rough in range(ROUGH[0], ROUGH[1] + 1)
        ],
        "pending": [
            f"{sentence} {_many(turn, 'turn')} from now"
            for turn in range(1, MOST_PENDING + 1)
            for sentence in list(BUTTONS)[1:]
        ],
    }
    begins: dict[str, int] = {}
    book: list[str] = []
    for name, phrases in parts.items():
        begins[name] = len(book)
        book += phrases
    begins["end"] = len(book)
    return begins, Phrasebook(book)


def consequences(effects: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of sentences among all consequences, int64 [R, k], of effects int64 [R, k, 5]."""
    height = effects[..., 2] // 3
    place = np.zeros(effects.shape[:2], np.int64)
    for what, (low, high), span in zip(
        (effects[..., 0], effects[..., 1], height, effects[..., 3]),
        (FILL, BURY, LAND, ROUGH),
        _SPANS,
        strict=True,
    ):
        place = place * span + np.clip(what, low, high) - low
    return place
