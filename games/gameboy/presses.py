"""Choices that are keys: when they act, and which are on their way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from games.gameboy.console import Console

MOST_PENDING = 300
"""Choices that can be on their way: 600 frames of delay, one every other frame."""


@dataclass(frozen=True)
class Timing:
    """When an agent decides, and when it acts; in frames.

    Attributes:
        delay: from what a seat sees to the frame at which its choice acts.
        every: from one decision to the next.
        schedule: ``asynchronous`` decides every ``every`` frames, with up to ``delay // every``
            choices on their way; ``sequential`` decides again when its last choice begins to act.
        pending: whether the choices that are on their way are among the facts.
        told: room for choices on their way that somebody else keeps (``games.world``).
    """

    delay: int = 0
    every: int = 2
    schedule: Literal["asynchronous", "sequential"] = "asynchronous"
    pending: bool = True
    told: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.delay <= 600:
            raise ValueError(f"delay must be 0 to 600 frames, got {self.delay}")
        if not 0 <= self.told <= MOST_PENDING:
            raise ValueError(f"told must be 0 to {MOST_PENDING} choices, got {self.told}")
        if not 2 <= self.every <= 250:
            raise ValueError(
                f"every must be 2 to 250 frames (a key is pressed and let go), got {self.every}"
            )
        if self.schedule not in ("asynchronous", "sequential"):
            raise ValueError(f"schedule must be asynchronous or sequential, got {self.schedule!r}")

    @property
    def interval(self) -> int:
        """Frames from a decision to the next."""
        return self.every if self.schedule == "asynchronous" else max(self.every, self.delay)

    @property
    def depth(self) -> int:
        """How many choices can be on their way."""
        return max(self.delay // self.interval, self.told)


class Presses:
    """Choices that are keys: which act when, and which are on their way.

    Args:
        keys: the mask of each choice.
        timing: when they act.
        shape: games and seats.
    """

    def __init__(self, keys: Sequence[int], timing: Timing, shape: tuple[int, int]) -> None:
        self.timing = timing
        self.masks = np.array(keys, np.uint8)
        """The keys of each choice."""
        self.waiting = np.zeros((*shape, timing.depth), np.int16)
        """Choices that have not acted yet, the next one to act first; 0 is nothing."""

    def expect(self, choices: Sequence[Sequence[int]]) -> None:
        """Says what is on its way in game 0, of each seat, the next one to act first."""
        self.waiting[0] = 0
        for seat, numbers in enumerate(choices):
            kept = list(numbers)[: self.waiting.shape[2]]
            self.waiting[0, seat, : len(kept)] = kept

    def key_of(self, choice: int) -> int:
        """The mask of a choice."""
        return int(self.masks[choice])

    def clear(self, game: int) -> None:
        """Nothing is on its way."""
        self.waiting[game] = 0

    def make(self, game: int, consoles: Sequence[Console], action: NDArray[np.int16]) -> None:
        """Hands the keys of every seat over, for the frames where they act."""
        for console, choice in zip(consoles, action.tolist(), strict=True):
            at = console.frame + self.timing.delay
            if choice:
                console.hold(self.key_of(choice), at)
                console.hold(0, at + 1)
        self.push(game, action)

    def push(self, game: int | NDArray[np.int64], action: NDArray[np.int16]) -> None:
        """Puts choices last among those on their way; the first has begun to act.

        Args:
            game: one game, or G of them.
            action: int16 [P], or [G, P].
        """
        if self.timing.delay and self.timing.depth:
            self.waiting[game, :, :-1] = self.waiting[game, :, 1:]
            self.waiting[game, :, -1] = action


def pack(columns: Sequence[NDArray[np.int16]]) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Moves PAD (-1) behind what is there.

    Args:
        columns: int16 [R], or [R, k], ids or -1.

    Returns:
        int16 [R, width] and the counts int16 [R].
    """
    rows = np.concatenate([c[:, None] if c.ndim == 1 else c for c in columns], axis=1)
    order = np.argsort(rows < 0, axis=1, kind="stable")
    return np.take_along_axis(rows, order, 1), (rows >= 0).sum(1).astype(np.int16)
