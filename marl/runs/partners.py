"""Training with partners: who holds the seats of a game is drawn when it begins.

In some games the learner holds all seats; in the others one partner holds some of them, any number
but all, as one guest or as several hosts. Only the learner's sequences are learned from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from marl.acting.actor import Seating
from marl.runs.split import random_lists

LISTS, ITSELF = "lists", "itself"
"""What games with random lists, and self-play, are called in curves."""


@dataclass(frozen=True)
class PartnersConfig:
    """Who is trained with, beside oneself."""

    names: tuple[str, ...] = ()
    """Partners out of the roster: bot:iggi, or bot:iggi=2 for one that is met twice as often."""
    lists: int = 0
    """Random lists of rules to meet."""
    lists_seed: int = 0
    """Seed of the first of them; the others count up from it."""
    lists_weight: float = 1.0
    """How often each of them is met, beside a partner that is named without a number."""
    self_play: float = 0.2
    """Share of self-play in the sequences that are learned from, if there are partners. (In a game
    of two, self-play yields two sequences and a game with a partner one.)"""

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))  # JSON has no tuples
        if self.lists < 0 or self.lists_seed < 0:
            raise ValueError(
                "partners.lists and partners.lists_seed cannot be negative, got "
                f"{self.lists} and {self.lists_seed}"
            )
        if not 0 < self.lists_weight < float("inf"):
            raise ValueError(f"partners.lists_weight must be positive, got {self.lists_weight}")
        if not 0 <= self.self_play < 1:
            raise ValueError(f"partners.self_play must be in [0, 1), got {self.self_play}")
        found = [name for name, _ in self.weighted()]
        for name in found:
            if found.count(name) > 1:
                raise ValueError(f"partner {name} is named twice")

    @property
    def any(self) -> bool:
        """Whether there are partners."""
        return bool(self.names or self.lists)

    def weighted(self) -> list[tuple[str, float]]:
        """Every partner's name and weight, the named ones first.

        Raises:
            ValueError: if a weight is not a positive number.
        """
        lists = [(name, self.lists_weight) for name in random_lists(self.lists_seed, self.lists)]
        return [_weighted(name) for name in self.names] + lists

    def labels(self) -> list[str]:
        """What seats are called in curves, by who holds them: the learner, then each partner."""
        named = [_weighted(name)[0].strip("/") for name in self.names]
        named = [name.replace("/", "-").replace(":", "-") for name in named]
        return [ITSELF, *named, *[LISTS] * self.lists]

    def seating(self, players: int) -> Seating:
        """What draws who holds the seats of games of so many players, at least 2."""
        weights = np.array([weight for _, weight in self.weighted()])
        # A game of self-play yields as many sequences as there are players, one with a partner half
        # as many on average: the share of sequences s = 2 p / (2 p + 1 - p), p that of games.
        of_games = self.self_play / (2 - self.self_play)

        def draw(rng: np.random.Generator, games: int) -> NDArray[np.int64]:
            alone = rng.random(games) < of_games
            partner = 1 + rng.choice(len(weights), games, p=weights / weights.sum())
            places = rng.permuted(np.tile(np.arange(players), (games, 1)), axis=1)
            mine = places < rng.integers(1, players, games)[:, None]
            return np.where(mine | alone[:, None], 0, partner[:, None])

        return draw


def _weighted(text: str) -> tuple[str, float]:
    """A partner's name and weight, of how they are written."""
    name, equals, number = text.rpartition("=")
    if not equals:
        return text, 1.0
    try:
        weight = float(number)
    except ValueError:
        weight = 0.0
    if not name or not 0 < weight < float("inf"):
        raise ValueError(f"partner {text!r} has no positive weight: write it as bot:iggi=2")
    return name, weight
