"""What wrappers have in common: a game around a game."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.core import BatchedGame, Step
from games.text import Phrasebook


class Wrapper:
    """A ``BatchedGame`` that is another one, until a subclass says otherwise.

    Args:
        game: the game inside.
    """

    phrasebook: Phrasebook
    num_games: int
    num_players: int
    roles: tuple[str, ...]
    scoring: tuple[str, ...]
    max_score: float | None
    max_facts: int
    max_choices: int
    max_turns: int | None
    fact_phrases: NDArray[np.int16]
    choice_phrases: NDArray[np.int16]
    due_game: NDArray[np.int32]
    due_seat: NDArray[np.int8]
    facts: NDArray[np.int16]
    fact_counts: NDArray[np.int16]
    choices: NDArray[np.int16]
    choice_counts: NDArray[np.int16]
    labels: NDArray[np.int8]
    label_phrases: NDArray[np.int16]
    interchangeable: tuple[str, ...]

    def __init__(self, game: BatchedGame) -> None:
        self.game = game

    def __getattr__(self, name: str) -> Any:
        """What a subclass does not set is as it is inside."""
        if name == "game":  # not set yet
            raise AttributeError(name)
        return getattr(self.game, name)

    def step(self, move_index: NDArray[np.integer]) -> Step:
        """Makes the choices of all due seats; see ``BatchedGame.step``."""
        return self.game.step(move_index)

    def observe(self, seat: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """What one seat of every game knows now; see ``BatchedGame.observe``."""
        return self.game.observe(seat)

    def reset(self, seeds: NDArray[np.uint64] | None = None) -> None:
        """Starts every game afresh; see ``BatchedGame.reset``."""
        self.game.reset(seeds)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Everything needed to continue bit for bit."""
        return self.game.state()

    def load_state(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Continues from what ``state`` returned."""
        self.game.load_state(arrays)
