"""Prioritised replay of whole sequences.

Sequences lie in a ring, their priorities in a sum tree. Where settings are to be balanced, each
has a subtree of its own, with a leaf for every slot.

Draws and weights follow Schaul et al. 2016 ("Prioritized Experience Replay"); sequences start from
stored memory as in Kapturowski et al. 2019 ("Recurrent Experience Replay in Distributed
Reinforcement Learning").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from games.chance import packed, unpack
from marl.episodes import Episodes
from marl.replay.plan import Drawn, Figures, Plan, subtrees_of
from marl.replay.ring import Ring
from marl.replay.sumtree import assign, find, grow

# Added to every priority, so that a sequence without error can still be drawn.
_FLOOR = 1e-6


@dataclass(frozen=True)
class ReplayConfig:
    """What replay holds and how it draws."""

    capacity: int = 100_000
    """Sequences held at most."""
    capacity_bytes: int = 384 * 2**20
    """Bytes of sequences held at most; their slots and priorities come on top."""
    max_length: int = 128
    """Longest sequence, in steps; actors cut longer ones."""
    alpha: float = 0.6
    """Exponent of the priorities: 0 draws uniformly, 1 in proportion."""
    beta: float = 0.4
    """Exponent of the importance weights: 1 undoes the bias of the priorities in full."""
    eta: float = 0.9
    """A sequence's priority is eta times its largest error plus (1 - eta) times its mean error."""
    balanced: bool = False
    """Whether every setting gets an equal share of the sampled steps."""

    def __post_init__(self) -> None:
        for name in ("capacity", "capacity_bytes", "max_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"replay.{name} must be at least 1, got {getattr(self, name)}")
        for name in ("alpha", "beta", "eta"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"replay.{name} must be in [0, 1], got {getattr(self, name)}")


@dataclass(frozen=True)
class Sample:
    """What the learner draws.

    Attributes:
        ids: int64 [n], names of the sequences, to be handed back with their new priorities. A
            sequence can be drawn more than once. Where whole episodes are drawn, names of these.
        weights: float32 [n], importance weights in (0, 1], the largest of the batch being 1.
        episodes: the n sequences, or those of the n episodes, in the order of ``ids``.
    """

    ids: NDArray[np.int64]
    weights: NDArray[np.float32]
    episodes: Episodes


class PrioritisedReplay:
    """The local side of the ``Replay`` seam: a table in this process.

    Args:
        config: what it holds and how it draws.
        memory_size: floats of recurrent memory stored with a sequence, M.
        label_size: labels of a step, K.
        num_settings: how many settings sequences may come from.
        whole_episodes: whether the sequences of all seats of an episode are drawn together; they
            must have been inserted together, in the order of the seats. Priorities are then those
            of episodes, under the id of their first sequence.
        seed: of the draws, which depend on it and on the calls made, and on nothing else.
    """

    def __init__(
        self,
        config: ReplayConfig,
        *,
        memory_size: int = 0,
        label_size: int = 0,
        num_settings: int = 1,
        whole_episodes: bool = False,
        seed: int = 0,
    ) -> None:
        self.config, self.whole_episodes = config, whole_episodes
        self.late_updates = 0
        """Priorities that arrived after their sequence had been evicted."""
        self._ring = Ring(
            config.capacity,
            config.capacity_bytes,
            max_length=config.max_length,
            memory_size=memory_size,
            label_size=label_size,
            num_settings=num_settings,
        )
        self._subtrees = subtrees_of(num_settings, config.balanced)
        self._tree = grow(self._subtrees << (config.capacity - 1).bit_length())
        self._top = 1.0  # the highest priority of a leaf so far
        # The leaf of what each slot holds, or held last.
        self._leaf_of = np.arange(config.capacity)
        self._rng = np.random.Generator(np.random.PCG64(seed))

    def __len__(self) -> int:
        """Live sequences."""
        return len(self._ring)

    @property
    def inserted(self) -> int:
        """Sequences ever inserted."""
        return self._ring.end

    @property
    def evicted(self) -> int:
        """Sequences evicted to make room."""
        return self._ring.oldest

    @property
    def counts(self) -> NDArray[np.int64]:
        """Live sequences and live steps of every setting, int64 [settings, 2]."""
        return self._ring.counts[:, :2].copy()

    def by_partner(self, setting: int, partners: int) -> NDArray[np.float64]:
        """What it holds of a setting, by whom it was played with.

        Args:
            setting: which.
            partners: highest number of a partner.

        Returns:
            float64 [1 + partners, 2]: live sequences, and the mass of their priorities.
        """
        ids = self._ring.ids
        ids = ids[self._ring.settings(ids) == setting]
        with_whom = self._ring.partners(ids)
        leaves = self._leaf_of[ids % self.config.capacity]
        masses = self._tree[len(self._tree) // 2 + leaves]
        least = partners + 1
        counts = np.bincount(with_whom, minlength=least).astype(np.float64)
        return np.stack([counts, np.bincount(with_whom, masses, least)], 1)[:least]

    @property
    def nbytes(self) -> int:
        """Bytes that the live sequences take, their slots and leaves included."""
        return self._ring.nbytes + 16 * len(self) * self._subtrees

    def insert(self, episodes: Episodes) -> None:
        """Adds sequences, at the highest priority seen so far; the oldest make room.

        Args:
            episodes: E sequences with M floats of memory each (or 0: all start from zeros) and K
                labels a step.

        Raises:
            ValueError: if arrays disagree in dtype or size, or a sequence is malformed, too long,
                of an unknown setting, or larger than the whole replay. Nothing is inserted then.
        """
        if not len(episodes):
            return
        oldest, end = self._ring.oldest, self._ring.end
        self._ring.insert(episodes)
        evicted = np.arange(oldest, min(self._ring.oldest, end)) % self.config.capacity
        assign(self._tree, self._leaf_of[evicted], np.zeros(len(evicted)))
        fresh = np.arange(max(end, self._ring.oldest), self._ring.end)
        drawn = self._ring.seats(fresh) == 0 if self.whole_episodes else True
        self._enter(fresh, np.full(len(fresh), self._top) * drawn)

    def sample(self, n: int) -> Sample:
        """Draws n sequences, in proportion to priority ** alpha, with replacement.

        Where ``balanced`` is set, settings are drawn first, each in inverse proportion to the mean
        length of its live sequences, and weights correct towards uniform within a setting.

        Where episodes are drawn whole, they are as many as have about n sequences.

        Raises:
            ValueError: if n is below 1, or replay is empty.
        """
        plan = Plan(self._ring.counts, subtrees=self._subtrees, whole_episodes=self.whole_episodes)
        subtrees, fractions = plan.points(n, self._rng)
        drawn = self.draw(subtrees, fractions)
        weights = plan.weights(subtrees, drawn.priorities, drawn.masses, self.config.beta)
        return Sample(drawn.ids, weights, drawn.episodes)

    def draw(self, subtrees: NDArray[np.int64], fractions: NDArray[np.float64]) -> Drawn:
        """What lies under some points.

        Args:
            subtrees: int64 [n], of the sum tree.
            fractions: float64 [n] in [0, 1], how far along its subtree each point lies.

        Raises:
            ValueError: if a subtree is empty.
        """
        roots = self._subtrees + subtrees
        masses = self._tree[roots]
        if not (masses > 0).all():
            raise ValueError("replay is empty: insert sequences before drawing")
        leaves = find(self._tree, fractions, roots)
        oldest = self._ring.oldest
        slots = leaves % (len(self._tree) // (2 * self._subtrees))
        ids = oldest + (slots - oldest) % self.config.capacity
        drawn = self._ring.whole(ids) if self.whole_episodes else ids
        priorities = self._tree[len(self._tree) // 2 + leaves]
        return Drawn(ids, priorities, masses, self._ring.gather(drawn))

    def figures(self) -> Figures:
        """What has to be known to draw from it."""
        masses = self._tree[self._subtrees : 2 * self._subtrees].copy()
        return Figures(self._ring.counts.copy(), masses, self.nbytes)

    def update(self, ids: NDArray[np.int64], priorities: NDArray[np.float32]) -> None:
        """Sets the priorities of sampled sequences; those evicted since are counted and ignored.

        Args:
            ids: int64 [n], as sampled; of one named twice the last priority counts.
            priorities: float [n], finite and not negative.

        Raises:
            ValueError: if a priority is out of range, or an id was never given.
        """
        ids, errors = np.asarray(ids, np.int64), np.asarray(priorities)
        if ids.shape != errors.shape:
            raise ValueError(f"{ids.shape} ids and {errors.shape} priorities do not go together")
        oldest, end = self._ring.oldest, self._ring.end
        leaves, values, top, wrong = _priced(
            ids, errors, oldest, end, self.config.alpha, self._leaf_of
        )
        if wrong >= 0:
            if not 0 <= ids[wrong] < end:
                raise ValueError(f"no sequence of id {ids[wrong]} was ever inserted")
            raise ValueError(f"priorities must be finite and not negative, got {errors[wrong]}")
        assign(self._tree, leaves, values)
        self._top = max(self._top, top)
        self.late_updates += len(ids) - len(leaves)

    def state(self) -> dict[str, NDArray[Any]]:
        """All that is needed to go on as if nothing had happened, the draws included.

        Large arrays are views of what replay holds: write them out, or copy them, before the next
        insertion.
        """
        slots = self._ring.ids % self.config.capacity
        return {
            **self._ring.state(),
            "shape": self._shape(),
            "priorities": self._tree[len(self._tree) // 2 + self._leaf_of[slots]],
            "top": np.array([self._top]),
            "late_updates": np.array([self.late_updates], np.int64),
            "random": packed(self._rng),
        }

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Takes over what ``state`` returned.

        Raises:
            ValueError: if it was saved by a replay of another shape.
        """
        if "shards" in arrays:
            raise ValueError(
                f"the saved replay lies in {arrays['shards']} shards: resume with --replay-shards "
                f"{arrays['shards']}"
            )
        if not np.array_equal(arrays["shape"], self._shape()):
            raise ValueError(
                "the saved replay has the shape (capacity, bytes, memory size, label size, "
                f"settings, columns, trees) {arrays['shape'].tolist()} and this one "
                f"{self._shape().tolist()}: resume with the configuration it was saved with"
            )
        self._ring.load_state(arrays)
        self._tree[:] = 0
        self._enter(self._ring.ids, np.asarray(arrays["priorities"], np.float64))
        self._top = float(arrays["top"][0])
        self.late_updates = int(arrays["late_updates"][0])
        unpack(self._rng, arrays["random"])

    def _shape(self) -> NDArray[np.int64]:
        return np.array([*self._ring.shape, self._subtrees], np.int64)

    def _enter(self, ids: NDArray[np.int64], priorities: NDArray[np.float64]) -> None:
        """Gives live sequences their leaves."""
        slots = ids % self.config.capacity
        leaves = slots
        if self._subtrees > 1:
            leaves = slots + self._ring.settings(ids) * (len(self._tree) // (2 * self._subtrees))
        self._leaf_of[slots] = leaves
        assign(self._tree, leaves, priorities)


# Compiled code is kept by the date of its own file: it calls nothing that another file holds.
@njit(cache=True, nogil=True)
def _priced(ids, errors, oldest, end, alpha, leaf_of):  # type: ignore[no-untyped-def]
    """Leaves, priorities, the highest of these; and the place of the first bad value, or -1."""
    leaves, values = np.empty(len(ids), np.int64), np.empty(len(ids), np.float64)
    live, top = 0, 0.0
    for k in range(len(ids)):
        if not (0 <= ids[k] < end and 0.0 <= errors[k] < np.inf):
            return leaves, values, top, k
        if ids[k] >= oldest:
            leaves[live] = leaf_of[ids[k] % len(leaf_of)]
            values[live] = (errors[k] + _FLOOR) ** alpha
            top = max(top, values[live])
            live += 1
    return leaves[:live], values[:live], top, -1
