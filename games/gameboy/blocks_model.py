"""``blocks`` without the emulator: a piece a call, for N games at once.

It is for learning. The cartridge is what counts: tests hold every byte of its RAM against this one,
piece by piece, at several levels and delays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from games.gameboy import wells
from games.gameboy.blocks import BlocksBatched, BlocksConfig
from games.gameboy.modelled import Modelled
from games.gameboy.pieces import SPAWN, SPEED
from games.gameboy.ram import PLAYING


class ModelledBlocks(Modelled, BlocksBatched):
    """``BlocksBatched`` whose consoles are computed; it has no screens.

    Args:
        config: the game, a choice a piece; ``threads`` is not needed here.
        num_games: N.
        seed: the k-th episode of game i has the seed ``seed + i + k * N``.
        restart: whether finished games start again inside ``step``.

    Raises:
        ValueError: if buttons are chosen.
    """

    def __init__(
        self, config: BlocksConfig, num_games: int = 1, seed: int = 0, restart: bool = True
    ) -> None:
        if config.choose == "buttons":
            raise ValueError("buttons are pressed on consoles: leave emulated=false out")
        self._dice = np.zeros((num_games, 4), np.uint8)
        super().__init__(config, num_games, seed, restart)

    def _begin_games(self, games: NDArray[np.int64]) -> None:
        self._count[games] = 0
        seeds = np.array([self._seed_of(game) for game in games.tolist()], "<u4")
        dice = seeds.view(np.uint8).reshape(-1, 4)
        kept = self.ram[games, 0].copy()
        kept["seed"] = dice
        kept["start"] = kept["level"] = self.config.level
        kept["steady"] = not self.config.rising
        kept["phase"] = PLAYING
        for name in ("ticks", "held", "keys", "lines", "pieces", "score", "rows", "turn", "row"):
            kept[name] = 0
        kept["column"], kept["wait"] = SPAWN, SPEED[self.config.level]
        self._dice[games] = np.where(dice.any(1, keepdims=True), dice, [1, 0, 0, 0])
        self.ram[games, 0] = kept
        wells.draw_first(self.ram, self._dice, games)

    def _do_games(self, games: NDArray[np.int64], actions: NDArray[np.int16]) -> NDArray[np.int64]:
        self._done[games, self._count[games]] = actions[games]
        self._count[games] += 1
        frames = np.zeros(self.num_games, np.int64)
        wells.settle(self.ram, self._dice, games, actions, self.config.timing.delay, frames)
        return frames
