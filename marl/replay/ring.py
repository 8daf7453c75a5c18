"""A ring of memory that holds sequences without padding, each in one contiguous span.

The oldest sequences make room for new ones. A sequence's id counts insertions, so the live ids are
always one range, ``id % capacity`` is a sequence's slot, and the id of an evicted sequence never
comes back.

How a span is laid out is told in ``marl.replay.packing``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marl.episodes import Episodes
from marl.replay.packing import (
    CHOICES,
    COLUMNS,
    DTYPES,
    FAULTS,
    FRESH,
    HEAD,
    LENGTH,
    NEXT,
    OLDEST,
    PARTNER,
    SEAT,
    SETTING,
    START,
    TERMINAL,
    VERSION,
    WORDS,
    measure,
    pack,
    parts,
    place,
    unpack,
)


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
        self._slots = np.zeros((capacity, COLUMNS), np.int64)
        self._cursor = np.zeros(3, np.int64)

    def __len__(self) -> int:
        """Live sequences."""
        return self.end - self.oldest

    @property
    def oldest(self) -> int:
        """The oldest live id, which is also how many sequences were evicted."""
        return int(self._cursor[OLDEST])

    @property
    def end(self) -> int:
        """One past the newest id, which is also how many sequences were ever inserted."""
        return int(self._cursor[NEXT])

    @property
    def ids(self) -> NDArray[np.int64]:
        """The live ids, oldest first."""
        return np.arange(self.oldest, self.end)

    def settings(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which setting each of the live ``ids`` was played in."""
        return self._slots[ids % self.capacity, SETTING]

    def seats(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which seat played each of the live ``ids``."""
        return self._slots[ids % self.capacity, SEAT]

    def partners(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Whom each of the live ``ids`` was played with; see ``Episodes.partner``."""
        return self._slots[ids % self.capacity, PARTNER]

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
        return 2 * int(self._rows(self.ids)[:, WORDS].sum()) + len(self) * COLUMNS * 8

    @property
    def shape(self) -> tuple[int, ...]:
        """What must be equal for a state to be taken over."""
        sizes = (self.memory_size, self.label_size, len(self.counts), COLUMNS)
        return self.capacity, 2 * len(self._words), *sizes

    def insert(self, episodes: Episodes) -> None:
        """Adds sequences; they take the ids from ``end`` on, and the oldest make room.

        Raises:
            ValueError: if arrays disagree in dtype or size, or a sequence is malformed, too long,
                of an unknown setting, or larger than the whole ring. Nothing is inserted then.
        """
        self._check_arrays(episodes)
        arrays = parts(episodes)
        rows, fault, where = measure(
            episodes.lengths,
            episodes.terminal,
            episodes.fresh,
            episodes.setting,
            episodes.version,
            episodes.seat,
            episodes.partner,
            arrays,
            len(self.counts),
            self.label_size,
            self.max_length,
            len(self._words),
        )
        if fault:
            raise ValueError(
                FAULTS[fault].format(
                    where=where,
                    max_length=self.max_length,
                    settings=len(self.counts),
                    size=2 * len(self._words),
                )
            )
        place(rows, self._slots, self._cursor, self.counts, len(self._words))
        pack(rows, self._views, arrays)

    def gather(self, ids: NDArray[np.int64]) -> Episodes:
        """The sequences of some live ``ids``, in that order."""
        rows = self._rows(ids)
        steps, facts, choices = rows[:, LENGTH : CHOICES + 1].sum(axis=0).tolist()
        episodes = Episodes(
            lengths=rows[:, LENGTH].astype(np.int32),
            fact_counts=np.empty(steps, np.int16),
            facts=np.empty(facts, np.int16),
            choice_counts=np.empty(steps, np.int16),
            choices=np.empty(choices, np.int16),
            actions=np.empty(steps, np.int16),
            rewards=np.empty(steps, np.float32),
            elapsed=np.empty(steps, np.int16),
            terminal=rows[:, TERMINAL].astype(np.bool_),
            fresh=rows[:, FRESH].astype(np.bool_),
            memory=np.empty((len(rows), self.memory_size), np.float32),
            setting=rows[:, SETTING].astype(np.int16),
            version=rows[:, VERSION].astype(np.int32),
            seat=rows[:, SEAT].astype(np.int8),
            partner=rows[:, PARTNER].astype(np.int16),
            labels=np.empty((steps, self.label_size), np.int8),
            taught=np.empty(steps, np.int16),
        )
        unpack(rows, self._views, parts(episodes))
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
            mine = rows[:, SETTING] == setting
            firsts = (rows[mine, SEAT] == 0).sum()
            self.counts[setting] = mine.sum(), rows[mine, LENGTH].sum(), firsts

    def _rows(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._slots[ids % self.capacity]

    def _spans(self) -> tuple[slice, slice]:
        """Where the live sequences lie: from the oldest up, and again from the ring's start."""
        if not len(self):
            return slice(0, 0), slice(0, 0)
        rows = self._rows(self.ids)
        tail, head = int(rows[0, START]), int(self._cursor[HEAD])
        if tail < head:
            return slice(tail, head), slice(0, 0)
        return slice(tail, int((rows[:, START] + rows[:, WORDS]).max())), slice(0, head)

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
            "partner": sequences,
            "taught": steps,
        }
        for field in fields(Episodes):
            name, array = field.name, getattr(episodes, field.name)
            if array.dtype != DTYPES[name]:
                raise ValueError(f"episodes.{name} must be {DTYPES[name]}, got {array.dtype}")
            wanted = shapes.get(name, (len(array),))
            if array.shape != wanted:
                raise ValueError(f"episodes.{name} must have the shape {wanted}, got {array.shape}")
