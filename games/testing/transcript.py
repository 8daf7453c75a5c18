"""What was read, chosen and earned in games, in sentences, so that batches can be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from games.core import BatchedGame, Step

Maker = Callable[[int, int, bool], BatchedGame]
"""Makes a batch from the number of games, the seed, and whether finished games restart."""


@dataclass(frozen=True)
class Turn:
    """One step of one game: what the due seats read and chose, and what came of it."""

    seats: tuple[int, ...]
    facts: tuple[tuple[str, ...], ...]
    choices: tuple[tuple[str, ...], ...]
    labels: tuple[tuple[int, ...], ...]
    moves: tuple[int, ...]
    rewards: tuple[float, ...]
    terminated: tuple[bool, ...]
    truncated: tuple[bool, ...]
    over: bool
    elapsed: int
    outcome: tuple[tuple[str, float], ...]

    def differs_in(self, other: Turn) -> str | None:
        """The first thing in which two turns differ, in words; None if they are the same."""
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if mine != theirs:
                if field.name in ("facts", "choices") and len(mine) == len(theirs):
                    pairs = zip(self.seats, mine, theirs, strict=True)
                    seat, left, right = next(each for each in pairs if each[1] != each[2])
                    gone = [one for one in left if one not in right]
                    new = [one for one in right if one not in left]
                    return f"{field.name} of seat {seat}: {gone or left} against {new or right}"
                return f"{field.name}: {mine} against {theirs}"
        return None


Episode = list[Turn]


def expect(holds: bool, message: str) -> None:
    """Raises AssertionError with the message unless something holds."""
    if not holds:
        raise AssertionError(message)


def moves(game: BatchedGame, turns: NDArray[np.int64], salt: int = 0) -> NDArray[np.int64]:
    """Choices that depend on a game's turn, the seat and the number of its choices alone.

    Args:
        game: the batch.
        turns: int64 [N], turns played in each game's episode.
        salt: plays another game for another number.

    Returns:
        int64 [R], indices into ``game.choices``.
    """
    rows = zip(game.due_game.tolist(), game.due_seat.tolist(), strict=True)
    mixed = [crc32(f"{salt} {turns[index]} {seat}".encode()) for index, seat in rows]
    return np.array(mixed, np.int64) % np.maximum(game.choice_counts, 1)


def play(
    game: BatchedGame, steps: int, salt: int = 0
) -> Iterator[tuple[NDArray[np.int64], Step, list[Turn | None]]]:
    """Plays without end, as ``moves`` chooses.

    Yields:
        The choices made, what they brought, and the turn of each game, None where nobody was due
        in a game whose end is shown, or which waits for others of its batch.
    """
    turns = np.zeros(game.num_games, np.int64)
    shown = np.zeros(game.num_games, bool)  # over before this step, and not restarted
    for _ in range(steps):
        chosen = moves(game, turns, salt)
        before = _read(game, chosen)
        due = np.isin(np.arange(game.num_games), game.due_game)
        step = game.step(chosen)
        shown &= ~due
        idle = shown | (~due & (step.elapsed == 0))
        yield (
            chosen,
            step,
            [
                None if idle[index] else _turn(rows, step, index)
                for index, rows in enumerate(before)
            ],
        )
        shown |= step.over
        turns = np.where(step.over, 0, turns + ~idle)


def transcribe(game: BatchedGame, steps: int, salt: int = 0) -> list[list[Episode]]:
    """The episodes of each game in some steps; the last of each may be unfinished."""
    record: list[list[Episode]] = [[[]] for _ in range(game.num_games)]
    for _, _, turns in play(game, steps, salt):
        for episodes, turn in zip(record, turns, strict=True):
            if turn is not None:
                episodes[-1].append(turn)
                if turn.over:
                    episodes.append([])
    return record


def expect_same(one: list[Episode], other: list[Episode], what: str) -> None:
    """Compares the episodes of two games, as far as both were played."""
    for number, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        for turn, (left, right) in enumerate(zip(mine, theirs, strict=False)):
            difference = left.differs_in(right)
            expect(difference is None, f"{what}: episode {number}, turn {turn}, {difference}")
        if number + 1 < min(len(one), len(other)):
            expect(len(mine) == len(theirs), f"{what}: episode {number} has another length")


_Row = tuple[int, tuple[str, ...], tuple[str, ...], tuple[int, ...], int]


def _read(game: BatchedGame, chosen: NDArray[np.int64]) -> list[list[_Row]]:
    """The due rows of each game, in sentences."""
    found: list[list[_Row]] = [[] for _ in range(game.num_games)]
    for row, index in enumerate(game.due_game.tolist()):
        found[index].append(
            (
                int(game.due_seat[row]),
                tuple(game.phrasebook.render(game.facts[row])),
                tuple(game.phrasebook.render(game.choices[row])),
                tuple(game.labels[row].tolist()),
                int(chosen[row]),
            )
        )
    return found


def _turn(rows: list[_Row], step: Step, index: int) -> Turn:
    return Turn(
        seats=tuple(row[0] for row in rows),
        facts=tuple(row[1] for row in rows),
        choices=tuple(row[2] for row in rows),
        labels=tuple(row[3] for row in rows),
        moves=tuple(row[4] for row in rows),
        rewards=tuple(step.rewards[index].tolist()),
        terminated=tuple(step.terminated[index].tolist()),
        truncated=tuple(step.truncated[index].tolist()),
        over=bool(step.over[index]),
        elapsed=int(step.elapsed[index]),
        outcome=tuple((name, float(values[index])) for name, values in step.outcome.items()),
    )
