"""What every batched game offers: facts and choices as ids, thousands of games in one call.

N games of one setting advance together, each with P seats. At any time some seats are *due*: they
have to choose now, and each has a row of facts and a row of choices. In a game of turns one seat of
each game is due, where all move at once every living seat is, and in a world that does not wait
whoever's moment has come. The loop it serves::

    game = games.batched("hanabi:2", num_games=4096, seed=0)
    while True:
        move_index = ...  # one index for each due row, from game.facts and game.choices
        step = game.step(move_index)  # rewards and ends; finished games have restarted
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from games.text import Phrasebook


@dataclass(frozen=True)
class Step:
    """What the moves of the due seats brought, in N games of P seats. Nothing of it may be written.

    Attributes:
        rewards: float32 [N, P], what each seat has earned by this step, due or not. A team's reward
            is every seat's.
        terminated: bool [N, P], whether the seat's part in the episode came to its end with this
            step: by the rules, for all at once or for a seat that has died or left.
        truncated: bool [N, P], whether it was cut off instead, by a limit that is no part of the
            rules. Never true where ``terminated`` is.
        over: bool [N], whether nobody plays on: the game has restarted, if games restart.
        elapsed: int32 [N], the time that has gone by, in the game's unit: rounds of a game of turns
            or of simultaneous moves, frames of a console. A learner discounts by it.
        outcome: float32 [N] by each name of ``BatchedGame.scoring``, as it stands after this step:
            final where the game is over.
    """

    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    over: NDArray[np.bool_]
    elapsed: NDArray[np.int32]
    outcome: Mapping[str, NDArray[np.float32]]


class BatchedGame(Protocol):
    """N games of one setting, advanced together.

    The arrays are live: the next ``step`` or ``reset`` overwrites them. R is the number of due
    rows, which may change from step to step; rows are in ascending order of game and seat, and a
    seat is due at most once. A finished game restarts inside ``step``, and its rows then show the
    new game. A batch made with ``restart=False`` shows its end instead, and nobody in it is due
    until ``reset``. The k-th episode of game i has the seed ``seed + i + k * N``, and its
    randomness depends on that number only.

    Attributes:
        phrasebook: the sentences behind the ids; a closed one has the same order in every process
            (that of a set of words differs), for weights are saved under it.
        num_games: N.
        num_players: P, seats in each game.
        roles: the role of each seat, P names. Seats of one role observe and choose alike, so that
            one policy can hold them.
        scoring: names of the outcomes of a game, the headline first (of which more is better).
        max_score: the most that the headline can come to, None where nobody knows.
        max_facts: width of ``facts``.
        max_choices: width of ``choices``.
        max_turns: upper bound of one seat's own turns in one episode, None where there is none.
        fact_phrases: int16 [n], sorted ids that can occur as facts in this setting (so far, if the
            phrasebook is open).
        choice_phrases: int16 [m], sorted ids that can occur as choices (so far).
        due_game: int32 [R], the game of each due row.
        due_seat: int8 [R], the seat of each due row.
        facts: int16 [R, max_facts], what the due seat observes, padded with PAD.
        fact_counts: int16 [R].
        choices: int16 [R, max_choices], its legal choices, padded with PAD.
        choice_counts: int16 [R], at least 1.
        labels: int8 [R, label_size], answer sheet for auxiliary losses in training; hidden from
            the players and never part of an observation. -1 where there is nothing to answer.
        label_phrases: int16 [label_size, answers], the sentence behind each answer ([0, 0] for a
            game without an answer sheet).
        interchangeable: the words that Other-Play may permute (in Hanabi the colours), () for a
            game without such a symmetry.
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

    def step(self, move_index: NDArray[np.integer]) -> Step:
        """Makes the choices of all due seats.

        Args:
            move_index: integers [R], each an index into the due row's ``choices``.

        Raises:
            ValueError: if the shape or type is wrong, or an index names no choice; nothing has
                moved then.
        """
        ...

    def observe(self, seat: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """What one seat of every game knows now, whether or not it is due.

        Returns:
            facts int16 [N, max_facts], padded, and how many there are, int16 [N]; copies.
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


class _Due(Protocol):
    """What is needed of a game to read its moves."""

    @property
    def due_game(self) -> NDArray[np.int32]: ...
    @property
    def due_seat(self) -> NDArray[np.int8]: ...
    @property
    def choice_counts(self) -> NDArray[np.int16]: ...


def as_moves(game: _Due, move_index: ArrayLike) -> NDArray[np.int64]:
    """The choices of the due seats, int64 [R]; whether an index names a choice is not looked at.

    Raises:
        ValueError: if the shape or type is wrong.
    """
    moves, rows = np.asarray(move_index), len(game.due_game)
    if moves.shape != (rows,) or moves.dtype.kind not in "iu":
        raise ValueError(
            f"move_index must be {rows} integers, got shape {moves.shape} of {moves.dtype}"
        )
    return np.ascontiguousarray(moves, np.int64)


def no_choice(game: _Due, moves: NDArray[np.int64], row: int) -> ValueError:
    """The error of an index that names no choice."""
    return ValueError(
        f"move_index[{row}] is {moves[row]}, but seat {game.due_seat[row]} of game "
        f"{game.due_game[row]} has {game.choice_counts[row]} choices"
    )


def check_moves(game: _Due, move_index: ArrayLike) -> NDArray[np.int64]:
    """The choices of the due seats, int64 [R].

    Raises:
        ValueError: if the shape or type is wrong, or an index names no choice.
    """
    moves = as_moves(game, move_index)
    wrong = np.flatnonzero((moves < 0) | (moves >= game.choice_counts))
    if wrong.size:
        raise no_choice(game, moves, int(wrong[0]))
    return moves
