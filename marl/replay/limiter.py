"""Keeps learning and acting in step: every inserted sequence is sampled so often, on average.

After Reverb's ``SampleToInsertRatio`` (Cassirer et al. 2021, "Reverb: A Framework for Experience
Replay")::

    actor:    if limiter.can_insert(): replay.insert(episodes); limiter.inserted(len(episodes))
    learner:  if limiter.can_sample(): replay.sample(n);        limiter.sampled(n)

Unlike Reverb's, a limit is looked at before a batch and not for the state after it. A batch of any
size may therefore pass its limit, by itself at most, and one of the two sides can always go on: a
deadlock cannot be configured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Limiter:
    """Says which of insertion and sampling may go on.

    Several threads may share one if each holds a lock around its question and the count that
    follows from it.

    Args:
        min_size: sequences inserted before the first is sampled (the warm-up), at least 1.
        samples_per_insert: times that a sequence is sampled, on average; positive.
        error_buffer: samples by which learning may be ahead or behind before a side has to wait.

    Raises:
        ValueError: if one of them is out of range.
    """

    def __init__(self, min_size: int, samples_per_insert: float, error_buffer: float = 0.0) -> None:
        if min_size < 1:
            raise ValueError(f"the warm-up must be at least 1 sequence, got {min_size}")
        if not (math.isfinite(samples_per_insert) and samples_per_insert > 0):
            raise ValueError(f"samples per insert must be positive, got {samples_per_insert}")
        if not error_buffer >= 0:
            raise ValueError(f"the error buffer cannot be negative, got {error_buffer}")
        self.min_size, self.samples_per_insert = min_size, samples_per_insert
        self.error_buffer = error_buffer
        self.inserts = 0
        self.samples = 0

    @property
    def error(self) -> float:
        """Samples owed by the learner since the warm-up; negative where it is ahead."""
        return self.samples_per_insert * (self.inserts - self.min_size) - self.samples

    @property
    def measured(self) -> float:
        """Samples taken for each sequence inserted since the warm-up (0 before its end)."""
        since = self.inserts - self.min_size
        return self.samples / since if since > 0 else 0.0

    def can_insert(self) -> bool:
        """Whether acting may go on: during the warm-up, and while learning is not far behind."""
        return self.inserts < self.min_size or self.error <= self.error_buffer

    def can_sample(self) -> bool:
        """Whether learning may go on: after the warm-up, while it is not far ahead."""
        return self.inserts >= self.min_size and self.error >= -self.error_buffer

    def inserted(self, n: int) -> None:
        """Counts n insertions."""
        self.inserts += n

    def sampled(self, n: int) -> None:
        """Counts n samples."""
        self.samples += n

    def refill(self) -> None:
        """Begins with the warm-up again, since replay is empty again."""
        self.inserts = self.samples = 0

    def state(self) -> dict[str, NDArray[Any]]:
        """The counts, for a checkpoint."""
        return {"counts": np.array([self.inserts, self.samples], np.int64)}

    def load_state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Takes over what ``state`` returned."""
        self.inserts, self.samples = (int(count) for count in arrays["counts"])
