"""Replay: sequences in, batches out, priorities back, and bytes, beside cpprb.

Sequences have the shape of whole two-player Hanabi games of one seat. Ours are packed; in cpprb
they are arrays padded to the largest of them, as it stores nothing else. Both are full
while they are measured: every insertion evicts. No two batches in a row are the same.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marl.episodes import Episodes
from marl.replay.prioritised import PrioritisedReplay, ReplayConfig
from scripts.bench import Row, rate

CAPACITY = 20_000
INSERT = 64  # sequences an insertion
BATCHES = (64, 256)
TURNS = 15  # how often the two sides take turns for one figure
# Steps of a sequence, facts and choices of a step, each from the first number to the last.
STEPS, FACTS, CHOICES = (26, 45), (40, 78), (10, 20)
LABELS = 5


def run(seconds: float) -> Iterator[Row]:
    """Measures ours and cpprb in turn.

    Yields:
        rows of insertion, sampling, updating and memory.
    """
    rng = np.random.default_rng(0)
    ours = _Ours(rng)
    theirs = _Cpprb(ours.episodes) if importlib.util.find_spec("cpprb") else None
    sides: list[_Ours | _Cpprb] = [ours, theirs] if theirs else [ours]
    for side in sides:
        for _ in range(2 * CAPACITY // INSERT):  # twice round, so that all pages were touched
            side.insert()
    share = seconds / 5
    yield from _compare(f"insert, {INSERT} at once", "insert", ours, theirs, share, INSERT)
    for n in BATCHES:
        for side in sides:
            side.next_batch = _batches(rng, n)
        yield from _compare(f"sample, batches of {n}", "sample", ours, theirs, share)
        yield from _compare(f"update, batches of {n}", "update", ours, theirs, share)
    yield Row("memory", ours.bytes, "bytes/sequence")
    if theirs:
        yield Row("memory", theirs.bytes, "bytes/sequence", "cpprb", theirs.bytes / ours.bytes)


def _compare(
    what: str, call: str, ours: _Ours, theirs: _Cpprb | None, seconds: float, scale: int = 1
) -> Iterator[Row]:
    """Rows of one call; the two sides take turns, and the medians of their turns count."""
    unit = "sequences/s" if call == "insert" else "batches/s"
    turns = np.array(
        [
            [scale * rate(getattr(side, call), seconds / 2 / TURNS) if side else np.nan]
            for _ in range(TURNS)
            for side in (ours, theirs)
        ]
    ).reshape(TURNS, 2)
    mine, other = np.median(turns, axis=0).tolist()
    yield Row(what, mine, unit)
    if theirs:
        yield Row(what, other, unit, "cpprb", mine / other)
    else:
        yield Row(what, None, "not installed", "cpprb")


def _batches(rng: np.random.Generator, n: int) -> Callable[[], tuple[NDArray[Any], NDArray[Any]]]:
    """Endless batches of slots and priorities, drawn beforehand, no two of them alike."""
    drawn = [(rng.integers(0, CAPACITY, n), rng.random(n).astype(np.float32)) for _ in range(500)]
    return itertools.cycle(drawn).__next__


class _Ours:
    """Our replay, and the sequences that fill it."""

    next_batch: Callable[[], tuple[NDArray[Any], NDArray[Any]]]

    def __init__(self, rng: np.random.Generator) -> None:
        lengths = rng.integers(*STEPS, INSERT, np.int32, endpoint=True)
        steps = int(lengths.sum())
        fact_counts = rng.integers(*FACTS, steps, np.int16, endpoint=True)
        choice_counts = rng.integers(*CHOICES, steps, np.int16, endpoint=True)
        self.episodes = Episodes(
            lengths=lengths,
            fact_counts=fact_counts,
            facts=rng.integers(0, 2_000, fact_counts.sum(), np.int16),
            choice_counts=choice_counts,
            choices=rng.integers(0, 60, choice_counts.sum(), np.int16),
            actions=rng.integers(0, choice_counts, dtype=np.int16),
            rewards=rng.integers(0, 2, steps).astype(np.float32),
            elapsed=np.ones(steps, np.int16),
            terminal=np.ones(INSERT, np.bool_),
            fresh=np.ones(INSERT, np.bool_),
            memory=np.zeros((INSERT, 0), np.float32),
            setting=np.zeros(INSERT, np.int16),
            version=np.zeros(INSERT, np.int32),
            seat=np.zeros(INSERT, np.int8),
            partner=np.zeros(INSERT, np.int16),
            labels=rng.integers(-1, 25, (steps, LABELS), np.int8),
            taught=np.full(steps, -1, np.int16),
        )
        config = ReplayConfig(capacity=CAPACITY, capacity_bytes=6_400 * CAPACITY)
        self.replay = PrioritisedReplay(config, label_size=LABELS)

    def insert(self) -> None:
        self.replay.insert(self.episodes)

    def sample(self) -> None:
        slots, _ = self.next_batch()
        self.replay.sample(len(slots))

    def update(self) -> None:
        slots, priorities = self.next_batch()
        self.replay.update(slots + self.replay.evicted, priorities)

    @property
    def bytes(self) -> float:
        return self.replay.nbytes / len(self.replay)


class _Cpprb:
    """cpprb's prioritised buffer, with the same sequences as padded arrays."""

    next_batch: Callable[[], tuple[NDArray[Any], NDArray[Any]]]

    def __init__(self, episodes: Episodes) -> None:
        from cpprb import PrioritizedReplayBuffer

        lengths = episodes.lengths
        turns, steps = int(lengths.max()), np.arange(lengths.max()) < lengths[:, None]

        def padded(values: NDArray[Any]) -> NDArray[Any]:
            """[S, ...] to [E, turns, ...]."""
            array = np.zeros((len(lengths), turns, *values.shape[1:]), values.dtype)
            array[steps] = values
            return array

        def spread(values: NDArray[Any], counts: NDArray[Any]) -> NDArray[Any]:
            """[F] to [S, largest count]."""
            array = np.full((len(counts), counts.max()), -1, values.dtype)
            array[np.arange(counts.max()) < counts[:, None]] = values
            return array

        self.arrays = {
            "lengths": lengths[:, None],
            "facts": padded(spread(episodes.facts, episodes.fact_counts)),
            "choices": padded(spread(episodes.choices, episodes.choice_counts)),
            "actions": padded(episodes.actions),
            "rewards": padded(episodes.rewards),
            "terminal": episodes.terminal[:, None],
            "setting": episodes.setting[:, None],
            "version": episodes.version[:, None],
            "labels": padded(episodes.labels),
        }
        shapes = {
            name: {"shape": array.shape[1:], "dtype": array.dtype}
            for name, array in self.arrays.items()
        }
        self.buffer = PrioritizedReplayBuffer(CAPACITY, shapes, alpha=0.6)

    def insert(self) -> None:
        self.buffer.add(**self.arrays)

    def sample(self) -> None:
        slots, _ = self.next_batch()
        self.buffer.sample(len(slots), beta=0.4)

    def update(self) -> None:
        slots, priorities = self.next_batch()
        self.buffer.update_priorities(slots, priorities)

    @property
    def bytes(self) -> float:
        # Two trees, of sums and of minima, keep a float32 a leaf and as much above the leaves.
        return sum(array[:1].nbytes for array in self.arrays.values()) + 16
