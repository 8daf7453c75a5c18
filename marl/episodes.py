"""Sequences of one seat's own turns, packed without padding: what actors insert and replay stores.

A *step* is one own turn: the facts that the seat observed, the choices that were legal, the index
of the choice it took, what the seat earned from then until its next turn, and how long that was. A
*sequence* is the steps of one seat in one episode, or a stretch of them where an episode is longer
than the replay's ``max_length``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class Episodes:
    """A batch of E sequences with S steps in all, F facts and C choices in all.

    Everything that belongs to a step lies sequence after sequence, in order of time.

    Attributes:
        lengths: int32 [E], steps of each sequence, at least 1.
        fact_counts: int16 [S], facts observed at each step.
        facts: int16 [F], ids of the facts, step after step.
        choice_counts: int16 [S], legal choices at each step, at least 1.
        choices: int16 [C], ids of the legal choices, step after step.
        actions: int16 [S], index of the choice taken among the step's choices.
        rewards: float32 [S], what the seat earned from this own turn to its next (or to the end);
            in off-belief learning, what the step's value is to be, future and all.
        elapsed: int16 [S], the time from this own turn to the seat's next, in the game's unit.
        terminal: bool [E], whether the seat's episode ended after the last step. Where it is false
            the sequence was cut, and its last step serves only to bootstrap from.
        fresh: bool [E], whether the first step is the seat's first of the episode.
        memory: float32 [E, M], recurrent memory before the first step (M may be 0: all zeros).
        setting: int16 [E], which of a run's settings the sequence was played in.
        version: int32 [E], weights version that chose the first action.
        seat: int8 [E], the seat that played it; the seats of an episode follow each other in order.
        partner: int16 [E], who held seats of the game beside who played it: k for the k-th of a
            run's partners, 0 for nobody else.
        labels: int8 [S, K], answer sheet for auxiliary losses (K may be 0).
        taught: int16 [S], index of what a teacher chose at the step, -1 where none played. It
            differs from the action where the teacher's game was explored.
    """

    lengths: NDArray[np.int32]
    fact_counts: NDArray[np.int16]
    facts: NDArray[np.int16]
    choice_counts: NDArray[np.int16]
    choices: NDArray[np.int16]
    actions: NDArray[np.int16]
    rewards: NDArray[np.float32]
    elapsed: NDArray[np.int16]
    terminal: NDArray[np.bool_]
    fresh: NDArray[np.bool_]
    memory: NDArray[np.float32]
    setting: NDArray[np.int16]
    version: NDArray[np.int32]
    seat: NDArray[np.int8]
    partner: NDArray[np.int16]
    labels: NDArray[np.int8]
    taught: NDArray[np.int16]

    def __len__(self) -> int:
        """Number of sequences, E."""
        return len(self.lengths)

    @property
    def steps(self) -> int:
        """Number of steps in all sequences, S."""
        return len(self.actions)

    def part(self, first: int, last: int) -> Episodes:
        """Sequences ``first`` to ``last - 1``, as views."""
        steps = _span(self.lengths, first, last)
        return Episodes(
            lengths=self.lengths[first:last],
            fact_counts=self.fact_counts[steps],
            facts=self.facts[_span(self.fact_counts, steps.start, steps.stop)],
            choice_counts=self.choice_counts[steps],
            choices=self.choices[_span(self.choice_counts, steps.start, steps.stop)],
            actions=self.actions[steps],
            rewards=self.rewards[steps],
            elapsed=self.elapsed[steps],
            terminal=self.terminal[first:last],
            fresh=self.fresh[first:last],
            memory=self.memory[first:last],
            setting=self.setting[first:last],
            version=self.version[first:last],
            seat=self.seat[first:last],
            partner=self.partner[first:last],
            labels=self.labels[steps],
            taught=self.taught[steps],
        )

    @property
    def nbytes(self) -> int:
        """Bytes held by all arrays."""
        return sum(getattr(self, field.name).nbytes for field in fields(self))


def _span(counts: NDArray[np.integer[Any]], first: int, last: int) -> slice:
    """Where the items of entries ``first`` to ``last - 1`` lie, ``counts`` of them each."""
    start = int(counts[:first].sum(dtype=np.int64))
    return slice(start, start + int(counts[first:last].sum(dtype=np.int64)))


def concatenate(parts: list[Episodes]) -> Episodes:
    """Joins batches of sequences end to end, in order.

    Raises:
        ValueError: if ``parts`` is empty.
    """
    if not parts:
        raise ValueError("concatenate needs at least one batch of episodes, got an empty list")
    return Episodes(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(Episodes)
        }
    )
