"""Pursuit in words: what a pursuer sees of walls, partners and evaders in the square around it.

Each cell of its view that is not empty is a fact. What follows from these is said as well, at a
glance: where the nearest evader is, on how many sides an evader is still open, and beside how many
evaders each move would put me. An evader is caught when none of its sides is open.
"""

from __future__ import annotations

import numpy as np

from games.zoo.describe import Description
from games.zoo.worlds import World

MOVES = {"left": (-1, 0), "right": (1, 0), "up": (0, 1), "down": (0, -1)}
"""Where the first four actions lead, (x, y)."""

_SIDES = tuple(MOVES.values())
_MOST = 3
"""From this number on nobody counts."""


def describe_pursuit(world: World) -> Description:
    """Words for ``sisl/pursuit``; see the module."""
    raw = world.env.unwrapped.env
    reach = raw.obs_offset
    side = 2 * reach + 1
    book: list[str] = []

    def say(sentence: str) -> int:
        book.append(sentence)
        return len(book) - 1

    offsets = [(x - reach, y - reach) for y in range(side) for x in range(side)]
    cells = np.zeros((side, side, 3, _MOST + 1), np.int64)  # y, x, what, how many
    for place, (x, y) in enumerate(offsets):
        at = (place // side, place % side)
        cells[(*at, 0)] = say(f"a wall is {where(x, y)}")
        for what, noun in ((1, "pursuer"), (2, "evader")):
            for count in range(1, _MOST + 1):
                cells[(*at, what, count)] = say(f"{_count(count, noun)} {where(x, y)}")
    nearest = {
        steps: say(f"the nearest evader is {_plural(steps, 'step')} away")
        for steps in range(2 * reach + 1)
    }
    towards = {way: say(f"the nearest evader is to be reached by going {way}") for way in MOVES}
    alone = say("I see no evader")
    open_sides = {
        (x, y, count): say(f"the evader {where(x, y)} is open on {_plural(count, 'side')}")
        for x, y in offsets
        if max(abs(x), abs(y)) < reach
        for count in range(5)
    }
    beside = {
        (way, count): say(f"{way} puts me beside {_plural(count, 'evader', _MOST)}")
        for way in ("staying", *(f"going {way}" for way in MOVES))
        for count in range(1, _MOST + 1)
    }

    def describe(world: World, seat: int) -> list[int]:
        counts = np.array(world.observation(seat), np.int64)
        counts[reach, reach, 1] -= 1  # that is me
        y, x, what = np.nonzero(counts)
        found: list[int] = cells[y, x, what, np.minimum(counts[y, x, what], _MOST)].tolist()
        evaders = [
            (int(column) - reach, int(row) - reach)
            for row, column in zip(*np.nonzero(counts[:, :, 2]), strict=True)
        ]
        if not evaders:
            return [*found, alone]
        steps = min(abs(x) + abs(y) for x, y in evaders)
        found.append(nearest[steps])
        near = [(x, y) for x, y in evaders if abs(x) + abs(y) == steps]
        for way, (dx, dy) in MOVES.items():
            if any(x * dx > 0 or y * dy > 0 for x, y in near):
                found.append(towards[way])
        # A pursuer where the wall or a partner is closes a side, and so do I.
        counts[reach, reach, 1] += 1
        closed = (counts[:, :, 0] + counts[:, :, 1]) > 0
        for x, y in evaders:
            if max(abs(x), abs(y)) < reach:
                free = sum(not closed[y + reach + dy, x + reach + dx] for dx, dy in _SIDES)
                found.append(open_sides[x, y, free])
        number = counts[:, :, 2]
        for way, (dx, dy) in {"staying": (0, 0), **MOVES}.items():
            x, y = dx + reach, dy + reach
            if reach < 2 or counts[y, x, 0]:
                continue
            count = sum(int(number[y + v, x + u]) for u, v in _SIDES)
            if count:
                name = way if way == "staying" else f"going {way}"
                found.append(beside[name, min(count, _MOST)])
        return found

    partners = min(side**2, raw.n_pursuers)
    return Description(
        facts=tuple(book),
        max_facts=side**2 + partners + min(raw.n_evaders, (side - 2) ** 2) + 10,
        actions=((*(f"I go {way}" for way in MOVES), "I stay"),) * len(world.agents),
        roles=("pursuer",) * len(world.agents),
        describe=describe,
        keeps_nothing=True,
    )


def where(x: int, y: int) -> str:
    """A place relative to me, in words: ``2 left 1 up``."""
    words = []
    if x:
        words.append(f"{abs(x)} {'right' if x > 0 else 'left'}")
    if y:
        words.append(f"{abs(y)} {'up' if y > 0 else 'down'}")
    return " ".join(words) if words else "where I am"


def _count(count: int, noun: str) -> str:
    if count == 1:
        return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun} is"
    return f"{_plural(count, noun, _MOST)} are"


def _plural(count: int, noun: str, most: int | None = None) -> str:
    number = f"{count} or more" if count == most else count
    return f"{number} {noun}{'' if count == 1 else 's'}"
