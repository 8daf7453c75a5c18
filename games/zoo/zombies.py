"""Knights, archers and zombies in words: bearing and distance of whoever is near.

Bearings are relative to where I face, and clockwise of it is right. Zombies are named by their
distance; the one that has come lowest is named as well, for the game is lost when it arrives. My
fellows are named by what they are.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from string import ascii_uppercase

import numpy as np

from games.zoo.describe import Description
from games.zoo.worlds import World

WIDTH, HEIGHT = 1280, 720
"""The screen in pixels: the environment gives places as parts of it."""

NEAREST = ("nearest", "second nearest", "third nearest", "fourth nearest")
"""Zombies that are told of."""

BEARINGS = (0, 5, 10, 15, 20, 30, 45, 60, 90, 120, 150, 180)
"""What bearings are rounded to, in degrees, to either side."""

DISTANCES = (40, 80, 120, 180, 250, 350, 500, 700)
"""Distances that are told apart, in pixels: within this, and beyond all."""

ROWS, COLUMNS = 12, 12


def describe_zombies(world: World) -> Description:
    """Words for ``butterfly/knights_archers_zombies`` with vectors; see the module."""
    raw = world.env.unwrapped
    if raw.obs_type.value != "vector":
        raise ValueError(
            f"obs_method must be vector to be put into words, got {raw.obs_type.value}"
        )
    archers, knights = raw.num_archers, raw.num_knights
    kinds = ("archer",) * archers + ("knight",) * knights
    swords = 1 + archers + knights
    arrows = swords + knights
    zombies = arrows + raw.max_arrows
    book: dict[str, int] = {}

    def say(sentence: str) -> int:
        return book.setdefault(sentence, len(book))

    # In the order of the game's name: that of a set is another in every process.
    who = {
        kind: say(sentence)
        for kind, sentence in (("knight", "I am a knight"), ("archer", "I am an archer"))
        if kind in kinds
    }
    facing = [say(f"I face {10 * turn} degrees clockwise of up") for turn in range(36)]
    column = [say(f"I am in column {number + 1}") for number in range(COLUMNS)]
    row = [say(f"I am in row {number + 1}") for number in range(ROWS)]
    subjects = [f"the {name} zombie" for name in (*NEAREST, "lowest")]
    others = [_names(kinds, seat) for seat in range(len(kinds))]
    fellows = sorted({name for names in others for name in names if name})
    bearing = {
        (subject, turn): say(f"{subject} is {_turn(turn)}")
        for subject in (*subjects, *fellows)
        for turn in sorted({sign * angle for angle in BEARINGS for sign in (-1, 1)})
    }
    distance = {
        (subject, far): say(
            f"{subject} is within {DISTANCES[far]} pixels"
            if far < len(DISTANCES)
            else f"{subject} is farther than {DISTANCES[-1]} pixels"
        )
        for subject in (*subjects, *fellows)
        for far in range(len(DISTANCES) + 1)
    }
    depth = {
        (subject, number): say(f"{subject} is in row {number + 1}")
        for subject in subjects
        for number in range(ROWS)
    }
    nothing = say("I see no zombie")
    flying = [say(f"{count} arrows fly") for count in range(1, raw.max_arrows + 1)]
    swing = say("a mace swings near me")
    # By whole degrees from -180 on, what a bearing is rounded to.
    rounded = [
        min(BEARINGS, key=lambda angle: abs(angle - abs(turn))) * (1 if turn > 0 else -1)
        for turn in range(-180, 181)
    ]

    def place(subject: str, degrees: float, pixels: float) -> list[int]:
        turn = rounded[round(round(degrees + 180, 6) % 360)]
        return [bearing[subject, turn], distance[subject, bisect_left(DISTANCES, round(pixels, 6))]]

    def describe(world: World, seat: int) -> list[int]:
        seen = world.observation(seat)
        x, y, ux, uy = seen[0, 1:]
        heading = float(np.degrees(np.arctan2(ux, -uy)))
        found = [
            who[kinds[seat]],
            facing[round(heading / 10) % 36],
            column[_part(x, COLUMNS)],
            row[_part(y, ROWS)],
        ]
        there = seen.any(axis=1).tolist()
        across, down = seen[:, 1] * WIDTH, seen[:, 2] * HEIGHT
        turns = (np.degrees(np.arctan2(across, -down)) - heading).tolist()
        pixels = np.hypot(across, down).tolist()
        for other, subject in enumerate(others[seat], start=1):
            if subject and there[other]:
                found += place(subject, turns[other], pixels[other])
        coming = [index for index in range(zombies, len(there)) if there[index]]
        coming.sort(key=pixels.__getitem__)
        named = list(zip(subjects, coming[: len(NEAREST)], strict=False))
        if coming:
            named.append((subjects[-1], max(coming, key=down.__getitem__)))
        else:
            found.append(nothing)
        for subject, index in named:
            found += place(subject, turns[index], pixels[index])
            found.append(depth[subject, _part(y + seen[index, 2], ROWS)])
        shots = sum(there[arrows:zombies])
        if shots:
            found.append(flying[shots - 1])
        if any(there[index] and pixels[index] < 80 for index in range(swords, arrows)):
            found.append(swing)
        return found

    actions = ("I go forward", "I go back", "I turn left", "I turn right", "I attack", "I wait")
    return Description(
        facts=tuple(book),
        max_facts=4 + 2 * (len(kinds) - 1) + 3 * (len(NEAREST) + 1) + 2,
        actions=(actions,) * len(kinds),
        roles=kinds,
        describe=describe,
    )


def _names(kinds: Sequence[str], seat: int) -> list[str]:
    """What a seat calls the others, in their order; nothing for itself."""
    met: Counter[str] = Counter()
    names = []
    for other, kind in enumerate(kinds):
        names.append("" if other == seat else f"{kind} {ascii_uppercase[met[kind]]}")
        met[kind] += other != seat
    return names


def _turn(angle: int) -> str:
    if angle == 0:
        return "straight ahead"
    if abs(angle) == 180:
        return "right behind me"
    return f"{abs(angle)} degrees to my {'right' if angle > 0 else 'left'}"


def _part(place: float, parts: int) -> int:
    return max(0, min(parts - 1, int(place * parts)))
