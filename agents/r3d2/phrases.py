"""Which phrases an agent has a row for: the active set, and the rows as they fill up.

A game with a closed phrasebook names its phrases before the first move, and tables have a row for
each. Where phrases turn up in play, tables have rows to spare: as many rows as the next power of
two. A new phrase then takes the next free row, what has been computed for the others stays, and
shapes change a handful of times in a run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Ids = NDArray[np.int16]

SMALLEST = 64
"""Rows that an open table has at least."""


class ActiveSet:
    """Phrase ids in the order in which they were admitted, which is that of their rows.

    Args:
        open: whether rows are kept free for phrases to come.
    """

    def __init__(self, open: bool = False) -> None:
        self.open = open
        self.ids: Ids = np.zeros(0, np.int16)
        self._rows = np.full(1, -1, np.int32)
        self._rows[-1] = 0

    def __len__(self) -> int:
        """Phrases in the set."""
        return len(self.ids)

    @property
    def size(self) -> int:
        """Rows of a table of the set, free ones included."""
        if not self.open:
            return len(self)
        return max(SMALLEST, 1 << (len(self) - 1).bit_length()) if len(self) else SMALLEST

    def add(self, ids: Iterable[int] | NDArray[np.integer]) -> bool:
        """Admits ids; true if any was new."""
        given = np.array(ids if isinstance(ids, np.ndarray) else list(ids), np.int64).ravel()
        if not len(given):
            return False
        rows = self.rows(int(given.max()) + 1)
        new = given[(given >= 0) & (rows[given] < 0)]
        if not len(new):
            return False
        _, firsts = np.unique(new, return_index=True)
        new = new[np.sort(firsts)]
        rows[new] = np.arange(len(self), len(self) + len(new))
        self.ids = np.concatenate([self.ids, new.astype(np.int16)])
        return True

    def knows(self, ids: Ids) -> bool:
        """Whether every id has a row; PAD counts as known."""
        return bool(_all_known(ids.ravel(), self._rows))

    def rows(self, phrases: int) -> NDArray[np.int32]:
        """int32 [phrases + 1 or more]: the row of every id, -1 if it has none; 0 for PAD (-1)."""
        missing = phrases + 1 - len(self._rows)
        if missing > 0:
            # Twice as long, so that a book that grows by one phrase at a time is no burden.
            spare = np.full(missing + len(self._rows) * self.open, -1, np.int32)
            self._rows = np.concatenate([self._rows[:-1], spare, self._rows[-1:]])
        return self._rows


@numba.njit(cache=True, nogil=True)
def _all_known(ids, rows):  # type: ignore[no-untyped-def]
    """Whether every id has a row; the last of the rows is that of PAD."""
    for i in ids:  # noqa: SIM110 - numba has no generators
        if i >= len(rows) - 1 or rows[i] < 0:
            return False
    return True


@dataclass(frozen=True)
class Rows:
    """How the embeddings of an agent's phrases lie in one tensor: facts, choices, labels.

    Attributes:
        facts: how many facts there are.
        choices: how many choices.
        labels: how many answers of the auxiliary head.
        fact_rows: rows for facts, free ones included.
        choice_rows: rows for choices, likewise.
    """

    facts: int
    choices: int
    labels: int
    fact_rows: int
    choice_rows: int

    @property
    def counts(self) -> list[int]:
        """Rows of the three parts that are in use."""
        return [self.facts, self.choices, self.labels]

    @property
    def sizes(self) -> list[int]:
        """Rows of the three parts."""
        return [self.fact_rows, self.choice_rows, self.labels]

    def place(
        self, values: Tensor, known: Tensor | None = None, before: Rows | None = None
    ) -> Tensor:
        """Puts values into their rows; free ones are 0.

        Args:
            values: [n, width], of all phrases in use; with ``known``, of those that are new.
            known: [rows, width], of the phrases that were in use ``before``, as they lay then.
            before: the rows then.

        Returns:
            [rows, width].
        """
        if known is None and len(values) == sum(self.sizes):
            return values
        were = before.counts if before else [0, 0, 0]
        counts = [now - was for now, was in zip(self.counts, were, strict=True)]
        parts = list(values.split(counts))
        if known is not None and before:
            old = [p[:n] for p, n in zip(known.split(before.sizes), were, strict=True)]
            parts = [torch.cat(pair) for pair in zip(old, parts, strict=True)]
        free = [size - count for size, count in zip(self.sizes, self.counts, strict=True)]
        return torch.cat([F.pad(p, (0, 0, 0, n)) for p, n in zip(parts, free, strict=True)])
