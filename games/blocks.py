"""Blocks: grids of sentences whose ids are found by arithmetic.

A block holds sentences that differ in a few indices (seat, amount, place ...). The id of one of
them is the block's base plus its place in the grid, row-major; so a compiled engine writes ids
without a table of strings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np


@dataclass(frozen=True)
class Block:
    """A grid of sentences.

    Attributes:
        name: how code refers to the block.
        shape: the size of each axis; () for a single sentence.
        base: id of the first sentence.
        say: the sentence at given indices.
    """

    name: str
    shape: tuple[int, ...]
    base: int
    say: Callable[..., str]

    @property
    def size(self) -> int:
        """Number of sentences."""
        return prod(self.shape)

    @property
    def ids(self) -> range:
        """The ids of its sentences."""
        return range(self.base, self.base + self.size)

    def at(self, *index: int) -> int:
        """The id of the sentence at ``index``."""
        return self.base + (int(np.ravel_multi_index(index, self.shape)) if index else 0)


def lay_out(
    specification: Iterable[tuple[str, tuple[int, ...], Callable[..., str]]],
) -> dict[str, Block]:
    """Places blocks one behind another, from (name, shape, say)."""
    blocks: dict[str, Block] = {}
    base = 0
    for name, shape, say in specification:
        blocks[name] = Block(name, shape, base, say)
        base += prod(shape)
    return blocks


def sentences(blocks: Mapping[str, Block]) -> Iterator[str]:
    """All sentences in the order of their ids."""
    for block in blocks.values():
        for index in product(*map(range, block.shape)):
            yield block.say(*index)
