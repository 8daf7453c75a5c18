"""A player by rules for ``blocks`` with keys: ``blocks@choose=buttons``.

It weighs every place that the falling piece could lie in by the heights of the columns, and presses
what brings it nearer to the best. Its presses that are on their way, where it is told of them, it
takes for done; told of none, it presses again what will be pressed anyway.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np

from games.gameboy.pieces import CELLS, HEIGHT, NAMES, TURNS, WIDTH

WEIGHTS = (-3.0, -1.0, -0.4)
"""Of cells that are buried, of how high the piece lands, and of how rough the top becomes."""

_NUMBER = re.compile(r"\d+")
_KINDS = {f"a {name} falls": kind for kind, name in enumerate(NAMES)}
_PENDING = re.compile(r"(I press .+) \d+ turns? from now")
_TURN, _BACK = "I press A to turn", "I press B to turn back"
_LEFT, _RIGHT, _DROP = "I press left", "I press right", "I press up to drop it"


def stack(facts: Sequence[str], choices: Sequence[str]) -> str:
    """One of the choices, from what a seat sees."""
    kind = left = turn = 0
    heights = [0] * WIDTH
    pending = []
    for fact in facts:
        if match := _PENDING.fullmatch(fact):
            pending.append(match[1])
        elif fact in _KINDS:
            kind = _KINDS[fact]
        elif fact.startswith("column ") and fact.endswith(" high"):
            column, height = map(int, _NUMBER.findall(fact))
            heights[column - 1] = height
        elif fact.startswith("the piece reaches"):
            left = int(_NUMBER.findall(fact)[0]) - 1
        elif fact.startswith("the piece has made"):
            turn = int(_NUMBER.findall(fact)[0])
    if _DROP in pending:  # It is done with; the next one is not seen yet.
        return "I press nothing"
    box = left - _first(kind, turn)
    turn += pending.count(_TURN) - pending.count(_BACK)
    box += pending.count(_RIGHT) - pending.count(_LEFT)
    want_turn, want_left = best(kind, tuple(heights))
    turns = (want_turn - turn) % TURNS[kind]
    if turns:
        return _BACK if turns == 3 else _TURN
    left = min(max(box + _first(kind, turn % 4), 0), WIDTH - 1)
    if left != want_left:
        return _LEFT if left > want_left else _RIGHT
    return _DROP


@lru_cache(maxsize=1 << 16)
def best(kind: int, heights: tuple[int, ...]) -> tuple[int, int]:
    """The turn and the left column in which a piece lies best on columns of these heights."""
    found, most = (0, 0), -np.inf
    for turn in range(TURNS[kind]):
        cells = CELLS[kind, turn].astype(int)
        columns = sorted({*cells[:, 1].tolist()})
        # How far the lowest and highest cells of its columns are above the lowest of all.
        floor = cells[:, 0].max()
        low = [floor - cells[cells[:, 1] == x, 0].max() for x in columns]
        high = [floor - cells[cells[:, 1] == x, 0].min() + 1 for x in columns]
        for first in range(WIDTH - len(columns) + 1):
            under = heights[first : first + len(columns)]
            base = max(h - b for h, b in zip(under, low, strict=True))
            top = [base + t for t in high]
            if max(top) > HEIGHT:
                continue
            buried = sum(base + b - h for h, b in zip(under, low, strict=True))
            after = [*heights[:first], *top, *heights[first + len(columns) :]]
            rough = sum(abs(a - b) for a, b in pairwise(after))
            worth = float(np.dot(WEIGHTS, (buried, base, rough)))
            if worth > most:
                found, most = (turn, first), worth
    return found


def _first(kind: int, turn: int) -> int:
    """Columns of a piece's box that are empty on its left."""
    return int(CELLS[kind, turn, :, 1].min())
