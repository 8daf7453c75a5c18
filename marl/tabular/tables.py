"""Tables of values: a row for each case that a seat has met, found by what it reads.

A case is a seat with the set of facts that it reads, but for those that are left out. Rows are
found by hashing; a choice's column is its place among the choices of the game.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import re

import numpy as np
from numba import njit
from numpy.typing import NDArray

from agents.core import Observations
from games.core import BatchedGame
from games.text import Phrasebook

_EMPTY = np.uint64(0)


class Tables:
    """Q-values of every seat of a game.

    Args:
        game: any batch of the game; its phrasebook must be closed.
        capacity: rows, a power of two. About three quarters of it are used at the most.
        ignore: a regular expression; facts that it is found in are left out.

    Attributes:
        keys: uint64 [capacity], 0 where a row is empty.
        values: float32 [capacity, choices].
        marks: uint64 [phrases], what each fact adds to a key, 0 for those that are left out.
        columns: int64 [phrases], of each choice, -1 elsewhere.

    Raises:
        ValueError: if the phrasebook is open, or the expression cannot be read.
    """

    def __init__(self, game: BatchedGame, capacity: int, ignore: str) -> None:
        if not game.phrasebook.closed:
            raise ValueError("tables need a game that says all its sentences from the start")
        try:
            left_out = re.compile(ignore) if ignore else None
        except re.error as error:
            raise ValueError(f"--ignore {ignore!r} is no regular expression: {error}") from None
        self.phrasebook: Phrasebook = game.phrasebook
        book = list(game.phrasebook)
        marks = np.random.default_rng(0).integers(1, 2**63, len(book), dtype=np.uint64)
        keep = np.array([not (left_out and left_out.search(phrase)) for phrase in book])
        self.marks = np.where(keep, marks, _EMPTY)
        self.columns = np.full(len(book), -1)
        self.columns[game.choice_phrases] = np.arange(len(game.choice_phrases))
        self.keys = np.zeros(capacity, np.uint64)
        self.values = np.zeros((capacity, len(game.choice_phrases)), np.float32)

    @property
    def rows(self) -> int:
        """Cases met so far."""
        return int((self.keys != _EMPTY).sum())


class TabularPolicy:
    """Plays one seat greedily by its table; see ``marl.core.Policy``.

    In a case that it has not met it takes the first choice.

    Args:
        tables: what was learned.
        seat: its own.
    """

    memory_size, version = 0, 0

    def __init__(self, tables: Tables, seat: int) -> None:
        self.tables, self.seat = tables, seat
        self.phrasebook = tables.phrasebook

    def act(
        self, observations: Observations, memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Chooses greedily; see ``marl.core.Policy.act``."""
        tables = self.tables
        values = np.full(observations.choices.shape, -np.inf, np.float32)
        _look(
            np.full(len(values), self.seat),
            *(observations.facts, observations.fact_counts),
            *(observations.choices, observations.choice_counts),
            *(tables.keys, tables.values, tables.marks, tables.columns),
            values,
        )
        return values.argmax(1), values, memory


@njit(cache=True, nogil=True)
def key_of(seat, facts, count, marks):
    """The key of a case: a sum, so that the order of the facts does not matter."""
    total = np.uint64(seat + 1) * np.uint64(0x9E3779B97F4A7C15)
    for k in range(count):
        total += marks[facts[k]]
    total ^= total >> np.uint64(31)
    total *= np.uint64(0xBF58476D1CE4E5B9)
    total ^= total >> np.uint64(29)
    return total if total != np.uint64(0) else np.uint64(1)


@njit(cache=True, nogil=True)
def find(keys, key):
    """The row of a key: where it is, or the empty one where it belongs."""
    mask = np.uint64(len(keys) - 1)
    at = key & mask
    while keys[at] != np.uint64(0) and keys[at] != key:
        at = (at + np.uint64(1)) & mask
    return np.int64(at)


@njit(cache=True, nogil=True)
def _look(seats, facts, fact_counts, choices, choice_counts, keys, values, marks, columns, out):
    for r in range(len(seats)):
        row = find(keys, key_of(seats[r], facts[r], fact_counts[r], marks))
        for k in range(choice_counts[r]):
            out[r, k] = values[row, columns[choices[r, k]]]
