"""A rule-based player as a policy: it reads the facts that everybody reads, many rows at once."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from agents.core import Observations
from games.chance import GOLDEN, mix
from games.hanabi.cards import SOURCE
from games.hanabi.phrases import PHRASEBOOK
from games.hanabi.view import read
from games.text import Phrasebook


class Rows(NamedTuple):
    """What a kernel reads and writes, a row each for B seats.

    Attributes:
        facts: int16 [B, F], ids.
        fact_counts: int16 [B].
        choices: int16 [B, C], ids of the legal choices.
        choice_counts: int16 [B].
        memory: float32 [B, M], of before.
        next_memory: float32 [B, M], zeros to be written to.
        found: int64 [B], the index of each choice, to be written.
    """

    facts: NDArray[np.int16]
    fact_counts: NDArray[np.int16]
    choices: NDArray[np.int16]
    choice_counts: NDArray[np.int16]
    memory: NDArray[np.float32]
    next_memory: NDArray[np.float32]
    found: NDArray[np.int64]


Kernel = Callable[..., int]
"""``kernel(rows, *arguments)`` chooses for every row of ``Rows`` and returns ``DONE``, or the first
row that it cannot read, or ``UNFIT`` less a row whose hands are too large for it."""

DONE, UNFIT = -1, -2
ANY_HAND = 2**31
"""More cards than any hand holds."""

Int = Any  # int64 to numba

_FILES = sorted(Path(__file__).parent.glob("*.py"))
STAMP = np.zeros(
    0, [(f"source_{zlib.crc32(b''.join(map(Path.read_bytes, _FILES)), SOURCE):08x}", np.int8)]
)
"""An argument of every cached kernel. It holds nothing, but its type's name changes whenever the
code of the bots does: numba by itself looks for changes in the kernel's own file only."""


class Bot:
    """A rule-based player of Hanabi; a ``Policy`` of ``marl.core``.

    It is a function of what it observes and of its memory: the same game played again is the same
    game, wherever it stands in a batch. Where a rule asks for chance, the facts are the lot.

    Args:
        name: what it is called.
        kernel: what decides.
        arguments: what the kernel is given besides observations and memory.
        memory_size: floats that it carries from one own turn to the next.
    """

    version = 0
    phrasebook: Phrasebook | None = PHRASEBOOK

    def __init__(self, name: str, kernel: Kernel, *arguments: Any, memory_size: int = 0) -> None:
        self.name, self.memory_size = name, memory_size
        self._kernel, self._arguments = kernel, arguments

    def act(
        self, observations: Observations, memory: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """Chooses for B seats at once.

        Args:
            observations: what each seat sees on its own turn, B rows.
            memory: float32 [B, memory_size], zeros at the start of an episode.

        Returns:
            choices int64 [B]; values float32 [B, C]: 1 for the choice, 0 for the others, -inf where
            there is none (rules weigh no returns); the next memory, float32 [B, memory_size].

        Raises:
            ValueError: if the facts are not those of Hanabi, or of a setting that this player
                cannot play.
        """
        found = np.zeros(len(observations), np.int64)
        next_memory = np.zeros((len(observations), self.memory_size), np.float32)
        rows = Rows(
            facts=_plain(observations.facts, np.int16),
            fact_counts=_plain(observations.fact_counts, np.int16),
            choices=_plain(observations.choices, np.int16),
            choice_counts=_plain(observations.choice_counts, np.int16),
            memory=_plain(memory, np.float32),
            next_memory=next_memory,
            found=found,
        )
        wrong = self._kernel(rows, *self._arguments)
        if wrong <= UNFIT:
            raise ValueError(f"bot:{self.name} plays with at most 5 cards in a hand")
        if wrong != DONE:
            raise ValueError(f"bot:{self.name} plays Hanabi, and row {wrong} holds other facts")
        column = np.arange(observations.choices.shape[1])
        values = (column == found[:, None]).astype(np.float32)
        values[column >= observations.choice_counts[:, None]] = -np.inf
        return found, values, next_memory


def _plain(array: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """The array in the one form that kernels are compiled for: another would be compiled anew."""
    return np.require(array, dtype, ("C", "A", "W"))


@njit(nogil=True)
def digest(ids: NDArray[np.int16], count: Int) -> Any:
    """A uint64 that depends on a row of ids only: what a player draws its lots with."""
    found = GOLDEN
    for n in range(count):
        found = mix(found + np.uint64(ids[n]) + np.uint64(1))
    return found


@njit(nogil=True)
def draw(lot: Any, salt: Int, n: Int) -> Int:
    """One of 0 .. n - 1 by a lot, another for another salt; 0 where there is nothing to draw."""
    return np.int64(mix(lot + np.uint64(salt)) % np.uint64(max(n, 1)))


@njit(nogil=True)
def look(rows: Rows, i: Int, view: Any, slots: Int = ANY_HAND) -> Int:
    """Reads a row into a record of ``VIEW``.

    Args:
        rows: all of them.
        i: which.
        view: overwritten.
        slots: cards in a hand, at most.

    Returns:
        what a kernel returns: ``DONE`` if it could be read.
    """
    if not read(rows.facts[i], rows.fact_counts[i], rows.choices[i], rows.choice_counts[i], view):
        return i
    return DONE if view.hand <= slots else UNFIT - i


@njit(nogil=True)
def choose(rows: Rows, i: Int, id: Int) -> None:
    """Writes the index of a row's choice, which is given by its phrase.

    It is 0 where the choice is not legal: a seat without cards, or a game without hints, may leave
    nothing of what a player would do.
    """
    rows.found[i] = 0
    for n in range(rows.choice_counts[i]):
        if rows.choices[i, n] == id:
            rows.found[i] = n
            return
