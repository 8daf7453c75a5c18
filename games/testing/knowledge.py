"""What a seat is told: all that the state says to it, and nothing of what is hidden from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from games.core import BatchedGame
from games.testing.transcript import Maker, expect, moves

Decode = Callable[[list[str]], dict[str, Any]]
"""Reads an observation: facts as sentences, into whatever they say."""

Truth = Callable[[BatchedGame, int, int], dict[str, Any]]
"""What ``decode`` should have read in the observation of a game's seat, from the state."""

Scramble = Callable[[BatchedGame, int], None]
"""Permutes, in every game, what is hidden from a seat, and brings the batch's rows up to date."""


def check_decoding(
    make: Maker, decode: Decode, truth: Truth, num_games: int = 6, steps: int = 100
) -> None:
    """Facts say what the state says, for due seats and for those that wait.

    Args:
        make: makes the game.
        decode: sentences -> what they say.
        truth: game, index of a game and seat -> the same, from the state.
        num_games: N.
        steps: steps of play.

    Raises:
        AssertionError: naming what was read and what is true.
    """
    game, turns = make(num_games, 5, True), np.zeros(num_games, np.int64)
    for _ in range(steps):
        told = {
            (index, seat): game.facts[row]
            for row, (index, seat) in enumerate(
                zip(game.due_game.tolist(), game.due_seat.tolist(), strict=True)
            )
        }
        waiting = int(turns[0]) % game.num_players
        facts, counts = game.observe(waiting)
        told |= {(index, waiting): facts[index] for index in np.flatnonzero(counts).tolist()}
        for (index, seat), row in told.items():
            sentences = game.phrasebook.render(row)
            read, true = decode(sentences), truth(game, index, seat)
            wrong = [key for key in read.keys() | true if read.get(key) != true.get(key)]
            expect(
                not wrong,
                f"game {index}, seat {seat}: "
                + "; ".join(f"{key} reads {read.get(key)!r}, is {true.get(key)!r}" for key in wrong)
                + f"; it was told {sentences}",
            )
        step = game.step(moves(game, turns))
        turns = np.where(step.over, 0, turns + 1)


def check_hidden(
    make: Maker, scramble: Scramble, num_games: int = 6, steps: int = 60, every: int = 3
) -> None:
    """What a seat cannot see never changes what it observes, nor what it may do.

    Args:
        make: makes the game.
        scramble: permutes what is hidden from a seat.
        num_games: N.
        steps: steps of play.
        every: steps between one scrambling and the next.

    Raises:
        AssertionError: naming the seat that saw through, or if ``scramble`` never changed anything.
    """
    game, turns = make(num_games, 8, True), np.zeros(num_games, np.int64)
    changed = False
    for number in range(steps):
        for seat in range(game.num_players) if number % every == 0 else ():
            state, before = game.state(), _view(game, seat)
            scramble(game, seat)
            after = _view(game, seat)
            same = all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))
            expect(same, f"step {number}: what is hidden from seat {seat} changed what it observes")
            now = game.state()
            changed |= any(not np.array_equal(state[name], now[name]) for name in state)
            game.load_state(state)
        step = game.step(moves(game, turns))
        turns = np.where(step.over, 0, turns + 1)
    expect(changed, "scramble never changed the state: nothing was tested")


def _view(game: BatchedGame, seat: int) -> tuple[np.ndarray, ...]:
    rows = game.due_seat == seat
    return (
        *game.observe(seat),
        game.due_game[rows],
        game.facts[rows],
        game.choices[rows],
        game.choice_counts[rows],
    )
