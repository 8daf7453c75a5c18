"""Random lists of rules: any number of partners that nobody has met, each told by its seed.

A list is drawn so that it can be played with: it plays cards that hints prove to fit (some gamble
beside that, none with its last life), tells and discards by rules in any order, and ends with rules
that always have a move. How good it is at that is left to chance. All lists are one kernel's data,
so that none waits for a compiler.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from agents.bots.core import Bot
from agents.bots.rules import Kind, Rule
from agents.bots.simple import player

PREFIX = "list-"
"""What the name of a random list begins with; its seed follows."""

_TELLS = (
    Kind.TELL_USEFUL,
    Kind.TELL_PLAYABLE,
    Kind.TELL_DISPENSABLE,
    Kind.TELL_UNKNOWN,
    Kind.TELL_MOST,
)
_DISCARDS = (Kind.DISCARD_USELESS, Kind.DISCARD_LIKELY, Kind.DISCARD_OLDEST)
_CHANCES = tuple(percent / 100 for percent in range(40, 100, 5))
_LAST = (Kind.DISCARD_OLDEST, Kind.DISCARD_RANDOM, Kind.DISCARD_LIKELY)

T = TypeVar("T")


def rules_of(seed: int) -> tuple[Rule, ...]:
    """The list of a seed, 4 to 12 rules; always the same one.

    Args:
        seed: not negative.

    Raises:
        ValueError: if the seed is negative.
    """
    if seed < 0:
        raise ValueError(f"the seed of a random list cannot be negative, got {seed}")
    # Of Python's generators this method alone is promised to give the same numbers for ever.
    uniform = random.Random(seed).random

    def one_of(values: Sequence[T]) -> T:
        return values[int(uniform() * len(values))]

    def some_of(values: Sequence[T], least: int, most: int) -> list[T]:
        pool, found = list(values), list[T]()
        for _ in range(least + int(uniform() * (most - least + 1))):
            found.append(pool.pop(int(uniform() * len(pool))))
        return found

    plays = [Rule(Kind.PLAY_SAFE)]
    if uniform() < 0.5:
        gamble = Rule(Kind.PLAY_LIKELY, one_of(_CHANCES), lives_above=1)
        plays.insert(one_of((0, 1)), gamble)
    if uniform() < 0.25:
        plays.insert(0, Rule(Kind.PLAY_LIKELY, lives_above=1, deck_empty=True))
    others = []
    for kind in some_of(_TELLS, 1, 3):
        # Proving cards useless is for when hints run short.
        below = one_of((3, 4, 5, 6, 127)) if kind == Kind.TELL_DISPENSABLE else 127
        others.append(Rule(kind, hints_below=below))
    for kind in some_of(_DISCARDS, 0, 2):
        least = one_of(_CHANCES) if kind == Kind.DISCARD_LIKELY else 0.0
        below = one_of((2, 3, 4, 5)) if kind != Kind.DISCARD_USELESS else one_of((4, 6, 127))
        others.append(Rule(kind, least, hints_below=below))
    others = some_of(others, len(others), len(others))
    at = 0 if uniform() < 0.5 else int(uniform() * (len(others) + 1))
    last = some_of((Rule(one_of(_LAST)), Rule(Kind.TELL_RANDOM)), 2, 2)
    return (*others[:at], *plays, *others[at:], *last)


def make(name: str) -> Bot:
    """The player of a random list, by its name: ``list-`` and a seed.

    Raises:
        ValueError: if what follows is no seed.
    """
    seed = name.removeprefix(PREFIX)
    if not seed.isascii() or not seed.isdigit() or seed != str(int(seed)):
        raise ValueError(
            f"a random list is named by its seed, a whole number, such as {PREFIX}7: got {name!r}"
        )
    return player(name, rules_of(int(seed)))
