"""Recall: a made-up game of long episodes, played by one, whose sentences are not known beforehand.

On the first turn a word is shown. On every turn one of the words may be said, and each time that it
is the word that was shown is a point. What else is told, the turn, means nothing; its sentences
are added to the phrasebook as they come up.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from games.core import Step
from games.text import Phrasebook

WORDS = ("stone", "paper", "well")


class Recall:
    """N games of Recall; see ``games.core.BatchedGame``.

    Args:
        num_games: N.
        turns: of an episode.
        seed: of the words.
        phrasebook: an open one that other games may share.
    """

    def __init__(
        self, num_games: int, turns: int, seed: int = 0, phrasebook: Phrasebook | None = None
    ) -> None:
        self.phrasebook = Phrasebook(closed=False) if phrasebook is None else phrasebook
        self.num_games, self.num_players, self.roles = num_games, 1, ("player",)
        self.scoring, self.max_score, self.turns = ("points",), float(turns), turns
        self.max_facts, self.max_choices, self.max_turns = 2, len(WORDS), turns
        self.fact_phrases = self.choice_phrases = np.zeros(0, np.int16)
        self.facts = np.full((num_games, 2), -1, np.int16)
        self.fact_counts = np.zeros(num_games, np.int16)
        self.choices = np.zeros((num_games, len(WORDS)), np.int16)
        self.choice_counts = np.full(num_games, len(WORDS), np.int16)
        self.due_game = np.arange(num_games, dtype=np.int32)
        self.due_seat = np.zeros(num_games, np.int8)
        self.labels = np.zeros((num_games, 0), np.int8)
        self.label_phrases = np.zeros((0, 0), np.int16)
        self.interchangeable: tuple[str, ...] = ()
        self.seed = seed
        self.reset()

    def reset(self, seeds: NDArray[np.uint64] | None = None) -> None:
        first = np.uint64(self.seed) + np.arange(self.num_games, dtype=np.uint64)
        self.seeds = first if seeds is None else seeds.copy()
        # Games are out of step, so that they do not end together.
        self.turn = np.zeros(self.num_games, np.int64)
        self.points = np.zeros(self.num_games, np.int64)
        self._show()

    @property
    def word(self) -> NDArray[np.int64]:
        """Each game's word."""
        return (self.seeds * np.uint64(2654435761) >> np.uint64(7)).astype(np.int64) % len(WORDS)

    def step(self, move_index: NDArray[np.integer]) -> Step:
        right = np.asarray(move_index) == self.word
        self.points += right
        self.turn += 1
        scores, over = self.points.astype(np.float32), self.turn >= self.turns
        self.seeds[over] += np.uint64(self.num_games)
        self.turn[over] = self.points[over] = 0
        self._show()
        return Step(
            rewards=right.astype(np.float32)[:, None],
            terminated=over[:, None],
            truncated=np.zeros((self.num_games, 1), bool),
            over=over,
            elapsed=np.ones(self.num_games, np.int32),
            outcome={"points": scores},
        )

    def observe(self, seat: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        return self.facts.copy(), self.fact_counts.copy()

    def state(self) -> dict[str, NDArray[np.generic]]:
        return {name: getattr(self, name).copy() for name in ("seeds", "turn", "points")}

    def load_state(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        for name in ("seeds", "turn", "points"):
            setattr(self, name, arrays[name].copy())
        self._show()

    def _show(self) -> None:
        say = self.phrasebook.intern
        self.choices[:] = [say(f"I say {word}") for word in WORDS]
        for g in range(self.num_games):
            begins = self.turn[g] == 0
            self.facts[g, 0] = say(f"this is turn {self.turn[g] + 1}")
            self.facts[g, 1] = say(f"the word is {WORDS[self.word[g]]}") if begins else -1
            self.fact_counts[g] = 1 + begins
