"""Prioritised replay of whole sequences.

Sequences lie in an arena, their priorities in a sum tree. Where settings are to be balanced, each
has a lane of its own: a subtree with a leaf for every slot.

Draws and weights follow Schaul et al. 2016 ("Prioritized Experience Replay"); sequences start from
stored memory as in Kapturowski et al. 2019 ("Recurrent Experience Replay in Distributed
Reinforcement Learning").
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from marl.arena import NEXT, OLDEST, SETTING, Arena, evict, has_room, place
from marl.episodes import Episodes
from marl.sumtree import assign, find, grow

# Added to every priority, so that a sequence without error can still be drawn.
_FLOOR = 1e-6


@dataclass(frozen=True)
class ReplayConfig:
    """What replay holds and how it draws."""

    capacity: int = 100_000
    """Sequences held at most."""
    capacity_bytes: int = 512 * 2**20
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
            sequence can be drawn more than once.
        weights: float32 [n], importance weights in (0, 1], the largest of the batch being 1.
        episodes: the n sequences, in the order of ``ids``.
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
        seed: of the draws, which depend on it and on the calls made, and on nothing else.
    """

    def __init__(
        self,
        config: ReplayConfig,
        *,
        memory_size: int = 0,
        label_size: int = 0,
        num_settings: int = 1,
        seed: int = 0,
    ) -> None:
        self.config = config
        self.late_updates = 0
        """Priorities that arrived after their sequence had been evicted."""
        self._arena = Arena(
            config.capacity,
            config.capacity_bytes,
            max_length=config.max_length,
            memory_size=memory_size,
            label_size=label_size,
            num_settings=num_settings,
        )
        # Lanes are subtrees, so their number is a power of two.
        self._lanes = 1 << (num_settings - 1).bit_length() if config.balanced else 1
        self._tree = grow(self._lanes << (config.capacity - 1).bit_length())
        self._top = np.ones(1, np.float64)  # the highest leaf so far
        self._rng = np.random.Generator(np.random.PCG64(seed))

    def __len__(self) -> int:
        """Live sequences."""
        return len(self._arena)

    @property
    def inserted(self) -> int:
        """Sequences ever inserted."""
        return self._arena.end

    @property
    def evicted(self) -> int:
        """Sequences evicted to make room."""
        return self._arena.oldest

    @property
    def counts(self) -> NDArray[np.int64]:
        """Live sequences and live steps of every setting, int64 [settings, 2]."""
        return self._arena.counts.copy()

    @property
    def nbytes(self) -> int:
        """Bytes that the live sequences take, their slots and leaves included."""
        return self._arena.nbytes + 16 * len(self) * self._lanes

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
        arena = self._arena
        rows = arena.measure(episodes)
        _admit(rows, arena.slots, arena.cursor, arena.counts, len(arena.words), *self._leaves())
        arena.pack(rows, episodes)

    def sample(self, n: int) -> Sample:
        """Draws n sequences, in proportion to priority ** alpha, with replacement.

        Where ``balanced`` is set, settings are drawn first, each in inverse proportion to the mean
        length of its live sequences, and weights correct towards uniform within a setting.

        Raises:
            ValueError: if n is below 1, or replay is empty.
        """
        if n < 1:
            raise ValueError(f"a sample needs at least 1 sequence, got {n}")
        if not len(self):
            raise ValueError("replay is empty: insert sequences before sampling")
        arena = self._arena
        uniforms = self._rng.random(n)
        ids, weights, rows = _draw(
            uniforms, arena.slots, arena.cursor, arena.counts, self.config.beta, *self._leaves()
        )
        return Sample(ids, weights, arena.gather(rows))

    def update(self, ids: NDArray[np.int64], priorities: NDArray[np.float32]) -> None:
        """Sets the priorities of sampled sequences; those evicted since are counted and ignored.

        Args:
            ids: int64 [n], as sampled; of one named twice the last priority counts.
            priorities: float [n], finite and not negative.

        Raises:
            ValueError: if a priority is out of range, or an id was never given.
        """
        arena = self._arena
        ids, errors = np.asarray(ids, np.int64), np.asarray(priorities, np.float64)
        if ids.shape != errors.shape:
            raise ValueError(f"{ids.shape} ids and {errors.shape} priorities do not go together")
        wrong, late = _revise(
            ids, errors, arena.slots, arena.cursor, self.config.alpha, *self._leaves()
        )
        if wrong >= 0 and not 0 <= ids[wrong] < arena.end:
            raise ValueError(f"no sequence of id {ids[wrong]} was ever inserted")
        if wrong >= 0:
            raise ValueError(f"priorities must be finite and not negative, got {errors[wrong]}")
        self.late_updates += late

    def state(self) -> dict[str, NDArray[Any]]:
        """All that is needed to go on as if nothing had happened, the draws included.

        Large arrays are views of what replay holds: write them out, or copy them, before the next
        insertion.
        """
        generator = self._rng.bit_generator.state["state"]
        halves = [generator[name] >> shift for name in ("state", "inc") for shift in (0, 64)]
        return {
            **self._arena.state(),
            "shape": self._shape(),
            "leaves": self._tree[len(self._tree) // 2 + self._leaves_of(self._arena.ids)],
            "top": self._top.copy(),
            "late_updates": np.array([self.late_updates], np.int64),
            "random": np.array([half % 2**64 for half in halves], np.uint64),
        }

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Takes over what ``state`` returned.

        Raises:
            ValueError: if it was saved by a replay of another shape.
        """
        if not np.array_equal(arrays["shape"], self._shape()):
            raise ValueError(
                "the saved replay has the shape (capacity, bytes, memory size, label size, "
                f"settings, trees) {arrays['shape'].tolist()} and this one "
                f"{self._shape().tolist()}: resume with the configuration it was saved with"
            )
        self._arena.load_state(arrays)
        self._tree[:] = 0
        for leaf, priority in zip(
            self._leaves_of(self._arena.ids), np.asarray(arrays["leaves"]), strict=True
        ):
            assign(self._tree, leaf, priority)
        self._top[:] = arrays["top"]
        self.late_updates = int(arrays["late_updates"][0])
        state, state_high, inc, inc_high = (int(half) for half in arrays["random"])
        generator = dict(self._rng.bit_generator.state)
        generator["state"] = {"state": state | state_high << 64, "inc": inc | inc_high << 64}
        self._rng.bit_generator.state = generator

    def _shape(self) -> NDArray[np.int64]:
        return np.array([*self._arena.shape, self._lanes], np.int64)

    def _leaves(self) -> tuple[NDArray[np.float64], int, NDArray[np.float64]]:
        """What compiled functions need to know of the priorities."""
        return self._tree, self._lanes, self._top

    def _leaves_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The leaf of each of the live ``ids``."""
        slots = ids % self._arena.capacity
        lanes = self._arena.slots[slots, SETTING] if self._lanes > 1 else 0
        return lanes * (len(self._tree) // (2 * self._lanes)) + slots


@njit(cache=True, nogil=True)
def _leaf(id_, slots, tree, lanes):
    """The leaf of a live sequence."""
    slot = id_ % len(slots)
    if lanes == 1:
        return slot
    return slots[slot, SETTING] * (len(tree) // (2 * lanes)) + slot


@njit(cache=True, nogil=True)
def _admit(rows, slots, cursor, counts, size, tree, lanes, top):
    """Places new sequences, at the highest priority so far; the oldest make room."""
    for row in rows:
        while not has_room(row, slots, cursor, size):
            assign(tree, _leaf(cursor[OLDEST], slots, tree, lanes), 0.0)
            evict(slots, cursor, counts)
        place(row, slots, cursor, counts)
        assign(tree, _leaf(cursor[NEXT] - 1, slots, tree, lanes), top[0])


@njit(cache=True, nogil=True)
def _draw(uniforms, slots, cursor, counts, beta, tree, lanes, top):
    """Ids, importance weights and rows of drawn sequences."""
    n = len(uniforms)
    # How wide each lane is on the line that points are drawn from, and how many lie in it.
    widths, sizes = np.ones(lanes), np.full(lanes, cursor[NEXT] - cursor[OLDEST])
    if lanes > 1:
        for lane in range(lanes):
            sizes[lane] = counts[lane, 0] if lane < len(counts) else 0
            widths[lane] = sizes[lane] / counts[lane, 1] if sizes[lane] else 0.0
    line = widths.sum()
    last = np.flatnonzero(sizes)[-1]
    ids, chances = np.empty(n, np.int64), np.empty(n, np.float64)
    rows = np.empty((n, slots.shape[1]), np.int64)
    lane, start = 0, 0.0
    for k in range(n):
        # Strata: the k-th point lies in the k-th of n equal parts of the line.
        point = (k + uniforms[k]) / n * line
        while lane < last and point >= start + widths[lane]:
            start += widths[lane]
            lane += 1
        root = lanes + lane
        leaf = find(tree, min((point - start) / widths[lane], 1.0), root)
        slot = leaf % (len(tree) // (2 * lanes))
        ids[k] = cursor[OLDEST] + (slot - cursor[OLDEST]) % len(slots)
        chances[k] = sizes[lane] * tree[len(tree) // 2 + leaf] / tree[root]
        rows[k] = slots[slot]
    weights = (chances / chances.min()) ** -beta
    return ids, weights.astype(np.float32), rows


@njit(cache=True, nogil=True)
def _revise(ids, errors, slots, cursor, alpha, tree, lanes, top):
    """Sets priorities; returns the place of the first bad value or -1, and how many were late."""
    for k in range(len(ids)):
        if not (0 <= ids[k] < cursor[NEXT] and 0.0 <= errors[k] < np.inf):
            return k, 0
    late = 0
    for k in range(len(ids)):
        if ids[k] < cursor[OLDEST]:
            late += 1
            continue
        priority = (errors[k] + _FLOOR) ** alpha
        assign(tree, _leaf(ids[k], slots, tree, lanes), priority)
        top[0] = max(top[0], priority)
    return -1, late
