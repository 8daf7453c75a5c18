"""Real time: a frame every 70224 / 4194304 s, by absolute deadlines.

Each deadline is counted from the first, so that what one frame loses the next does not add to. The
last part of a wait is spent looking at the clock, because a sleep ends late by up to a millisecond.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Literal

from games.gameboy.console import CLOCK, FRAME_CYCLES

Late = Literal["catch_up", "skip"]


class Pacer:
    """Says when the next frame begins.

    Args:
        late: what to do with frames that should have begun already: ``catch_up`` runs them at once,
            so that none is left out, and ``skip`` leaves them out, so that none is hurried.
        spin: seconds before a deadline from which on the clock is watched instead of slept by.

    Attributes:
        frames: frames that have begun.
        missed: frames that began more than a frame late, or were left out.
        began: when frame 0 began (monotonic seconds).
    """

    def __init__(self, late: Late = "catch_up", spin: float = 0.0007) -> None:
        if late not in ("catch_up", "skip"):
            raise ValueError(f"late must be catch_up or skip, got {late!r}")
        if not 0 <= spin < 0.01:
            raise ValueError(f"spin must be at least 0 and below 0.01 s, got {spin}")
        self._late, self._spin = late, spin
        self.frames = self.missed = 0
        self.began = 0.0
        self._number = 0  # of the next deadline

    def deadline(self, number: int) -> float:
        """When a frame is due (monotonic seconds)."""
        return self.began + number * FRAME_CYCLES / CLOCK

    def wait(self) -> int:
        """Waits until the next frame is due.

        Returns:
            how many frames have been left out before it (0 unless ``late`` is ``skip``).
        """
        if not self._number:
            self.began = time.monotonic()
        due = self.deadline(self._number)
        behind = int((time.monotonic() - due) * CLOCK / FRAME_CYCLES)
        skipped = 0
        if behind > 0:
            if self._late == "skip":
                skipped = behind
                self.missed += behind
                self._number += behind
                due = self.deadline(self._number)
            else:
                self.missed += 1
        left = due - time.monotonic()
        if left > self._spin:
            time.sleep(left - self._spin)
        while time.monotonic() < due:
            pass
        self._number += 1
        self.frames += 1
        return skipped

    def run(self, count: int) -> Iterator[int]:
        """Yields 0, 1, ... as frames begin; numbers of frames that were left out are missing."""
        while self._number < count:
            self.wait()
            yield self._number - 1
