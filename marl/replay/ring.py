"""A ring of memory that holds sequences without padding, each in one contiguous span.

The oldest sequences make room for new ones. A sequence's id counts insertions, so the live ids are
always one range, ``id % capacity`` is a sequence's slot, and the id of an evicted sequence never
comes back.

A span holds, in this order: rewards and initial memory as floats; the number of facts, the number
of choices, the action, what was taught and the time that went by of every step; the facts; the
choices; the labels.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from marl.episodes import Episodes

# Columns of a slot. Starts and sizes count 16-bit words of the ring; _MEMORY is 0 where the
# initial memory is all zeros, as at the start of every episode, and is therefore not stored.
_START, _WORDS, _LENGTH, _FACTS, _CHOICES, _MEMORY, _TERMINAL, _FRESH = range(8)
_SETTING, _VERSION, _SEAT = range(8, 11)
_COLUMNS = 11
# Entries of the cursor: where the next span begins, the oldest live id, the next id.
_HEAD, _OLDEST, _NEXT = range(3)


class Ring:
    """Sequences in the order of their insertion, the oldest evicted first.

    Args:
        capacity: sequences held at most.
        capacity_bytes: bytes of sequences held at most.
        max_length: longest sequence accepted, in steps.
        memory_size: floats of recurrent memory of a sequence, M.
        label_size: labels of a step, K.
        num_settings: how many settings sequences may come from.
    """

    def __init__(
        self,
        capacity: int,
        capacity_bytes: int,
        *,
        max_length: int,
        memory_size: int,
        label_size: int,
        num_settings: int,
    ) -> None:
        self.capacity, self.max_length = capacity, max_length
        self.memory_size, self.label_size = memory_size, label_size
        self.counts = np.zeros((num_settings, 3), np.int64)
        """Live sequences, live steps and live first seats of every setting."""
        # Left uninitialised: the system provides pages of it only as they are written.
        self._words = np.empty(capacity_bytes // 4 * 2, np.int16)
        # Spans begin on four bytes, so the same memory can be read as floats.
        self._views = self._words.view(np.float32), self._words, self._words.view(np.int8)
        self._slots = np.zeros((capacity, _COLUMNS), np.int64)
        self._cursor = np.zeros(3, np.int64)

    def __len__(self) -> int:
        """Live sequences."""
        return self.end - self.oldest

    @property
    def oldest(self) -> int:
        """The oldest live id, which is also how many sequences were evicted."""
        return int(self._cursor[_OLDEST])

    @property
    def end(self) -> int:
        """One past the newest id, which is also how many sequences were ever inserted."""
        return int(self._cursor[_NEXT])

    @property
    def ids(self) -> NDArray[np.int64]:
        """The live ids, oldest first."""
        return np.arange(self.oldest, self.end)

    def settings(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which setting each of the live ``ids`` was played in."""
        return self._slots[ids % self.capacity, _SETTING]

    def seats(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which seat played each of the live ``ids``."""
        return self._slots[ids % self.capacity, _SEAT]

    def whole(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The sequences of all seats of the episodes whose first seats' ``ids`` are given."""
        sizes = np.ones(len(ids), np.int64)
        growing = np.arange(len(ids))
        while len(growing):
            after = ids[growing] + sizes[growing]
            growing = growing[(after < self.end) & (self.seats(after) > 0)]
            sizes[growing] += 1
        starts = np.cumsum(sizes) - sizes
        return np.repeat(ids - starts, sizes) + np.arange(sizes.sum())

    @property
    def nbytes(self) -> int:
        """Bytes that the live sequences take, their slots included."""
        return 2 * int(self._rows(self.ids)[:, _WORDS].sum()) + len(self) * _COLUMNS * 8

    @property
    def shape(self) -> tuple[int, ...]:
        """What must be equal for a state to be taken over."""
        sizes = (self.memory_size, self.label_size, len(self.counts), _COLUMNS)
        return self.capacity, 2 * len(self._words), *sizes

    def insert(self, episodes: Episodes) -> None:
        """Adds sequences; they take the ids from ``end`` on, and the oldest make room.

        Raises:
            ValueError: if arrays disagree in dtype or size, or a sequence is malformed, too long,
                of an unknown setting, or larger than the whole ring. Nothing is inserted then.
        """
        self._check_arrays(episodes)
        parts = _parts(episodes)
        rows, fault, where = _measure(
            episodes.lengths,
            episodes.terminal,
            episodes.fresh,
            episodes.setting,
            episodes.version,
            episodes.seat,
            parts,
            len(self.counts),
            self.label_size,
            self.max_length,
            len(self._words),
        )
        if fault:
            raise ValueError(
                _FAULTS[fault].format(
                    where=where,
                    max_length=self.max_length,
                    settings=len(self.counts),
                    size=2 * len(self._words),
                )
            )
        _place(rows, self._slots, self._cursor, self.counts, len(self._words))
        _pack(rows, self._views, parts)

    def gather(self, ids: NDArray[np.int64]) -> Episodes:
        """The sequences of some live ``ids``, in that order."""
        rows = self._rows(ids)
        steps, facts, choices = rows[:, _LENGTH : _CHOICES + 1].sum(axis=0).tolist()
        episodes = Episodes(
            lengths=rows[:, _LENGTH].astype(np.int32),
            fact_counts=np.empty(steps, np.int16),
            facts=np.empty(facts, np.int16),
            choice_counts=np.empty(steps, np.int16),
            choices=np.empty(choices, np.int16),
            actions=np.empty(steps, np.int16),
            rewards=np.empty(steps, np.float32),
            elapsed=np.empty(steps, np.int16),
            terminal=rows[:, _TERMINAL].astype(np.bool_),
            fresh=rows[:, _FRESH].astype(np.bool_),
            memory=np.empty((len(rows), self.memory_size), np.float32),
            setting=rows[:, _SETTING].astype(np.int16),
            version=rows[:, _VERSION].astype(np.int32),
            seat=rows[:, _SEAT].astype(np.int8),
            labels=np.empty((steps, self.label_size), np.int8),
            taught=np.empty(steps, np.int16),
        )
        _unpack(rows, self._views, _parts(episodes))
        return episodes

    def state(self) -> dict[str, NDArray[Any]]:
        """All that it holds, as arrays.

        The ring is handed out as views, and only where it is in use: write them out, or copy them,
        before the next insertion.
        """
        tail, head = self._spans()
        return {
            "cursor": self._cursor.copy(),
            "slots": self._rows(self.ids),
            "tail": self._words[tail],
            "head": self._words[head],
        }

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Takes over the ``state`` of a ring of the same ``shape``."""
        self._cursor[:] = arrays["cursor"]
        rows = self._slots[self.ids % self.capacity] = arrays["slots"]
        tail, head = self._spans()
        self._words[tail] = arrays["tail"]
        self._words[head] = arrays["head"]
        for setting in range(len(self.counts)):
            mine = rows[:, _SETTING] == setting
            firsts = (rows[mine, _SEAT] == 0).sum()
            self.counts[setting] = mine.sum(), rows[mine, _LENGTH].sum(), firsts

    def _rows(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._slots[ids % self.capacity]

    def _spans(self) -> tuple[slice, slice]:
        """Where the live sequences lie: from the oldest up, and again from the ring's start."""
        if not len(self):
            return slice(0, 0), slice(0, 0)
        rows = self._rows(self.ids)
        tail, head = int(rows[0, _START]), int(self._cursor[_HEAD])
        if tail < head:
            return slice(tail, head), slice(0, 0)
        return slice(tail, int((rows[:, _START] + rows[:, _WORDS]).max())), slice(0, head)

    def _check_arrays(self, episodes: Episodes) -> None:
        """Raises ValueError unless dtypes and shapes are right."""
        steps, sequences = (episodes.steps,), (len(episodes),)
        shapes: dict[str, tuple[int, ...]] = {
            "fact_counts": steps,
            "choice_counts": steps,
            "rewards": steps,
            "elapsed": steps,
            "labels": (*steps, self.label_size),
            "memory": (*sequences, self.memory_size if episodes.memory.shape[-1] else 0),
            "terminal": sequences,
            "fresh": sequences,
            "setting": sequences,
            "version": sequences,
            "seat": sequences,
            "taught": steps,
        }
        for field in fields(Episodes):
            name, array = field.name, getattr(episodes, field.name)
            if array.dtype != DTYPES[name]:
                raise ValueError(f"episodes.{name} must be {DTYPES[name]}, got {array.dtype}")
            wanted = shapes.get(name, (len(array),))
            if array.shape != wanted:
                raise ValueError(f"episodes.{name} must have the shape {wanted}, got {array.shape}")


DTYPES = {
    "lengths": np.dtype(np.int32),
    "fact_counts": np.dtype(np.int16),
    "facts": np.dtype(np.int16),
    "choice_counts": np.dtype(np.int16),
    "choices": np.dtype(np.int16),
    "actions": np.dtype(np.int16),
    "rewards": np.dtype(np.float32),
    "elapsed": np.dtype(np.int16),
    "terminal": np.dtype(np.bool_),
    "fresh": np.dtype(np.bool_),
    "memory": np.dtype(np.float32),
    "setting": np.dtype(np.int16),
    "version": np.dtype(np.int32),
    "seat": np.dtype(np.int8),
    "labels": np.dtype(np.int8),
    "taught": np.dtype(np.int16),
}

_FAULTS = {
    1: "sequence {where} must have 1 to {max_length} steps: cut longer ones, or raise "
    "replay.max_length",
    2: "episodes.lengths add up to {where} steps, which is not how many actions there are",
    3: "sequence {where} has a step without a choice, whose action is not one of its choices, or "
    "whose time runs backwards",
    4: "episodes.fact_counts add up to {where}, which is not how many facts there are",
    5: "episodes.choice_counts add up to {where}, which is not how many choices there are",
    6: "sequence {where} has a reward that is not finite",
    7: "episodes.facts must hold ids, got {where}",
    8: "episodes.choices must hold ids, got {where}",
    9: "episodes.setting must be in [0, {settings}), got {where}",
    10: "a sequence of {where} bytes does not fit into a replay of {size}: raise "
    "replay.capacity_bytes",
    11: "sequence {where} has a teacher's choice that is not one of its choices",
}


def _parts(episodes: Episodes) -> tuple[NDArray[Any], ...]:
    """The arrays that lie in the ring, in the order of a span."""
    return (
        episodes.rewards,
        episodes.memory,
        episodes.fact_counts,
        episodes.choice_counts,
        episodes.actions,
        episodes.taught,
        episodes.elapsed,
        episodes.facts,
        episodes.choices,
        episodes.labels.reshape(-1),
    )


@njit(cache=True, nogil=True)
def _measure(
    lengths,
    terminal,
    fresh,
    setting,
    version,
    seat,
    parts,
    num_settings,
    label_size,
    max_length,
    size,
):
    """Rows of new sequences; with the number of a fault and what is wrong, if there is one."""
    rewards, memory, fact_counts, choice_counts, actions, taught, elapsed, facts, choices, _ = parts
    rows = np.zeros((len(lengths), _COLUMNS), np.int64)
    step = all_facts = all_choices = np.int64(0)
    for e in range(len(lengths)):
        length = np.int64(lengths[e])
        if length < 1 or length > max_length:
            return rows, 1, e
        if step + length > len(actions):
            return rows, 2, step + length
        if setting[e] < 0 or setting[e] >= num_settings:
            return rows, 9, np.int64(setting[e])
        fact_sum = choice_sum = np.int64(0)
        # Without branches, for speed: negative numbers leave their sign in what is or-ed.
        signs, lessons, endless = np.int64(0), np.int64(0), False
        for s in range(step, step + length):
            signs |= fact_counts[s] | actions[s] | (choice_counts[s] - 1 - actions[s]) | elapsed[s]
            lessons |= (taught[s] + 1) | (choice_counts[s] - 1 - taught[s])
            endless |= not np.isfinite(rewards[s])
            fact_sum += fact_counts[s]
            choice_sum += choice_counts[s]
        if signs < 0:
            return rows, 3, e
        if endless:
            return rows, 6, e
        if lessons < 0:
            return rows, 11, e
        stored = 0
        for m in range(memory.shape[1]):
            if memory[e, m] != 0:
                stored = memory.shape[1]
                break
        words = 7 * length + 2 * stored + fact_sum + choice_sum + (label_size * length + 1) // 2
        words += words % 2
        if words > size:
            return rows, 10, 2 * words
        rows[e, _WORDS] = words
        rows[e, _LENGTH] = length
        rows[e, _FACTS] = fact_sum
        rows[e, _CHOICES] = choice_sum
        rows[e, _MEMORY] = stored
        rows[e, _TERMINAL] = terminal[e]
        rows[e, _FRESH] = fresh[e]
        rows[e, _SETTING] = setting[e]
        rows[e, _VERSION] = version[e]
        rows[e, _SEAT] = seat[e]
        step += length
        all_facts += fact_sum
        all_choices += choice_sum
    if step != len(actions):
        return rows, 2, step
    if all_facts != len(facts):
        return rows, 4, all_facts
    if all_choices != len(choices):
        return rows, 5, all_choices
    for fault, ids in ((7, facts), (8, choices)):
        sign = np.int16(0)
        for k in range(len(ids)):
            sign |= ids[k]
        if sign < 0:
            return rows, fault, np.int64(ids.min())
    return rows, 0, np.int64(0)


@njit(cache=True, nogil=True)
def _has_room(words, slots, cursor, size):
    """Whether a slot and a span are free; may move the cursor to the ring's start to find one."""
    live = cursor[_NEXT] - cursor[_OLDEST]
    if live == 0:
        cursor[_HEAD] = 0
        return True
    if live == len(slots):
        return False
    head, tail = cursor[_HEAD], slots[cursor[_OLDEST] % len(slots), _START]
    if head <= tail:  # wrapped: what lies between the newest and the oldest is free
        return head + words <= tail
    if head + words <= size:
        return True
    if words <= tail:
        cursor[_HEAD] = 0
        return True
    return False


@njit(cache=True, nogil=True)
def _place(rows, slots, cursor, counts, size):
    """Gives every row a span and a slot, evicting the oldest until there is room."""
    for e in range(len(rows)):
        while not _has_room(rows[e, _WORDS], slots, cursor, size):
            oldest = cursor[_OLDEST] % len(slots)
            counts[slots[oldest, _SETTING], 0] -= 1
            counts[slots[oldest, _SETTING], 1] -= slots[oldest, _LENGTH]
            counts[slots[oldest, _SETTING], 2] -= slots[oldest, _SEAT] == 0
            cursor[_OLDEST] += 1
        rows[e, _START] = cursor[_HEAD]
        cursor[_HEAD] += rows[e, _WORDS]
        slots[cursor[_NEXT] % len(slots), :] = rows[e]
        cursor[_NEXT] += 1
        counts[rows[e, _SETTING], 0] += 1
        counts[rows[e, _SETTING], 1] += rows[e, _LENGTH]
        counts[rows[e, _SETTING], 2] += rows[e, _SEAT] == 0


@njit(cache=True, nogil=True)
def _copy(target, to, source, start, count):
    # Slices first: the loop over them has no index that could be negative, and is vectorised.
    target, source = target[to : to + count], source[start : start + count]
    for k in range(count):
        target[k] = source[k]


@njit(cache=True, nogil=True)
def _pack(rows, views, parts):
    """Copies sequences into their spans."""
    floats, words, octets = views
    rewards, memory, fact_counts, choice_counts, actions, taught, elapsed = parts[:7]
    facts, choices, labels = parts[7:]
    width = len(labels) // max(len(actions), 1)
    step = fact = choice = 0
    for row in range(len(rows)):
        length, at = rows[row, _LENGTH], rows[row, _START]
        _copy(floats, at // 2, rewards, step, length)
        at += 2 * length
        _copy(floats, at // 2, memory[row], 0, rows[row, _MEMORY])
        at += 2 * rows[row, _MEMORY]
        _copy(words, at, fact_counts, step, length)
        _copy(words, at + length, choice_counts, step, length)
        _copy(words, at + 2 * length, actions, step, length)
        _copy(words, at + 3 * length, taught, step, length)
        _copy(words, at + 4 * length, elapsed, step, length)
        at += 5 * length
        _copy(words, at, facts, fact, rows[row, _FACTS])
        at += rows[row, _FACTS]
        _copy(words, at, choices, choice, rows[row, _CHOICES])
        at += rows[row, _CHOICES]
        _copy(octets, 2 * at, labels, step * width, length * width)
        # What rounding leaves over is cleared, so that equal replays are saved as equal bytes.
        octets[2 * at + length * width : 2 * (rows[row, _START] + rows[row, _WORDS])] = 0
        step += length
        fact += rows[row, _FACTS]
        choice += rows[row, _CHOICES]


@njit(cache=True, nogil=True)
def _unpack(rows, views, parts):
    """Copies sequences out of their spans: ``_pack`` the other way round."""
    floats, words, octets = views
    rewards, memory, fact_counts, choice_counts, actions, taught, elapsed = parts[:7]
    facts, choices, labels = parts[7:]
    width = len(labels) // max(len(actions), 1)
    step = fact = choice = 0
    for row in range(len(rows)):
        length, at = rows[row, _LENGTH], rows[row, _START]
        _copy(rewards, step, floats, at // 2, length)
        at += 2 * length
        memory[row, rows[row, _MEMORY] :] = 0
        _copy(memory[row], 0, floats, at // 2, rows[row, _MEMORY])
        at += 2 * rows[row, _MEMORY]
        _copy(fact_counts, step, words, at, length)
        _copy(choice_counts, step, words, at + length, length)
        _copy(actions, step, words, at + 2 * length, length)
        _copy(taught, step, words, at + 3 * length, length)
        _copy(elapsed, step, words, at + 4 * length, length)
        at += 5 * length
        _copy(facts, fact, words, at, rows[row, _FACTS])
        at += rows[row, _FACTS]
        _copy(choices, choice, words, at, rows[row, _CHOICES])
        at += rows[row, _CHOICES]
        _copy(labels, step * width, octets, 2 * at, length * width)
        step += length
        fact += rows[row, _FACTS]
        choice += rows[row, _CHOICES]
