"""Replay in several tables that are drawn from as if they were one.

The lines of the tables, on which every sequence takes up as much as its priority, lie end to end:
a point is found in the table under it (``marl.replay.plan``). What a table says about itself may be
a moment old. The weights correct for that: they are made of the chance with which a sequence was
drawn in fact, the table's share at the planning times the sequence's share of its table now.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from marl.episodes import Episodes, concatenate
from marl.replay.plan import Drawn, Figures, Plan, subtrees_of
from marl.replay.prioritised import PrioritisedReplay, ReplayConfig, Sample

_SHARD = 48  # Bits of an id that name a sequence within its shard; those above name the shard.


class ShardGoneError(Exception):
    """A shard does not answer; what it holds cannot be drawn for now."""


class Shard(Protocol):
    """One of the tables, wherever it is."""

    def figures(self) -> Figures | None:
        """What it told last; None if it is not there."""
        ...

    def start(
        self, subtrees: NDArray[np.int64], fractions: NDArray[np.float64], credit: int
    ) -> Callable[[], Drawn]:
        """Begins to draw; see ``PrioritisedReplay.draw``.

        Args:
            subtrees: int64 [n].
            fractions: float64 [n].
            credit: samples that are counted for it.

        Returns:
            what waits for the outcome; it raises ``ShardGoneError`` if there is none.
        """
        ...

    def insert(self, episodes: Episodes) -> None:
        """Adds sequences."""
        ...

    def update(self, ids: NDArray[np.int64], priorities: NDArray[np.float32]) -> None:
        """Sets priorities; where it has gone, nothing."""
        ...


class LocalShard:
    """A shard in this process.

    Args:
        table: the table.
    """

    def __init__(self, table: PrioritisedReplay) -> None:
        self.table = table

    def figures(self) -> Figures:
        """What has to be known to draw from it."""
        return self.table.figures()

    def start(
        self, subtrees: NDArray[np.int64], fractions: NDArray[np.float64], credit: int
    ) -> Callable[[], Drawn]:
        """Draws at once."""
        drawn = self.table.draw(subtrees, fractions)
        return lambda: drawn

    def insert(self, episodes: Episodes) -> None:
        """Adds sequences."""
        self.table.insert(episodes)

    def update(self, ids: NDArray[np.int64], priorities: NDArray[np.float32]) -> None:
        """Sets priorities."""
        self.table.update(ids, priorities)


class ShardedReplay:
    """The ``Replay`` seam over several tables. An id names a shard and a sequence of it.

    Args:
        shards: the tables, of one configuration.
        config: how they draw.
        num_settings: how many settings sequences may come from.
        whole_episodes: whether the sequences of all seats of an episode are drawn together.
        seed: of the draws.

    Attributes:
        failures: draws that had to be made again since a shard had gone.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        config: ReplayConfig,
        *,
        num_settings: int = 1,
        whole_episodes: bool = False,
        seed: int = 0,
    ) -> None:
        if not shards:
            raise ValueError("a sharded replay needs at least one shard")
        self.shards, self.config, self.whole_episodes = list(shards), config, whole_episodes
        self.failures = 0
        self._settings = num_settings
        self._subtrees = subtrees_of(num_settings, config.balanced)
        self._seed = seed
        self._rng = np.random.default_rng(seed)
        self._next = 0

    def reseed(self, stream: int) -> None:
        """Draws other sequences than those who draw with the same seed beside it."""
        self._rng = np.random.default_rng([self._seed, stream])

    def __len__(self) -> int:
        """Live sequences of all shards that are there."""
        return int(self.counts[:, 0].sum())

    @property
    def counts(self) -> NDArray[np.int64]:
        """Live sequences, steps and first seats of every setting, int64 [settings, 3]."""
        none = np.zeros((self._settings, 3), np.int64)
        return sum((told.counts for _, told in self._there()), none)

    @property
    def nbytes(self) -> int:
        """Bytes that the live sequences take."""
        return sum(told.nbytes for _, told in self._there())

    def insert(self, episodes: Episodes) -> None:
        """Adds sequences to one of the shards, to each in turn.

        Raises:
            ValueError: if no shard is there.
        """
        there = [number for number, _ in self._there()]
        if not there:
            raise ValueError("no shard of the replay is there")
        self._next += 1
        self.shards[there[self._next % len(there)]].insert(episodes)

    def sample(self, n: int) -> Sample:
        """Draws about n sequences, each shard's share by its priorities.

        Those that come from one shard lie together. Where a shard goes meanwhile, all is drawn
        anew from the others.

        Raises:
            ValueError: if n is below 1, or what is there is empty.
            ShardGoneError: if no shard is there, or none of those left holds anything.
        """
        failures = self.failures
        while True:
            there = self._there()
            if not there or (self.failures > failures and not len(self)):
                raise ShardGoneError("no shard of the replay is there, or those left are empty")
            counts = sum(
                (told.counts for _, told in there), np.zeros((self._settings, 3), np.int64)
            )
            plan = Plan(counts, subtrees=self._subtrees, whole_episodes=self.whole_episodes)
            subtrees, fractions = plan.points(n, self._rng)
            masses = np.array([told.masses for _, told in there])
            owners, fractions = _split(masses, subtrees, fractions)
            credits = np.diff(
                np.round(n * np.bincount(owners, minlength=len(there)).cumsum() / len(owners)),
                prepend=0,
            ).astype(int)
            chosen = np.unique(owners).tolist()
            mine = [owners == k for k in chosen]
            waiting = [
                self.shards[there[k][0]].start(subtrees[of], fractions[of], int(credits[k]))
                for k, of in zip(chosen, mine, strict=True)
            ]
            drawn = [part for wait in waiting if (part := _drawn(wait)) is not None]
            if len(drawn) < len(waiting):
                self.failures += 1
                continue
            order = np.concatenate([np.flatnonzero(of) for of in mine])
            planned = masses[owners[order], subtrees[order]]
            whole = masses.sum(0)[subtrees[order]]
            weights = plan.weights(
                subtrees[order],
                np.concatenate([part.priorities for part in drawn]) * planned / whole,
                np.concatenate([part.masses for part in drawn]),
                self.config.beta,
            )
            ids = [
                part.ids | np.int64(there[k][0] << _SHARD)
                for k, part in zip(chosen, drawn, strict=True)
            ]
            episodes = concatenate([part.episodes for part in drawn])
            return Sample(np.concatenate(ids), weights, episodes)

    def update(self, ids: NDArray[np.int64], priorities: NDArray[np.float32]) -> None:
        """Sets the priorities of sampled sequences; those of a shard that has gone are nobody's.

        Raises:
            ValueError: if an id names no shard, or priorities and ids do not go together.
        """
        ids, priorities = np.asarray(ids, np.int64), np.asarray(priorities)
        if ids.shape != priorities.shape:
            raise ValueError(f"{ids.shape} ids and {priorities.shape} priorities do not match")
        owners = ids >> _SHARD
        if len(ids) and not 0 <= owners.min() <= owners.max() < len(self.shards):
            raise ValueError(f"no shard has the id {ids[np.argmax(owners)]}")
        for k in np.unique(owners).tolist():
            mine = owners == k
            self.shards[k].update(ids[mine] & ((1 << _SHARD) - 1), priorities[mine])

    def _there(self) -> list[tuple[int, Figures]]:
        """Shards that are there, and what they told last."""
        told = [(number, shard.figures()) for number, shard in enumerate(self.shards)]
        return [(number, figures) for number, figures in told if figures is not None]


def _drawn(wait: Callable[[], Drawn]) -> Drawn | None:
    """What comes of a draw; None if its shard has gone."""
    try:
        return wait()
    except ShardGoneError:
        return None


def _split(
    masses: NDArray[np.float64], subtrees: NDArray[np.int64], fractions: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Which table lies under each point, and how far along that one's line the point lies.

    Args:
        masses: float64 [K, T], of the subtrees of K tables.
        subtrees: int64 [n].
        fractions: float64 [n] in [0, 1], along the lines of all tables end to end.
    """
    ends = masses.cumsum(0)
    totals = ends[-1]
    points = fractions * totals[subtrees]
    # Rounding can carry a point past the last end: it lies in the last table that holds anything.
    last = len(masses) - 1 - np.argmax(masses[::-1] > 0, axis=0)
    owners = np.minimum((points >= ends[:, subtrees]).sum(0), last[subtrees])
    widths = masses[owners, subtrees]
    starts = ends[owners, subtrees] - widths
    within = np.clip((points - starts) / np.where(widths > 0, widths, 1.0), 0.0, 1.0)
    return owners.astype(np.int64), within
