"""What every batched game offers: facts and choices as ids, thousands of games in one call.

The loop it serves::

    game = games.batched("hanabi", players=2, num_games=4096, seed=0)
    while True:
        move_index = ...  # from game.facts and game.choices, one index a game
        step = game.step(move_index)  # rewards and ends; finished games have restarted
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from games.text import Phrasebook


@dataclass(frozen=True)
class Step:
    """What one move in each of N games brought. All arrays belong to the caller.

    Attributes:
        rewards: float32 [N], the team's reward, shared by all seats.
        terminated: bool [N], whether the game came to its end.
        truncated: bool [N], whether the game was cut off by its turn limit.
        scores: float32 [N], points on the table; the final score where the game ended.
        lost: bool [N], whether the game was lost (in Hanabi: the last life was spent).
    """

    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    scores: NDArray[np.float32]
    lost: NDArray[np.bool_]


class BatchedGame(Protocol):
    """N games of one setting, advanced together.

    The arrays are live: the next ``step`` or ``reset`` overwrites them. A finished game restarts
    inside ``step``, and its row then shows the new game. The k-th episode of game i has the seed
    ``seed + i + k * N``, and its randomness depends on that number only.

    Attributes:
        phrasebook: the sentences behind the ids.
        num_games: N.
        num_players: seats in each game.
        max_facts: width of ``facts``.
        max_choices: width of ``choices``.
        max_turns: upper bound of one seat's own turns in one episode.
        fact_phrases: int16 [n], sorted ids that can occur as facts in this setting.
        choice_phrases: int16 [m], sorted ids that can occur as choices in this setting.
        facts: int16 [N, max_facts], what the seat to act observes, padded with PAD.
        fact_counts: int16 [N].
        choices: int16 [N, max_choices], its legal moves, padded with PAD.
        choice_counts: int16 [N].
        seat: int8 [N], the seat to act.
        labels: int8 [N, label_size], answer sheet for auxiliary losses in training; hidden from
            the players and never part of an observation. -1 where there is nothing to answer.
        label_phrases: int16 [label_size, answers], the sentence behind each answer ([0, 0] for a
            game without an answer sheet).
        colours: the words that Other-Play may permute, () for a game without the symmetry.
    """

    phrasebook: Phrasebook
    num_games: int
    num_players: int
    max_facts: int
    max_choices: int
    max_turns: int
    fact_phrases: NDArray[np.int16]
    choice_phrases: NDArray[np.int16]
    facts: NDArray[np.int16]
    fact_counts: NDArray[np.int16]
    choices: NDArray[np.int16]
    choice_counts: NDArray[np.int16]
    seat: NDArray[np.int8]
    labels: NDArray[np.int8]
    label_phrases: NDArray[np.int16]
    colours: tuple[str, ...]

    def step(self, move_index: NDArray[np.integer]) -> Step:
        """Makes one move in every game.

        Args:
            move_index: integers [N], each an index into the game's row of ``choices``.

        Raises:
            ValueError: if an index names no choice; no game has moved then.
        """
        ...

    def reset(self, seeds: NDArray[np.uint64] | None = None) -> None:
        """Starts every game afresh, at its first seed or at a given one.

        Args:
            seeds: uint64 [N], or None for ``seed + i``.
        """
        ...

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Everything needed to continue bit for bit: a copy, for checkpoints."""
        ...

    def load_state(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Continues from what ``state`` returned.

        Raises:
            ValueError: if the arrays come from another setting or number of games.
        """
        ...
