"""Games whose consoles are computed: what they have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from games.gameboy.batch import ConsoleBatch
from games.gameboy.console import Console


class Modelled(ConsoleBatch):
    """A batch without consoles: its RAM is computed, for all games in one call."""

    def _machines(self) -> Sequence[Console]:
        return ()

    def _boot(self, game: int) -> None:
        """There is nothing to switch on."""

    def screens(self, game: int = 0, draw: bool = True) -> list[NDArray[np.uint8]]:
        """Raises ValueError: there are none."""
        raise ValueError("a game without consoles has no screens: leave emulated=false out")

    def frame(self, render: bool = False) -> None:
        """Raises ValueError: nobody can hold keys here."""
        raise ValueError("a game without consoles is not played by hand: leave emulated=false out")
