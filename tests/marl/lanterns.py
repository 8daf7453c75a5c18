"""Lanterns: a made-up game in which all move at once, and seats end at different times.

For tests of what has to work beyond games of turns. All of it follows from the seed, so that what
comes of it can be worked out beside it (``life``, ``offered``).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from games import PAD, Phrasebook, Step

LIMIT = 4
"""Rounds after which whoever still burns is cut off."""
AFTERGLOW = 0.25
"""What a seat that has ended earns in each round that others go on."""
DEEDS = ("I wait", "I wave", "I shout")
"""What a living seat can do; it earns 0, 1 or 2."""

_NUMBERS = 1000


def life(seed: int, seat: int) -> int:
    """Rounds for which a lantern burns, 1 to 5."""
    return 1 + (seed + 2 * seat) % 5


def offered(seed: int, seat: int, round: int) -> list[int]:
    """Which deeds a seat may choose from, in the order in which it is shown them."""
    number = seed + seat + round
    return [(number + k) % 3 for k in range(1 + number % 3)]


class Lanterns:
    """N games of P seats; see ``games.core.BatchedGame``.

    Args:
        num_games: N.
        num_players: P.
        seed: the k-th episode of game i has the seed ``seed + i + k * N``, below 1000.
    """

    phrasebook = Phrasebook(
        [
            *(f"this is game {number}" for number in range(_NUMBERS)),
            *(f"I sit in seat {seat}" for seat in range(5)),
            *(f"it is round {round}" for round in range(LIMIT)),
            *DEEDS,
        ]
    )
    scoring: tuple[str, ...] = ("earned", "longest")
    max_score: float | None = None
    max_facts, max_choices = 3, 3
    max_turns: int | None = LIMIT
    interchangeable: tuple[str, ...] = ()
    fact_phrases = np.arange(_NUMBERS + 5 + LIMIT, dtype=np.int16)
    choice_phrases = np.arange(3, dtype=np.int16) + np.int16(_NUMBERS + 5 + LIMIT)
    label_phrases = np.zeros((0, 0), np.int16)

    def __init__(self, num_games: int, num_players: int, seed: int = 0) -> None:
        self.num_games, self.num_players, self.seed = num_games, num_players, seed
        self.roles = ("lantern",) * num_players
        self.reset()

    def reset(self, seeds: NDArray[np.uint64] | None = None) -> None:
        first = self.seed + np.arange(self.num_games)
        self._seeds = first if seeds is None else seeds.astype(np.int64)
        self._round = np.zeros(self.num_games, np.int64)
        self._earned = np.zeros((self.num_games, self.num_players), np.float32)
        self._show()

    def step(self, move_index: NDArray[np.integer]) -> Step:
        moves = np.asarray(move_index)
        if moves.shape != self.choice_counts.shape:
            raise ValueError(f"move_index must be {len(self.choice_counts)} integers")
        if ((moves < 0) | (moves >= self.choice_counts)).any():
            raise ValueError("there is no such choice")
        burning = self._burning()
        rewards = np.where(burning, 0, np.float32(AFTERGLOW)).astype(np.float32)
        deeds = self.choices[np.arange(len(moves)), moves] - self.choice_phrases[0]
        rewards[self.due_game, self.due_seat] = deeds
        self._round += 1
        self._earned += rewards
        left = self._burning()
        truncated = left & (self._round >= LIMIT)[:, None]
        terminated = burning & ~left
        over = ~(left & ~truncated).any(1)
        outcome = {"earned": self._earned.sum(1), "longest": self._round.astype(np.float32)}
        self._seeds = np.where(over, self._seeds + self.num_games, self._seeds)
        self._round[over] = self._earned[over] = 0
        self._show()
        return Step(
            rewards, terminated, truncated, over, np.ones(self.num_games, np.int32), outcome
        )

    def observe(self, seat: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        every = np.arange(self.num_games)
        return self._facts(every, seat), np.full(self.num_games, 3, np.int16)

    def state(self) -> dict[str, NDArray[np.generic]]:
        return {
            "seeds": self._seeds.copy(),
            "round": self._round.copy(),
            "earned": self._earned.copy(),
        }

    def load_state(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        self._seeds = arrays["seeds"].astype(np.int64)
        self._round = arrays["round"].astype(np.int64)
        self._earned = arrays["earned"].astype(np.float32)
        self._show()

    def _burning(self) -> NDArray[np.bool_]:
        """Whose life is longer than the rounds that have gone by: bool [N, P]."""
        seats = np.arange(self.num_players)
        lives = 1 + (self._seeds[:, None] + 2 * seats) % 5
        return self._round[:, None] < lives

    def _facts(
        self, games: NDArray[np.integer], seats: NDArray[np.integer] | int
    ) -> NDArray[np.int16]:
        """What some seats know, int16 [n, 3]."""
        facts = np.stack([self._seeds[games], 0 * games + seats, self._round[games]], 1)
        return (facts + np.array([0, _NUMBERS, _NUMBERS + 5])).astype(np.int16)

    def _show(self) -> None:
        games, seats = np.nonzero(self._burning())
        self.due_game, self.due_seat = games.astype(np.int32), seats.astype(np.int8)
        self.facts = self._facts(games, seats)
        self.fact_counts = np.full(len(games), 3, np.int16)
        numbers = self._seeds[games] + seats + self._round[games]
        self.choice_counts = (1 + numbers % 3).astype(np.int16)
        places = np.arange(3)
        deeds = self.choice_phrases[(numbers[:, None] + places) % 3]
        self.choices = np.where(places < self.choice_counts[:, None], deeds, np.int16(PAD))
        self.labels = np.zeros((len(games), 0), np.int8)
